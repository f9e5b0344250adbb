//! Where an object is written: a name below a directory, reached without following a link.
//!
//! Keys are hostile input. The way from the root is walked one name at a time, and each is opened as a directory or not at
//! all (`O_DIRECTORY | O_NOFOLLOW`), so no key and no link that somebody puts on the way leads out of the root.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::task::path_bytes;
use super::told::Told;
use crate::store::hex;

/// What happens to a file that is there already and is not what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overwrite {
    /// It stays, and the object counts as failed: nobody has said what should happen.
    #[default]
    Refuse,
    /// It stays, and the object counts as left out.
    Never,
    /// It is replaced if it was modified before the object's file was.
    Older,
    /// It is replaced.
    Always,
}

/// Where an object is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// An existing directory.
    #[serde(with = "path_bytes")]
    pub root: PathBuf,
    /// Names below it, and nothing else: see [`Place::new`].
    #[serde(with = "path_bytes")]
    relative: PathBuf,
    /// What happens to a file that is there.
    pub overwrite: Overwrite,
    /// ETag of the object, without quotes; none where its key says what is in it.
    pub etag: Option<String>,
    /// None where the object itself says what the file is.
    pub told: Option<Box<Told>>,
}

/// What is at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occupant {
    Nobody,
    /// A regular file of so many bytes, modified so many nanoseconds after the Unix epoch.
    File {
        size_bytes: u64,
        modified: i128,
    },
    Link,
    Other,
}

/// An open directory and a name in it.
pub(super) struct Spot {
    pub(super) directory: OwnedFd,
    pub(super) name: OsString,
    temporary: String,
    /// Nobody else reads it before it has its permissions.
    is_private: bool,
}

pub(super) fn open_directory(
    at: impl std::os::fd::AsFd,
    name: &OsStr,
    follow: OFlags,
) -> Result<OwnedFd, Errno> {
    // Only a place to go on from: directories that may be passed and not be read are on many ways.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

impl Place {
    /// The place at `relative` below `root`. None when it is not made of plain names: empty, absolute, with `.` or `..` or
    /// two slashes in a row, or with a NUL.
    pub fn new(root: &Path, relative: &Path, overwrite: Overwrite, etag: Option<&str>) -> Option<Self> {
        let bytes = relative.as_os_str().as_bytes();
        let is_name = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
        bytes.split(|byte| *byte == b'/').all(is_name).then(|| Self {
            root: root.to_owned(),
            relative: relative.to_owned(),
            overwrite,
            etag: etag.map(str::to_owned),
            told: None,
        })
    }

    /// The same where somebody else than the object says what the file is.
    #[must_use]
    pub(crate) fn with(self, told: Told) -> Self {
        Self {
            told: Some(Box::new(told)),
            ..self
        }
    }

    /// Whether an object with this ETag is the one that is meant.
    pub(super) fn is_of(&self, etag: &str) -> bool {
        self.etag.as_ref().is_none_or(|meant| meant == etag)
    }

    /// Bytes on the disk that an earlier run has brought of the object of `key`.
    pub(crate) fn brought_bytes(&self, key: &str) -> u64 {
        let spot = self.spot(false, key).ok().flatten();
        let metadata = spot.and_then(|spot| spot.open_temporary().ok()?.metadata().ok());
        metadata.map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// The whole path, for people.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    /// The spot of this place. Directories on the way are made if they are missing and `makes` says so; else there is none.
    ///
    /// # Errors
    /// Something on the way is no directory, or cannot be opened or made; which it is, is said.
    pub(super) fn spot(&self, makes: bool, key: &str) -> io::Result<Option<Spot>> {
        let mut directory = match open_directory(CWD, self.root.as_os_str(), OFlags::empty()) {
            Err(Errno::NOENT) if !makes => return Ok(None),
            opened => opened.map_err(|errno| on(&self.root, errno))?,
        };
        let mut way = self.root.clone();
        let names = self.relative.parent().into_iter().flat_map(Path::components);
        for name in names.filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        }) {
            way.push(name);
            directory = match open_directory(&directory, name, OFlags::NOFOLLOW) {
                Err(Errno::NOENT) if !makes => return Ok(None),
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&directory, name, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(errno) => return Err(on(&way, errno)),
                    }
                    open_directory(&directory, name, OFlags::NOFOLLOW).map_err(|errno| on(&way, errno))?
                }
                opened => opened.map_err(|errno| on(&way, errno))?,
            };
        }
        Ok(self.relative.file_name().map(|name| Spot {
            directory,
            name: name.to_owned(),
            temporary: self.temporary(key),
            is_private: self.told.is_some(),
        }))
    }

    /// Name of the temporary file of the object of `key` here.
    pub(super) fn temporary(&self, key: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(key.as_bytes());
        digest.update([0]);
        digest.update(self.etag.as_deref().unwrap_or_default());
        if self.told.is_some() {
            // Several files of one directory may have one content.
            digest.update(self.relative.as_os_str().as_bytes());
        }
        format!(".s3haul-{}.part", hex(&digest.finalize()[..8]))
    }
}

