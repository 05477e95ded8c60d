//! A small server that answers "GENERATION MESSAGE" and misbehaves on purpose: once, in one way.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tidegate_codec::Opcode;

use tidegate_load::Target;
use tidegate_load::frame::{self, Parsed};
use tidegate_load::handshake;

/// The answer, counted over all connections, at which the server misbehaves.
const FAULTY_ANSWER: u64 = 100;

/// How the server misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// One answer is not sent.
    Lose,
    /// One answer is sent twice.
    Duplicate,
    /// One answer is sent after the next.
    Reorder,
    /// One connection's socket closes.
    CloseSocket,
    /// One connection gets a close frame.
    CloseFrame,
    /// One connection is reset by bytes that are no frame.
    Garbage,
    /// One answer is by the generation before the one before.
    Backwards,
    /// From the third swap on, the old generation goes on answering.
    Stale,
    /// One answer has a changed byte.
    Corrupt,
    /// One answer is another connection's.
    Misdirect,
    /// One answer is a binary message.
    Binary,
    /// One answer is to a message that was not sent.
    Invent,
    /// One answer says no generation.
    NoGeneration,
    /// The third reload is refused.
    RefuseGood,
    /// Reloads answer the same generation for ever.
    SameGeneration,
    /// Bad files are taken for good ones.
    AcceptBad,
    /// One close event is not counted.
    Zombie,
    /// One close event is counted twice.
    CloseTwice,
    /// No close frame is answered.
    SilentClose,
    /// Every reload stops the answers for 60 ms.
    Stall,
}

pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    fault: Fault,
    generation: AtomicU64,
    reloads: AtomicU64,
    opens: AtomicI64,
    ends: AtomicU64,
    closes: AtomicI64,
    answers: AtomicU64,
    /// Held while a reload stalls; every answer passes through it.
    gate: Mutex<()>,
}

impl Fake {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            fault,
            generation: AtomicU64::new(1),
            reloads: AtomicU64::new(0),
            opens: AtomicI64::new(0),
            ends: AtomicU64::new(0),
            closes: AtomicI64::new(0),
            answers: AtomicU64::new(0),
            gate: Mutex::new(()),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(socket.unwrap()));
            }
        });
        Self { address, state }
    }

    pub(crate) fn target(&self) -> Target {
        Target::new(self.address, "/generation").unwrap()
    }

    /// Reloads whenever `path` changes to something that begins with "good".
    pub(crate) fn watch(&self, path: PathBuf) {
        let state = Arc::clone(&self.state);
        let mut last = fs::read(&path).unwrap();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(2));
                let Ok(now) = fs::read(&path) else { return };
                // Half a file, seen between truncation and write, is neither good nor bad.
                if now == last || now.is_empty() {
                    continue;
                }
                if now.starts_with(b"good") || state.fault == Fault::AcceptBad {
                    state.generation.fetch_add(1, Ordering::SeqCst);
                }
                last = now;
            }
        });
    }
}

