//! The plugin `auth`, in front of one that asks who it is.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::http::Response;

use super::token::{self, EC, ES256, RS256, RSA, SECRET, hs256, now, unsigned};
use crate::client::Client;
use crate::gateway::{Gateway, Setup};

/// With lines of `[plugin.config]`.
fn configured(lines: &str) -> Setup {
    Gateway::with("router")
        .plugin("[plugin.grants]\nstate = [\"auth\"]")
        .behind("auth", &format!("[plugin.config]\n{lines}"))
}

fn algorithm(algorithm: &str, key: &str) -> Setup {
    configured(&format!("algorithm = {algorithm:?}\nkey = {key:?}"))
}

fn auth() -> Setup {
    algorithm("HS256", SECRET)
}

async fn with_token(gateway: &Gateway, token: &str) -> Client {
    gateway.connect(&format!("/?token={token}")).await
}

/// Asks the plugin behind who it is.
async fn who(client: &mut Client) -> Value {
    client.send(r#"{"type": "who", "id": 1}"#).await;
    client.recv_json().await["data"].take()
}

/// Checks that there is no connection with these header fields, and says what there is instead.
async fn refusal(
    gateway: &Gateway,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Response<Option<Vec<u8>>> {
    match Client::try_connect(gateway.address, path, headers).await {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), 401, "{path}");
            *response
        }
        other => panic!("{path}: {:?}", other.err()),
    }
}

/// Checks that a token is refused with these words, for people and for programs.
async fn is_refused(gateway: &Gateway, token: &str, why: &str) {
    let response = refusal(gateway, &format!("/?token={token}"), &[]).await;
    assert_eq!(
        response.headers()["www-authenticate"],
        format!("Bearer error=\"invalid_token\", error_description=\"{why}\""),
        "{token}"
    );
    let body = response.into_body().unwrap_or_default();
    assert_eq!(String::from_utf8(body).unwrap(), format!("{why}\n"));
}

#[tokio::test]
async fn a_token_is_taken_wherever_it_comes() {
    let gateway = auth().start().await;
    let token = token::of("ann", &["admin"]);
    let (bearer, odd) = (format!("Bearer {token}"), format!("bearer  {token}"));
    let cookies = format!("theme=dark; token={token}; last=1");
    let query = format!("/?page=1&token={token}");
    for (path, headers) in [
        ("/", &[("authorization", bearer.as_str())][..]),
        ("/", &[("authorization", odd.as_str())]),
        ("/", &[("cookie", cookies.as_str())]),
        (&query, &[]),
        // The header counts first, then the query.
        (
            "/?token=x",
            &[("authorization", bearer.as_str()), ("cookie", "token=x")],
        ),
        (&query, &[("cookie", "token=x")]),
        // Another scheme is not ours to read.
        (&query, &[("authorization", "Basic YTpi")]),
    ] {
        let client = Client::try_connect(gateway.address, path, headers).await;
        let mut client = client.unwrap_or_else(|error| panic!("{path} {headers:?}: {error}"));
        assert_eq!(client.response.headers()["x-user"], "ann");
        assert_eq!(who(&mut client).await, "ann");
    }
}

#[tokio::test]
async fn without_a_token_it_is_asked_for() {
    let gateway = auth().start().await;
    for headers in [
        &[][..],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "Bearer")],
        &[("cookie", "tokens=x; Token=x")],
    ] {
        let response = refusal(&gateway, "/?tokens=x", headers).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let body = response.into_body().unwrap_or_default();
        assert!(
            String::from_utf8(body)
                .unwrap()
                .starts_with("a token is needed")
        );
    }
}

#[tokio::test]
async fn each_algorithm_takes_its_own_tokens_only() {
    let hs256 = token::of("ann", &["admin"]);
    let tokens = [
        ("HS256", SECRET, hs256.as_str()),
        ("RS256", RSA, RS256),
        ("ES256", EC, ES256),
    ];
    for (name, key, _) in tokens {
        let gateway = algorithm(name, key).start().await;
        for (other, _, token) in tokens {
            if other == name {
                let mut client = with_token(&gateway, token).await;
                assert_eq!(who(&mut client).await, "ann", "{name}");
            } else {
                is_refused(&gateway, token, "the algorithm is not the one expected").await;
            }
        }
        // Another one's signature under the same claims.
        let (signed, _) = token_parts(tokens.iter().find(|(other, ..)| *other == name).unwrap().2);
        let forged = format!("{signed}.{}", token_parts(RS256).1);
        if name != "RS256" {
            is_refused(&gateway, &forged, "the signature is wrong").await;
        }
    }
}

