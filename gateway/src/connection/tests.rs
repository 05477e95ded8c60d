//! One connection over a real socket, with a handler that does what the messages say.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tidegate_codec as codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::close::CloseFrame;
use crate::counters::Counters;
use crate::directory::Directory;
use crate::effects::Options;
use crate::event::Event;
use crate::handler::{Accept, Batch, Failure, Upgrade};
use crate::message::Message;
use crate::outbox::Oversize;
use crate::pending::Pending;
use crate::shard::{Delivery, Link};
use crate::store::Change;

mod ends;
mod events;
mod intake;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(10);
const CLOSE: u8 = 0x88;
const TEXT: u8 = 0x81;

/// The seam's second implementation: obeys text messages and keeps a log of its events.
///
/// `send T`, `send-and-err T`, `send-and-trap T`, `kick CODE`, `set-state T`, `state`, `wait`,
/// `wait-and-trap`, JSON with a `fault` (traps),
/// `fill` (until the outbox says no), `flood` (past what the outbox takes).
struct Fake {
    shard: Rc<Shard>,
    log: RefCell<Vec<String>>,
    /// Lets one `wait` go on.
    release: Notify,
    busy: Cell<bool>,
    /// What `open` comes to.
    opens: RefCell<Result<(), Failure>>,
}

impl Fake {
    fn note(&self, line: String) {
        self.log.borrow_mut().push(line);
    }

