//! A body that carries its checksum behind itself: read, summed and sent in one pass, while it is in the cache.
//!
//! Chunks of `aws-chunked` with an unsigned trailer ("Signature Calculations for the Authorization Header:
//! Including Trailing Headers", Amazon S3 API Reference).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};

use super::request::checksum_header;
use crate::store::body::{FrameBody, SLICE_BYTES};
use crate::store::checksum::{Summing, encoded_length};
use crate::store::{Checksum, Payload, Sums};

/// The value of `x-amz-content-sha256` that announces the trailer.
pub(super) const UNSIGNED_WITH_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// Bytes in a chunk: as many as in a slice, or a whole number of those.
const CHUNK_BYTES: u64 = 4 * SLICE_BYTES as u64;

/// See the module.
pub(in crate::store) struct TrailerBody {
    /// The size of the chunk that begins.
    head: Option<Bytes>,
    content: FrameBody,
    length: u64,
    position: u64,
    summing: Option<Summing>,
    /// Name of the trailer.
    name: HeaderName,
    left: u64,
    only: Option<Checksum>,
    found: Arc<OnceLock<Sums>>,
}

/// The end of the chunk before `position`, and the size of the one that begins there, of `length` bytes in all.
fn head_of_chunk(position: u64, length: u64) -> Bytes {
    let end = if position > 0 { "\r\n" } else { "" };
    let size = CHUNK_BYTES.min(length - position);
    Bytes::from(format!("{end}{size:x}\r\n"))
}

impl TrailerBody {
    /// `content`, which is that of `payload`, with its checksum behind it. What was found of it is in the payload when
    /// the last byte has been handed over.
    pub(super) fn new(content: FrameBody, payload: &Payload) -> Self {
        let length = payload.body.length();
        let name = checksum_header(payload.algorithm);
        let starts = (0..length).step_by(CHUNK_BYTES as usize);
        let heads: usize = starts.map(|start| head_of_chunk(start, length).len()).sum();
        let trailer = "\r\n0\r\n".len()
            + name.as_str().len()
            + ":".len()
            + encoded_length(payload.algorithm)
            + "\r\n\r\n".len();
        Self {
            head: Some(head_of_chunk(0, length)),
            content,
            length,
            position: 0,
            summing: Some(Summing::new(payload.algorithm, payload.with_md5)),
            name,
            left: heads as u64 + length + trailer as u64,
            only: payload.only.clone(),
            found: payload.found.clone(),
        }
    }

    /// A piece of the content passes by.
    fn pass(&mut self, data: &[u8]) {
        if let Some(summing) = &mut self.summing {
            summing.update(data);
        }
        self.position += data.len() as u64;
        if self.position.is_multiple_of(CHUNK_BYTES) && self.position < self.length {
            self.head = Some(head_of_chunk(self.position, self.length));
        }
    }

    /// The end of the chunk and what comes behind it; none when it is out. A content that is not what it has to be gets
    /// no end, and so is not stored.
    fn tail(&mut self) -> io::Result<Option<Bytes>> {
        let Some(summing) = self.summing.take() else {
            return Ok(None);
        };
        let sums = summing.finish();
        Payload::ensure(self.only.as_ref(), &sums)?;
        // What the bytes are for a later try, they were for the first: the server is to refuse others.
        let sums = self.found.get_or_init(|| sums);
        let tail = format!("\r\n0\r\n{}:{}\r\n\r\n", self.name, sums.checksum.value);
        Ok(Some(tail.into()))
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
                    self.pass(&data);
                    data
                }
                None => match self.tail()? {
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
    use crate::config::ChecksumAlgorithm;
    use crate::store::body::Progress;
    use http_body_util::BodyExt as _;

    /// The wire form of `content`, which is announced in its full length.
    async fn wire(content: Vec<u8>) -> (Bytes, Sums) {
        let payload = Payload::new(content.into(), ChecksumAlgorithm::Crc64Nvme).with_md5(true);
        let content = FrameBody::new(payload.body.clone(), Progress::start(false), None);
        let body = TrailerBody::new(content, &payload);
        let announced = body.size_hint().exact();
        let wire = body.collect().await.expect("no file is read").to_bytes();
        assert_eq!(announced, Some(wire.len() as u64));
        let sums = payload.found.get().expect("all was handed over").clone();
        let again = Payload::new(payload.body, payload.algorithm).with_md5(true);
        assert_eq!(&sums, again.sums().expect("in memory"));
        (wire, sums)
    }

    #[tokio::test]
    async fn what_is_short_is_one_chunk_and_its_checksum() {
        let (wire, sums) = wire(b"123456789".to_vec()).await;
        assert_eq!(
            wire,
            "9\r\n123456789\r\n0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n"
        );
        assert_eq!(sums.checksum.value, "rosUhgp5mIg=");
        assert_eq!(sums.md5.as_deref(), Some("25f9e794323b453885f5181f1b624d0b"));
    }

    #[tokio::test]
    async fn what_is_long_is_chunks_of_one_size_and_the_rest() {
        for rest in [0, 1, 5_000] {
            let content = vec![b'-'; 2 * CHUNK_BYTES as usize + rest];
            let (wire, _) = wire(content).await;
            let text = std::str::from_utf8(&wire).expect("ASCII");
            let sizes: Vec<_> = text.split("\r\n").filter(|line| !line.starts_with('-')).collect();
            let whole = format!("{CHUNK_BYTES:x}");
            let rest = format!("{rest:x}");
            let expected = if rest == "0" {
                vec![&whole[..], &whole]
            } else {
                vec![&whole[..], &whole, &rest]
            };
            assert_eq!(sizes[..sizes.len() - 4], expected);
            assert_eq!(sizes[sizes.len() - 4], "0");
        }
    }
}
