//! The directory walk: streaming, so that memory does not grow with the tree; one directory a level.

use std::ffi::OsStr;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filter::Filter;
use super::level::{Level, WalkOrder};
use super::roots::{Root, RootKind};
use super::{Found, SourceFile, key};
use crate::event::{Failure, FailureKind, SkipReason};
use crate::identity::FileIdentity;

/// Walks one source. An iterator of [`Found`].
pub struct Walk {
    root: Root,
    filter: Arc<Filter>,
    follow_symlinks: bool,
    order: WalkOrder,
    /// Directories, too, and names that could not be keys.
    yields_all: bool,
    levels: Vec<Level>,
    /// Where to begin; taken by the first `next`.
    start: Option<PathBuf>,
}

impl Walk {
    /// Prepares a walk in the file system's own order; nothing is read before the first `next`.
    pub fn new(root: Root, filter: Arc<Filter>, follow_symlinks: bool) -> Self {
        let start = root.path.clone();
        Self::within(root, start, filter, follow_symlinks)
    }

    /// The same in the order of the keys.
    #[must_use]
    pub fn by_key(self) -> Self {
        Self {
            order: WalkOrder::ByKey,
            ..self
        }
    }

    /// The same with all that there is: directories, each before what is in it, and what has a name that could not be a key.
    /// The key of a file is its name in the tree then, and no more than that.
    #[must_use]
    pub fn of_all(self) -> Self {
        Self {
            yields_all: true,
            ..self
        }
    }

    /// Walks only `path`, which lies in the directory `root`: keys and patterns stay relative to `root`.
    pub(super) fn within(root: Root, path: PathBuf, filter: Arc<Filter>, follow_symlinks: bool) -> Self {
        Self {
            root,
            filter,
            follow_symlinks,
            order: WalkOrder::AsFound,
            yields_all: false,
            levels: Vec::new(),
            start: Some(path),
        }
    }

    /// The path relative to the source. Every path here begins with the source's own, letter by letter, which
    /// `Path::strip_prefix` would not take for granted.
    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        let bytes = path.as_os_str().as_bytes();
        let inside = bytes
            .strip_prefix(self.root.path.as_os_str().as_bytes())
            .unwrap_or(bytes);
        let slashes = inside.iter().take_while(|byte| **byte == b'/').count();
        Path::new(OsStr::from_bytes(&inside[slashes..]))
    }

    fn begin(&mut self, path: PathBuf) -> Option<Found> {
        if self.root.kind == RootKind::File {
            return Some(self.single_file(path));
        }
        if path == self.root.path {
            return self.enter(path);
        }
        let metadata = if self.follow_symlinks {
            fs::metadata(&path)
        } else {
            fs::symlink_metadata(&path)
        };
        match metadata {
            Ok(metadata) if metadata.is_dir() => self.directory(path),
            Ok(metadata) => Some(self.leaf(
                path,
                metadata.file_type(),
                Some(Box::new(FileIdentity::from(&metadata))),
            )),
            Err(error) => Some(Found::failed(path, &error)),
        }
    }

    fn single_file(&self, path: PathBuf) -> Found {
        let name = Path::new(path.file_name().unwrap_or(OsStr::new("")));
        if !self.filter.includes_file(name) {
            return Found::Skipped {
                path,
                reason: SkipReason::Excluded,
            };
        }
        match fs::symlink_metadata(&path) {
            Ok(metadata) => {
                let (key, seen) = (self.root.key.clone(), FileIdentity::from(&metadata).into());
                self.finish_file(path, key, self.root.encoded, Some(seen))
            }
            Err(error) => Found::failed(path, &error),
        }
    }

    /// Opens a directory as the new innermost level; `Some` when that is not possible, or when directories are asked for.
    fn enter(&mut self, path: PathBuf) -> Option<Found> {
        let identity = if self.follow_symlinks {
            match fs::metadata(&path) {
                Ok(metadata) => Some((metadata.dev(), metadata.ino())),
                Err(error) => return Some(Found::failed_directory(path, &error)),
            }
        } else {
            None
        };
        if identity.is_some() && self.levels.iter().any(|level| level.identity == identity) {
            return Some(Found::Skipped {
                path,
                reason: SkipReason::SymlinkLoop,
            });
        }
        let how = (self.order, self.follow_symlinks);
        match Level::open(path.clone(), self.relative(&path), identity, how) {
            Ok(mut level) => {
                let unread = level.take_failure();
                self.levels.push(level);
                match unread {
                    Some(error) => Some(Found::failed_directory(path, &error)),
                    None => self.yields_all.then_some(Found::Directory { path }),
                }
            }
            Err(error) => Some(Found::failed_directory(path, &error)),
        }
    }

    fn entry(&mut self, path: PathBuf, file_type: io::Result<FileType>) -> Option<Found> {
        let file_type = match file_type {
            Ok(file_type) => file_type,
            Err(error) => return Some(Found::failed(path, &error)),
        };
        let file_type = if file_type.is_symlink() && self.follow_symlinks {
            // The filter comes first: a dangling link that is excluded is nobody's trouble.
            if !self.filter.includes_file(self.relative(&path)) {
                return Some(Found::Skipped {
                    path,
                    reason: SkipReason::Excluded,
                });
            }
            match fs::metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(error) => return Some(failed_link(path, &error)),
            }
        } else {
            file_type
        };
        if file_type.is_dir() {
            self.directory(path)
        } else {
            Some(self.leaf(path, file_type, None))
        }
    }

    fn directory(&mut self, path: PathBuf) -> Option<Found> {
        let relative = self.relative(&path);
        if !self.filter.enters_directory(relative) {
            return Some(Found::Skipped {
                path,
                reason: SkipReason::Excluded,
            });
        }
        let key_bytes = self.root.key.len() + relative.as_os_str().len() + 1;
        if key_bytes >= key::MAX_KEY_BYTES && !self.yields_all {
            let message = format!(
                "everything below it would have a key of more than {} bytes",
                key::MAX_KEY_BYTES
            );
            return Some(Found::Failed {
                path,
                is_directory: true,
                failure: Failure::new(FailureKind::KeyRefused, message),
            });
        }
        self.enter(path)
    }

    fn leaf(&self, path: PathBuf, file_type: FileType, seen: Option<Box<FileIdentity>>) -> Found {
        let relative = self.relative(&path);
        if !self.filter.includes_file(relative) {
            return Found::Skipped {
                path,
                reason: SkipReason::Excluded,
            };
        }
        if let Some(reason) = special(file_type) {
            return Found::Skipped { path, reason };
        }
        let name = key::encode(relative.as_os_str().as_bytes());
        let key = [self.root.key.as_str(), &name.text].concat();
        self.finish_file(path, key, name.encoded, seen)
    }

    fn finish_file(
        &self,
        path: PathBuf,
        key: String,
        encoded: bool,
        seen: Option<Box<FileIdentity>>,
    ) -> Found {
        match key::check(&key) {
            Err(refused) if !self.yields_all => Found::Failed {
                path,
                is_directory: false,
                failure: Failure::new(FailureKind::KeyRefused, refused.to_string()),
            },
            _ => Found::File(SourceFile {
                path,
                key,
                encoded,
                seen,
            }),
        }
    }
}

