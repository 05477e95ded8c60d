//! HTTP both ways: requests to other servers, and answers to plain requests on the plugin's routes.
//!
//! # Asking others
//!
//! Only origins that the plugin's configuration grants can be reached, within the limits it sets:
//!
//! ```toml
//! [plugin.grants]
//! http = ["https://api.example.com"]
//! ```
//!
//! ```no_run
//! use std::time::Duration;
//! use serde::{Deserialize, Serialize};
//! use tidegate_sdk::{Result, http};
//!
//! #[derive(Deserialize)]
//! struct User {
//!     name: String,
//! }
//!
//! fn name_of(id: u64) -> Result<String> {
//!     let response = http::get(&format!("https://api.example.com/users/{id}"))?;
//!     let user: User = response.success()?.body_json()?;
//!     Ok(user.name)
//! }
//!
//! fn report(score: &impl Serialize) -> Result<u16> {
//!     let response = http::Request::post("https://api.example.com/scores")
//!         .header("authorization", "Bearer 123")
//!         .json(score)?
//!         .timeout(Duration::from_millis(500))
//!         .send()?;
//!     Ok(response.status)
//! }
//! ```
//!
//! The event waits for the response, and its connection is not read meanwhile; other connections go on. A request
//! acts at once: unlike what the event does in the gateway, it is not undone when the event fails.
//!
//! # Being asked
//!
//! See [`HttpHandler`].

mod body;
mod error;
mod incoming;
mod outgoing;
mod response;
mod url;

pub use error::HttpError;
pub(crate) use incoming::answer;
pub use incoming::{HttpHandler, Incoming};
pub use outgoing::{Request, get};
pub use response::Response;
