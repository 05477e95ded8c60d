//! Who it is, by a JSON Web Token: put `auth` first in a route's chain, and the plugins behind it read the user with
//! `User::of` and `grants.state = ["auth"]`. Every message is passed on.
//!
//! The token comes in the header `authorization: Bearer ..`, in the query `?token=..`, or in the cookie `token`. Its `sub`
//! is the user's id; `name` and `roles` are taken over if they are there. Without a valid one the upgrade is refused with
//! 401, and [`EXPIRED`] closes a connection whose token has run out. The 101 names the user in `x-user`.
//!
//! | `[plugin.config]` | |
//! | --- | --- |
//! | `algorithm` | `"HS256"`, `"RS256"` or `"ES256"`; a token says which it has, but is not asked |
//! | `key` | the secret, 32 bytes at least, or the public key in PEM; in the environment `TIDEGATE_PLUGIN__AUTH__CONFIG__KEY` |
//! | `issuer`, `audience` | what a token has to say in `iss` and `aud`, if they are set; one with an `aud` needs `audience` to be set (RFC 7519 section 4.1.3) |
//! | `leeway` | how far clocks may differ, such as `"30s"`; none if it is not set |
//!
//! A check with RS256 (2048 bits) or ES256 takes some 1.5 ms, with HS256 next to nothing. Both are far below the default
//! deadline of 50 ms; where many connect at once, remember that it is the shard that computes.

mod verifier;

use std::time::{Duration, UNIX_EPOCH};

use tidegate_sdk::{
    Accept, Connection, Handler, Message, Reject, Request, Result, Timer, User, Verdict,
};

use verifier::Verifier;

/// The code that a connection is closed with when its token has expired. From 4000 on they are an application's own
/// (RFC 6455 section 7.4.2).
pub const EXPIRED: u16 = 4001;

struct Auth;

impl Handler<Verdict> for Auth {
    /// A key that can't be used is never put in place of one that can.
    fn on_load() -> Result {
        Verifier::configured().map(drop)
    }

    fn on_upgrade(request: Request) -> Result<Accept, Reject> {
        let Some(token) = token(&request) else {
            return Err(unauthorized(
                "Bearer",
                "a token is needed: as bearer, ?token= or cookie",
            ));
        };
        let user = Verifier::configured()?.user(&token).map_err(|why| {
            let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
            unauthorized(&challenge, why)
        })?;
        Ok(Accept::default()
            .header("x-user", user.id.as_str())
            .state_json(&user)?)
    }

    fn on_open(connection: &Connection, _request: Request) -> Result {
        let user = connection.state_json::<User>()?;
        if let Some(expires) = user.and_then(|user| user.expires) {
            let left = Duration::from_secs(expires).saturating_sub(UNIX_EPOCH.elapsed()?);
            Timer::after("expired", left).on(connection)?;
        }
        Ok(())
    }

    fn on_timer(connection: Option<&Connection>, _name: &str) -> Result {
        match connection {
            Some(connection) => Ok(connection.close(EXPIRED, "token expired")?),
            None => Ok(()),
        }
    }

    fn on_message(_: &Connection, _: Message) -> Result<Verdict> {
        Ok(Verdict::Next)
    }
}

/// The first of the places that has one.
fn token(request: &Request) -> Option<String> {
    let bearer = request
        .header("authorization")
        .and_then(|value| value.split_once(' '));
    let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    bearer
        .map(|(_, token)| token.trim().to_owned())
        .or_else(|| request.query("token"))
        .or_else(|| request.cookie("token").map(str::to_owned))
}

fn unauthorized(challenge: &str, why: &str) -> Reject {
    Reject::new(401, format!("{why}\n")).header("www-authenticate", challenge)
}

tidegate_sdk::export!(Auth);
