//! The name of a host, as a request or a browser's address line has it.

use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer};

use super::units::{self, Scalar};

/// A name or an address without a port, in lower case; an IPv6 address in its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(Box<str>);

impl HostName {
    /// The name in a `Host` header field, with or without a port. `None` for what is neither.
    pub fn of_field(host: &str) -> Option<Self> {
        let (name, port) = match host.rfind(']') {
            Some(end) => host.split_at(end + 1),
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
        let has_sound_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        Self::parse(name).filter(|_| has_sound_port)
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(name: &str) -> Option<Self> {
        if let Some(v6) = name.strip_prefix('[') {
            let v6: Ipv6Addr = v6.strip_suffix(']')?.parse().ok()?;
            return Some(Self(format!("[{v6}]").into()));
        }
        // The dot at the end of a full name says nothing more.
        let name = name.strip_suffix('.').unwrap_or(name);
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_sound = !name.is_empty() && name.bytes().all(in_name);
        is_sound.then(|| Self(name.to_ascii_lowercase().into()))
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = r#"a name or an address without a port, like "gateway.internal" or "[::1]""#;
        units::scalar(deserializer, expected, |value| match value {
            Scalar::Text(name) => Self::parse(name),
            Scalar::Integer(_) => None,
        })
    }
}
