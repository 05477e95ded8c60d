//! The cheapest possible server: epoll, frames by hand, one thread. What it costs is what the kernel costs, and what the
//! generator is tried against.
//!
//! Paths: `/sub` gets what others send on `/pub`; members of `/rooms/NAME` or `/plain/NAME` get what the others there
//! send;
//! `/generation` echoes "GENERATION MESSAGE"; any other path echoes. Plain HTTP on the same port:
//! `POST /plugins/NAME/reload` makes the next generation, `GET /metrics` counts opens and closes.

mod peer;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use tidegate_codec::Opcode;

use self::peer::{Gone, Peer};

const LISTENER: Token = Token(usize::MAX);

/// Bytes one read may take.
const SCRATCH: usize = 256 << 10;

/// The server.
pub struct Floor {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    vacant: Vec<usize>,
    shared: Shared,
}

/// What all connections of the server share.
#[derive(Default)]
struct Shared {
    rooms: HashMap<String, Room>,
    /// Rooms with messages of this turn.
    busy: Vec<String>,
    generation: u64,
    opens: u64,
    closes: u64,
    reply: Vec<u8>,
}

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// The frames published in this turn, and who published up to which byte.
    published: Vec<u8>,
    pieces: Vec<(usize, usize)>,
}

impl Floor {
    /// A server that listens on `address`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let poll = Poll::new().context("failed to create an epoll instance")?;
        let mut listener =
            TcpListener::bind(address).with_context(|| format!("failed to listen on {address}"))?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .context("failed to watch the listener")?;
        let shared = Shared {
            generation: 1,
            ..Shared::default()
        };
        Ok(Self {
            poll,
            listener,
            peers: Vec::new(),
            vacant: Vec::new(),
            shared,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .context("failed to ask for the listener's address")
    }

    /// Serves until `stop` is set.
    ///
    /// # Errors
    /// When epoll fails.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; SCRATCH];
        while !stop.load(Ordering::Relaxed) {
            match self
                .poll
                .poll(&mut events, Some(Duration::from_millis(200)))
            {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.context("failed to wait for events")?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let id = event.token().0;
                let Some(Some(peer)) = self.peers.get_mut(id) else {
                    continue;
                };
                self.shared.reply.clear();
                if let Err(Gone) = peer.serve(id, event, &mut scratch, &mut self.shared) {
                    self.end(id);
                }
            }
            self.deliver();
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The peer left in between, or descriptors ran out: the others are served on.
                Err(_) => return Ok(()),
            };
            let _ = socket.set_nodelay(true);
            let id = self.vacant.pop().unwrap_or(self.peers.len());
            self.poll
                .registry()
                .register(
                    &mut socket,
                    Token(id),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .context("failed to watch a socket")?;
            if id == self.peers.len() {
                self.peers.push(None);
            }
            self.peers[id] = Some(Peer::new(socket));
        }
    }

    fn end(&mut self, id: usize) {
        let Some(peer) = self.peers[id].take() else {
            return;
        };
        self.vacant.push(id);
        self.shared.leave(id, &peer);
    }

    /// Writes what was published in this turn: one write for each member, whatever the number of messages.
    fn deliver(&mut self) {
        let mut gone = Vec::new();
        for name in std::mem::take(&mut self.shared.busy) {
            let Some(room) = self.shared.rooms.get_mut(&name) else {
                continue;
            };
            for &id in &room.members {
                let Some(Some(peer)) = self.peers.get_mut(id) else {
                    continue;
                };
                let bytes = room.for_member(id, &mut self.shared.reply);
                if peer.write(bytes).is_err() {
                    gone.push(id);
                }
            }
            room.published.clear();
            room.pieces.clear();
        }
        for id in gone {
            self.end(id);
        }
    }
}

impl Shared {
    fn join(&mut self, id: usize, room: &str) {
        self.rooms
            .entry(room.to_owned())
            .or_default()
            .members
            .push(id);
    }

    fn leave(&mut self, id: usize, peer: &Peer) {
        if peer.is_open() {
            self.closes += 1;
        }
        if let Some(room) = peer.room().and_then(|name| self.rooms.get_mut(name)) {
            room.members.retain(|&member| member != id);
        }
    }

    fn publish(&mut self, id: usize, name: &str, payload: &[u8]) {
        let Some(room) = self.rooms.get_mut(name) else {
            return; // Nobody listens.
        };
        if room.published.is_empty() {
            self.busy.push(name.to_owned());
        }
        tidegate_codec::append(&mut room.published, Opcode::Text, payload);
        room.pieces.push((id, room.published.len()));
    }
}

impl Room {
    /// The turn's frames but those `id` published itself.
    fn for_member<'a>(&'a self, id: usize, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if self.pieces.iter().all(|&(from, _)| from != id) {
            return &self.published;
        }
        buffer.clear();
        let mut start = 0;
        for &(from, end) in &self.pieces {
            if from != id {
                buffer.extend_from_slice(&self.published[start..end]);
            }
            start = end;
        }
        buffer
    }
}
