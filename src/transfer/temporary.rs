//! Temporary files of objects that come down: their room, their names in the books, their end.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::place::{Overwrite, Place, Spot};
use crate::source::key;

/// What statfs(2) calls tmpfs.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// A temporary file that goes when it is given up, also by a future that is dropped.
pub(super) struct Unfinished<'a>(Option<&'a Spot>);

impl<'a> Unfinished<'a> {
    pub(super) fn new(spot: &'a Spot) -> Self {
        Self(Some(spot))
    }

    /// It has its name.
    pub(super) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(spot) = self.0 {
            // Why it was given up is worth more than why it stays.
            let _ = spot.remove_temporary();
        }
    }
}

/// Gives `file` its size, and its room on the disk: each write then costs a third less.
pub(super) fn allocate(file: &File, size_bytes: u64) -> io::Result<()> {
    // What lies in memory would be cleared to be allocated, and then written again.
    let is_in_memory = rustix::fs::fstatfs(file)?.f_type == TMPFS;
    if !is_in_memory {
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
            outcome => return Ok(outcome?),
        }
    }
    file.set_len(size_bytes)
}

/// What takes the place of an upload id where the object of `key` comes down to `place`: the path of its temporary file, as
/// text.
pub(super) fn name_of_temporary(place: &Place, key: &str) -> String {
    let path = place.path().with_file_name(place.temporary(key));
    key::encode(path.as_os_str().as_bytes()).text
}

/// Removes the temporary file of that name, if it is there, without following a link.
///
/// # Errors
/// It cannot be removed.
pub fn remove_temporary(name: &str) -> io::Result<()> {
    let path = PathBuf::from(OsString::from_vec(key::decode(name)));
    let (Ok(below), Some(file)) = (path.strip_prefix("/"), path.file_name()) else {
        return Ok(());
    };
    // Whoever wrote the name down had resolved all links.
    let place = Place::new(Path::new("/"), below, Overwrite::Never, None);
    match place.map(|place| place.spot(false, "")).transpose()?.flatten() {
        Some(spot) => spot.remove(&file.to_string_lossy()),
        None => Ok(()),
    }
}