/// Why an entry that is not a regular file is left out.
fn special(file_type: FileType) -> Option<SkipReason> {
    if file_type.is_file() {
        None
    } else if file_type.is_symlink() {
        Some(SkipReason::Symlink)
    } else if file_type.is_fifo() {
        Some(SkipReason::Fifo)
    } else if file_type.is_socket() {
        Some(SkipReason::Socket)
    } else {
        Some(SkipReason::Device)
    }
}

fn failed_link(path: PathBuf, error: &io::Error) -> Found {
    let message = match error.kind() {
        io::ErrorKind::NotFound => "dangling symbolic link".to_owned(),
        _ => format!("symbolic link that cannot be followed: {error}"),
    };
    Found::Failed {
        path,
        is_directory: false,
        failure: Failure::new(FailureKind::Unreadable, message),
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(found) = self.start.take().and_then(|path| self.begin(path)) {
            return Some(found);
        }
        while let Some(level) = self.levels.last_mut() {
            let found = match level.next() {
                Some(Ok((path, file_type))) => self.entry(path, file_type),
                // The rest of this directory is lost; what is above it goes on.
                Some(Err(error)) => Some(Found::failed_directory(level.path.clone(), &error)),
                None => {
                    self.levels.pop();
                    None
                }
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of all that a sorted walk finds in a directory with these files, in its order.
    fn keys(files: &[&[u8]]) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = directory.path().join(OsStr::from_bytes(file));
            fs::create_dir_all(path.parent().expect("below the directory")).expect("directories");
            fs::write(path, b"").expect("a file");
        }
        let root = Root {
            path: directory.path().to_owned(),
            kind: RootKind::Directory,
            key: "p/".to_owned(),
            encoded: false,
        };
        Walk::new(root, Arc::default(), false)
            .by_key()
            .map(|found| match found {
                Found::File(file) => file.key,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_sorted_walk_has_the_order_of_a_listing() {
        let found = keys(&[
            b"a/b",
            b"a.txt",
            b"a!",
            b"a0",
            b"a/0/x",
            b"a-b/c",
            b"B",
            b"\xc3\xa9/x",
            b" /x",
            b"%20/x",
            b"%41/x",
            b"\x01/y",
            b"\xff",
            b"%FF",
            b"a%2Fb",
            b"z/\x7f",
            b"z/~",
        ]);
        assert_eq!(found.len(), 17);
        assert!(found.is_sorted(), "{found:?}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_names_are(
            names in proptest::collection::btree_set(
                proptest::collection::vec(proptest::sample::select(b"ab!/0% \x01\xff".to_vec()), 1..7), 1..12)
        ) {
            // A name that is a directory and a file at once cannot be.
            let clean: BTreeSet<Vec<u8>> = names
                .iter()
                .map(|name| {
                    let pieces = name.split(|byte| *byte == b'/').filter(|piece| !piece.is_empty());
                    pieces.map(|piece| [b"d", piece].concat()).collect::<Vec<_>>().join(&b'/')
                })
                .filter(|name| !name.is_empty())
                .map(|name| [&name[..], b"/f"].concat())
                .collect();
            let files: Vec<&[u8]> = clean.iter().map(Vec::as_slice).collect();
            let found = keys(&files);
            proptest::prop_assert_eq!(found.len(), files.len());
            proptest::prop_assert!(found.is_sorted(), "{:?}", found);
        }
    }
}
