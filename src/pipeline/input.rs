//! Reading what may keep us waiting, standard input and named pipes, so that a stopped run ends.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use tokio_util::sync::CancellationToken;

use super::UploadRequest;
use crate::transfer::Stopped;

/// How often a reader that waits looks whether the run was stopped.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// A reader that lets go with [`Stopped`] when the run is cancelled: a plain read would wait for the keyboard,
/// or for whoever is to write into a pipe.
pub(super) struct PatientReader {
    /// None for standard input.
    file: Option<File>,
    cancel: CancellationToken,
}

impl PatientReader {
    /// Reads standard input.
    pub(super) fn stdin(cancel: &CancellationToken) -> Self {
        Self {
            file: None,
            cancel: cancel.clone(),
        }
    }

    /// Reads a file, or a pipe that nobody may have opened for writing yet.
    pub(super) fn open(path: &Path, cancel: &CancellationToken) -> io::Result<Self> {
        // Without NONBLOCK, opening a named pipe waits for its writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok(Self {
            file: Some(file),
            cancel: cancel.clone(),
        })
    }
}

impl Read for PatientReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let stdin = io::stdin();
        let source: BorrowedFd<'_> = match &self.file {
            Some(file) => file.as_fd(),
            None => stdin.as_fd(),
        };
        loop {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other(Stopped));
            }
            let mut ready = [PollFd::from_borrowed_fd(source, PollFlags::IN)];
            match poll(&mut ready, Some(&TICK)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            match rustix::io::read(source, &mut *buffer) {
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                outcome => return outcome.map_err(io::Error::from),
            }
        }
    }
}

/// Device and inode of the files that this run itself writes.
pub(super) fn own_outputs(request: &UploadRequest) -> Vec<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    request
        .own_outputs
        .iter()
        .filter_map(|path| fs::metadata(path).ok())
        .filter(fs::Metadata::is_file)
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .collect()
}
