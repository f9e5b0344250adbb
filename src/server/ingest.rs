//! Receiving a body: reading the request stream, hashing it, keeping it small or writing it to a file.
//!
//! Called by: `objects.rs` and `multipart.rs`. Must not know: keys or the index; what it returns is
//! staged and disappears unless a change of the index adopts it.

use super::blobs::{BlobStore, BlobWriter, StagedFile};
use super::checksum::{self, Algorithm, Announced, Hasher};
use super::records::BlobReference;
use super::store::custom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3Request, S3Result, TrailingHeaders, s3_error};
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc::{self, Receiver};

/// Bodies up to this many bytes are kept in the index.
pub(super) const INLINE_LIMIT: usize = 64 << 10;
/// Largest body of one request, in bytes, as in S3.
const BODY_LIMIT: u64 = 5 << 30;
/// Pieces of a body that may wait for the disk.
const QUEUE_LENGTH: usize = 16;

/// What a request says about its body, taken from the request before its input is used up.
pub(super) struct Declaration {
    announced: Option<Announced>,
    md5: Option<[u8; 16]>,
    length: Option<u64>,
    trailers: Option<TrailingHeaders>,
}

/// A body received and verified, not yet named by any record.
pub(super) enum StagedBody {
    /// No bytes at all.
    Empty,
    /// Bytes that will be kept in the index.
    Inline { id: String, data: Bytes },
    /// A durable file.
    File {
        id: String,
        length: u64,
        staged: StagedFile,
    },
}

/// A received body with its digests.
pub(super) struct Received {
    pub(super) body: StagedBody,
    pub(super) md5: [u8; 16],
    /// Length in bytes.
    pub(super) length: u64,
    /// Base64, only what the client announced.
    pub(super) checksum: Option<(Algorithm, String)>,
}

/// What the digests must be.
struct Expected {
    md5: Option<[u8; 16]>,
    checksum: Option<String>,
}

struct Digests {
    md5: Md5,
    checksum: Option<(Algorithm, Hasher)>,
    length: u64,
}

struct Verified {
    md5: [u8; 16],
    length: u64,
    checksum: Option<(Algorithm, String)>,
}

enum Piece {
    Data(Bytes),
    /// Without this the file is thrown away: a closed channel alone means the client went away.
    End(Expected),
}

impl StagedBody {
    /// The reference a record will hold; `None` for an empty body.
    pub(super) fn reference(&self) -> Option<BlobReference> {
        match self {
            Self::Empty => None,
            Self::Inline { id, data } => Some(BlobReference {
                id: id.clone(),
                length: data.len() as u64,
                inline: true,
            }),
            Self::File { id, length, .. } => Some(BlobReference {
                id: id.clone(),
                length: *length,
                inline: false,
            }),
        }
    }
}

impl Declaration {
    /// Reads what the headers announce.
    ///
    /// # Errors
    /// `InvalidDigest`, `InvalidRequest` or `EntityTooLarge`, all before a byte of the body is read.
    pub(super) fn of<T>(request: &mut S3Request<T>, length: Option<i64>) -> S3Result<Self> {
        let length = length.and_then(|length| u64::try_from(length).ok());
        if length.is_some_and(|length| length > BODY_LIMIT) {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size"
            ));
        }
        Ok(Self {
            announced: checksum::announced(&request.headers)?,
            md5: declared_md5(&request.headers)?,
            length,
            trailers: request.trailing_headers.take(),
        })
    }

    /// The algorithm of the announced checksum.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.announced.as_ref().map(|announced| announced.algorithm)
    }

    /// Receives the body, verifies it and makes it durable.
    ///
    /// # Errors
    /// `BadDigest` for a wrong checksum, `IncompleteBody` when bytes are missing, or the error of
    /// the disk; nothing is left behind then.
    pub(super) async fn receive(
        self,
        blobs: &Arc<BlobStore>,
        body: Option<StreamingBlob>,
    ) -> S3Result<Received> {
        let mut digests = Digests::new(self.algorithm());
        let mut buffer = BytesMut::new();
        let Some(mut body) = body else {
            return self.finish_small(blobs, digests, buffer.freeze());
        };
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| stream_failure(error.as_ref()))?;
            if buffer.len() + piece.len() > INLINE_LIMIT {
                return self
                    .receive_file(blobs, digests, [buffer.freeze(), piece], body)
                    .await;
            }
            digests.update(&piece);
            buffer.extend_from_slice(&piece);
        }
        digests.length = buffer.len() as u64;
        self.finish_small(blobs, digests, buffer.freeze())
    }

    fn finish_small(self, blobs: &BlobStore, digests: Digests, data: Bytes) -> S3Result<Received> {
        let expected = self.expected(data.len() as u64)?;
        let verified = digests.verify(&expected)?;
        let body = if data.is_empty() {
            StagedBody::Empty
        } else {
            StagedBody::Inline {
                id: blobs.new_identifier(),
                data,
            }
        };
        Ok(verified.with(body))
    }

    async fn receive_file(
        self,
        blobs: &Arc<BlobStore>,
        digests: Digests,
        [hashed, first]: [Bytes; 2],
        mut body: StreamingBlob,
    ) -> S3Result<Received> {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let store = Arc::clone(blobs);
        let mut length = hashed.len() as u64;
        let writing = tokio::task::spawn_blocking(move || {
            let mut writer = store.create().map_err(|error| disk_failure(&error))?;
            writer.write(&hashed).map_err(|error| disk_failure(&error))?;
            write_file(writer, digests, hashed.len() as u64, receiver)
        });
        let mut next = Some(Ok(first));
        let mut writable = true;
        while let Some(piece) = next {
            let piece: Bytes = piece.map_err(|error: s3s::StdError| stream_failure(error.as_ref()))?;
            length += piece.len() as u64;
            // A failed send means the writer gave up; its result says why.
            writable = sender.send(Piece::Data(piece)).await.is_ok();
            if !writable {
                break;
            }
            next = body.next().await;
        }
        if writable {
            let _ = sender.send(Piece::End(self.expected(length)?)).await;
        }
        drop(sender);
        writing
            .await
            .map_err(|error| s3_error!(InternalError, "writing the body failed: {error}"))?
    }

    fn expected(&self, length: u64) -> S3Result<Expected> {
        if self.length.is_some_and(|declared| declared != length) {
            return Err(s3_error!(
                IncompleteBody,
                "the body does not have the length its headers declare"
            ));
        }
        self.expectations()
    }

    fn expectations(&self) -> S3Result<Expected> {
        let checksum = match &self.announced {
            None => None,
            Some(Announced {
                value: Some(value), ..
            }) => Some(value.clone()),
            Some(Announced {
                algorithm,
                value: None,
            }) => Some(self.trailer(*algorithm)?),
        };
        Ok(Expected {
            md5: self.md5,
            checksum,
        })
    }

    fn trailer(&self, algorithm: Algorithm) -> S3Result<String> {
        let value = self.trailers.as_ref().and_then(|trailers| {
            trailers.read(|headers| {
                headers
                    .get(algorithm.header())
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned)
            })
        });
        value
            .flatten()
            .filter(|value| algorithm.decode(value).is_some())
            .ok_or_else(|| {
                s3_error!(
                    InvalidRequest,
                    "the announced trailer {} is missing or malformed",
                    algorithm.header()
                )
            })
    }
}

