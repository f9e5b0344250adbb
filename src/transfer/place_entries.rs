//! What is made at a place and is no file with a content: directories, links, other names.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::place::{Place, Spot, on, open_directory, set_modified, times};

impl Place {
    /// Makes it a directory, if nothing is there.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub(crate) fn make_directory(&self) -> io::Result<()> {
        let Some(spot) = self.spot(true, "")? else {
            return Ok(());
        };
        match rustix::fs::mkdirat(&spot.directory, &spot.name, Mode::from_raw_mode(0o700)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => open_directory(&spot.directory, &spot.name, OFlags::NOFOLLOW)
                .map(|_| ())
                .map_err(|errno| on(&self.path(), errno)),
            Err(errno) => Err(on(&self.path(), errno)),
        }
    }

    /// Gives the directory that is there its permissions and its time.
    ///
    /// # Errors
    /// It is no directory, or they cannot be set.
    pub(crate) fn finish_directory(&self, mode: u32, modified: i128) -> io::Result<()> {
        let Some(spot) = self.spot(false, "")? else {
            return Ok(());
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory: File = rustix::fs::openat(&spot.directory, &spot.name, flags, Mode::empty())?.into();
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode & 0o777))?;
        set_modified(&directory, modified)
    }

    /// Makes it a symbolic link to `target`, of that time. True when it was not one before.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub(crate) fn make_link(&self, target: &Path, modified: i128) -> io::Result<bool> {
        let Some(spot) = self.spot(true, "")? else {
            return Ok(false);
        };
        match rustix::fs::symlinkat(target, &spot.directory, &spot.name) {
            Ok(()) => {
                let times = times(modified)?;
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::utimensat(&spot.directory, &spot.name, &times, flags)?;
                Ok(true)
            }
            Err(Errno::EXIST) => {
                let there = rustix::fs::readlinkat(&spot.directory, &spot.name, Vec::new());
                match there {
                    Ok(there) if there.as_bytes() == target.as_os_str().as_bytes() => Ok(false),
                    _ => Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "something else is there",
                    )),
                }
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes it another name of the file at `first`. True when it was not one before.
    ///
    /// # Errors
    /// Something else is there, or it cannot be made.
    pub(crate) fn make_name_of(&self, first: &Self) -> io::Result<bool> {
        let (Some(spot), Some(first)) = (self.spot(true, "")?, first.spot(false, "")?) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "its first name is not there",
            ));
        };
        let linked = rustix::fs::linkat(
            &first.directory,
            &first.name,
            &spot.directory,
            &spot.name,
            AtFlags::empty(),
        );
        let node = |spot: &Spot| {
            rustix::fs::statat(&spot.directory, &spot.name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| (stat.st_dev, stat.st_ino))
        };
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) if node(&spot)? == node(&first)? => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}