/// What is signed, and the signature.
fn token_parts(token: &str) -> (&str, &str) {
    token.rsplit_once('.').expect("three parts")
}

#[tokio::test]
async fn a_public_key_is_no_secret_to_sign_with() {
    let claims = json!({ "sub": "eve", "roles": ["admin"], "exp": now() + 60 });
    for (name, key) in [("RS256", RSA), ("ES256", EC)] {
        let gateway = algorithm(name, key).start().await;
        let why = "the algorithm is not the one expected";
        is_refused(&gateway, &hs256(key, &claims), why).await;
        // The header says what is expected, and the signature is still HMAC's.
        let token = hs256(key, &claims);
        let relabelled = format!("{}.{}", unsigned(name, &claims), token_parts(&token).1);
        is_refused(&gateway, &relabelled, "the signature is wrong").await;
        is_refused(
            &gateway,
            &format!("{}.", unsigned("none", &claims)),
            "the token can't be read",
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_said() {
    let gateway = auth().start().await;
    let claims = json!({ "sub": "ann", "exp": now() + 60 });
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        hs256(SECRET, &claims)
    };
    let good = with("name", "Ann".into());
    let (signed, signature) = token_parts(&good);
    let unreadable = "the token can't be read";
    let forged = "the signature is wrong";
    let nobody = "sub has to be 1 to 200 bytes without control characters";
    for (token, why) in [
        (with("exp", (now() - 2).into()), "the token has expired"),
        (
            with("nbf", (now() + 60).into()),
            "the token is not valid yet",
        ),
        (
            hs256("another secret of at least 32 bytes", &claims),
            forged,
        ),
        (format!("{signed}x.{signature}"), forged),
        (format!("{signed}."), forged),
        (format!("{}.", unsigned("none", &claims)), unreadable),
        (format!("{}.", unsigned("None", &claims)), unreadable),
        (unsigned("none", &claims), unreadable),
        (signed.to_owned(), unreadable),
        (
            format!("{}.{signature}", unsigned("HS512", &claims)),
            "the algorithm is not the one expected",
        ),
        (
            with("aud", "elsewhere".into()),
            "the audience is not the one expected",
        ),
        (with("exp", Value::Null), unreadable),
        (with("exp", "tomorrow".into()), unreadable),
        (with("sub", Value::Null), unreadable),
        (with("sub", 7.into()), unreadable),
        (with("roles", "admin".into()), unreadable),
        (with("sub", "x".repeat(201).into()), nobody),
        (with("sub", "".into()), nobody),
        (with("sub", "ann\r\nx-admin: yes".into()), nobody),
        ("garbage".to_owned(), unreadable),
        ("...".to_owned(), unreadable),
        (String::new(), unreadable),
        ("%ff.%00.%22".to_owned(), unreadable),
        (format!("{good}{}", "A".repeat(4000)), forged),
    ] {
        is_refused(&gateway, &token, why).await;
    }
    assert_eq!(
        with_token(&gateway, &good).await.response.headers()["x-user"],
        "ann"
    );
    let unicode = with_token(&gateway, &with("sub", "Jürgen".into())).await;
    assert_eq!(
        unicode.response.headers()["x-user"].as_bytes(),
        "Jürgen".as_bytes()
    );
}

#[tokio::test]
async fn roles_reach_the_plugins_behind_also_after_reloads() {
    let gateway = auth().start().await;
    let mut ann = with_token(&gateway, &token::of("ann", &["admin"])).await;
    let mut bob = with_token(&gateway, &token::of("bob", &[])).await;
    for generation in 2..4 {
        assert_eq!(
            gateway.reload_other("auth").await.json()["generation"],
            generation
        );
        assert_eq!(gateway.reload().await.json()["generation"], generation);
        assert_eq!(who(&mut ann).await, "ann");
        assert_eq!(who(&mut bob).await, "bob");
    }
    bob.send(r#"{"type": "close"}"#).await;
    assert_eq!(bob.recv_json().await["error"]["code"], "forbidden");
    assert_eq!(who(&mut bob).await, "bob");
    ann.send(r#"{"type": "close"}"#).await;
    assert_eq!(ann.recv_close().await, (4001, "closed as asked".to_owned()));
}

#[tokio::test]
async fn a_connection_ends_with_its_token_also_after_a_reload() {
    let gateway = auth().start().await;
    let claims = |seconds: u64| json!({ "sub": "ann", "exp": now() + seconds });
    let mut long = with_token(&gateway, &hs256(SECRET, &claims(3600))).await;
    let mut forever = with_token(&gateway, &hs256(SECRET, &claims(1 << 60))).await;
    let mut short = with_token(&gateway, &hs256(SECRET, &claims(2))).await;
    assert_eq!(gateway.reload_other("auth").await.json()["generation"], 2);
    assert_eq!(short.recv_close().await, (4001, "token expired".to_owned()));
    assert_eq!(who(&mut long).await, "ann");
    assert_eq!(who(&mut forever).await, "ann");
}

#[tokio::test]
async fn clocks_may_differ_by_the_leeway() {
    let setup = configured(&format!(
        "algorithm = \"HS256\"\nkey = {SECRET:?}\nleeway = \"1h\""
    ));
    let gateway = setup.start().await;
    let hour = 3600;
    for (exp, nbf) in [(now() - hour / 2, 0), (now() + hour, now() + hour / 2)] {
        let token = hs256(SECRET, &json!({ "sub": "ann", "exp": exp, "nbf": nbf }));
        // Nor does it expire before.
        assert_eq!(who(&mut with_token(&gateway, &token).await).await, "ann");
    }
    let token = hs256(SECRET, &json!({ "sub": "ann", "exp": now() - 2 * hour }));
    is_refused(&gateway, &token, "the token has expired").await;
}

#[tokio::test]
async fn issuer_and_audience_are_asked_for_if_they_are_configured() {
    let setup = configured(&format!(
        "algorithm = \"HS256\"\nkey = {SECRET:?}\nissuer = \"us\"\naudience = \"gateway\""
    ));
    let gateway = setup.start().await;
    let claims = |more: Value| {
        let mut claims = json!({ "sub": "ann", "exp": now() + 60 });
        claims
            .as_object_mut()
            .unwrap()
            .append(more.clone().as_object_mut().unwrap());
        hs256(SECRET, &claims)
    };
    for audience in [json!("gateway"), json!(["elsewhere", "gateway"])] {
        let token = claims(json!({ "iss": "us", "aud": audience }));
        assert_eq!(who(&mut with_token(&gateway, &token).await).await, "ann");
    }
    for (more, why) in [
        (
            json!({ "iss": "them", "aud": "gateway" }),
            "the issuer is not the one expected",
        ),
        (
            json!({ "iss": "us", "aud": "elsewhere" }),
            "the audience is not the one expected",
        ),
        (json!({ "aud": "gateway" }), "a claim is missing"),
        (json!({ "iss": "us" }), "a claim is missing"),
    ] {
        is_refused(&gateway, &claims(more), why).await;
    }
}

#[test]
fn a_configuration_that_can_check_nothing_is_refused() {
    let private = RSA.replace("PUBLIC", "PRIVATE");
    let cut = RSA.replace("MIIB", "MIIA");
    let with = |algorithm: &str, key: &str| format!("algorithm = {algorithm:?}\nkey = {key:?}");
    for (lines, words) in [
        (String::new(), r#"[plugin.config] needs "algorithm""#),
        (
            "algorithm = \"HS256\"".to_owned(),
            r#"[plugin.config] needs "key""#,
        ),
        (
            with("none", SECRET),
            r#""algorithm" in [plugin.config] is "none": HS256, RS256 and ES256"#,
        ),
        (
            with("HS256", "short"),
            r#""key" in [plugin.config] has 5 bytes: HS256 takes a secret of 32"#,
        ),
        (with("HS256", RSA), "and no PEM"),
        (
            with("RS256", SECRET),
            r#""key" in [plugin.config] is no public key"#,
        ),
        (
            with("RS256", &private),
            r#""key" in [plugin.config] is no public key"#,
        ),
        (
            with("RS256", &cut),
            r#""key" in [plugin.config] is not taken"#,
        ),
        (
            with("RS256", EC),
            r#""key" in [plugin.config] is not taken: InvalidKeyFormat"#,
        ),
        (
            with("ES256", RSA),
            r#""key" in [plugin.config] is not taken: InvalidKeyFormat"#,
        ),
        (
            with("HS256", SECRET) + "\nleeway = 30",
            r#""leeway" in [plugin.config] is "30""#,
        ),
    ] {
        let said = configured(&lines).refused();
        assert!(said.contains(words), "{lines}: {said}");
        assert!(!said.contains(SECRET), "{said}");
    }
}
