//! How many sockets and connections the process holds, and whether one more may come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sockets beyond the connections: handshakes, plain requests, and those that get the 503.
const SOCKETS_BESIDE: usize = 1024;

/// Counts what is open; shared by all shards.
#[derive(Debug)]
pub(super) struct Gate {
    connections_max: usize,
    sockets: AtomicUsize,
    connections: AtomicUsize,
}

/// Which count a ticket stands for.
#[derive(Clone, Copy, Debug)]
enum Of {
    Sockets,
    Connections,
}

/// Holds a place until dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    gate: Arc<Gate>,
    of: Of,
}

impl Gate {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            connections_max,
            sockets: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
        })
    }

    /// A place for a socket that was accepted.
    pub(super) fn admit_socket(self: &Arc<Self>) -> Option<Ticket> {
        self.admit(
            Of::Sockets,
            self.connections_max.saturating_add(SOCKETS_BESIDE),
        )
    }

    /// A place for a connection.
    pub(super) fn admit_connection(self: &Arc<Self>) -> Option<Ticket> {
        self.admit(Of::Connections, self.connections_max)
    }

    fn admit(self: &Arc<Self>, of: Of, max: usize) -> Option<Ticket> {
        // The ticket is made first: if there is no room, dropping it takes the count back.
        let before = self.count(of).fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket {
            gate: self.clone(),
            of,
        };
        (before < max).then_some(ticket)
    }

    fn count(&self, of: Of) -> &AtomicUsize {
        match of {
            Of::Sockets => &self.sockets,
            Of::Connections => &self.connections,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.gate.count(self.of).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_ticket_is_dropped() {
        let gate = Gate::new(1);
        let first = gate.admit_connection();
        assert!(first.is_some());
        assert!(gate.admit_connection().is_none());
        drop(first);
        assert!(gate.admit_connection().is_some());
        assert!(gate.admit_socket().is_some());
    }
}
