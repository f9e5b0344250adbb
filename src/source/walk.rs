//! The directory walk: streaming, so that memory does not grow with the tree; one open directory a level.

use std::ffi::OsStr;
use std::fs::{self, ReadDir};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filter::Filter;
use super::roots::{Root, RootKind};
use super::{Found, Seen, SourceFile, key};
use crate::event::{Failure, FailureKind, SkipReason};

struct Level {
    path: PathBuf,
    entries: ReadDir,
    /// Device and inode, to find loops; only looked up when links are followed.
    identity: Option<(u64, u64)>,
}

/// Walks one source. An iterator of [`Found`]; a directory's entries come in the file system's own order.
pub struct Walk {
    root: Root,
    filter: Arc<Filter>,
    follow_symlinks: bool,
    levels: Vec<Level>,
    /// Where to begin; taken by the first `next`.
    start: Option<PathBuf>,
}

impl Walk {
    /// Prepares a walk; nothing is read before the first `next`.
    pub fn new(root: Root, filter: Arc<Filter>, follow_symlinks: bool) -> Self {
        let start = Some(root.path.clone());
        Self {
            root,
            filter,
            follow_symlinks,
            levels: Vec::new(),
            start,
        }
    }

    /// Walks only `path`, which lies in the directory `root`: keys and patterns stay relative to `root`.
    pub(super) fn within(root: Root, path: PathBuf, filter: Arc<Filter>, follow_symlinks: bool) -> Self {
        Self {
            root,
            filter,
            follow_symlinks,
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
            Ok(metadata) => Some(self.leaf(path, metadata.file_type(), Some(Seen::from(&metadata)))),
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
                let (key, seen) = (self.root.key.clone(), Seen::from(&metadata));
                finish_file(path, key, self.root.encoded, Some(seen))
            }
            Err(error) => Found::failed(path, &error),
        }
    }

    /// Opens a directory as the new innermost level; `Some` when that is not possible.
    fn enter(&mut self, path: PathBuf) -> Option<Found> {
        let identity = if self.follow_symlinks {
            match fs::metadata(&path) {
                Ok(metadata) => Some((metadata.dev(), metadata.ino())),
                Err(error) => return Some(Found::failed(path, &error)),
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
        match fs::read_dir(&path) {
            Ok(entries) => {
                self.levels.push(Level {
                    path,
                    entries,
                    identity,
                });
                None
            }
            Err(error) => Some(Found::failed(path, &error)),
        }
    }

    fn entry(&mut self, entry: &fs::DirEntry) -> Option<Found> {
        let path = entry.path();
        let file_type = match entry.file_type() {
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
        if key_bytes >= key::MAX_KEY_BYTES {
            let message = format!(
                "everything below it would have a key of more than {} bytes",
                key::MAX_KEY_BYTES
            );
            return Some(Found::Failed {
                path,
                failure: Failure::new(FailureKind::KeyRefused, message),
            });
        }
        self.enter(path)
    }

    fn leaf(&self, path: PathBuf, file_type: fs::FileType, seen: Option<Seen>) -> Found {
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
        finish_file(path, key, name.encoded, seen)
    }
}

/// Why an entry that is not a regular file is left out.
fn special(file_type: fs::FileType) -> Option<SkipReason> {
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

fn finish_file(path: PathBuf, key: String, encoded: bool, seen: Option<Seen>) -> Found {
    match key::check(&key) {
        Ok(()) => Found::File(SourceFile {
            path,
            key,
            encoded,
            seen,
        }),
        Err(refused) => Found::Failed {
            path,
            failure: Failure::new(FailureKind::KeyRefused, refused.to_string()),
        },
    }
}

fn failed_link(path: PathBuf, error: &io::Error) -> Found {
    let message = match error.kind() {
        io::ErrorKind::NotFound => "dangling symbolic link".to_owned(),
        _ => format!("symbolic link that cannot be followed: {error}"),
    };
    Found::Failed {
        path,
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
            let found = match level.entries.next() {
                Some(Ok(entry)) => self.entry(&entry),
                Some(Err(error)) => {
                    // The rest of this directory is lost; what is above it goes on.
                    let path = std::mem::take(&mut level.path);
                    self.levels.pop();
                    Some(Found::failed(path, &error))
                }
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
