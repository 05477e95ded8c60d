//! How long we wait for a client that takes nothing of its response.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// A socket whose writes fail when none of their bytes have been taken for so long. Without it a
/// client that stops reading would hold its response for ever.
pub(crate) struct Patient<S> {
    socket: S,
    patience: Duration,
    /// While a write waits. Made when the first one has to.
    end: Option<Pin<Box<Sleep>>>,
    waits: bool,
}

impl<S> Patient<S> {
    pub(crate) fn new(socket: S, patience: Duration) -> Self {
        Self {
            socket,
            patience,
            end: None,
            waits: false,
        }
    }

    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    fn check<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = false;
            return written;
        }
        let until = || Instant::now() + self.patience;
        let end = self
            .end
            .get_or_insert_with(|| Box::pin(sleep_until(until())));
        if !std::mem::replace(&mut self.waits, true) {
            end.as_mut().reset(until());
        }
        end.as_mut()
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.check(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.check(context, written)
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, DuplexStream};

    use super::*;

    /// Writes what fits; returns by when more must.
    async fn fill(socket: &mut Patient<DuplexStream>) -> Instant {
        let mut write =
            |context: &mut Context<'_>| Pin::new(&mut *socket).poll_write(context, &[7; 4]);
        while poll_fn(|context| Poll::Ready(write(context).is_ready())).await {}
        socket.end.as_ref().unwrap().deadline()
    }

    #[tokio::test]
    async fn each_write_that_waits_has_its_own_time() {
        let (ours, mut theirs) = tokio::io::duplex(4);
        let mut ours = Patient::new(ours, Duration::from_secs(3600));
        let first = fill(&mut ours).await;
        assert_eq!(fill(&mut ours).await, first, "nothing was taken meanwhile");
        theirs.read_exact(&mut [0; 4]).await.unwrap();
        assert!(fill(&mut ours).await > first);
    }
}
