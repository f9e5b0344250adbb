//! The entries of one directory of the walk: as the file system has them, or in the order of their keys.

use std::cmp::Ordering;
use std::ffi::{OsStr, OsString};
use std::fs::{self, FileType, ReadDir};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::key;

/// In which order a walk yields what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WalkOrder {
    /// As the file system has it: memory does not grow with directories.
    #[default]
    AsFound,
    /// By the bytes of the keys, as listings are: the names of one directory a level are held.
    ByKey,
}

/// An open directory.
pub(super) struct Level {
    pub(super) path: PathBuf,
    /// Device and inode, to find loops; only looked up when links are followed.
    pub(super) identity: Option<(u64, u64)>,
    entries: Entries,
}

enum Entries {
    AsFound(Option<ReadDir>),
    ByKey(Sorted),
}

/// One entry: its path, and what it is.
pub(super) type Entry = (PathBuf, io::Result<FileType>);

impl Level {
    /// Opens the directory at `path`, whose path relative to the source is `relative`.
    ///
    /// # Errors
    /// It cannot be opened. One that can be read in part is read in part.
    pub(super) fn open(
        path: PathBuf,
        relative: &Path,
        identity: Option<(u64, u64)>,
        (order, follows_links): (WalkOrder, bool),
    ) -> io::Result<Self> {
        let found = fs::read_dir(&path)?;
        let entries = match order {
            WalkOrder::AsFound => Entries::AsFound(Some(found)),
            WalkOrder::ByKey => Entries::ByKey(Sorted::read(found, &path, relative, follows_links)),
        };
        Ok(Self {
            path,
            identity,
            entries,
        })
    }
}

impl Level {
    /// What ended the reading of the directory before its end, as far as that is known beforehand: in the order of the keys.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        match &mut self.entries {
            Entries::AsFound(_) => None,
            Entries::ByKey(sorted) => sorted.failed.take(),
        }
    }
}

impl Iterator for Level {
    /// An error is the end of what can be read of the directory; entries may still follow it.
    type Item = io::Result<Entry>;

    fn next(&mut self) -> Option<io::Result<Entry>> {
        match &mut self.entries {
            Entries::AsFound(found) => match found.as_mut()?.next()? {
                Ok(entry) => Some(Ok((entry.path(), entry.file_type()))),
                Err(error) => {
                    *found = None;
                    Some(Err(error))
                }
            },
            Entries::ByKey(sorted) => {
                let place = sorted.places.pop()?;
                let path = self.path.join(OsStr::from_bytes(sorted.name(&place)));
                let file_type = place.file_type.map_err(io::Error::from_raw_os_error);
                Some(Ok((path, file_type)))
            }
        }
    }
}

/// The names of a directory, packed: a million of them in one directory are a few dozen MiB.
#[derive(Default)]
struct Sorted {
    names: Vec<u8>,
    /// From the last to the first.
    places: Vec<Place>,
    /// What ended the reading before its end.
    failed: Option<io::Error>,
}

struct Place {
    start: u32,
    length: u16,
    /// Or the number of the error that hides it.
    file_type: Result<FileType, i32>,
    /// Its keys go on with a slash.
    is_directory: bool,
}

impl Sorted {
    fn read(found: ReadDir, path: &Path, relative: &Path, follows_links: bool) -> Self {
        let mut sorted = Self::default();
        for entry in found {
            match entry {
                Ok(entry) => sorted.push(entry.file_name(), entry.file_type(), path, follows_links),
                Err(error) => {
                    sorted.failed = Some(error);
                    break;
                }
            }
        }
        sorted.sort(relative);
        sorted
    }

    fn push(
        &mut self,
        name: OsString,
        file_type: io::Result<FileType>,
        directory: &Path,
        follows_links: bool,
    ) {
        let leads_to_directory =
            || fs::metadata(directory.join(&name)).is_ok_and(|metadata| metadata.is_dir());
        let is_directory = file_type.as_ref().is_ok_and(|file_type| {
            file_type.is_dir() || (follows_links && file_type.is_symlink() && leads_to_directory())
        });
        let file_type = file_type.map_err(|error| error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()));
        let name = name.into_vec();
        let start = u32::try_from(self.names.len());
        let (Ok(start), Ok(length)) = (start, u16::try_from(name.len())) else {
            let error = io::Error::other("the directory has more names than fit into 4 GiB");
            self.failed = Some(error);
            return;
        };
        self.places.push(Place {
            start,
            length,
            file_type,
            is_directory,
        });
        self.names.extend(name);
    }

    fn name(&self, place: &Place) -> &[u8] {
        &self.names[place.start as usize..][..usize::from(place.length)]
    }

    /// Puts the last key first, because they are taken from the end.
    fn sort(&mut self, relative: &Path) {
        let mut places = std::mem::take(&mut self.places);
        let name = |place: &Place| (self.name(place), place.is_directory);
        if places.iter().all(|place| key::is_its_own_key(self.name(place))) {
            places.sort_unstable_by(|a, b| by_key(name(b), name(a)));
        } else {
            places.sort_by_cached_key(|place| {
                let mut path = relative
                    .join(OsStr::from_bytes(self.name(place)))
                    .into_os_string();
                if place.is_directory {
                    path.push("/");
                }
                std::cmp::Reverse(key::encode(path.as_bytes()).text)
            });
        }
        self.places = places;
    }
}

/// The order of the keys that begin with two names of one directory.
fn by_key((a, a_is_directory): (&[u8], bool), (b, b_is_directory): (&[u8], bool)) -> Ordering {
    let shared = a.len().min(b.len());
    let next = |name: &[u8], is_directory: bool| match name.get(shared) {
        Some(byte) => Some(*byte),
        None => is_directory.then_some(b'/'),
    };
    a[..shared]
        .cmp(&b[..shared])
        .then_with(|| next(a, a_is_directory).cmp(&next(b, b_is_directory)))
}
