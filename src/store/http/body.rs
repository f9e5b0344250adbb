//! Bodies on the wire: what hyper sends, and an answer that gives its connection back when it was read.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

use super::pool::Lease;
use super::stream::tell_when_written;
use crate::store::body::FrameBody;
use crate::store::direct::TrailerBody;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a request sends.
pub(in crate::store) enum RequestBody {
    /// Goes out together with the head of the request.
    Whole(Bytes),
    /// Read while it is sent.
    Frames(Box<FrameBody>),
    /// The same with its checksum behind it.
    Trailer(Box<TrailerBody>),
    /// Made by the SDK. Boxed: hyper reserves room for dozens of requests a connection.
    Sdk(Box<SdkBody>),
    /// One of the others, whose end somebody waits for.
    Watched(Box<Watched>),
}

/// A body that tells when its last byte was written.
pub(in crate::store) struct Watched {
    body: RequestBody,
    left: u64,
    /// Dropped before, it tells that the end will not come.
    written: Option<oneshot::Sender<Instant>>,
}

impl RequestBody {
    /// Makes the body tell when its last byte was written, and that it was; none when it goes out in one piece.
    pub(super) fn watch(&mut self) -> Option<oneshot::Receiver<Instant>> {
        let in_one_piece = match self {
            Self::Whole(_) => true,
            Self::Sdk(body) => body.bytes().is_some(),
            _ => false,
        };
        let left = self.size_hint().exact().filter(|_| !in_one_piece)?;
        if left == 0 {
            return None;
        }
        let (written, is_written) = oneshot::channel();
        let body = std::mem::replace(self, Self::Whole(Bytes::new()));
        *self = Self::Watched(Box::new(Watched {
            body,
            left,
            written: Some(written),
        }));
        Some(is_written)
    }
}

impl Watched {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.left = self.left.saturating_sub(data.len() as u64);
        }
        if self.left == 0
            && let Some(written) = self.written.take()
        {
            tell_when_written(written);
        }
        Poll::Ready(frame)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Frames(frames) => Pin::new(frames.as_mut()).poll_frame(context).map_err(Into::into),
            Self::Trailer(body) => Pin::new(body.as_mut()).poll_frame(context).map_err(Into::into),
            Self::Sdk(body) => Pin::new(body.as_mut()).poll_frame(context),
            Self::Watched(watched) => watched.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Frames(frames) => frames.is_end_stream(),
            Self::Trailer(body) => body.is_end_stream(),
            Self::Sdk(body) => body.is_end_stream(),
            Self::Watched(watched) => watched.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Frames(frames) => frames.size_hint(),
            Self::Trailer(body) => body.size_hint(),
            Self::Sdk(body) => Body::size_hint(body.as_ref()),
            Self::Watched(watched) => watched.body.size_hint(),
        }
    }
}

/// What the server sends. Dropped before its end, it takes the connection with it: nobody knows what is still on it.
pub(in crate::store) struct AnswerBody {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl AnswerBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            incoming,
            lease: Some(lease),
        };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    fn end(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        if frame.is_none() || self.incoming.is_end_stream() {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
