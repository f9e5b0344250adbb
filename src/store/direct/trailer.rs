//! A body that carries its checksum behind itself: read, summed and sent in one pass, while it is in the cache.
//!
//! One chunk of `aws-chunked` with an unsigned trailer ("Signature Calculations for the Authorization Header:
//! Including Trailing Headers", Amazon S3 API Reference).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::config::ChecksumAlgorithm;
use crate::store::Checksum;
use crate::store::body::FrameBody;
use crate::store::checksum::{Hasher, encoded_length};

/// The value of `x-amz-content-sha256` that announces the trailer.
pub(super) const UNSIGNED_WITH_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// See the module.
pub(in crate::store) struct TrailerBody {
    /// The size of the one chunk.
    head: Option<Bytes>,
    content: FrameBody,
    hasher: Option<Hasher>,
    /// Name of the trailer.
    name: &'static str,
    left: u64,
    sum: Arc<OnceLock<Checksum>>,
}

impl TrailerBody {
    /// `content` of `length` bytes, with the header `name` behind it. The checksum is in the returned cell when the
    /// last byte has been handed over.
    pub(super) fn new(
        content: FrameBody,
        length: u64,
        algorithm: ChecksumAlgorithm,
        name: &'static str,
    ) -> (Self, Arc<OnceLock<Checksum>>) {
        let head = Bytes::from(format!("{length:x}\r\n"));
        let trailer =
            "\r\n0\r\n".len() + name.len() + ":".len() + encoded_length(algorithm) + "\r\n\r\n".len();
        let sum = Arc::<OnceLock<Checksum>>::default();
        let body = Self {
            left: head.len() as u64 + length + trailer as u64,
            head: Some(head),
            content,
            hasher: Some(Hasher::new(algorithm)),
            name,
            sum: sum.clone(),
        };
        (body, sum)
    }

    /// The end of the chunk and what comes behind it; none when it is out.
    fn tail(&mut self) -> Option<Bytes> {
        let checksum = self.hasher.take()?.finish();
        let tail = format!("\r\n0\r\n{}:{}\r\n\r\n", self.name, checksum.value);
        let _ = self.sum.set(checksum);
        Some(tail.into())
    }
}

impl Body for TrailerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = if let Some(head) = self.head.take() {
            head
        } else {
            match ready!(Pin::new(&mut self.content).poll_frame(context)).transpose()? {
                Some(frame) => {
                    let data = frame.into_data().unwrap_or_default();
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&data);
                    }
                    data
                }
                None => match self.tail() {
                    Some(tail) => tail,
                    None => return Poll::Ready(None),
                },
            }
        };
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::body::Progress;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn the_wire_form_is_one_chunk_and_its_checksum() {
        let content = FrameBody::new(
            crate::store::Body::Bytes(Bytes::from_static(b"123456789")),
            Progress::start(false),
            None,
        );
        let name = "x-amz-checksum-crc64nvme";
        let (body, sum) = TrailerBody::new(content, 9, ChecksumAlgorithm::Crc64Nvme, name);
        let announced = body.size_hint().exact();
        let wire = body.collect().await.expect("no file is read").to_bytes();
        assert_eq!(
            wire,
            "9\r\n123456789\r\n0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n"
        );
        assert_eq!(announced, Some(wire.len() as u64));
        assert_eq!(sum.get().map(|sum| sum.value.as_str()), Some("rosUhgp5mIg="));
    }
}
