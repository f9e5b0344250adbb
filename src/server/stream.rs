//! The body of a read: bytes from the index at once, bytes from files through a blocking thread.
//!
//! Called by: `read.rs`. Must not know: what the bytes are.

use super::blobs::{BlobStore, ReadPin};
use super::records::BlobReference;
use super::view::View;
use bytes::Bytes;
use futures::Stream;
use s3s::dto::StreamingBlob;
use s3s::{S3Result, s3_error};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Bytes read from a file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that may wait for a slow client.
const QUEUE_LENGTH: usize = 2;

/// Bytes that arrive from a blocking thread.
struct Feed(Receiver<io::Result<Bytes>>);

impl Stream for Feed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

/// A stream over a range of an object's bytes. Must be called inside a tokio runtime.
///
/// # Errors
/// `InternalError` when a body kept in the index is missing; a missing file cuts the stream.
pub(super) fn open(
    view: View,
    pin: ReadPin,
    blobs: Vec<BlobReference>,
    range: Range<u64>,
) -> S3Result<StreamingBlob> {
    let wanted: Vec<(BlobReference, Range<u64>)> = overlapping(blobs, &range);
    if wanted.is_empty() {
        return Ok(StreamingBlob::from(s3s::Body::empty()));
    }
    if let [(blob, part)] = wanted.as_slice()
        && blob.inline
    {
        return Ok(StreamingBlob::from(s3s::Body::from(
            inline(&view, blob, part).map_err(missing)?,
        )));
    }
    let (sender, receiver) = channel(QUEUE_LENGTH);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = feed(&view, pin.store(), &wanted, &sender) {
            tracing::error!(%error, "cannot read the body of an object");
            // The client may have gone away already.
            let _ = sender.blocking_send(Err(error));
        }
        drop(pin);
    });
    Ok(StreamingBlob::wrap(Feed(receiver)))
}

/// The blobs a range touches, each with the range inside the blob.
fn overlapping(blobs: Vec<BlobReference>, range: &Range<u64>) -> Vec<(BlobReference, Range<u64>)> {
    let mut start = 0;
    let mut found = Vec::new();
    for blob in blobs {
        let end = start + blob.length;
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            found.push((blob, from - start..to - start));
        }
        start = end;
    }
    found
}

fn feed(
    view: &View,
    store: &Arc<BlobStore>,
    wanted: &[(BlobReference, Range<u64>)],
    sender: &Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    for (blob, part) in wanted {
        if blob.inline {
            if sender.blocking_send(Ok(inline(view, blob, part)?)).is_err() {
                return Ok(());
            }
            continue;
        }
        let mut file = store.open_blob(&blob.id)?;
        file.seek(SeekFrom::Start(part.start))?;
        let mut left = part.end - part.start;
        while left > 0 {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let mut chunk = vec![0; size];
            file.read_exact(&mut chunk)?;
            left -= size as u64;
            if sender.blocking_send(Ok(chunk.into())).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn inline(view: &View, blob: &BlobReference, part: &Range<u64>) -> io::Result<Bytes> {
    let data = view
        .inline(&blob.id)
        .map_err(|error| io::Error::other(error.to_string()))?;
    let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let slice = data.get(position(part.start)..position(part.end));
    slice
        .map(Bytes::copy_from_slice)
        .ok_or_else(|| io::Error::other("a body in the index is too short"))
}

fn missing(error: io::Error) -> s3s::S3Error {
    s3_error!(error, InternalError, "the body of the object is missing")
}
