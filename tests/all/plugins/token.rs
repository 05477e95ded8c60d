//! Tokens as clients bring them, and the keys that `auth` checks them with.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A secret.
pub const SECRET: &str = "a secret of at least 32 bytes, for tests";

/// A public key of RSA, with 2048 bits, whose private one was thrown away.
pub const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsQWx8KZEQd/ZP1fOAZHO
6gyJgrJpJv7dWMZIxGvVViFu9lxCO6frBsAethYR/JFJ34+KEKnCXdzeqOK2ftu2
QhLT21NBm5+Y3LSQQrSr3YfLFT+zROlBa4PPdmMJlGFL5kyRiY8uMQ2bz650D0cA
P6hMbjEF8TCllw3LsY5446BY05MZ5jrlSKJ3dQu83hCRStHIjZthqRlT1srEy4Vc
TnFveoMs/f3e2cbJ42altBkwrcxj/ZX/wng7YkEkE9CJEgEQoOvk/NYQGb5w/MIU
9mhqeIp+mZg0nrIkKrvxWEeOjq9mKJH7pL5i3VXfpp5zEZrwjqa76RhIWFJXihEC
jwIDAQAB
-----END PUBLIC KEY-----";
/// A token signed with its private one: ann, an admin, until 2100.
pub const RS256: &str = "\
     eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.\
     eyJzdWIiOiJhbm4iLCJyb2xlcyI6WyJhZG1pbiJdLCJleHAiOjQxMDI0NDQ4MDB9.\
     LJJLJhEtc3-DsWx6DKjHCwgZyVVtiFfOhIGcECpsZI02Av6-\
     dUD2NCtgoaHU6GQ8_DxmqFFNclqzX3gT_djYXPhL8GFKw3ARYfbYA9qWnk0Z6nM1vE3Yx9Fd5cwODMmukw31\
     ABkxxW66WrFxsm_kGNbsPxuDsSInOIa4HOEk9T2GEtPnSadcAnnuiD3pHXMiKvY1aNlqD9Ydy2b_oH19NY-\
     3ZWYyHx_cm_Da7pwRVY-Gy9IvyDXlIBR8ogzn08tscvl5kM7Po6xjcfr8wF7rLFlv0Rm703TTjWLZ--\
     R_vydW5MThFKT-KPODtd1wo1k6fchAH_cCje5x3ofDRGxvMw";

/// A public key on the curve P-256, whose private one was thrown away.
pub const EC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExhm8DRC3c9zEs9xoVWOUrq3joO7q
QX/S0+O0IoJ0x7iJpbGu2kJAyqffOcznZl1K6zunFMO20+T0oTXwwgOtZg==
-----END PUBLIC KEY-----";
/// A token signed with its private one: ann, an admin, until 2100.
pub const ES256: &str = "\
     eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.\
     eyJzdWIiOiJhbm4iLCJyb2xlcyI6WyJhZG1pbiJdLCJleHAiOjQxMDI0NDQ4MDB9.\
     1lDxYmSdLXLxKjCw_udSOqRcg6IgJ82zICsLJakth7V1vTzD5MV7xhdwW9myt08NEMWN6oMRwwV0H5TgLkxB\
     1A";

/// The time in seconds since 1970.
pub fn now() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .expect("it is later")
        .as_secs()
}

/// A token of that user with these roles, for an hour.
pub fn of(user: &str, roles: &[&str]) -> String {
    hs256(
        SECRET,
        &json!({ "sub": user, "roles": roles, "exp": now() + 3600 }),
    )
}

/// A token with these claims, signed with a secret.
pub fn hs256(secret: &str, claims: &Value) -> String {
    let signed = unsigned("HS256", claims);
    let signature = hmac(secret.as_bytes(), signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// What of a token is signed.
pub fn unsigned(algorithm: &str, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" });
    let [header, claims] =
        [&header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes()));
    format!("{header}.{claims}")
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    match key.len() {
        len @ ..=64 => block[..len].copy_from_slice(key),
        _ => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}
