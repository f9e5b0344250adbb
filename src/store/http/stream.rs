//! A TCP stream that lets an answer be read although the server takes no more of the request, and that tells when a
//! request has been written.
//!
//! A server may refuse a large body before it has read it, and close. The kernel then fails the next write, with the
//! answer already here, unread. hyper gives a connection up at the first write that fails, and the answer with it;
//! here such a write waits instead, until reading has come to the end.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

tokio::task_local! {
    /// Who waits on this connection for the kernel to have all that was handed over so far.
    static UNWRITTEN: Cell<Option<oneshot::Sender<Instant>>>;
}

/// Drives a connection, so that [`tell_when_written`] can be called for it.
pub(super) async fn drive<T>(connection: impl Future<Output = T>) -> T {
    UNWRITTEN.scope(Cell::default(), connection).await
}

/// Called by a body on its connection's own task when it hands over its last bytes: `sender` is told when the kernel
/// has them, and dropped when the connection ends before.
pub(super) fn tell_when_written(sender: oneshot::Sender<Instant>) {
    let _ = UNWRITTEN.try_with(|waiting| waiting.set(Some(sender)));
}

/// See the module.
pub(super) struct Stream {
    tcp: TcpStream,
    /// Why nothing can be written any more; told when nothing can be read any more either.
    refused: Option<io::Error>,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, refused: None }
    }

    /// The outcome of a write. One that waits need not be woken: whoever reads is, by the end of the connection.
    fn written(&mut self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match outcome {
            Poll::Ready(Err(error)) if is_closed_by_peer(&error) => {
                self.refused = Some(error);
                Poll::Pending
            }
            outcome => outcome,
        }
    }
}

fn is_closed_by_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let outcome = Pin::new(&mut self.tcp).poll_read(context, into);
        let at_end = matches!(outcome, Poll::Ready(Ok(()))) && into.filled().len() == before;
        match self.refused.take_if(|_| at_end && into.remaining() > 0) {
            Some(error) => Poll::Ready(Err(error)),
            None => outcome,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.refused.is_some() {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.refused.is_some() {
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.tcp).poll_write_vectored(context, slices);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    /// Comes when those above, hyper and TLS, have nothing left of what they were given.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Ok(Some(sender)) = UNWRITTEN.try_with(Cell::take) {
            // Nobody listens when the answer was no.
            let _ = sender.send(Instant::now());
        }
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
