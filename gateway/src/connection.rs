//! One connection: reads, events, close. Knows [`Handler`], not WebAssembly.
//!
//! A connection is no task: it lies in its shard's [`Driver`], which has it take a step when
//! something has come for it. While a handler runs the step waits and nothing more is read from the
//! connection (G1): that is the inbound backpressure. Every way out leads through one place,
//! `Connection::end`, so that there is exactly one `on-close` for every `on-open` (G2).

mod driver;
mod ending;
mod events;
mod inflation;

use std::any::Any;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::close::{CloseCause, CloseFrame, NO_STATUS};
use crate::codec::{Batch, Item, Reader};
use crate::config::{OnError, OnFailure, RouteLimits};
use crate::event::States;
use crate::handler::{Handler, Request};
use crate::message::Message;
use crate::shard::{Deflation, Encoding, Seat, Shard, Wake};
use crate::signs::Wish;

pub use driver::{Driver, drive};
pub use events::SpareEvents;

use driver::Step;
use ending::{Ended, broken, lost, parted};
use events::Events;
use inflation::Inflation;

/// What all connections of a route share.
pub struct Terms<H> {
    /// Handles their events.
    pub handler: H,
    /// Which plugins those are: sends of a plugin reach the connections that it serves only.
    pub owners: Rc<[usize]>,
    /// The route's limits.
    pub limits: Arc<RouteLimits>,
    /// After a trap, a missed deadline or a memory limit.
    pub on_failure: OnFailure,
    /// After a handler's `err`.
    pub on_error: OnError,
    /// Events that are not under way.
    pub spare: SpareEvents,
}

/// A socket whose upgrade was granted.
pub struct Upgraded {
    /// The socket, after the 101. It must not block.
    pub stream: TcpStream,
    /// What the peer sent right behind its request.
    pub early: Bytes,
    /// The request that opened it.
    pub request: Request,
    /// The first states.
    pub states: States,
    /// What is spoken on it.
    pub wire: Wire,
    /// The signs of life that its client asked for.
    pub signs: Option<Wish>,
    /// What is to be held as long as the connection lives.
    pub tickets: Box<dyn Any>,
}

/// What is spoken on a connection's socket.
pub enum Wire {
    /// Frames, compressed if so agreed.
    WebSocket(Option<Deflate>),
    /// Server-sent events: the peer only receives.
    EventStream,
}

/// What was agreed on with the peer about compression (RFC 7692).
pub struct Deflate {
    /// Whether its messages may refer to those before them.
    pub takes_over: bool,
    /// How ours are compressed.
    pub deflation: Deflation,
}

/// A connection between two steps. All that an idle one holds beside its slot in the shard's table.
pub(crate) struct Connection<H> {
    terms: Rc<Terms<H>>,
    seat: Seat,
    reader: Reader,
    inflation: Inflation,
    /// The peer has nothing to say: it receives server-sent events.
    only_receives: bool,
    events: Events<H>,
    /// Held as long as the connection lives.
    _tickets: Box<dyn Any>,
}

/// Opens a connection after its upgrade. From then on the driver has it.
pub async fn open<H: Handler>(driver: Rc<Driver<H>>, terms: Rc<Terms<H>>, upgraded: Upgraded) {
    let Upgraded {
        stream,
        early,
        request,
        states,
        wire,
        signs,
        tickets,
    } = upgraded;
    let (reader, inflation) = match &wire {
        Wire::WebSocket(Some(deflate)) => (Reader::deflating(), Inflation::new(deflate.takes_over)),
        Wire::WebSocket(None) | Wire::EventStream => (Reader::new(), Inflation::new(false)),
    };
    let only_receives = matches!(wire, Wire::EventStream);
    let encoding = match wire {
        Wire::WebSocket(None) => Encoding::Plain,
        Wire::WebSocket(Some(deflate)) => Encoding::Deflated(Box::new(deflate.deflation)),
        Wire::EventStream => Encoding::EventStream,
    };
    let shard = driver.shard().clone();
    let seat = match shard.admit(stream, terms.limits.clone(), terms.owners.clone(), encoding) {
        Ok(seat) => seat,
        Err(error) => {
            return tracing::warn!(peer = %request.peer, "failed to watch a socket: {error}");
        }
    };
    driver.reserve(seat);
    if let Some(wish) = signs {
        shard.grant_signs(seat, wish);
    }
    let mut connection = Connection {
        events: Events::new(shard.clone(), terms.clone(), seat, states),
        terms,
        seat,
        reader,
        inflation,
        only_receives,
        _tickets: tickets,
    };
    shard.hold_pulse(seat);
    let ended = connection.open(request, early).await;
    shard.release_pulse(seat);
    // What came meanwhile was told while there was nobody to read it.
    driver.settle(connection, ended.map_or(Step::More, Step::Ended));
}

/// How far the bytes of one read were handled.
enum Progress {
    All,
    /// No instance is free: the rest, from this offset on, waits outside the shared buffer.
    Busy(usize),
    Ended(Ended),
}

/// All bytes of a read were taken.
struct NoMore;

impl<H: Handler> Connection<H> {
    fn shard(&self) -> &Rc<Shard> {
        self.events.shard()
    }

    async fn open(&mut self, request: Request, early: Bytes) -> Option<Ended> {
        tracing::debug!(connection = %self.seat.id, peer = %request.peer, path = request.path, "opened");
        let ended = self.events.open(&request).await;
        let mut early = early.to_vec();
        if let Some(cause) = ended {
            let has_parted = self.has_closed(&mut early);
            return Some(Ended { cause, has_parted });
        }
        self.take_in_own(early).await
    }

