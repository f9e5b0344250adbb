//! A TCP stream that lets an answer be read although the server takes no more of the request.
//!
//! A server may refuse a large body before it has read it, and close. The kernel then fails the next write, with the
//! answer already here, unread. hyper gives a connection up at the first write that fails, and the answer with it;
//! here such a write waits instead, until reading has come to the end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

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

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
