//! A TCP connection that can be ended with a reset.
//!
//! Called by: `http.rs` (wrapping), `gateway.rs` (asking for a reset). Must not know: HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Lets a request say how its connection ends.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionControl(Arc<AtomicBool>);

impl ConnectionControl {
    /// From now on closing the connection sends a reset instead of an orderly end.
    pub(super) fn reset_on_close(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The stream handed to the HTTP implementation, which owns and closes it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    control: ConnectionControl,
}

impl Connection {
    /// Wraps an accepted stream.
    pub(super) fn new(stream: TcpStream, control: ConnectionControl) -> Self {
        Self { stream, control }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.control.0.load(Ordering::Acquire) {
            // Without it the connection still ends, only politely.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
