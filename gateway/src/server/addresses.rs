//! What each client address has taken: a table that one address cannot exhaust for the others, and
//! that many cannot grow, since an address without a socket is forgotten within seconds.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::{HashMap, HashMapExt};

use crate::config::AddressLimits;

/// Nanoseconds since the table was made.
type Nanos = u64;

const SECOND: Nanos = 1_000_000_000;
/// The time whose worth of upgrades may come at once, and for which an address without a socket is remembered.
const BURST: Nanos = 2 * SECOND;
/// Addresses that are worth no look for forgotten ones.
const FEW: usize = 1024;

/// A client's address as limits see it: an IPv4 address, or the first half of an IPv6 address. One that
/// is mapped into the other family is the IPv4 address that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClientAddress(u64);

impl ClientAddress {
    pub(super) fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u32::from(address).into(),
            // No IPv6 network begins with 32 zeros, so the two never meet.
            IpAddr::V6(address) => (u128::from(address) >> 64) as u64,
        })
    }
}

/// Which limit of an address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowd {
    Sockets,
    Handshakes,
    Connections,
    Upgrades,
}

/// The addresses that have sockets, or have upgraded just now.
#[derive(Debug)]
pub(super) struct Addresses {
    connections_max: usize,
    handshakes_max: usize,
    /// Between two upgrades at the full rate; nought without a limit.
    interval: Nanos,
    started: Instant,
    table: Mutex<AddressTable>,
}

#[derive(Debug)]
struct AddressTable {
    entries: HashMap<ClientAddress, Usage>,
    /// How many there may be before forgotten ones are looked for.
    look_at: usize,
}

#[derive(Debug, Default)]
struct Usage {
    sockets: usize,
    silent: usize,
    connections: usize,
    /// When its allowance of upgrades is whole again.
    whole: Nanos,
}

impl Addresses {
    /// A table of addresses in a process that may have `connections`.
    pub(super) fn new(limits: &AddressLimits, connections: usize) -> Self {
        Self {
            connections_max: limits.connections(connections),
            handshakes_max: limits.handshakes,
            interval: limits.upgrades.map_or(0, |rate| SECOND / Nanos::from(rate)),
            started: Instant::now(),
            table: Mutex::new(AddressTable {
                entries: HashMap::new(),
                look_at: FEW,
            }),
        }
    }

    /// One more socket.
    pub(super) fn enter(&self, client: ClientAddress) -> Result<(), Crowd> {
        let mut table = self.lock();
        if table.entries.len() >= table.look_at {
            table.forget(self.now());
        }
        let entry = table.entries.entry(client).or_default();
        if entry.sockets >= self.connections_max.saturating_add(self.handshakes_max) {
            return Err(Crowd::Sockets);
        }
        entry.sockets += 1;
        Ok(())
    }

    /// A socket's request is not there yet.
    pub(super) fn wait(&self, client: ClientAddress) -> Result<(), Crowd> {
        let mut table = self.lock();
        let entry = table.entries.entry(client).or_default();
        if entry.silent >= self.handshakes_max {
            return Err(Crowd::Handshakes);
        }
        entry.silent += 1;
        Ok(())
    }

    /// A socket is to become a connection.
    pub(super) fn connect(&self, client: ClientAddress) -> Result<(), Crowd> {
        self.connect_at(client, self.now())
    }

    fn connect_at(&self, client: ClientAddress, now: Nanos) -> Result<(), Crowd> {
        let mut table = self.lock();
        let entry = table.entries.entry(client).or_default();
        if entry.connections >= self.connections_max {
            return Err(Crowd::Connections);
        }
        let whole = entry.whole.max(now) + self.interval;
        if whole > now + BURST {
            return Err(Crowd::Upgrades);
        }
        entry.whole = whole;
        entry.connections += 1;
        Ok(())
    }