/// Whether it is a name that [`Place::spot`] gives to a temporary file.
fn is_temporary(name: &str) -> bool {
    let middle = name
        .strip_prefix(".s3haul-")
        .and_then(|rest| rest.strip_suffix(".part"));
    middle.is_some_and(|hex| hex.len() == 16 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// What `path` is when it should be a directory.
pub(super) fn on(path: &Path, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    let what = match errno {
        Errno::LOOP | Errno::NOTDIR => "is no directory (a link is not followed)".to_owned(),
        _ => error.to_string(),
    };
    io::Error::new(error.kind(), format!("'{}' {what}", path.display()))
}

impl Spot {
    /// What is there, without following a link.
    pub(super) fn occupant(&self) -> io::Result<Occupant> {
        let stat = match self.stat() {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Occupant::Nobody),
            Err(errno) => return Err(errno.into()),
        };
        Ok(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Occupant::File {
                size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
                modified: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            },
            FileType::Symlink => Occupant::Link,
            _ => Occupant::Other,
        })
    }

    /// Opens the file that is there for reading.
    pub(super) fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.directory, &self.name, flags, Mode::empty())?.into())
    }

    /// Makes the temporary file anew, readable and writable.
    pub(super) fn make_temporary(&self) -> io::Result<File> {
        self.remove_temporary()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if self.is_private { 0o600 } else { 0o666 });
        Ok(rustix::fs::openat(&self.directory, self.temporary.as_str(), flags, mode)?.into())
    }

    /// Opens the temporary file that is there.
    pub(super) fn open_temporary(&self) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file: File =
            rustix::fs::openat(&self.directory, self.temporary.as_str(), flags, Mode::empty())?.into();
        let stat = rustix::fs::fstat(&file)?;
        let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 1;
        if is_ours {
            Ok(file)
        } else {
            Err(io::Error::other("the temporary file is not ours"))
        }
    }

    /// What is there, without following a link.
    pub(super) fn stat(&self) -> Result<rustix::fs::Stat, Errno> {
        rustix::fs::statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Name of the temporary file.
    pub(super) fn temporary_name(&self) -> &str {
        &self.temporary
    }

    /// Removes the temporary file, if there is one.
    pub(super) fn remove_temporary(&self) -> io::Result<()> {
        self.remove(&self.temporary)
    }

    /// Removes the temporary file of that name, if there is one; nothing of another name.
    pub(super) fn remove(&self, temporary: &str) -> io::Result<()> {
        if !is_temporary(temporary) {
            return Ok(());
        }
        match rustix::fs::unlinkat(&self.directory, temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Gives the temporary file its name, in place of a file that is there only if that is allowed.
    pub(super) fn settle(&self, replaces: bool) -> io::Result<()> {
        let flags = if replaces {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        let (directory, temporary) = (&self.directory, self.temporary.as_str());
        match rustix::fs::renameat_with(directory, temporary, directory, &self.name, flags) {
            // A file system that knows no such rename: a link does not replace either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(directory, temporary, directory, &self.name, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(directory, temporary, AtFlags::empty())?)
            }
            renamed => Ok(renamed?),
        }
    }
}

/// A time of modification in nanoseconds since the Unix epoch, for a file whose other times stay.
pub(super) fn times(modified: i128) -> io::Result<Timestamps> {
    let second = 1_000_000_000;
    Ok(Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: i64::try_from(modified.div_euclid(second)).map_err(io::Error::other)?,
            tv_nsec: i64::try_from(modified.rem_euclid(second)).map_err(io::Error::other)?,
        },
    })
}

/// Sets the time of modification of an open file, in nanoseconds since the Unix epoch.
pub(super) fn set_modified(file: &File, modified: i128) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &times(modified)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn place(root: &Path, relative: &str) -> Option<Place> {
        Place::new(root, Path::new(relative), Overwrite::Refuse, Some("e"))
    }

    #[test]
    fn only_plain_names_are_places() {
        let root = Path::new("/r");
        for wrong in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "a/",
            "./a",
            "a/.",
            "..",
            "a\0b",
        ] {
            assert!(place(root, wrong).is_none(), "{wrong:?}");
        }
        for right in ["a", "a/b", "..a/b..", "...", " ", "a\nb", "\\..\\x"] {
            assert!(place(root, right).is_some(), "{right:?}");
        }
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let (root, outside) = (tempfile::tempdir().expect("a"), tempfile::tempdir().expect("b"));
        symlink(outside.path(), root.path().join("link")).expect("link");
        fs::create_dir(root.path().join("real")).expect("made");
        symlink(outside.path(), root.path().join("real/deep")).expect("link");
        for way in ["link/x", "real/deep/x", "link/new/x"] {
            let error = place(root.path(), way)
                .expect("plain")
                .spot(true, "k")
                .map(|_| ())
                .expect_err(way);
            assert!(error.to_string().contains("a link is not followed"), "{error}");
        }
        assert_eq!(fs::read_dir(outside.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_file_gets_its_name_when_it_is_whole_and_replaces_nobody_unasked() {
        let root = tempfile::tempdir().expect("a directory");
        let place = place(root.path(), "a/b/c").expect("plain");
        assert!(
            place.spot(false, "k").expect("no trouble").is_none(),
            "nothing is made"
        );
        let spot = place.spot(true, "k").expect("made").expect("there");
        assert_eq!(spot.occupant().expect("looked"), Occupant::Nobody);
        let file = spot.make_temporary().expect("made");
        set_modified(&file, -1_500_000_000).expect("set");
        spot.settle(false).expect("named");
        let expected = Occupant::File {
            size_bytes: 0,
            modified: -1_500_000_000,
        };
        assert_eq!(spot.occupant().expect("looked"), expected);
        spot.make_temporary().expect("again");
        assert!(spot.settle(false).is_err());
        spot.settle(true).expect("asked for");
        let names: Vec<_> = fs::read_dir(root.path().join("a/b")).expect("readable").collect();
        assert_eq!(names.len(), 1, "nothing else is left");
    }
}
