//! The way from one shard to another.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::close::CloseCause;
use crate::effects::Effects;
use crate::message::ConnectionId;

/// What a shard can be sent.
#[derive(Debug)]
pub enum Mail {
    /// A socket that was accepted for it.
    Socket(TcpStream, SocketAddr),
    /// What another shard's handlers sent and published to its connections.
    Effects(Effects),
    /// Close this connection.
    Close(ConnectionId, CloseCause),
    /// Close all connections, spread over this time, then end; after the second time end at once.
    Drain {
        /// The closes are spread over it.
        window: std::time::Duration,
        /// What is not closed by then is dropped.
        deadline: std::time::Duration,
    },
}

/// The sending end of a shard's mailbox. Effects are bounded by their bytes; the other mail is
/// rare and comes from our own control thread.
#[derive(Clone, Debug)]
pub struct Link {
    sender: UnboundedSender<Mail>,
    /// Cost of the effects in the mailbox. Shared by all that send to this shard.
    queued: Arc<AtomicUsize>,
    limit: usize,
}

/// The receiving end of a shard's mailbox.
#[derive(Debug)]
pub struct Mailbox {
    receiver: UnboundedReceiver<Mail>,
    queued: Arc<AtomicUsize>,
}

impl Link {
    /// A mailbox that holds effects of at most `limit` bytes, or one of any size.
    pub fn new(limit: usize) -> (Self, Mailbox) {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        (
            Self {
                sender,
                queued: queued.clone(),
                limit,
            },
            Mailbox { receiver, queued },
        )
    }

    /// Whether effects of that cost have room behind others of the cost `ahead` that are not sent yet.
    /// Shards that ask at the same moment may each be told yes; the bound is then exceeded by what one
    /// turn of each produces.
    pub fn has_room(&self, ahead: usize, cost: usize) -> bool {
        let queued = self.queued.load(Ordering::Relaxed) + ahead;
        queued == 0 || queued + cost <= self.limit
    }

    /// Sends effects. Room was asked for when they were collected.
    pub fn send(&self, effects: Effects) {
        self.queued.fetch_add(effects.cost(), Ordering::Relaxed);
        self.post(Mail::Effects(effects));
    }

    /// Sends other mail. A shard that has ended no longer reads it.
    pub fn post(&self, mail: Mail) {
        let _ = self.sender.send(mail);
    }
}

impl Mailbox {
    /// The next mail; none when no one can send any more.
    pub async fn receive(&mut self) -> Option<Mail> {
        let mail = self.receiver.recv().await?;
        if let Mail::Effects(effects) = &mail {
            self.queued.fetch_sub(effects.cost(), Ordering::Relaxed);
        }
        Some(mail)
    }
}
