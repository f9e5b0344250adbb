//! A file's content by its hash, read once and certain to be of one state.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};
use sha2::{Digest as _, Sha256};

use crate::config::ChecksumAlgorithm;
use crate::identity::{FileChanged, FileIdentity};
use crate::store::Checksum;
use crate::store::checksum::Hasher;

/// SHA-256 of a content.
pub(super) type Digest = [u8; 32];

/// Bytes that are read at a time.
const SLICE_BYTES: usize = 256 * 1024;
/// Largest file whose content is kept until it is sent: to open a small file again costs as much as all else that is done
/// with it here.
const KEPT_BYTES: u64 = 16 * 1024;
/// How often a file that changes while it is read is begun anew.
const TRIES: u32 = 3;

/// A file that was read.
pub(super) struct FileRead {
    /// What names its content.
    pub(super) digest: Digest,
    /// Of the same bytes; what is sent is compared with it.
    pub(super) checksum: Checksum,
    /// All of it, if it is small.
    pub(super) content: Option<Bytes>,
    /// What the file was all the while.
    pub(super) metadata: Metadata,
}

/// Reads the file at `path` for as long as it `goes_on`; none when that says no, asked before each slice and with what the
/// file is. Neither a link nor anything that would block is opened.
///
/// # Errors
/// It cannot be read, is no regular file, or changed each time while it was read.
pub(super) fn read_file(
    path: &Path,
    algorithm: ChecksumAlgorithm,
    goes_on: &dyn Fn(&Metadata) -> bool,
) -> io::Result<Option<FileRead>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match read_once(path, algorithm, goes_on) {
            Err(error) if FileChanged::caused(&error) && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

fn read_once(
    path: &Path,
    algorithm: ChecksumAlgorithm,
    goes_on: &dyn Fn(&Metadata) -> bool,
) -> io::Result<Option<FileRead>> {
    let (file, metadata) = open(path)?;
    let (mut sha256, mut checksum) = (Sha256::new(), Hasher::new(algorithm));
    let wanted = usize::try_from(metadata.len()).unwrap_or(SLICE_BYTES);
    let mut slice: Vec<u8> = Vec::with_capacity(SLICE_BYTES.min(wanted.max(1)));
    let mut left = metadata.len();
    loop {
        if !goes_on(&metadata) {
            return Ok(None);
        }
        if slice.len() == slice.capacity() {
            slice.clear();
        }
        let at = slice.len();
        let length = retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut slice)))?;
        // One that says it is empty may be made as it is read; one that is as long as it says is looked at afterwards.
        left = left.checked_sub(length as u64).ok_or(FileChanged)?;
        sha256.update(&slice[at..]);
        checksum.update(&slice[at..]);
        if length == 0 || left == 0 {
            break;
        }
    }
    if left > 0 {
        // It was cut off, or says that it is longer than it is, as files of /sys do.
        return Err(FileChanged.into());
    }
    FileIdentity::from(&metadata).ensure(&file)?;
    Ok(Some(FileRead {
        digest: sha256.finalize().into(),
        checksum: checksum.finish(),
        content: (metadata.len() <= KEPT_BYTES).then(|| slice.into()),
        metadata,
    }))
}

/// Opens what was a regular file a moment ago.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path);
    let file = match opened {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => return Err(FileChanged.into()),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(FileChanged.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_content() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("f");
        std::fs::write(&path, "hello").expect("written");
        let read = |path: &Path| read_file(path, ChecksumAlgorithm::Crc64Nvme, &|_| true);
        let found = read(&path).expect("read").expect("not over");
        assert_eq!(
            crate::store::hex(&found.digest),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(found.metadata.len(), 5);
        assert_eq!(found.content.as_deref(), Some(&b"hello"[..]));
        let large = vec![7; 3 * SLICE_BYTES + 1];
        std::fs::write(directory.path().join("large"), &large).expect("written");
        let found_large = read(&directory.path().join("large"))
            .expect("read")
            .expect("not over");
        assert_eq!(found_large.digest[..], Sha256::digest(&large)[..]);
        assert!(found_large.content.is_none());
        let link = directory.path().join("l");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert!(read(&link).is_err(), "a link is not followed");
        assert!(read(directory.path()).is_err());
        let stopped = read_file(&path, ChecksumAlgorithm::Crc64Nvme, &|_| false).expect("no trouble");
        assert!(stopped.is_none());
    }

    #[test]
    fn a_file_that_is_longer_than_it_says_has_no_content() {
        let made_as_it_is_read = Path::new("/proc/self/status");
        let error = read_file(made_as_it_is_read, ChecksumAlgorithm::Crc64Nvme, &|_| true);
        assert!(FileChanged::caused(&error.err().expect("changed")));
    }

    #[test]
    fn a_file_that_is_shorter_than_it_says_has_no_content() {
        let shorter = Path::new("/sys/class/net/lo/mtu");
        assert_eq!(std::fs::metadata(shorter).expect("there").len(), 4_096);
        let error = read_file(shorter, ChecksumAlgorithm::Crc64Nvme, &|_| true);
        assert!(FileChanged::caused(&error.err().expect("changed")));
    }
}
