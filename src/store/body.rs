//! Request bodies that can be sent again: bytes in memory, or a range of an open file read in slices.
//!
//! A body reports its progress, so that a slow transfer is judged by bytes that move and not by the clock.
//! Used by the engines; made by `transfer`.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Frame, SizeHint};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::throttle::Gate;
use crate::identity::{FileChanged, FileIdentity};

/// A slice of this size stays in a core's cache between read, checksum and send.
pub const SLICE_BYTES: usize = 256 * 1024;

/// A range of an open file.
#[derive(Debug)]
pub struct FileRange {
    /// The open file.
    pub file: File,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// What the file was when it was opened. When it is not that any more, the last slice is not sent, so that no
    /// server has the whole of something torn. None for a file that nobody else knows.
    pub identity: Option<FileIdentity>,
}

impl FileRange {
    /// Reads the slice at `position` within the range into `slice`, in place of what is there: at most
    /// [`SLICE_BYTES`], nothing at the end. The memory is not cleared before, and can be used again.
    ///
    /// # Errors
    /// Whatever the file system says; [`FileChanged`] when the file has become shorter, or, with the last slice, when it
    /// is not what it was.
    pub fn read_slice(&self, position: u64, slice: &mut Vec<u8>) -> io::Result<()> {
        let left = self.length.saturating_sub(position);
        let wanted = usize::try_from(left).map_or(SLICE_BYTES, |left| left.min(SLICE_BYTES));
        slice.clear();
        slice.reserve_exact(wanted);
        while slice.len() < wanted {
            let offset = self.offset + position + slice.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(slice), offset) {
                Ok(0) => return Err(FileChanged.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        // There may be room for more than was asked for.
        slice.truncate(wanted);
        match &self.identity {
            Some(identity) if left == wanted as u64 => identity.ensure(&self.file),
            _ => Ok(()),
        }
    }
}

/// What a request sends.
#[derive(Clone, Debug)]
pub enum Body {
    /// Held in memory.
    Bytes(Bytes),
    /// Read while it is sent.
    File(Arc<FileRange>),
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<FileRange> for Body {
    fn from(range: FileRange) -> Self {
        Self::File(Arc::new(range))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl Body {
    /// Bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(range) => range.length,
        }
    }
}

/// How far a body has got; shared between the body and whoever watches it.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    moved_after_millis: AtomicU64,
    handed_over: AtomicBool,
    held_up: AtomicBool,
}

impl Progress {
    /// A request that starts now; `without_body` means that only the answer is awaited.
    pub(super) fn start(without_body: bool) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            moved_after_millis: AtomicU64::new(0),
            handed_over: AtomicBool::new(without_body),
            held_up: AtomicBool::new(false),
        })
    }

    /// Our own limit holds the body up: that is no stall.
    fn hold_up(&self, held_up: bool) {
        self.held_up.store(held_up, Ordering::Relaxed);
    }

    fn moved(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_after_millis.store(millis, Ordering::Relaxed);
    }

    /// When the request began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// When a byte last moved or could have.
    pub(super) fn last_moved(&self) -> Instant {
        if self.held_up.load(Ordering::Relaxed) {
            return Instant::now();
        }
        self.started + Duration::from_millis(self.moved_after_millis.load(Ordering::Relaxed))
    }

    /// True when the transport has taken the last byte.
    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Relaxed)
    }
}

/// A [`Body`] as a stream of frames of at most [`SLICE_BYTES`].
pub(super) struct FrameBody {
    body: Body,
    position: u64,
    progress: Arc<Progress>,
    gate: Option<Arc<dyn Gate>>,
    /// While the next slice waits at the gate. The mutex is never locked; it makes the body `Sync`.
    passing: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl FrameBody {
    pub(super) fn new(body: Body, progress: Arc<Progress>, gate: Option<Arc<dyn Gate>>) -> Self {
        if body.length() == 0 {
            progress.handed_over.store(true, Ordering::Relaxed);
        }
        Self {
            body,
            position: 0,
            progress,
            gate,
            passing: Mutex::new(None),
        }
    }

    fn slice(&self) -> io::Result<Bytes> {
        match &self.body {
            Body::Bytes(bytes) => {
                let start = usize::try_from(self.position).map_err(io::Error::other)?;
                Ok(bytes.slice(start..bytes.len().min(start + SLICE_BYTES)))
            }
            Body::File(range) => {
                let mut slice = Vec::new();
                range.read_slice(self.position, &mut slice)?;
                Ok(Bytes::from(slice))
            }
        }
    }

    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = &self.gate else {
            return Poll::Ready(());
        };
        let passing = self.passing.get_mut().unwrap_or_else(PoisonError::into_inner);
        let pass = passing.get_or_insert_with(|| {
            let left = usize::try_from(self.body.length() - self.position).unwrap_or(SLICE_BYTES);
            let gate = gate.clone();
            self.progress.hold_up(true);
            Box::pin(async move { gate.pass(left.min(SLICE_BYTES)).await })
        });
        ready!(pass.as_mut().poll(context));
        *passing = None;
        self.progress.moved();
        self.progress.hold_up(false);
        Poll::Ready(())
    }
}

impl http_body::Body for FrameBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.position >= self.body.length() {
            return Poll::Ready(None);
        }
        ready!(self.poll_gate(context));
        // Reading on the event loop's own thread: a slice in the page cache takes less time than a hop to a
        // blocking thread.
        let slice = match self.slice() {
            Ok(slice) => slice,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        self.position += slice.len() as u64;
        self.progress.moved();
        if self.position >= self.body.length() {
            self.progress.handed_over.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.position >= self.body.length()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.length() - self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(length: u64) -> FileRange {
        let mut file = tempfile::tempfile().expect("temporary file");
        io::Write::write_all(&mut file, &vec![7; SLICE_BYTES + 10]).expect("write");
        FileRange {
            file,
            offset: 5,
            length,
            identity: None,
        }
    }

    #[test]
    fn a_file_range_is_read_in_slices_and_notices_a_shorter_file() {
        let exact = range(SLICE_BYTES as u64 + 4);
        let mut slice = Vec::new();
        exact.read_slice(0, &mut slice).expect("first");
        assert_eq!(slice.len(), SLICE_BYTES);
        exact.read_slice(SLICE_BYTES as u64, &mut slice).expect("second");
        assert_eq!(slice, vec![7; 4]);
        let beyond = range(SLICE_BYTES as u64 + 6);
        let error = beyond
            .read_slice(SLICE_BYTES as u64, &mut slice)
            .expect_err("too short");
        assert!(FileChanged::caused(&error), "{error}");
    }

    #[test]
    fn the_last_slice_of_a_file_that_changed_is_not_given_out() {
        let mut whole = range(SLICE_BYTES as u64 + 5);
        whole.identity = Some(FileIdentity::of(&whole.file).expect("stat"));
        let mut slice = Vec::new();
        whole
            .read_slice(SLICE_BYTES as u64, &mut slice)
            .expect("unchanged");
        whole.file.set_len(4 * SLICE_BYTES as u64).expect("grown");
        whole.read_slice(0, &mut slice).expect("not the last");
        let error = whole
            .read_slice(SLICE_BYTES as u64, &mut slice)
            .expect_err("changed");
        assert!(FileChanged::caused(&error), "{error}");
    }
}
