//! One connection of the floor server.

use std::io::{self, Read, Write};

use mio::event::Event as Readiness;
use mio::net::TcpStream;
use tidegate_codec::Opcode;

use super::Shared;
use crate::frame::{self, Frame, Parsed};
use crate::handshake;

/// The topic of `/sub` and `/pub`.
const MAIN: &str = "/sub";

/// The connection is over.
pub(super) struct Gone;

enum Role {
    Handshake,
    Echo,
    Generation,
    /// Only listens.
    Subscriber(String),
    /// Only publishes.
    Publisher(String),
    /// Does both.
    Member(String),
}

pub(super) struct Peer {
    socket: TcpStream,
    role: Role,
    partial: Vec<u8>,
    unsent: Vec<u8>,
    /// No more is read: the close frame or the HTTP answer was the last.
    closing: bool,
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Peer {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            role: Role::Handshake,
            partial: Vec::new(),
            unsent: Vec::new(),
            closing: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.role, Role::Handshake)
    }

    /// The room that delivers to this connection.
    pub(super) fn room(&self) -> Option<&str> {
        match &self.role {
            Role::Subscriber(room) | Role::Member(room) => Some(room),
            Role::Handshake | Role::Echo | Role::Generation | Role::Publisher(_) => None,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    pub(super) fn serve(
        &mut self,
        id: usize,
        ready: &Readiness,
        scratch: &mut Vec<u8>,
        shared: &mut Shared,
    ) -> Result<(), Gone> {
        if ready.is_writable() && !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.write(&unsent)?;
        }
        if ready.is_readable() || ready.is_read_closed() {
            self.read(id, ready.is_read_closed(), scratch, shared)?;
        }
        if self.closing && self.unsent.is_empty() {
            return Err(Gone);
        }
        Ok(())
    }

    fn read(
        &mut self,
        id: usize,
        to_end: bool,
        scratch: &mut Vec<u8>,
        shared: &mut Shared,
    ) -> Result<(), Gone> {
        while !self.closing {
            let kept = self.partial.len();
            if scratch.len() < kept * 2 {
                scratch.resize(kept * 2, 0);
            }
            scratch[..kept].copy_from_slice(&self.partial);
            self.partial.clear();
            let read = match self.socket.read(&mut scratch[kept..]) {
                Ok(0) => return Err(Gone),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.partial.extend_from_slice(&scratch[..kept]);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let end = kept + read;
            let full = end == scratch.len();
            let used = self.take(id, &mut scratch[..end], shared)?;
            self.partial.extend_from_slice(&scratch[used..end]);
            if !shared.reply.is_empty() {
                self.write(&shared.reply)?;
                shared.reply.clear();
            }
            if !full && !to_end {
                break;
            }
        }
        Ok(())
    }

    /// Handles what is whole in `data` and returns how many bytes that was.
    fn take(&mut self, id: usize, data: &mut [u8], shared: &mut Shared) -> Result<usize, Gone> {
        let mut used = 0;
        if !self.is_open() {
            let Some(length) = handshake::head_length(data) else {
                return if data.len() > handshake::HEAD_LIMIT {
                    Err(Gone)
                } else {
                    Ok(0)
                };
            };
            self.upgrade(id, &data[..length], shared);
            used = length;
        }
        while !self.closing {
            match frame::parse_client(&mut data[used..]) {
                Parsed::Whole(frame, length) => {
                    used += length;
                    self.on_frame(id, frame, shared);
                }
                Parsed::Partial(_) => break,
                Parsed::Invalid(_) => return Err(Gone),
            }
        }
        Ok(used)
    }

    fn on_frame(&mut self, id: usize, frame: Frame<'_>, shared: &mut Shared) {
        match frame.opcode {
            Opcode::Close => {
                tidegate_codec::append(&mut shared.reply, Opcode::Close, frame.payload);
                self.closing = true;
            }
            Opcode::Ping => tidegate_codec::append(&mut shared.reply, Opcode::Pong, frame.payload),
            Opcode::Pong => {}
            opcode => match &self.role {
                Role::Handshake | Role::Subscriber(_) => {}
                Role::Echo => tidegate_codec::append(&mut shared.reply, opcode, frame.payload),
                Role::Generation => {
                    let mut answer = format!("{} ", shared.generation).into_bytes();
                    answer.extend_from_slice(frame.payload);
                    tidegate_codec::append(&mut shared.reply, Opcode::Text, &answer);
                }
                Role::Publisher(room) | Role::Member(room) => {
                    shared.publish(id, room, frame.payload);
                }
            },
        }
    }

    fn upgrade(&mut self, id: usize, head: &[u8], shared: &mut Shared) {
        let head = String::from_utf8_lossy(head);
        let mut words = head.split(' ');
        let (method, resource) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let path = resource.split('?').next().unwrap_or("");
        let Some(key) = handshake::header(&head, "sec-websocket-key") else {
            self.closing = true;
            let answer = shared.answer_http(method, path);
            shared.reply.extend_from_slice(&answer);
            return;
        };
        shared.reply.extend_from_slice(&handshake::acceptance(key));
        shared.opens += 1;
        self.role = match path {
            "/sub" => Role::Subscriber(MAIN.to_owned()),
            "/pub" => Role::Publisher(MAIN.to_owned()),
            "/generation" => Role::Generation,
            path if path.starts_with("/rooms/") || path.starts_with("/plain/") => {
                Role::Member(path.to_owned())
            }
            _ => Role::Echo,
        };
        if let Some(room) = self.room() {
            shared.join(id, room);
        }
    }
}

impl Shared {
    /// The admin side: just enough of it to try the swap checker.
    fn answer_http(&mut self, method: &str, path: &str) -> Vec<u8> {
        let reload = path.starts_with("/plugins/") && path.ends_with("/reload");
        let (status, body) = match (method, path) {
            ("POST", _) if reload => {
                self.generation += 1;
                ("200 OK", format!("{{\"generation\":{}}}", self.generation))
            }
            ("GET", "/metrics") => ("200 OK", self.metrics()),
            _ => ("404 Not Found", "not found".to_owned()),
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
            .into_bytes()
    }

    fn metrics(&self) -> String {
        let (opens, closes) = (self.opens, self.closes);
        format!(
            "# TYPE tidegate_connections_open gauge\ntidegate_connections_open {}\n\
             tidegate_events_total{{event=\"open\"}} {opens}\ntidegate_events_total{{event=\"close\"}} {closes}\n",
            opens - closes
        )
    }
}
