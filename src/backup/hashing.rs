//! A file's content by its hash, read once and certain to be of one state.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use crate::config::ChecksumAlgorithm;
use crate::identity::{FileChanged, FileIdentity};
use crate::store::Checksum;
use crate::store::checksum::Hasher;

/// SHA-256 of a content.
pub(super) type Digest = [u8; 32];

/// Bytes that are read at a time.
const SLICE_BYTES: usize = 256 * 1024;
/// How often a file that changes while it is read is begun anew.
const TRIES: u32 = 3;

/// A file that was read.
pub(super) struct FileRead {
    /// What names its content.
    pub(super) digest: Digest,
    /// Of the same bytes; what is sent is compared with it.
    pub(super) checksum: Checksum,
    /// What the file was all the while.
    pub(super) metadata: Metadata,
}

/// Reads the file at `path`; none when `is_over` says so on the way. Neither a link nor anything that would block is opened.
///
/// # Errors
/// It cannot be read, is no regular file, or changed each time while it was read.
pub(super) fn read_file(
    path: &Path,
    algorithm: ChecksumAlgorithm,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<FileRead>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match read_once(path, algorithm, is_over) {
            Err(error) if FileChanged::caused(&error) && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

fn read_once(
    path: &Path,
    algorithm: ChecksumAlgorithm,
    is_over: &dyn Fn() -> bool,
) -> io::Result<Option<FileRead>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileChanged.into());
    }
    let (mut sha256, mut checksum) = (Sha256::new(), Hasher::new(algorithm));
    let wanted = usize::try_from(metadata.len()).unwrap_or(SLICE_BYTES);
    let mut slice = vec![0; SLICE_BYTES.min(wanted.max(1))];
    let mut left = metadata.len();
    loop {
        if is_over() {
            return Ok(None);
        }
        let length = file.read(&mut slice)?;
        if length == 0 {
            break;
        }
        // One that grows as fast as it is read would have no end.
        left = left.checked_sub(length as u64).ok_or(FileChanged)?;
        sha256.update(&slice[..length]);
        checksum.update(&slice[..length]);
    }
    FileIdentity::from(&metadata).ensure(&file)?;
    Ok(Some(FileRead {
        digest: sha256.finalize().into(),
        checksum: checksum.finish(),
        metadata,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_content() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("f");
        std::fs::write(&path, "hello").expect("written");
        let read = |path: &Path| read_file(path, ChecksumAlgorithm::Crc64Nvme, &|| false);
        let found = read(&path).expect("read").expect("not over");
        assert_eq!(
            crate::store::hex(&found.digest),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(found.metadata.len(), 5);
        let link = directory.path().join("l");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert!(read(&link).is_err(), "a link is not followed");
        assert!(read(directory.path()).is_err());
        let stopped = read_file(&path, ChecksumAlgorithm::Crc64Nvme, &|| true).expect("no trouble");
        assert!(stopped.is_none());
    }

    #[test]
    fn a_file_that_is_longer_than_it_says_has_no_content() {
        let made_as_it_is_read = Path::new("/proc/self/status");
        let error = read_file(made_as_it_is_read, ChecksumAlgorithm::Crc64Nvme, &|| false);
        assert!(FileChanged::caused(&error.err().expect("changed")));
    }
}