impl Digests {
    fn new(algorithm: Option<Algorithm>) -> Self {
        Self {
            md5: Md5::new(),
            checksum: algorithm.map(|algorithm| (algorithm, Hasher::new(algorithm))),
            length: 0,
        }
    }

    fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        if let Some((_, hasher)) = &mut self.checksum {
            hasher.update(data);
        }
    }

    fn verify(self, expected: &Expected) -> S3Result<Verified> {
        let md5 = self.md5.finalize();
        if expected.md5.is_some_and(|wanted| wanted != md5) {
            return Err(s3_error!(
                BadDigest,
                "The Content-MD5 you specified did not match what we received."
            ));
        }
        let checksum = self
            .checksum
            .map(|(algorithm, hasher)| (algorithm, checksum::encode(&hasher.finish())));
        if let (Some((algorithm, computed)), Some(wanted)) = (&checksum, &expected.checksum)
            && computed != wanted
        {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            ));
        }
        Ok(Verified {
            md5,
            length: self.length,
            checksum,
        })
    }
}

impl Verified {
    fn with(self, body: StagedBody) -> Received {
        Received {
            body,
            md5: self.md5,
            length: self.length,
            checksum: self.checksum,
        }
    }
}

/// Runs on a blocking thread: hashes and writes what comes until the end piece.
fn write_file(
    mut writer: BlobWriter,
    mut digests: Digests,
    written: u64,
    mut pieces: Receiver<Piece>,
) -> S3Result<Received> {
    digests.length = written;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(data) => {
                digests.update(&data);
                digests.length += data.len() as u64;
                if digests.length > BODY_LIMIT {
                    return Err(s3_error!(
                        EntityTooLarge,
                        "Your proposed upload exceeds the maximum allowed size"
                    ));
                }
                writer.write(&data).map_err(|error| disk_failure(&error))?;
            }
            Piece::End(expected) => {
                let verified = digests.verify(&expected)?;
                let (id, staged) = writer.finish().map_err(|error| disk_failure(&error))?;
                let length = verified.length;
                return Ok(verified.with(StagedBody::File { id, length, staged }));
            }
        }
    }
    Err(s3_error!(
        IncompleteBody,
        "the request ended before its body was complete"
    ))
}

fn declared_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else {
        return Ok(None);
    };
    let decoded = STANDARD
        .decode(value.as_bytes())
        .ok()
        .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    decoded
        .map(Some)
        .ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."))
}

fn disk_failure(error: &io::Error) -> S3Error {
    if error.kind() == io::ErrorKind::StorageFull {
        return custom(
            "StorageFull",
            StatusCode::INSUFFICIENT_STORAGE,
            "the disk of the server is full",
        );
    }
    s3_error!(InternalError, "cannot write the body: {error}")
}

/// Maps an error of the request stream. `s3s` keeps its error types private, so their text decides.
fn stream_failure(error: &(dyn std::error::Error + Send + Sync)) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        return custom("XAmzContentSHA256Mismatch", StatusCode::BAD_REQUEST, message);
    }
    if text.contains("SignatureMismatch") {
        return s3_error!(SignatureDoesNotMatch, "the signature of a chunk does not match");
    }
    if text.contains("FormatError") || text.contains("TooLarge") {
        return s3_error!(InvalidRequest, "the aws-chunked body is malformed");
    }
    s3_error!(IncompleteBody, "the request body ended early: {text}")
}
