//! One connection: reads, events, close. Knows [`Handler`], not WebAssembly.
//!
//! While a handler runs nothing more is read from its connection (G1): that await is the inbound
//! backpressure. The task ends with the connection, and every way out leads through one place, so
//! that there is exactly one `on-close` for every `on-open` (G2).

mod events;

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::close::{CloseCause, CloseFrame, NO_STATUS};
use crate::codec::{Item, Reader};
use crate::config::{OnError, OnFailure, RouteLimits};
use crate::handler::{Handler, Request};
use crate::message::Message;
use crate::shard::{Seat, Shard, Signal, Wake};

use events::Events;

/// What all connections of a route share.
pub struct Terms<H> {
    /// Handles their events.
    pub handler: H,
    /// Which plugin that is: sends reach the connections of the same plugin only.
    pub owner: usize,
    /// The route's limits.
    pub limits: Arc<RouteLimits>,
    /// After a trap, a missed deadline or a memory limit.
    pub on_failure: OnFailure,
    /// After a handler's `err`.
    pub on_error: OnError,
}

/// A socket whose upgrade was granted.
pub struct Upgraded {
    /// The socket, after the 101.
    pub stream: TcpStream,
    /// What the peer sent right behind its request.
    pub early: Bytes,
    /// The request that opened it.
    pub request: Request,
    /// The first state.
    pub state: Vec<u8>,
}

struct Connection<H> {
    shard: Rc<Shard>,
    terms: Rc<Terms<H>>,
    seat: Seat,
    signal: Rc<Signal>,
    socket: OwnedReadHalf,
    reader: Reader,
    events: Events<H>,
    /// The peer's close frame came behind the bytes that ended the connection.
    has_parted: bool,
}

/// Runs a connection from its upgrade to its end.
pub async fn run<H: Handler>(shard: Rc<Shard>, terms: Rc<Terms<H>>, upgraded: Upgraded) {
    let Upgraded {
        stream,
        early,
        request,
        state,
    } = upgraded;
    let (socket, writer) = stream.into_split();
    let (seat, signal) = shard.admit(writer, terms.limits.clone(), terms.owner);
    let events = Events::new(shard.clone(), terms.clone(), seat, state);
    let reader = Reader::new();
    let mut connection = Connection {
        shard,
        terms,
        seat,
        signal,
        socket,
        reader,
        events,
        has_parted: false,
    };
    // Boxed, so that what opening needs does not stay in the task for the connection's life.
    let opened = Box::pin(connection.open(request, early)).await;
    let cause = match opened {
        Some(cause) => cause,
        None => connection.live().await,
    };
    Box::pin(connection.end(cause)).await;
}

enum Input {
    Wake(Wake),
    Read(Box<[u8]>, usize),
    Ended(CloseCause),
}

/// How far the bytes of one read were handled.
enum Progress {
    All,
    /// No instance is free: the rest, from this offset on, waits outside the shared buffer.
    Busy(usize),
    Ended(CloseCause),
}

impl<H: Handler> Connection<H> {
    async fn open(&mut self, request: Request, early: Bytes) -> Option<CloseCause> {
        tracing::debug!(connection = %self.seat.id, peer = %request.peer, path = request.path, "opened");
        let ended = self.events.open(&request).await;
        if ended.is_none() && early.is_empty() {
            return None;
        }
        let mut early = early.to_vec();
        if ended.is_some() {
            self.has_parted = self.has_closed(&mut early);
            return ended;
        }
        self.take_in_own(early).await
    }

    /// Handles what comes until the connection is to end.
    async fn live(&mut self) -> CloseCause {
        loop {
            let input = std::future::poll_fn(|context| self.poll_input(context)).await;
            let ended = match input {
                Input::Wake(Wake::Close(cause)) | Input::Ended(cause) => Some(cause),
                Input::Wake(Wake::Drained) => self.events.drained().await,
                Input::Read(scratch, n) => self.take_in(scratch, n).await,
            };
            if let Some(cause) = ended {
                return cause;
            }
        }
    }

    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<Input> {
        if let Poll::Ready(wake) = self.signal.poll(context) {
            return Poll::Ready(Input::Wake(wake));
        }
        let mut scratch = self.shard.take_scratch();
        match poll_read(&mut self.socket, context, &mut scratch) {
            Poll::Pending => {
                self.shard.give_scratch(scratch);
                Poll::Pending
            }
            Poll::Ready(Ok(n)) if n > 0 => Poll::Ready(Input::Read(scratch, n)),
            Poll::Ready(end) => {
                self.shard.give_scratch(scratch);
                let why = match end {
                    Ok(_) => "ended without a close frame".to_owned(),
                    Err(error) => error.to_string(),
                };
                Poll::Ready(Input::Ended(CloseCause::Lost(why)))
            }
        }
    }

