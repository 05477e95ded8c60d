//! One connection: reads, events, close. Knows [`Handler`], not WebAssembly.
//!
//! A connection is no task: it lies in its shard's [`Driver`], which has it take a step when
//! something has come for it. While a handler runs the step waits and nothing more is read from the
//! connection (G1): that is the inbound backpressure. Every way out leads through one place,
//! `Connection::end`, so that there is exactly one `on-close` for every `on-open` (G2).

mod absence;
mod driver;
mod ending;
mod events;
mod held;
mod inflation;
mod intake;
mod reply;
mod step;

use std::any::Any;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_codec::Reader;

use crate::close::CloseCause;
use crate::config::{OnError, OnFailure, RouteLimits};
use crate::event::{Event, States};
use crate::handler::{Handler, Request};
use crate::rate::Meter;
use crate::shard::{Deflation, Encoding, Shard, Wake};
use crate::signs::Wish;

pub use driver::{Driver, drive};
pub use events::SpareEvents;

use ending::{lost, parted};
use events::Events;
use held::Held;
use inflation::Inflation;
use step::{Ended, Step};

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
    /// Whether the gateway answers a message that failed.
    pub failure_reply: bool,
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
    /// What the handlers did that granted it. Takes force with the connection.
    pub granted: Box<Event>,
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
    reader: Reader,
    inflation: Inflation,
    /// What it was sent and has not handled, while there is something.
    held: Option<Box<Held>>,
    /// How fast it sends.
    meter: Meter,
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
        mut granted,
        wire,
        signs,
        tickets,
    } = upgraded;
    let (reader, inflation) = match &wire {
        Wire::WebSocket(Some(deflate)) => (Reader::deflating(), Inflation::new(deflate.takes_over)),
        Wire::WebSocket(None) | Wire::EventStream => (Reader::new(), Inflation::new(false)),
    };
    let reader = reader.frames_max(terms.limits.fragments);
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
    shard.commit(&mut granted);
    terms.give_event(granted);
    let mut connection = Connection {
        events: Events::new(shard.clone(), terms, seat, states),
        reader,
        inflation,
        held: None,
        meter: Meter::default(),
        only_receives,
        _tickets: tickets,
    };
    shard.hold_pulse(seat);
    let step = connection.open(request, early).await;
    shard.release_pulse(seat);
    // What came meanwhile was told while there was nobody to read it.
    driver.settle(connection, step);
}

impl<H: Handler> Connection<H> {
    fn shard(&self) -> &Rc<Shard> {
        self.events.shard()
    }

    async fn open(&mut self, request: Request, early: Bytes) -> Step {
        tracing::debug!(connection = %self.events.seat.id, peer = %request.peer, path = request.path, "opened");
        let ended = self.events.open(&request).await;
        let mut early = early.to_vec();
        if let Some(cause) = ended {
            let has_parted = self.has_closed(&mut early);
            return Step::Ended(Ended { cause, has_parted });
        }
        self.take_in_own(early, 0).await
    }

    /// Handles what has come: one thing that it is told and one read's worth, so that none of both
    /// keeps out the other, and others have their turn.
    async fn step(mut self) -> (Self, Step) {
        if let Some(wake) = self.shard().take_wake(self.events.seat) {
            let ended = match wake {
                Wake::Close(cause) => Some(cause),
                Wake::Drained => Box::pin(self.events.drained()).await,
                Wake::Fired => Box::pin(self.fired()).await,
            };
            if let Some(cause) = ended.or_else(|| self.shard().take_close(self.events.seat)) {
                return (self, Step::Ended(cause.into()));
            }
        }
        if let Some(step) = self.go_on().await {
            return (self, step);
        }
        let mut scratch = self.shard().take_scratch();
        let step = match self.shard().read(self.events.seat, &mut scratch) {
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
        let (owner, name) = self.shard().take_timer(self.events.seat)?;
        self.events.timer(owner, &name).await
    }
}

#[cfg(test)]
mod tests;
