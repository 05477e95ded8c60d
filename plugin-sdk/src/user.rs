//! Who a connection belongs to.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::bindings::tidegate::plugin::host;
use crate::{Connection, Fault};

/// The plugin whose state is a user, where there is one.
const AUTH: &str = "auth";

/// Who a connection belongs to, as whoever signed it in has left it: the state, in JSON, of the plugin `auth` ahead in
/// the chain, or of this plugin itself.
///
/// ```no_run
/// # use tidegate_sdk::{Accept, Reject, Request, Result, User};
/// // A plugin of its own that signs in; others read the user with `grants.state = ["auth"]`.
/// fn on_upgrade(request: Request) -> Result<Accept, Reject> {
///     let id = request.query("name").ok_or_else(|| Reject::new(401, "add ?name=..."))?;
///     let roles = vec!["guest".to_owned()];
///     let user = User { id, name: None, roles, expires: None };
///     Ok(Accept::default().state_json(&user)?)
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// What identifies the user.
    pub id: String,
    /// What others call the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the user may do. A state without roles, even an empty list of them, is no user's.
    pub roles: Vec<String>,
    /// Until when this holds, in seconds since 1970, as in a JWT; for good if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
}

impl User {
    /// The user of the connection whose event this is; none if nobody has signed in, or if that has expired.
    ///
    /// The state of a plugin named `auth` is looked at first; it has to be ahead in the route's chain, and this plugin
    /// needs `grants.state = ["auth"]`. Without that the user is this plugin's own state. Before there is a connection,
    /// ask [`Request::user`](crate::Request::user).
    pub fn of(connection: &Connection) -> Option<Self> {
        let state = connection.state_of(AUTH);
        Self::now(&state.unwrap_or_else(|| connection.state()))
    }

    /// The user whose request this event is about, as `auth` in front has granted it.
    pub(crate) fn asking() -> Option<Self> {
        Self::now(&host::state_of(None, AUTH)?)
    }

    /// Whether the user has that role.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    fn now(state: &[u8]) -> Option<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::read(state, now.map_or(0, |now| now.as_secs()))
    }

    fn read(state: &[u8], now: u64) -> Option<Self> {
        let user: Self = serde_json::from_slice(state).ok()?;
        user.expires
            .is_none_or(|expires| now < expires)
            .then_some(user)
    }

    /// The user, who must have that role.
    pub(crate) fn having(self, role: &str) -> Result<Self, Fault> {
        if self.has_role(role) {
            return Ok(self);
        }
        let fault = Fault::new("forbidden", format!("this needs the role {role:?}"));
        Err(fault.with_details(&serde_json::json!({"role": role})))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &[u8] = br#"{"id": "ann", "roles": ["admin"], "expires": 1000}"#;

    #[test]
    fn a_user_holds_until_it_expires() {
        assert_eq!(User::read(ANN, 999).unwrap().id, "ann");
        assert_eq!(User::read(ANN, 1000), None);
        let forever = br#"{"id": "ann", "roles": []}"#;
        assert!(User::read(forever, u64::MAX).is_some());
    }

    #[test]
    fn another_state_is_no_user() {
        for state in ["", "{}", r#"{"id": "ann"}"#, r#"["ann", []]x"#, "\"ann\""] {
            assert_eq!(User::read(state.as_bytes(), 0), None, "{state}");
        }
    }

    #[test]
    fn a_missing_role_is_forbidden_and_named() {
        let ann = User::read(ANN, 0).unwrap();
        assert!(ann.clone().having("admin").is_ok());
        let fault = ann.having("owner").unwrap_err();
        assert_eq!(fault.code(), "forbidden");
        assert_eq!(fault.details().unwrap()["role"], "owner");
    }
}