    /// Gives back what a socket had taken, by how much of each.
    pub(super) fn give(
        &self,
        client: ClientAddress,
        sockets: usize,
        silent: usize,
        connections: usize,
    ) {
        let mut table = self.lock();
        let Some(entry) = table.entries.get_mut(&client) else {
            return;
        };
        entry.sockets -= sockets;
        entry.silent -= silent;
        entry.connections -= connections;
        if entry.sockets == 0 && entry.whole <= self.now() {
            table.entries.remove(&client);
        }
    }

    fn now(&self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }

    fn lock(&self) -> MutexGuard<'_, AddressTable> {
        // Nobody panics while the counts are half changed.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AddressTable {
    fn forget(&mut self, now: Nanos) {
        self.entries
            .retain(|_, entry| entry.sockets > 0 || entry.whole > now);
        self.look_at = FEW.max(self.entries.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(connections: usize, handshakes: usize, upgrades: Option<u32>) -> Addresses {
        let limits = AddressLimits {
            connections: Some(connections),
            handshakes,
            upgrades,
        };
        Addresses::new(&limits, connections)
    }

    fn client(address: &str) -> ClientAddress {
        ClientAddress::of(address.parse().unwrap())
    }

    #[test]
    fn one_customer_is_one_client() {
        let same = |a, b| client(a) == client(b);
        assert!(same("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::1"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
    }

    #[test]
    fn an_address_has_its_share_and_others_have_theirs() {
        let addresses = addresses(2, 1, None);
        let (one, other) = (client("10.0.0.1"), client("10.0.0.2"));
        for _ in 0..3 {
            addresses.enter(one).unwrap();
        }
        assert_eq!(addresses.enter(one), Err(Crowd::Sockets));
        addresses.wait(one).unwrap();
        assert_eq!(addresses.wait(one), Err(Crowd::Handshakes));
        addresses.connect(one).unwrap();
        addresses.connect(one).unwrap();
        assert_eq!(addresses.connect(one), Err(Crowd::Connections));
        addresses.enter(other).unwrap();
        addresses.wait(other).unwrap();
        addresses.connect(other).unwrap();
        addresses.give(one, 1, 1, 1);
        addresses.enter(one).unwrap();
        addresses.wait(one).unwrap();
        addresses.connect(one).unwrap();
    }

    #[test]
    fn upgrades_come_at_their_rate_after_a_burst() {
        let addresses = addresses(1000, 1, Some(10));
        let one = client("10.0.0.1");
        addresses.enter(one).unwrap();
        for _ in 0..20 {
            addresses.connect_at(one, 0).unwrap();
        }
        assert_eq!(addresses.connect_at(one, 0), Err(Crowd::Upgrades));
        assert_eq!(addresses.connect_at(one, SECOND / 20), Err(Crowd::Upgrades));
        addresses.connect_at(one, SECOND / 10).unwrap();
        assert_eq!(addresses.connect_at(one, SECOND / 10), Err(Crowd::Upgrades));
        for _ in 0..20 {
            addresses.connect_at(one, 10 * SECOND).unwrap();
        }
        assert_eq!(addresses.connect_at(one, 10 * SECOND), Err(Crowd::Upgrades));
    }

    #[test]
    fn addresses_that_have_left_are_forgotten() {
        let addresses = addresses(10, 10, Some(1));
        let nth = |n: u32| ClientAddress::of(IpAddr::V4((0x0a00_0000 + n).into()));
        for n in 0..10_000 {
            addresses.enter(nth(n)).unwrap();
            addresses.give(nth(n), 1, 0, 0);
        }
        assert_eq!(addresses.lock().entries.len(), 0);
        // Those that have upgraded are remembered for as long as it counts against them.
        for n in 0..2000 {
            addresses.enter(nth(n)).unwrap();
            addresses.connect(nth(n)).unwrap();
            addresses.give(nth(n), 1, 0, 1);
        }
        let mut table = addresses.lock();
        assert_eq!(table.entries.len(), 2000);
        table.forget(addresses.now() + BURST);
        assert_eq!(table.entries.len(), 0);
    }
}
