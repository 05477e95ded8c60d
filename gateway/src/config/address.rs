//! The table `[server.address]`.

use serde::Deserialize;

use super::units;

/// `[server.address]`: what the sockets of one client address may take together, so that one address cannot keep all
/// others out. An IPv6 address stands for its /64, which is the least that one customer gets. Behind a proxy all clients
/// have the proxy's address: the defaults leave it nearly everything.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "a table")]
pub struct AddressLimits {
    /// How many connections, event streams among them. Default: nine tenths of `connections` in `[server]`, so that a
    /// proxy has nearly all and others always find a place. Beyond it an upgrade gets 429 and is counted as
    /// `address-connections`. Sockets that are no connections may be `handshakes` more; those beyond that are
    /// closed and counted as `address-sockets`.
    #[serde(deserialize_with = "units::some_count::<_, _, 1, 10_000_000>")]
    pub connections: Option<usize>,
    /// How many sockets whose first request has not come. Default 256: requests mostly come with the socket, so this many
    /// slow lines at one moment are a city behind one address, while each silent socket holds memory for
    /// `handshake_timeout`. Those beyond it are closed and counted as `address-handshakes`.
    #[serde(deserialize_with = "units::count::<_, _, 1, 1_000_000>")]
    pub handshakes: usize,
    /// How many upgrades a second, event streams among them; two seconds' worth may come at once. Default `"50000/s"`:
    /// more than a proxy with a whole service behind it sends. Where clients connect directly, `"10/s"` serves an office.
    /// Beyond it an upgrade gets 429 before its handler is asked and is counted as `address-upgrades`; `"off"` sets no
    /// limit.
    #[serde(deserialize_with = "units::rate")]
    pub upgrades: Option<u32>,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self {
            connections: None,
            handshakes: 256,
            upgrades: Some(50_000),
        }
    }
}

impl AddressLimits {
    /// The connections of one address, of `all` that the process may have.
    pub fn connections(&self, all: usize) -> usize {
        self.connections.unwrap_or(all - all / 10)
    }
}