    /// Handles the bytes of one read, in the shard's buffer as long as no one else has to wait
    /// for it.
    async fn take_in(&mut self, mut scratch: Box<[u8]>, n: usize) -> Option<CloseCause> {
        self.shard.seen(self.seat);
        self.shard.counters().bytes_in.add(n as u64);
        let progress = self.handle(&mut scratch[..n], true).await;
        match progress {
            Progress::All => {
                self.shard.give_scratch(scratch);
                None
            }
            Progress::Ended(cause) => {
                self.shard.give_scratch(scratch);
                Some(cause)
            }
            Progress::Busy(at) => {
                let rest = scratch[at..n].to_vec();
                self.shard.give_scratch(scratch);
                Box::pin(self.take_in_own(rest)).await
            }
        }
    }

    async fn take_in_own(&mut self, mut bytes: Vec<u8>) -> Option<CloseCause> {
        match self.handle(&mut bytes, false).await {
            Progress::Ended(cause) => Some(cause),
            Progress::All | Progress::Busy(_) => None,
        }
    }

    async fn handle(&mut self, bytes: &mut [u8], shared: bool) -> Progress {
        let mut at = 0;
        loop {
            if shared && at < bytes.len() && self.terms.handler.is_busy() {
                return Progress::Busy(at);
            }
            let item = match self.reader.next(bytes, &mut at, self.terms.limits.message) {
                Ok(Some(item)) => item,
                Ok(None) => return Progress::All,
                Err(violation) => {
                    let (code, reason) = (violation.code(), violation.to_string());
                    return Progress::Ended(CloseCause::ProtocolError { code, reason });
                }
            };
            let ended = match item {
                Item::Text(text) => self.events.message(Message::Text(text)).await,
                Item::Binary(payload) => self.events.message(Message::Binary(payload)).await,
                Item::Ping(payload) => {
                    self.shard.pong(self.seat, payload);
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
            // Someone else may have asked for the end while the handler ran; what the peer sent
            // after that is not handled any more.
            if let Some(cause) = ended.or_else(|| self.signal.take_close()) {
                // Skipped frame by frame: what comes next may begin in the middle of one.
                self.has_parted = self.has_closed(&mut bytes[at..]);
                return Progress::Ended(cause);
            }
        }
    }

    /// The one way out: close frame, `on-close`, the closing handshake, the place freed.
    async fn end(mut self, cause: CloseCause) {
        tracing::debug!(connection = %self.seat.id, %cause, "ended");
        self.shard.counters().closes.count(cause.name());
        self.shard.close(self.seat, &cause);
        self.shard.unsubscribe_all(self.seat);
        self.events.closed(&cause).await;
        if !matches!(cause, CloseCause::Lost(_)) {
            // A peer that does not read or answer holds its place no longer than this.
            let _ = tokio::time::timeout(self.terms.limits.close, self.part(&cause)).await;
        }
        self.shard.dismiss(self.seat);
    }

    /// Sees that the close frame arrives: the socket may only be closed when the peer has nothing
    /// more to say, else a reset could overtake the frame (RFC 6455 section 7.1.1).
    async fn part(&mut self, cause: &CloseCause) {
        std::future::poll_fn(|context| {
            self.signal.watch(context);
            if self.shard.is_flushed(self.seat) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if self.has_parted || matches!(cause, CloseCause::Peer(_)) {
            return;
        }
        let broken = matches!(cause, CloseCause::ProtocolError { .. });
        if broken {
            self.shard.shutdown(self.seat);
        }
        let mut scratch = vec![0; 4096];
        loop {
            let read =
                std::future::poll_fn(|context| poll_read(&mut self.socket, context, &mut scratch));
            let Ok(n @ 1..) = read.await else { return };
            if !broken && self.has_closed(&mut scratch[..n]) {
                return;
            }
        }
    }

    /// Whether the peer's close frame is among these bytes. What it sent before is dropped.
    fn has_closed(&mut self, bytes: &mut [u8]) -> bool {
        let mut at = 0;
        loop {
            match self.reader.next(bytes, &mut at, self.terms.limits.message) {
                Ok(Some(Item::Close(_))) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }
}

fn poll_read(
    socket: &mut OwnedReadHalf,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(Pin::new(socket).poll_read(context, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
mod tests;
