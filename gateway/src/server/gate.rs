//! How many sockets and connections the process holds, and whether one more may come in.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::addresses::{Addresses, ClientAddress, Crowd};
use super::refusal::Refusal;
use crate::config::Server;

/// Sockets beyond the connections: handshakes, plain requests, and those that get the 503.
const SOCKETS_BESIDE: usize = 1024;

/// Counts what is open, in all and by address; shared by all shards.
#[derive(Debug)]
pub(super) struct Gate {
    connections_max: usize,
    sockets: AtomicUsize,
    connections: AtomicUsize,
    addresses: Addresses,
}

/// What one socket has taken. Given back when dropped.
#[derive(Debug)]
pub(super) struct Places {
    gate: Arc<Gate>,
    client: ClientAddress,
    is_silent: bool,
    is_connected: bool,
}

impl Gate {
    /// A gate by the limits of `[server]` and `[server.address]`.
    pub(super) fn new(server: &Server) -> Arc<Self> {
        Arc::new(Self {
            connections_max: server.connections,
            sockets: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            addresses: Addresses::new(&server.address, server.connections),
        })
    }

    /// A place for a socket that was accepted.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Places, Refusal> {
        let max = self.connections_max.saturating_add(SOCKETS_BESIDE);
        take(&self.sockets, max)?;
        let client = ClientAddress::of(peer);
        if let Err(crowd) = self.addresses.enter(client) {
            give(&self.sockets);
            return Err(crowd.into());
        }
        Ok(Places {
            gate: self.clone(),
            client,
            is_silent: false,
            is_connected: false,
        })
    }
}

impl Places {
    /// The socket's request is not there yet, and whether it may be waited for.
    pub(super) fn wait(&mut self) -> Result<(), Refusal> {
        self.gate.addresses.wait(self.client)?;
        self.is_silent = true;
        Ok(())
    }

    /// The request is there.
    pub(super) fn asked(&mut self) {
        if std::mem::take(&mut self.is_silent) {
            self.gate.addresses.give(self.client, 0, 1, 0);
        }
    }

    /// A place for the connection that the socket is to become.
    pub(super) fn connect(&mut self) -> Result<(), Refusal> {
        let gate = &self.gate;
        take(&gate.connections, gate.connections_max)?;
        if let Err(crowd) = gate.addresses.connect(self.client) {
            give(&gate.connections);
            return Err(crowd.into());
        }
        self.is_connected = true;
        Ok(())
    }

    /// Gives the place back: the request becomes no connection after all.
    pub(super) fn disconnect(&mut self) {
        if std::mem::take(&mut self.is_connected) {
            give(&self.gate.connections);
            self.gate.addresses.give(self.client, 0, 0, 1);
        }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        let (silent, connected) = (self.is_silent, self.is_connected);
        let addresses = &self.gate.addresses;
        addresses.give(self.client, 1, silent.into(), connected.into());
        give(&self.gate.sockets);
        if connected {
            give(&self.gate.connections);
        }
    }
}

fn take(count: &AtomicUsize, max: usize) -> Result<(), Refusal> {
    // Taken first and given back if it was too much, so that two at once cannot both get the last.
    if count.fetch_add(1, Ordering::Relaxed) < max {
        return Ok(());
    }
    give(count);
    Err(Refusal::Full)
}

fn give(count: &AtomicUsize) {
    count.fetch_sub(1, Ordering::Relaxed);
}

impl From<Crowd> for Refusal {
    fn from(crowd: Crowd) -> Self {
        Self::Crowded(crowd)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::config::AddressLimits;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn gate(connections: usize, of_one_address: usize) -> Arc<Gate> {
        Gate::new(&Server {
            connections,
            address: AddressLimits {
                connections: Some(of_one_address),
                handshakes: 1,
                upgrades: None,
            },
            ..Server::default()
        })
    }

    #[test]
    fn a_place_is_free_again_when_it_is_given_back() {
        let gate = gate(1, 9);
        let (mut first, mut second) = (gate.admit(ONE).unwrap(), gate.admit(ONE).unwrap());
        first.connect().unwrap();
        assert_eq!(second.connect(), Err(Refusal::Full));
        drop(first);
        second.connect().unwrap();
        second.disconnect();
        let mut third = gate.admit(OTHER).unwrap();
        third.connect().unwrap();
    }

    #[test]
    fn one_address_leaves_places_for_others() {
        let gate = gate(10, 2);
        let mut ours: Vec<_> = (0..3).map(|_| gate.admit(ONE).unwrap()).collect();
        let crowded = |crowd| Refusal::Crowded(crowd);
        assert_eq!(gate.admit(ONE).unwrap_err(), crowded(Crowd::Sockets));
        ours[0].wait().unwrap();
        assert_eq!(ours[1].wait(), Err(crowded(Crowd::Handshakes)));
        ours[0].asked();
        ours[1].wait().unwrap();
        ours[0].connect().unwrap();
        ours[1].connect().unwrap();
        assert_eq!(ours[2].connect(), Err(crowded(Crowd::Connections)));
        let mut theirs = gate.admit(OTHER).unwrap();
        theirs.wait().unwrap();
        theirs.connect().unwrap();
        drop(ours);
        let mut again = gate.admit(ONE).unwrap();
        again.wait().unwrap();
        again.connect().unwrap();
    }
}