    async fn obey(&self, event: &mut Event, command: &str) -> Result<(), Failure> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let me = event.connection().unwrap();
        match verb {
            "send" => event
                .effects
                .send(me, Message::Text(rest), Options::default(), 0),
            "send-and-err" | "send-and-trap" => {
                event
                    .effects
                    .send(me, Message::Text(rest), Options::default(), 0);
                event.next_state = Some(rest.as_bytes().to_vec());
                return Err(match verb {
                    "send-and-err" => Failure::Handler("as asked".to_owned()),
                    _ => Failure::Trap("as asked".to_owned()),
                });
            }
            "kick" => event
                .effects
                .push(crate::effects::Effect::Close(CloseFrame {
                    code: rest.parse().unwrap(),
                    reason: "kicked".to_owned(),
                })),
            "set-state" => event.next_state = Some(rest.as_bytes().to_vec()),
            "state" => {
                let state = String::from_utf8(event.state().to_vec()).unwrap();
                event
                    .effects
                    .send(me, Message::Text(&state), Options::default(), 0);
            }
            "wait" => self.release.notified().await,
            "wait-and-trap" => {
                self.release.notified().await;
                return Err(Failure::Trap("as asked".to_owned()));
            }
            json if json.contains("fault") => return Err(Failure::Trap("as asked".to_owned())),
            "fill" => self.fill(event, me),
            "flood" => {
                for _ in 0..256 {
                    event
                        .effects
                        .send(me, Message::Binary(&[0; 64 << 10]), Options::default(), 0);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn fill(&self, event: &mut Event, me: crate::message::ConnectionId) {
        let chunk = [0; 64 << 10];
        loop {
            let (message, before) = ((Message::Binary(&chunk), None), &event.effects);
            let (delivery, room) = self.shard.delivery(me, event.seat, 0, before, message);
            if delivery != Delivery::Sent {
                return;
            }
            event
                .effects
                .send(me, Message::Binary(&chunk), Options::default(), room);
        }
    }
}

impl Handler for Rc<Fake> {
    fn is_busy(&self) -> bool {
        self.busy.get()
    }

    async fn upgrade(&self, _: &mut Box<Event>, _: &Request) -> Result<Upgrade, Failure> {
        Ok(Upgrade::Accept(Accept::default()))
    }

    fn responder(&self) -> Option<usize> {
        None
    }

    async fn admit(&self, _: &mut Box<Event>, _: &Request, _: usize) -> Result<Upgrade, Failure> {
        Ok(Upgrade::Accept(Accept::default()))
    }

    async fn respond(
        &self,
        _: &mut Box<Event>,
        _: usize,
        _: hyper::Request<Bytes>,
    ) -> Result<hyper::Response<Bytes>, Failure> {
        Err(Failure::Unavailable("it answers none".to_owned()))
    }

    async fn open(&self, _: &mut Box<Event>, request: &Request) -> Result<(), Failure> {
        self.note(format!("open {}", request.path));
        self.opens.borrow().clone()
    }

    /// Two at a time, so that there are batches and rests of them.
    async fn messages(&self, event: &mut Box<Event>, messages: &[Message<'_>]) -> Batch {
        let messages = &messages[..messages.len().min(2)];
        for (index, message) in messages.iter().enumerate() {
            let text = String::from_utf8_lossy(message.payload()).into_owned();
            self.note(text.chars().take(40).collect());
            let last = self.obey(event, &text).await;
            let handled = index + 1;
            let is_ending = event.seat.is_some_and(|seat| self.shard.is_ending(seat));
            let stops = last.is_err() || event.effects.closes() || is_ending;
            if stops || handled == messages.len() {
                return Batch { handled, last };
            }
            self.shard.commit(event);
        }
        unreachable!("there is at least one message");
    }

    async fn timer(&self, event: &mut Box<Event>, _: usize, name: &str) -> Result<(), Failure> {
        self.note(format!("timer {name}"));
        self.obey(event, name).await
    }

    async fn drain(&self, event: &mut Box<Event>) -> Result<(), Failure> {
        self.note("drain".to_owned());
        let me = event.connection().unwrap();
        event
            .effects
            .send(me, Message::Text("drained"), Options::default(), 0);
        Ok(())
    }

    async fn change(&self, _: &mut Box<Event>, _: &Change) -> Result<(), Failure> {
        unreachable!("no connection hears of the store")
    }

    async fn close(&self, _: &mut Box<Event>, cause: &CloseCause) -> Result<(), Failure> {
        let cause = match cause {
            CloseCause::Lost(_) => "lost".to_owned(),
            cause => cause.to_string(),
        };
        self.note(format!("close {cause}"));
        Ok(())
    }
}

/// A shard whose connections all have one fake handler.
struct Bench {
    shard: Rc<Shard>,
    driver: Rc<Driver<Rc<Fake>>>,
    fake: Rc<Fake>,
    terms: Rc<Terms<Rc<Fake>>>,
}

/// Runs a test on a shard of its own. Its connections wait as good as forever for a close frame.
fn on_a_shard(test: impl AsyncFnOnce(&mut Bench)) {
    with_limits(
        RouteLimits {
            close: 6 * PATIENCE,
            ..RouteLimits::default()
        },
        test,
    );
}

fn with_limits(limits: RouteLimits, test: impl AsyncFnOnce(&mut Bench)) {
    with_budget(usize::MAX, limits, test);
}

/// Does as [`with_limits`], with that many bytes for what has come in part.
fn with_budget(pending: usize, limits: RouteLimits, test: impl AsyncFnOnce(&mut Bench)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let (link, _mailbox) = Link::new(1 << 20);
        let counters = Arc::new(Counters::default());
        let directory = Arc::new(Directory::new(1));
        let (pending, oversize) = (Pending::new(pending), Oversize::new(1 << 30));
        let links = Box::new([link]);
        let shard = Shard::new(0, links, directory, pending, oversize, counters).unwrap();
        shard.start();
        let driver = Driver::new(shard.clone());
        tokio::task::spawn_local(drive(driver.clone()));
        let fake = Rc::new(Fake {
            shard: shard.clone(),
            log: RefCell::default(),
            release: Notify::new(),
            busy: Cell::new(false),
            opens: RefCell::new(Ok(())),
        });
        let terms = Rc::new(Terms {
            handler: fake.clone(),
            owners: [0].into(),
            limits: Arc::new(limits),
            on_failure: OnFailure::Close,
            failure_reply: true,
            on_error: OnError::Keep,
            spare: SpareEvents::default(),
        });
        let mut bench = Bench {
            shard,
            driver,
            fake,
            terms,
        };
        tokio::time::timeout(3 * PATIENCE, test(&mut bench))
            .await
            .expect("the test ends");
    });
}

impl Bench {
    /// Other rules after a failure, for the connections to come.
    fn after(&mut self, on_failure: OnFailure, on_error: OnError) {
        self.terms = Rc::new(Terms {
            handler: self.fake.clone(),
            owners: [0].into(),
            limits: self.terms.limits.clone(),
            on_failure,
            failure_reply: true,
            on_error,
            spare: SpareEvents::default(),
        });
    }

    async fn connect(&self) -> Peer {
        self.connect_with(b"").await
    }

    /// A connection whose peer sent bytes right behind its request.
    async fn connect_with(&self, early: &[u8]) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        // So that a peer that does not read is noticed after kilobytes.
        let options = socket2::SockRef::from(&stream);
        options.set_send_buffer_size(16 << 10).unwrap();
        let mut states = States::default();
        states.set(0, b"first".to_vec(), 1);
        let upgraded = Upgraded {
            stream: stream.into_std().unwrap(),
            early: Bytes::copy_from_slice(early),
            request: Request {
                path: "/".to_owned(),
                params: Vec::new(),
                query: None,
                headers: Vec::new(),
                peer,
                subprotocols: Vec::new(),
            },
            states,
            granted: Box::default(),
            wire: Wire::WebSocket(None),
            signs: None,
            tickets: Box::new(()),
        };
        tokio::task::spawn_local(open(self.driver.clone(), self.terms.clone(), upgraded));
        Peer { socket }
    }

    fn log(&self) -> Vec<String> {
        self.fake.log.borrow().clone()
    }

    /// Waits until that is so.
    async fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let reached = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{what}: {:?}", self.log());
        }
    }

    async fn until_logged(&self, line: &str) {
        self.until(line, |bench| {
            bench.fake.log.borrow().iter().any(|it| it == line)
        })
        .await;
    }

    /// Waits until no connection holds a place.
    async fn until_empty(&self) {
        self.until("the place is free", |bench| bench.shard.connections() == 0)
            .await;
        let counters = self.shard.counters();
        assert_eq!(counters.opened.get(), counters.closed.get());
    }

    fn closes(&self) -> usize {
        let is_close = |line: &&String| line.starts_with("close");
        self.fake.log.borrow().iter().filter(is_close).count()
    }
}

