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

use super::request::checksum_header;
use crate::config::ChecksumAlgorithm;
use crate::store::Sums;
use crate::store::body::FrameBody;
use crate::store::checksum::{Summing, encoded_length};

/// The value of `x-amz-content-sha256` that announces the trailer.
pub(super) const UNSIGNED_WITH_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// See the module.
pub(in crate::store) struct TrailerBody {
    /// The size of the one chunk.
    head: Option<Bytes>,
    content: FrameBody,
    summing: Option<Summing>,
    /// Name of the trailer.
    name: &'static str,
    left: u64,
    sums: Arc<OnceLock<Sums>>,
}

impl TrailerBody {
    /// `content` of `length` bytes, with its checksum behind it. What was found of it is in the returned cell when the
    /// last byte has been handed over.
    pub(super) fn new(
        content: FrameBody,
        length: u64,
        algorithm: ChecksumAlgorithm,
        with_md5: bool,
    ) -> (Self, Arc<OnceLock<Sums>>) {
        let name = checksum_header(algorithm);
        let head = Bytes::from(format!("{length:x}\r\n"));
        let trailer =
            "\r\n0\r\n".len() + name.len() + ":".len() + encoded_length(algorithm) + "\r\n\r\n".len();
        let sums = Arc::<OnceLock<Sums>>::default();
        let body = Self {
            left: head.len() as u64 + length + trailer as u64,
            head: Some(head),
            content,
            summing: Some(Summing::new(algorithm, with_md5)),
            name,
            sums: sums.clone(),
        };
        (body, sums)
    }

    /// The end of the chunk and what comes behind it; none when it is out.
    fn tail(&mut self) -> Option<Bytes> {
        let sums = self.summing.take()?.finish();
        let tail = format!("\r\n0\r\n{}:{}\r\n\r\n", self.name, sums.checksum.value);
        let _ = self.sums.set(sums);
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
                    if let Some(summing) = &mut self.summing {
                        summing.update(&data);
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
        let (body, sums) = TrailerBody::new(content, 9, ChecksumAlgorithm::Crc64Nvme, true);
        let announced = body.size_hint().exact();
        let wire = body.collect().await.expect("no file is read").to_bytes();
        assert_eq!(
            wire,
            "9\r\n123456789\r\n0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n"
        );
        assert_eq!(announced, Some(wire.len() as u64));
        let sums = sums.get().expect("all was handed over");
        assert_eq!(sums.checksum.value, "rosUhgp5mIg=");
        assert_eq!(sums.md5.as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
    }
}
