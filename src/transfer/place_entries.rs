//! What is made at a place and is no file with a content: directories, links, other names.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::place::{Overwrite, Place, Spot, on, open_directory, times};
use super::told::Looks;
use crate::store::hex;

/// Bytes that are read at a time.
const SLICE_BYTES: usize = 256 * 1024;
/// Its owner may do everything in a directory in which things are made.
const WORKABLE: u32 = 0o700;

fn is_taken() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "something else is there; --overwrite always replaces it",
    )
}

impl Place {
    /// Makes it a directory in which things can be made, if nothing is there; a directory that is there becomes one.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub(crate) fn make_directory(&self) -> io::Result<()> {
        let Some(spot) = self.spot(true, "")? else {
            return Ok(());
        };
        match rustix::fs::mkdirat(&spot.directory, &spot.name, Mode::from_raw_mode(WORKABLE)) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(on(&self.path(), errno)),
        }
        open_directory(&spot.directory, &spot.name, OFlags::NOFOLLOW)
            .map_err(|errno| on(&self.path(), errno))?;
        let mode = Mode::from_raw_mode(spot.stat()?.st_mode & 0o777);
        if !mode.contains(Mode::from_raw_mode(WORKABLE)) {
            let mode = mode | Mode::from_raw_mode(WORKABLE);
            // It was a directory and no link a moment ago; whoever can change that may do the same.
            rustix::fs::chmodat(&spot.directory, &spot.name, mode, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Gives the directory that is there these looks.
    ///
    /// # Errors
    /// It is no directory, or they cannot be given.
    pub(crate) fn finish_directory(&self, looks: &Looks) -> io::Result<()> {
        let Some(spot) = self.spot(false, "")? else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory: File = rustix::fs::openat(&spot.directory, &spot.name, flags, Mode::empty())?.into();
        looks.give(&directory)
    }

    /// Makes it a symbolic link to `target`. True when it was not one before.
    ///
    /// # Errors
    /// Something else is there that stays, or it cannot be made.
    pub(crate) fn make_link(&self, target: &Path, looks: &Looks) -> io::Result<bool> {
        let Some(spot) = self.spot(true, "")? else {
            return Ok(false);
        };
        let there = rustix::fs::readlinkat(&spot.directory, &spot.name, Vec::new());
        if there.is_ok_and(|there| there.as_bytes() == target.as_os_str().as_bytes()) {
            return Ok(false);
        }
        spot.remove_temporary()?;
        rustix::fs::symlinkat(target, &spot.directory, spot.temporary_name())?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((user, group)) = looks.owner {
            let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            rustix::fs::chownat(&spot.directory, spot.temporary_name(), user, group, flags)?;
        }
        if let Some(modified) = looks.modified {
            rustix::fs::utimensat(&spot.directory, spot.temporary_name(), &times(modified)?, flags)?;
        }
        self.take_place(&spot).map(|()| true)
    }

    /// Makes it another name of the file at `first`. True when it was not one before.
    ///
    /// # Errors
    /// Something else is there that stays, or it cannot be made.
    pub(crate) fn make_name_of(&self, first: &Self) -> io::Result<bool> {
        let (Some(spot), Some(first)) = (self.spot(true, "")?, first.spot(false, "")?) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its first name is not there",
            ));
        };
        let node = |spot: &Spot| spot.stat().map(|stat| (stat.st_dev, stat.st_ino));
        let of_first = node(&first)?;
        if node(&spot).is_ok_and(|there| there == of_first) {
            return Ok(false);
        }
        spot.remove_temporary()?;
        rustix::fs::linkat(
            &first.directory,
            &first.name,
            &spot.directory,
            spot.temporary_name(),
            AtFlags::empty(),
        )?;
        self.take_place(&spot).map(|()| true)
    }

    /// Gives what was made under a temporary name its own, in place of a file or link only if that is allowed.
    fn take_place(&self, spot: &Spot) -> io::Result<()> {
        let settled = match spot.stat() {
            Err(Errno::NOENT) => spot.settle(false),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(is_taken()),
            Ok(_) if self.overwrite == Overwrite::Always => spot.settle(true),
            Ok(_) => Err(is_taken()),
            Err(errno) => Err(errno.into()),
        };
        if settled.is_err() {
            spot.remove_temporary()?;
        }
        settled
    }

    /// Whether a regular file with this content is there, by reading it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn has_content(&self, sha256: &str) -> io::Result<bool> {
        use io::Read as _;
        let Some(spot) = self.spot(false, "")? else {
            return Ok(false);
        };
        if !spot
            .stat()
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        {
            return Ok(false);
        }
        let (mut file, mut digest, mut slice) = (spot.open()?, Sha256::new(), vec![0; SLICE_BYTES]);
        loop {
            match file.read(&mut slice)? {
                0 => return Ok(hex(&digest.finalize()) == sha256),
                length => digest.update(&slice[..length]),
            }
        }
    }
}
