//! What is made at a place and is no file with a content: directories, links, other names.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
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

/// What came of something that was to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It is there.
    New,
    /// It was there.
    Same,
    /// Something else is there, and stays, as was asked for.
    LeftOut,
}

/// Gives what was made under a temporary name its own, in place of what may be replaced.
fn take_place(spot: &Spot) -> io::Result<()> {
    let settled = spot.settle(spot.stat().is_ok());
    if settled.is_err() {
        spot.remove_temporary()?;
    }
    settled
}

fn is_taken() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "something else is there; --overwrite always replaces it",
    )
}

impl Place {
    /// Makes it a directory in which things can be made, if nothing is there; a directory that is there becomes one. True when
    /// it was not there.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub(crate) fn make_directory(&self) -> io::Result<bool> {
        let Some(spot) = self.spot(true, "")? else {
            return Ok(false);
        };
        match rustix::fs::mkdirat(&spot.directory, &spot.name, Mode::from_raw_mode(WORKABLE)) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(on(&self.path(), errno)),
        }
        let directory = open_directory(&spot.directory, &spot.name, OFlags::NOFOLLOW)
            .map_err(|errno| on(&self.path(), errno))?;
        let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode & 0o7777);
        if !mode.contains(Mode::from_raw_mode(WORKABLE)) {
            // By what was opened: its name may be that of a link by now. It may be one that cannot be opened for reading.
            let opened = format!("/proc/self/fd/{}", directory.as_raw_fd());
            rustix::fs::chmod(opened, mode | Mode::from_raw_mode(WORKABLE))?;
        }
        Ok(false)
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

    /// Makes it a symbolic link to `target`.
    ///
    /// # Errors
    /// Something else is there, and nobody has said what should happen; or it cannot be made.
    pub(crate) fn make_link(&self, target: &Path, looks: &Looks) -> io::Result<Made> {
        let Some(spot) = self.spot(true, "")? else {
            return Ok(Made::Same);
        };
        let there = rustix::fs::readlinkat(&spot.directory, &spot.name, Vec::new());
        if there.is_ok_and(|there| there.as_bytes() == target.as_os_str().as_bytes()) {
            return Ok(Made::Same);
        }
        if !self.may_be_taken(&spot, looks)? {
            return Ok(Made::LeftOut);
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
        take_place(&spot).map(|()| Made::New)
    }

    /// Makes it another name of the file at `first`.
    ///
    /// # Errors
    /// Something else is there, and nobody has said what should happen; or it cannot be made.
    pub(crate) fn make_name_of(&self, first: &Self, looks: &Looks) -> io::Result<Made> {
        let (Some(spot), Some(first)) = (self.spot(true, "")?, first.spot(false, "")?) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its first name is not there",
            ));
        };
        let node = |spot: &Spot| spot.stat().map(|stat| (stat.st_dev, stat.st_ino));
        let of_first = node(&first)?;
        if node(&spot).is_ok_and(|there| there == of_first) {
            return Ok(Made::Same);
        }
        if !self.may_be_taken(&spot, looks)? {
            return Ok(Made::LeftOut);
        }
        spot.remove_temporary()?;
        rustix::fs::linkat(
            &first.directory,
            &first.name,
            &spot.directory,
            spot.temporary_name(),
            AtFlags::empty(),
        )?;
        take_place(&spot).map(|()| Made::New)
    }

    /// Whether something with these looks may be put here: nothing is there, or it may be replaced.
    fn may_be_taken(&self, spot: &Spot, looks: &Looks) -> io::Result<bool> {
        let stat = match spot.stat() {
            Err(Errno::NOENT) => return Ok(true),
            stat => stat?,
        };
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let modified = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        match self.overwrite {
            Overwrite::Never => Ok(false),
            Overwrite::Older => Ok(!is_directory && looks.modified.is_some_and(|wanted| modified < wanted)),
            Overwrite::Always if !is_directory => Ok(true),
            Overwrite::Always | Overwrite::Refuse => Err(is_taken()),
        }
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
