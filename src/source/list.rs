//! `--files-from`: the paths come from a list instead of a walk, one a line (or NUL-separated), verbatim.

use std::ffi::OsStr;
use std::io::{BufRead, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::Found;
use super::filter::Filter;
use super::roots::Root;
use super::walk::Walk;
use crate::event::{Failure, FailureKind, SkipReason};

/// A path longer than this is no path, and a list without separators must not fill the memory.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Reads paths relative to `base` from a list, lazily. Directories in it are walked.
pub struct PathList<R> {
    reader: R,
    separator: u8,
    base: Root,
    filter: Arc<Filter>,
    follow_symlinks: bool,
    walk: Option<Walk>,
    ended: bool,
}

impl<R: BufRead> PathList<R> {
    /// `separator` is `\n` or NUL. Empty lines are passed over.
    pub fn new(reader: R, separator: u8, base: Root, filter: Arc<Filter>, follow_symlinks: bool) -> Self {
        Self {
            reader,
            separator,
            base,
            filter,
            follow_symlinks,
            walk: None,
            ended: false,
        }
    }

    fn line(&mut self) -> Option<Result<Vec<u8>, Found>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(MAX_LINE_BYTES);
        match limited.read_until(self.separator, &mut line) {
            Ok(0) => None,
            Ok(_) if line.len() as u64 == MAX_LINE_BYTES && line.last() != Some(&self.separator) => {
                self.ended = true;
                let message =
                    format!("the list has a line of more than {MAX_LINE_BYTES} bytes; the rest is not read");
                Some(Err(refused(PathBuf::from("--files-from"), message)))
            }
            Ok(_) => {
                if line.last() == Some(&self.separator) {
                    line.pop();
                }
                Some(Ok(line))
            }
            Err(error) => {
                self.ended = true;
                Some(Err(Found::failed(PathBuf::from("--files-from"), &error)))
            }
        }
    }

    /// What one line stands for: an entry, or a walk that will give entries.
    fn resolve(&mut self, line: &[u8]) -> Option<Found> {
        let typed = Path::new(OsStr::from_bytes(line));
        let inside = typed.strip_prefix(&self.base.path).unwrap_or(typed);
        let mut relative = PathBuf::new();
        for component in inside.components() {
            match component {
                Component::Normal(name) => relative.push(name),
                Component::CurDir => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    let message = format!("the path is not inside '{}'", self.base.path.display());
                    return Some(refused(typed.to_owned(), message));
                }
            }
        }
        let through_link = |directory: &Path| self.base.path.join(directory).is_symlink();
        if !self.follow_symlinks && relative.ancestors().skip(1).any(through_link) {
            return Some(Found::Skipped {
                path: typed.to_owned(),
                reason: SkipReason::Symlink,
            });
        }
        let path = self.base.path.join(&relative);
        self.walk = Some(Walk::within(
            self.base.clone(),
            path,
            self.filter.clone(),
            self.follow_symlinks,
        ));
        None
    }
}

fn refused(path: PathBuf, message: String) -> Found {
    Found::Failed {
        path,
        is_directory: false,
        failure: Failure::new(FailureKind::KeyRefused, message),
    }
}

impl<R: BufRead> Iterator for PathList<R> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            if let Some(found) = self.walk.as_mut().and_then(Iterator::next) {
                return Some(found);
            }
            self.walk = None;
            if self.ended {
                return None;
            }
            let found = match self.line()? {
                Ok(line) if line.is_empty() => None,
                Ok(line) => self.resolve(&line),
                Err(found) => Some(found),
            };
            if found.is_some() {
                return found;
            }
        }
    }
}
