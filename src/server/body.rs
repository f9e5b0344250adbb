//! Bodies on their way: request bodies are counted, handed back when unread, and damaged on demand;
//! response bodies can be cut short.
//!
//! Called by: `gateway.rs`. Must not know: S3.

use super::counters::Meter;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// Most unread bytes of a request body that are read and thrown away after an error.
const DRAIN_LIMIT: u64 = 32 << 20;
/// Longest time spent on that.
const DRAIN_TIME: Duration = Duration::from_secs(5);
/// How long the sent part of a cut response has to reach the client.
const CUT_DELAY: Duration = Duration::from_millis(50);

/// A request body as the service reads it.
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    remainder: Remainder,
    meter: Meter,
    flip: Flip,
    started: bool,
}

/// Where an unread request body comes back to when the service drops it.
#[derive(Clone, Default)]
pub(super) struct Remainder(Arc<Mutex<Option<(Incoming, bool)>>>);

/// Where the bit to flip is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flip {
    /// Nowhere.
    Never,
    /// In the first byte.
    Next,
    /// In the first byte behind the first line, which is the size of an `aws-chunked` chunk.
    BehindLine,
}

impl RequestBody {
    /// Wraps a body; what the service leaves unread is found in `remainder` afterwards.
    pub(super) fn new(incoming: Incoming, remainder: Remainder, meter: Meter, flip: Flip) -> Self {
        Self {
            incoming: Some(incoming),
            remainder,
            meter,
            flip,
            started: false,
        }
    }

    /// Reads and throws away up to `limit` bytes; fewer when the body or the connection ends.
    pub(super) async fn discard(&mut self, limit: u64) {
        let mut read = 0;
        while read < limit {
            match self.frame().await {
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
                Some(Err(_)) | None => return,
            }
        }
    }

    fn damaged(&mut self, data: Bytes) -> Bytes {
        let position = match self.flip {
            Flip::Never => return data,
            Flip::Next => 0,
            Flip::BehindLine => match data.iter().position(|byte| *byte == b'\n') {
                Some(end) => end + 1,
                None => return data,
            },
        };
        if position >= data.len() {
            self.flip = Flip::Next;
            return data;
        }
        self.flip = Flip::Never;
        let mut damaged = BytesMut::from(data.as_ref());
        damaged[position] ^= 1;
        damaged.freeze()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.started = true;
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let frame = match ready!(Pin::new(incoming).poll_frame(context)) {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other),
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(data) => {
                self.meter.received(data.len() as u64);
                Frame::data(self.damaged(data))
            }
            Err(frame) => frame,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
        {
            *self.remainder.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((incoming, self.started));
        }
    }
}

impl Remainder {
    /// Reads what the service left unread, within limits, so that a client in the middle of its
    /// body sees the answer instead of a broken pipe. A client that waits for `100 Continue` and was
    /// not told to go on is left alone.
    pub(super) async fn drain(&self, waits_for_continue: bool, meter: &Meter) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((incoming, started)) = left else { return };
        if waits_for_continue && !started {
            return;
        }
        let mut body = RequestBody::new(incoming, Self::default(), meter.clone(), Flip::Never);
        // Whether it came to the end or not, the answer goes out now.
        let _ = tokio::time::timeout(DRAIN_TIME, body.discard(DRAIN_LIMIT)).await;
    }
}

/// `inner` with one bit of its first byte flipped.
pub(super) fn flipped(inner: s3s::Body) -> impl Body<Data = Bytes, Error = s3s::StdError> {
    let mut is_flipped = false;
    inner.map_frame(move |frame| {
        frame.map_data(|data| match data.first() {
            Some(first) if !is_flipped => {
                is_flipped = true;
                let other = [first ^ 1];
                [&other[..], &data[1..]].concat().into()
            }
            _ => data,
        })
    })
}

/// A response body that fails after a number of bytes, which closes the connection.
pub(super) struct CutBody {
    inner: s3s::Body,
    left: u64,
    ending: Option<Pin<Box<Sleep>>>,
}

impl CutBody {
    /// Cuts `inner` after `bytes` bytes. A body that ends before is not cut, except right at its end.
    pub(super) fn new(inner: s3s::Body, bytes: u64) -> Self {
        Self {
            inner,
            left: bytes,
            ending: None,
        }
    }
}

impl Body for CutBody {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        if self.left == 0 {
            // Failing at once would throw away what is still in the send buffer.
            let ending = self
                .ending
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(CUT_DELAY)));
            ready!(ending.as_mut().poll(context));
            return Poll::Ready(Some(Err(Box::new(io::Error::other(
                "response cut by the fault plan",
            )))));
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        let Ok(mut data) = frame.into_data() else {
            return Poll::Ready(None);
        };
        let allowed = usize::try_from(self.left).unwrap_or(usize::MAX);
        data.truncate(allowed);
        self.left -= data.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