impl State {
    fn serve(&self, mut socket: TcpStream) {
        socket.set_nodelay(true).unwrap();
        let mut bytes = Vec::new();
        let length = loop {
            match handshake::head_length(&bytes) {
                Some(length) => break length,
                None if more(&mut socket, &mut bytes) => {}
                None => return,
            }
        };
        let head = String::from_utf8(bytes.drain(..length).collect()).unwrap();
        if let Some(key) = handshake::header(&head, "sec-websocket-key") {
            socket.write_all(&handshake::acceptance(key)).unwrap();
            self.opens.fetch_add(1, Ordering::SeqCst);
            // A reset by the client is an end like any other.
            let _ = self.converse(&mut socket, bytes);
            self.count_close();
        } else {
            let (status, body) = self.answer_http(&head);
            let length = body.len();
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    }

    fn converse(&self, socket: &mut TcpStream, mut bytes: Vec<u8>) -> io::Result<()> {
        let mut held = Vec::new();
        loop {
            let whole = match frame::parse_client(&mut bytes) {
                Parsed::Whole(frame, used) => Some((frame.opcode, frame.payload.to_vec(), used)),
                Parsed::Partial(_) => None,
                Parsed::Invalid(_) => return Ok(()),
            };
            let Some((opcode, payload, used)) = whole else {
                if more(socket, &mut bytes) {
                    continue;
                }
                return Ok(());
            };
            bytes.drain(..used);
            let mut out = Vec::new();
            if opcode == Opcode::Close {
                if self.fault != Fault::SilentClose {
                    tidegate_codec::append(&mut out, Opcode::Close, &payload);
                    return socket.write_all(&out);
                }
                thread::sleep(Duration::from_secs(2));
                return Ok(());
            }
            let keep_open = self.answer(&payload, &mut held, &mut out);
            socket.write_all(&out)?;
            if !keep_open {
                return Ok(());
            }
        }
    }

    /// Appends the answer to `message`; false if the socket closes now.
    fn answer(&self, message: &[u8], held: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        drop(self.gate.lock().unwrap());
        let number = self.answers.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = if number == FAULTY_ANSWER {
            self.fault
        } else {
            Fault::None
        };
        let mut generation = self.generation.load(Ordering::SeqCst);
        if self.fault == Fault::Stale {
            generation = generation.min(2);
        }
        if fault == Fault::Backwards {
            generation = generation.saturating_sub(2);
        }
        let mut payload = [generation.to_string().as_bytes(), b" ", message].concat();
        let sender = generation.to_string().len() + 2;
        let (mut opcode, mut copies) = (Opcode::Text, 1);
        match fault {
            Fault::Lose | Fault::Reorder => copies = 0,
            Fault::Duplicate => copies = 2,
            Fault::CloseSocket => return false,
            Fault::CloseFrame => {
                tidegate_codec::append(out, Opcode::Close, &1011_u16.to_be_bytes());
                return false;
            }
            Fault::Garbage => {
                out.extend_from_slice(&[0xff, 0xff]);
                return true;
            }
            Fault::Corrupt => *payload.last_mut().unwrap() ^= 1,
            Fault::Misdirect => payload[sender..sender + 6].copy_from_slice(b"000099"),
            Fault::Invent => payload[sender + 6] = b'9',
            Fault::NoGeneration => payload = message.to_vec(),
            Fault::Binary => opcode = Opcode::Binary,
            _ => {}
        }
        for _ in 0..copies {
            tidegate_codec::append(out, opcode, &payload);
        }
        out.append(held);
        if fault == Fault::Reorder {
            tidegate_codec::append(held, opcode, &payload);
        }
        true
    }

    fn answer_http(&self, head: &str) -> (&'static str, String) {
        if head.starts_with("GET /metrics ") {
            return ("200 OK", self.metrics());
        }
        let reload = self.reloads.fetch_add(1, Ordering::SeqCst) + 1;
        if self.fault == Fault::RefuseGood && reload == 3 {
            return ("422 Unprocessable", "does not link".to_owned());
        }
        if self.fault == Fault::Stall {
            let _gate = self.gate.lock().unwrap();
            thread::sleep(Duration::from_millis(60));
        }
        let grown = u64::from(self.fault != Fault::SameGeneration);
        let generation = self.generation.fetch_add(grown, Ordering::SeqCst) + grown;
        ("200 OK", format!("{{\"generation\":{generation}}}"))
    }

    fn metrics(&self) -> String {
        let opens = self.opens.load(Ordering::SeqCst);
        let closes = self.closes.load(Ordering::SeqCst);
        format!(
            "tidegate_connections_open {}\ntidegate_events_total{{event=\"open\"}} {opens}\n\
             tidegate_events_total{{event=\"close\"}} {closes}\n",
            (opens - closes).max(0)
        )
    }

    fn count_close(&self) {
        let first = self.ends.fetch_add(1, Ordering::SeqCst) == 0;
        let counted = match self.fault {
            Fault::Zombie if first => 0,
            Fault::CloseTwice if first => 2,
            _ => 1,
        };
        self.closes.fetch_add(counted, Ordering::SeqCst);
    }
}

fn more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    match socket.read(&mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(read) => {
            bytes.extend_from_slice(&buffer[..read]);
            true
        }
    }
}
