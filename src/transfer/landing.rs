//! Bytes of an object on their way into a file: each goes to its place, is counted, and summed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::store::checksum::Hasher;

/// Bytes that come, on their way into a file.
pub(super) struct Landing<'a> {
    pub(super) file: &'a File,
    pub(super) first: u64,
    pub(super) came: u64,
    pub(super) hasher: Hasher,
}

impl Landing<'_> {
    /// Takes the next bytes of `length` that are to come. More than those are not taken.
    pub(super) fn take(&mut self, bytes: &[u8], length: u64) -> io::Result<()> {
        if self.came + bytes.len() as u64 > length {
            return Err(io::Error::other("more bytes came than the object has"));
        }
        self.file.write_all_at(bytes, self.first + self.came)?;
        self.hasher.update(bytes);
        self.came += bytes.len() as u64;
        Ok(())
    }
}