    /// Handles what has come: one thing that it is told and one read's worth, so that none of both
    /// keeps out the other, and others have their turn.
    async fn step(mut self) -> (Self, Step) {
        if let Some(wake) = self.shard().take_wake(self.seat) {
            let ended = match wake {
                Wake::Close(cause) => Some(cause),
                Wake::Drained => Box::pin(self.events.drained()).await,
                Wake::Fired => Box::pin(self.fired()).await,
            };
            if let Some(cause) = ended.or_else(|| self.shard().take_close(self.seat)) {
                return (self, Step::Ended(cause.into()));
            }
        }
        let mut scratch = self.shard().take_scratch();
        let step = match self.shard().read(self.seat, &mut scratch) {
            Ok(0) if self.only_receives => parted(),
            Ok(0) => lost("ended without a close frame"),
            // There is nothing it could have to say.
            Ok(_) if self.only_receives => Step::More,
            Ok(n) => return self.take_in(scratch, n).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Step::Idle,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Step::More,
            Err(error) => lost(error),
        };
        self.shard().give_scratch(scratch);
        (self, step)
    }

    /// Handles the timer that has fired first. Its handler may take longer than its period.
    async fn fired(&mut self) -> Option<CloseCause> {
        let (owner, name) = self.shard().take_timer(self.seat)?;
        self.events.timer(owner, &name).await
    }

    /// Handles the bytes of one read, in the shard's buffer as long as no one else has to wait
    /// for it.
    async fn take_in(mut self, mut scratch: Box<[u8]>, n: usize) -> (Self, Step) {
        let has_ended = self.shard().seen(self.seat);
        self.shard().counters().bytes_in.add(n as u64);
        let progress = self.handle(&mut scratch[..n], true).await;
        let rest = match progress {
            Progress::Busy(at) => scratch[at..n].to_vec(),
            _ => Vec::new(),
        };
        let filled = n == scratch.len();
        self.shard().give_scratch(scratch);
        let ended = match progress {
            Progress::All => None,
            Progress::Ended(ended) => Some(ended),
            Progress::Busy(_) => Box::pin(self.take_in_own(rest)).await,
        };
        let step = match ended {
            Some(ended) => Step::Ended(ended),
            // A read that fell short has emptied the socket; what comes next is told anew. Only the
            // end was told already, if it came with the bytes, or while the handler ran.
            None if filled || has_ended => Step::More,
            None => Step::Idle,
        };
        (self, step)
    }

    async fn take_in_own(&mut self, mut bytes: Vec<u8>) -> Option<Ended> {
        match self.handle(&mut bytes, false).await {
            Progress::Ended(ended) => Some(ended),
            Progress::All | Progress::Busy(_) => None,
        }
    }

    async fn handle(&mut self, bytes: &mut [u8], shared: bool) -> Progress {
        let mut at = 0;
        loop {
            if shared && at < bytes.len() && self.terms.handler.is_busy() {
                return Progress::Busy(at);
            }
            let begun = at;
            let mut ended = self.handle_batch(bytes, &mut at).await;
            if at == begun && ended.is_none() {
                match self.handle_next(bytes, &mut at).await {
                    Ok(end) => ended = end,
                    Err(NoMore) => return Progress::All,
                }
            }
            if let Some(cause) = ended {
                // Skipped frame by frame: what comes next may begin in the middle of one.
                let has_parted = self.has_closed(&mut bytes[at..]);
                return Progress::Ended(Ended { cause, has_parted });
            }
        }
    }

    /// Handles the messages that lie whole in `bytes` at `at`, if any.
    async fn handle_batch(&mut self, bytes: &mut [u8], at: &mut usize) -> Option<CloseCause> {
        let mut batch = Batch::new();
        let read = self
            .reader
            .batch(bytes, at, self.terms.limits.message, &mut batch);
        let mut left = &batch[..];
        while !left.is_empty() {
            let (handled, ended) = self.events.messages(left).await;
            // Someone else may have asked for the end while the handler ran; what the peer sent
            // after that is not handled any more.
            let ended = ended.or_else(|| self.events.shard().take_close(self.seat));
            if ended.is_some() {
                return ended;
            }
            left = &left[handled..];
        }
        read.err().map(broken)
    }

    /// Handles the next item of any kind.
    async fn handle_next(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<CloseCause>, NoMore> {
        let item = match self.reader.next(bytes, at, self.terms.limits.message) {
            Ok(Some(item)) => item,
            Ok(None) => return Err(NoMore),
            Err(violation) => return Ok(Some(broken(violation))),
        };
        let ended = match item {
            // Boxed, because it is rare: a message in fragments, or cut by the end of a read.
            Item::Text(text) => {
                let message = [Message::Text(text)];
                Box::pin(self.events.messages(&message)).await.1
            }
            Item::Binary(payload) => {
                let message = [Message::Binary(payload)];
                Box::pin(self.events.messages(&message)).await.1
            }
            Item::Deflated { text, payload } => {
                let (events, limits) = (&mut self.events, &self.terms.limits);
                Box::pin(
                    self.inflation
                        .message(events, text, payload, limits.message),
                )
                .await
            }
            Item::Ping(payload) => {
                self.events.shard().pong(self.seat, payload);
                None
            }
            Item::Pong(_) => None,
            Item::Close(frame) => Some(CloseCause::Peer(frame.map_or(
                CloseFrame {
                    code: NO_STATUS,
                    reason: String::new(),
                },
                |(code, reason)| CloseFrame {
                    code,
                    reason: reason.to_owned(),
                },
            ))),
        };
        Ok(ended.or_else(|| self.events.shard().take_close(self.seat)))
    }
}

#[cfg(test)]
mod tests;
