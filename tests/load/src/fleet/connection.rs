//! One client connection: its socket, its phase, and the bytes that wait on either side.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::event::{Event as Readiness, Source};
use mio::net::TcpStream;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Socket, Type};
use tidegate_codec::Opcode;

use super::{Arrival, End, Event, Reply};
use crate::frame::{self, Parsed};
use crate::{Target, handshake};

/// Bytes a server may leave unread before the run gives up on it.
const UNSENT_LIMIT: usize = 64 << 20;

enum Phase {
    /// The handshake's request, until the socket is connected.
    Connecting(Vec<u8>),
    Handshaking,
    Open,
}

pub(super) struct Connection {
    socket: TcpStream,
    phase: Phase,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
    close_sent: bool,
    /// The server's close frame: whether it came first, and its code.
    close_received: Option<(bool, Option<u16>)>,
}

/// The fleet's buffers, lent to the connection being served.
pub(super) struct Io<'a> {
    pub(super) id: usize,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) reply: &'a mut Reply,
}

/// Begins to connect, from the target's source if it has one.
fn connect(target: &Target) -> io::Result<TcpStream> {
    let Some(source) = target.source() else {
        return TcpStream::connect(target.address());
    };
    let domain = Domain::for_address(target.address());
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // The port is chosen when the peer is known, so that it need only be free towards that one; and no port is taken
    // from those who leave the choice to the kernel.
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&target.address().into()) {
        // Under way: writable once it is through.
        Err(error)
            if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        done => done?,
    }
    Ok(TcpStream::from_std(socket.into()))
}

impl Connection {
    pub(super) fn start(target: &Target) -> io::Result<Self> {
        let socket = connect(target)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            socket,
            phase: Phase::Connecting(handshake::request(target)),
            partial: Vec::new(),
            unsent: Vec::new(),
            close_sent: false,
            close_received: None,
        })
    }

    pub(super) fn socket(&mut self) -> &mut impl Source {
        &mut self.socket
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while self.unsent.is_empty() && !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(taken) => rest = &rest[taken..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        if self.unsent.len() + rest.len() > UNSENT_LIMIT {
            return Err(io::Error::other("the server has left 64 MiB unread"));
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    pub(super) fn send_close(&mut self) -> io::Result<()> {
        if self.close_sent || !matches!(self.phase, Phase::Open) {
            return Ok(());
        }
        self.close_sent = true;
        let mut bytes = Vec::with_capacity(8);
        frame::push_client(&mut bytes, Opcode::Close, &1000_u16.to_be_bytes());
        self.write(&bytes)
    }

    /// Does what `ready` allows; `Err` is the connection's end.
    pub(super) fn serve(
        &mut self,
        ready: &Readiness,
        io: &mut Io<'_>,
        on: &mut impl FnMut(Arrival<'_>, &mut Reply),
    ) -> Result<(), End> {
        if ready.is_writable() {
            self.on_writable()
                .map_err(|error| End::Lost(format!("failed to write: {error}")))?;
        }
        if ready.is_readable() || ready.is_read_closed() || ready.is_error() {
            let end = self.read(ready.is_read_closed(), io, on);
            self.answer(io.reply)
                .map_err(|error| End::Lost(format!("failed to write: {error}")))?;
            end?;
        }
        Ok(())
    }

    fn on_writable(&mut self) -> io::Result<()> {
        if let Phase::Connecting(request) = &mut self.phase {
            let request = std::mem::take(request);
            self.phase = Phase::Handshaking;
            return self.write(&request);
        }
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.write(&unsent)?;
        }
        Ok(())
    }

    fn answer(&mut self, reply: &Reply) -> io::Result<()> {
        if !reply.bytes.is_empty() {
            self.write(&reply.bytes)?;
        }
        if reply.close {
            self.send_close()?;
        }
        Ok(())
    }

    /// Reads until the socket is empty. Epoll is edge-triggered, but a short read proves it empty without another call,
    /// unless the end of the stream came along.
    fn read(
        &mut self,
        to_end: bool,
        io: &mut Io<'_>,
        on: &mut impl FnMut(Arrival<'_>, &mut Reply),
    ) -> Result<(), End> {
        loop {
            let kept = self.partial.len();
            if io.scratch.len() < kept * 2 {
                io.scratch.resize(kept * 2, 0);
            }
            io.scratch[..kept].copy_from_slice(&self.partial);
            self.partial.clear();
            let read = match self.socket.read(&mut io.scratch[kept..]) {
                Ok(0) => return Err(self.end_of_stream()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.partial.extend_from_slice(&io.scratch[..kept]);
                    return Ok(());
                }
                Err(error) => return Err(self.failure(&error)),
            };
            let full = kept + read == io.scratch.len();
            let data = &io.scratch[..kept + read];
            let used = self.take(io.id, data, io.reply, on)?;
            self.partial.extend_from_slice(&data[used..]);
            if !full && !to_end {
                return Ok(());
            }
        }
    }

    /// Handles the whole frames in `data` and returns how many bytes they were.
    fn take(
        &mut self,
        id: usize,
        data: &[u8],
        reply: &mut Reply,
        on: &mut impl FnMut(Arrival<'_>, &mut Reply),
    ) -> Result<usize, End> {
        let at = Instant::now();
        let mut used = 0;
        if !matches!(self.phase, Phase::Open) {
            let Some(length) = handshake::head_length(data) else {
                if data.len() > handshake::HEAD_LIMIT {
                    return Err(End::Protocol("a handshake of more than 16 KiB"));
                }
                return Ok(0);
            };
            handshake::check_response(&data[..length]).map_err(End::Refused)?;
            self.phase = Phase::Open;
            used = length;
            let event = Event::Opened;
            on(Arrival { id, at, event }, reply);
        }
        loop {
            match frame::parse_server(&data[used..]) {
                Parsed::Whole(frame, length) => {
                    used += length;
                    match frame.opcode {
                        Opcode::Text | Opcode::Binary => {
                            let event = Event::Message(frame);
                            on(Arrival { id, at, event }, reply);
                        }
                        Opcode::Ping => {
                            frame::push_client(&mut reply.bytes, Opcode::Pong, frame.payload);
                        }
                        Opcode::Close => self.on_close(frame.payload, reply),
                        _ => {}
                    }
                }
                Parsed::Partial(_) => return Ok(used),
                Parsed::Invalid(reason) => return Err(End::Protocol(reason)),
            }
        }
    }

    fn on_close(&mut self, payload: &[u8], reply: &mut Reply) {
        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
        let first = !self.close_sent;
        self.close_received.get_or_insert((first, code));
        // The server closes the socket: it holds the port that should linger.
        reply.close = true;
    }

    fn end_of_stream(&self) -> End {
        match self.close_received {
            Some((true, code)) => End::ClosedByServer(code),
            Some((false, code)) => End::Answered(code),
            None => End::Lost("the server closed the socket without a close frame".to_owned()),
        }
    }

    fn failure(&self, error: &io::Error) -> End {
        match self.close_received {
            Some(_) => self.end_of_stream(),
            None => End::Lost(format!("failed to read: {error}")),
        }
    }
}