/// The other end of a connection.
struct Peer {
    socket: TcpStream,
}

impl Peer {
    async fn write(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    async fn send(&mut self, text: &str) {
        self.write(&frame(TEXT, text.as_bytes())).await;
    }

    /// The next frame: its first byte and its payload.
    async fn next(&mut self) -> (u8, Vec<u8>) {
        let mut bytes = Vec::new();
        // Half a head counts as one byte more than there is.
        while bytes.len() < 2 || bytes.len() < head_len(bytes[1]) {
            bytes.push(self.byte().await);
        }
        let mut payload = vec![0; codec::frame_len(&bytes) - bytes.len()];
        let read = tokio::time::timeout(PATIENCE, self.socket.read_exact(&mut payload));
        read.await.expect("a frame comes").unwrap();
        (bytes[0], payload)
    }

    async fn byte(&mut self) -> u8 {
        let read = tokio::time::timeout(PATIENCE, self.socket.read_u8());
        read.await.expect("a byte comes").unwrap()
    }

    async fn text(&mut self) -> String {
        let (first, payload) = self.next().await;
        assert_eq!(first, TEXT);
        String::from_utf8(payload).unwrap()
    }

    async fn ask(&mut self, text: &str) -> String {
        self.send(text).await;
        self.text().await
    }

    /// The close frame, which must come next; its code and reason.
    async fn close_frame(&mut self) -> (u16, String) {
        let (first, payload) = self.next().await;
        assert_eq!(first, CLOSE);
        let reason = String::from_utf8(payload[2..].to_vec()).unwrap();
        (u16::from_be_bytes([payload[0], payload[1]]), reason)
    }

    /// The socket's end, which must be orderly and come next.
    async fn end(&mut self) {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.socket.read_to_end(&mut rest));
        read.await
            .expect("the socket ends")
            .expect("it is no reset");
        assert_eq!(rest, b"");
    }
}

fn head_len(second: u8) -> usize {
    match second {
        126 => 4,
        127 => 10,
        _ => 2,
    }
}

/// A masked frame, with a mask of noughts.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn close_frame(code: u16) -> Vec<u8> {
    frame(CLOSE, &codec::close_payload(code, "bye"))
}
