//! What makes a token valid.

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use tidegate_sdk::{Result, User, config, error};

/// HMAC's secret must be as long as its hash (RFC 7518 section 3.2).
const SECRET_MIN: usize = 32;
/// Bytes of a user's id: with room for what plugins put in front of it in the name of a topic.
const SUB_MAX: usize = 200;

/// The key, and what a token has to say.
pub(super) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

/// What is read of a token.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    name: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
    /// Seconds since 1970, perhaps with a fraction.
    exp: f64,
}

impl Verifier {
    /// A verifier as `[plugin.config]` says.
    pub(super) fn configured() -> Result<Self> {
        let required =
            |key| config::get(key).ok_or_else(|| error!("[plugin.config] needs {key:?}"));
        let (algorithm, key) = (required("algorithm")?, required("key")?);
        let (algorithm, key) = match algorithm.as_str() {
            "HS256" => (Algorithm::HS256, secret(&key)?),
            "RS256" => (Algorithm::RS256, public(&key, DecodingKey::from_rsa_pem)?),
            "ES256" => (Algorithm::ES256, public(&key, DecodingKey::from_ec_pem)?),
            other => {
                let fix = "HS256, RS256 and ES256 are known";
                return Err(error!(
                    "\"algorithm\" in [plugin.config] is {other:?}: {fix}"
                ));
            }
        };
        // Only what is configured is asked for: if it followed the token's own `alg`, whoever knows the public key could
        // sign with it as a secret.
        let mut validation = Validation::new(algorithm);
        validation.validate_nbf = true;
        validation.leeway = config::duration("leeway")?.unwrap_or_default().as_secs();
        if let Some(issuer) = config::get("issuer") {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if let Some(audience) = config::get("audience") {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        Ok(Self { key, validation })
    }

    /// Whose token it is, or what is wrong with it in words that fit into a header field.
    pub(super) fn user(&self, token: &str) -> Result<User, &'static str> {
        let token = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        let Claims {
            sub,
            name,
            roles,
            exp,
        } = token.map_err(|error| words(&error))?.claims;
        if !(1..=SUB_MAX).contains(&sub.len()) || sub.contains(|c: char| c.is_control()) {
            return Err("sub has to be 1 to 200 bytes without control characters");
        }
        let expires = (exp as u64).saturating_add(self.validation.leeway);
        Ok(User {
            id: sub,
            name,
            roles,
            expires: Some(expires),
        })
    }
}

fn secret(key: &str) -> Result<DecodingKey> {
    if key.len() < SECRET_MIN || key.starts_with("-----") {
        let fix = format!("HS256 takes a secret of {SECRET_MIN} bytes or more, and no PEM");
        return Err(error!(
            "\"key\" in [plugin.config] has {} bytes: {fix}",
            key.len()
        ));
    }
    DecodingKey::from_secret(key.as_bytes())
        .map_err(|why| error!("\"key\" in [plugin.config] is not taken: {why}"))
}

fn public(key: &str, read: fn(&[u8]) -> Result<DecodingKey, Error>) -> Result<DecodingKey> {
    let fix = "a public key in PEM of the algorithm's kind is needed";
    // The private one would be read, and match no signature.
    if !key.contains("PUBLIC KEY-----") {
        return Err(error!("\"key\" in [plugin.config] is no public key: {fix}"));
    }
    read(key.as_bytes())
        .map_err(|why| error!("\"key\" in [plugin.config] is not taken: {why}: {fix}"))
}

fn words(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidSignature => "the signature is wrong",
        ErrorKind::InvalidAlgorithm => "the algorithm is not the one expected",
        ErrorKind::InvalidIssuer => "the issuer is not the one expected",
        ErrorKind::InvalidAudience => "the audience is not the one expected",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "the token can't be read",
    }
}
