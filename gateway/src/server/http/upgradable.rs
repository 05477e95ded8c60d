//! A socket that may be upgraded, if its client is still there.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A socket that refuses to carry a 101 to a client that has left while its handler decided: the
/// handler's effects take force with the connection, and there would be none.
pub(super) struct Upgradable {
    socket: TcpStream,
    /// The next thing to be written is a 101. Only this thread sets it; hyper wants it `Send`.
    is_granted: Arc<AtomicBool>,
}

impl Upgradable {
    pub(super) fn new(socket: TcpStream, is_granted: Arc<AtomicBool>) -> Self {
        Self { socket, is_granted }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.socket
    }

    fn look(&self) -> io::Result<()> {
        if !self.is_granted.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.is_granted.store(false, Ordering::Relaxed);
        check_presence(&self.socket)
    }
}

/// Whether a client may still take part in a connection.
///
/// # Errors
/// `ConnectionAborted` if it has ended its side of the socket: it could not even close properly.
pub(super) fn check_presence(socket: &TcpStream) -> io::Result<()> {
    let next = socket2::SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]);
    match next {
        Ok(1..) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Ok(0) | Err(_) => Err(io::Error::new(
            io::ErrorKind::ConnectionAborted,
            "the client has left",
        )),
    }
}

impl AsyncRead for Upgradable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Upgradable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look()?;
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
