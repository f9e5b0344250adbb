//! Opening and reading local files so that a changed one is noticed and a special one is never opened.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::event::{Failure, FailureKind};
use crate::identity::{FileChanged, FileIdentity};

/// Why a file could not be read as one consistent whole.
#[derive(Debug)]
pub(super) enum ReadTrouble {
    /// It was not the same after as before; worth another try.
    Changed,
    /// This run itself writes it.
    OwnOutput,
    /// It cannot be read.
    Failed(Failure),
}

/// Whether a link is followed at the last moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    Follow,
    Refuse,
}

impl From<io::Error> for ReadTrouble {
    fn from(error: io::Error) -> Self {
        if FileChanged::caused(&error) {
            Self::Changed
        } else {
            unreadable(error.to_string())
        }
    }
}

fn unreadable(message: impl Into<String>) -> ReadTrouble {
    ReadTrouble::Failed(Failure::new(FailureKind::Unreadable, message))
}

fn trouble(errno: Errno) -> ReadTrouble {
    match errno {
        Errno::NOENT => ReadTrouble::Failed(Failure::new(FailureKind::Vanished, "the file is gone")),
        Errno::LOOP => unreadable("it is a symbolic link now"),
        errno => io::Error::from(errno).into(),
    }
}

/// Opens a regular file for reading. A FIFO or device that took its place is refused without being read:
/// `O_NONBLOCK` keeps the open itself from waiting.
pub(super) fn open(path: &Path, links: Links) -> Result<(File, FileIdentity), ReadTrouble> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(trouble)?);
    let stat = rustix::fs::fstat(&file).map_err(trouble)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(unreadable("it is not a regular file now"));
    }
    Ok((file, FileIdentity::of_stat(&stat)))
}

/// All bytes of a small file, certain to be of one state.
pub(super) fn read_whole(file: &File, before: &FileIdentity) -> Result<Bytes, ReadTrouble> {
    let size = usize::try_from(before.size_bytes).map_err(|_| ReadTrouble::Changed)?;
    // Exactly as long as it should be: whether it has grown, the look at the file afterwards finds. Files that say they
    // are empty may be made as they are read, as those of /proc are, and are asked for a byte.
    let mut bytes = Vec::with_capacity(size.max(1));
    while bytes.len() < size.max(1) {
        let offset = bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), offset) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
    }
    if bytes.len() != size {
        return Err(ReadTrouble::Changed);
    }
    before.ensure(file)?;
    Ok(Bytes::from(bytes))
}

/// How long to wait before a file that changed is looked at again.
pub(super) fn settle_time(attempt: u32) -> Duration {
    Duration::from_millis(300) * attempt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_pipe_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .expect("mkfifo");
        assert!(
            matches!(open(&path, Links::Refuse), Err(ReadTrouble::Failed(failure)) if failure.message.contains("regular"))
        );
    }

    #[test]
    fn a_file_that_only_says_it_is_empty_is_not_taken_for_empty() {
        let path = Path::new("/proc/self/status");
        let (file, before) = open(path, Links::Refuse).map_err(|_| ()).expect("open");
        assert_eq!(before.size_bytes, 0);
        assert!(matches!(read_whole(&file, &before), Err(ReadTrouble::Changed)));
    }

    #[test]
    fn a_link_is_refused_unless_asked_for() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        std::fs::write(&file, "x").expect("write");
        std::os::unix::fs::symlink(&file, &link).expect("link");
        assert!(open(&link, Links::Refuse).is_err());
        assert!(open(&link, Links::Follow).is_ok());
    }

    #[test]
    fn growth_shrinking_and_rewriting_are_noticed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("file");
        for change in ["longer than before", "s", "SAME_SIZE"] {
            std::fs::write(&path, "same_size").expect("write");
            let (file, before) = open(&path, Links::Refuse).map_err(|_| ()).expect("open");
            assert_eq!(
                read_whole(&file, &before).map_err(|_| ()).expect("unchanged"),
                "same_size"
            );
            // The clock that stamps files ticks every few milliseconds.
            std::thread::sleep(Duration::from_millis(20));
            std::fs::write(&path, change).expect("write");
            assert!(
                matches!(read_whole(&file, &before), Err(ReadTrouble::Changed)),
                "{change}"
            );
        }
    }
}
