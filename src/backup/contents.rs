//! Contents by their hash: that of a file, and which of them the bucket has.

use std::collections::HashSet;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};

use super::layout::hash_of_key;
use crate::error::Result;
use crate::identity::{FileChanged, FileIdentity};
use crate::pipeline::Stored;

/// SHA-256 of a content.
pub(super) type Digest = [u8; 32];

/// Bytes that are read at a time.
const SLICE_BYTES: usize = 256 * 1024;
/// How often a file that changes while it is read is begun anew.
const TRIES: u32 = 3;

/// The SHA-256 of the file at `path`, and what it was all the while. Neither a link nor anything that would block is
/// opened.
///
/// # Errors
/// It cannot be read, is no regular file, or changed each time while it was read.
pub(super) fn digest_of(path: &Path) -> io::Result<(Digest, Metadata)> {
    let mut tries = 0;
    loop {
        tries += 1;
        match digest_once(path) {
            Err(error) if FileChanged::caused(&error) && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

fn digest_once(path: &Path) -> io::Result<(Digest, Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file: File = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileChanged.into());
    }
    let mut hasher = Sha256::new();
    let mut slice = vec![0; SLICE_BYTES.min(usize::try_from(metadata.len()).unwrap_or(SLICE_BYTES).max(1))];
    loop {
        match file.read(&mut slice)? {
            0 => break,
            length => hasher.update(&slice[..length]),
        }
    }
    FileIdentity::from(&metadata).ensure(&file)?;
    Ok((hasher.finalize().into(), metadata))
}

/// Which contents the bucket has, or is about to have: 32 bytes each.
pub(super) struct Contents {
    prefix: String,
    /// Asked for when it is first wanted.
    listing: Option<Stored>,
    /// Page by page, in the order of the hashes.
    stored: Vec<Vec<Digest>>,
    begun: HashSet<Digest>,
}

/// Hashes that lie together.
const PAGE: usize = 4_096;

impl Contents {
    /// Those below `prefix`, of which `listing` is all that is stored there.
    pub(super) fn new(prefix: &str, listing: Stored) -> Self {
        Self {
            prefix: prefix.to_owned(),
            listing: Some(listing),
            stored: Vec::new(),
            begun: HashSet::new(),
        }
    }

    fn list(&mut self) -> Result<()> {
        let Some(listing) = self.listing.take() else {
            return Ok(());
        };
        let mut page = Vec::with_capacity(PAGE);
        for object in listing {
            if let Some(digest) = hash_of_key(&self.prefix, &object?.key) {
                page.push(digest);
            }
            if page.len() == PAGE {
                self.stored
                    .push(std::mem::replace(&mut page, Vec::with_capacity(PAGE)));
            }
        }
        self.stored.push(page);
        Ok(())
    }

    /// Whether the content at `key` is neither stored nor on its way; it counts as on its way then.
    ///
    /// # Errors
    /// What is stored cannot be listed.
    pub(super) fn lacks(&mut self, key: &str) -> Result<bool> {
        self.list()?;
        let Some(digest) = hash_of_key(&self.prefix, key) else {
            return Ok(true);
        };
        let page = self
            .stored
            .partition_point(|page| page.last().is_some_and(|last| *last < digest));
        let is_stored = self
            .stored
            .get(page)
            .is_some_and(|page| page.binary_search(&digest).is_ok());
        Ok(!is_stored && self.begun.insert(digest))
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
        let (digest, metadata) = digest_of(&path).expect("read");
        assert_eq!(
            crate::store::hex(&digest),
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        );
        assert_eq!(metadata.len(), 5);
        let link = directory.path().join("l");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert!(digest_of(&link).is_err(), "a link is not followed");
        assert!(digest_of(directory.path()).is_err());
    }
}
