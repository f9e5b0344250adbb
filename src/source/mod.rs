//! Finds the files to upload: lazily, one entry at a time, every name as bytes.
//!
//! Called by the pipeline's feeder. An entry that cannot be read is an [`Found::Failed`], not a stop; what is
//! left out on purpose is a [`Found::Skipped`] with its reason. Knows nothing of servers and strategies.

mod filter;
pub mod key;
mod level;
mod list;
mod roots;
mod url;
mod walk;

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::event::{Failure, SkipReason};
use crate::identity::FileIdentity;

pub use filter::{Filter, FilterAction};
pub use level::WalkOrder;
pub use list::PathList;
pub(crate) use roots::named_roots;
pub use roots::{Root, RootKind, resolve_roots};
pub use url::{ParseUrlError, S3Url};
pub use walk::Walk;

/// A regular file and the key it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path to open.
    pub path: PathBuf,
    /// Object key, checked.
    pub key: String,
    /// The key is an encoding of the name, not the name itself.
    pub encoded: bool,
    /// Its state; none until somebody asks with [`Self::look`].
    pub seen: Option<Box<FileIdentity>>,
}

impl SourceFile {
    /// Looks at the file unless somebody has. The walk does not: the look costs as much as a third of reading a small
    /// file, which brings the same to light.
    ///
    /// # Errors
    /// The file has vanished, or cannot be looked at.
    pub fn look(&mut self, follow_symlinks: bool) -> io::Result<FileIdentity> {
        if let Some(seen) = &self.seen {
            return Ok(**seen);
        }
        let metadata = if follow_symlinks {
            fs::metadata(&self.path)?
        } else {
            fs::symlink_metadata(&self.path)?
        };
        let seen = FileIdentity::from(&metadata);
        self.seen = Some(Box::new(seen));
        Ok(seen)
    }
}

/// One entry of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file to upload.
    File(SourceFile),
    /// A directory whose entries follow; only of walks of all that there is.
    Directory {
        /// Path as found.
        path: PathBuf,
    },
    /// Left out on purpose.
    Skipped {
        /// Path as found.
        path: PathBuf,
        /// Why.
        reason: SkipReason,
    },
    /// Something that should be uploaded and cannot be.
    Failed {
        /// Path as found.
        path: PathBuf,
        /// A directory, of which nothing can be read, or not all.
        is_directory: bool,
        /// Why.
        failure: Failure,
    },
}

impl Found {
    /// What `error` makes of the entry at `path`, which is no directory.
    pub(crate) fn failed(path: PathBuf, error: &io::Error) -> Self {
        Self::Failed {
            path,
            is_directory: false,
            failure: Failure::of_reading(error),
        }
    }

    /// The same of a directory.
    pub(crate) fn failed_directory(path: PathBuf, error: &io::Error) -> Self {
        Self::Failed {
            path,
            is_directory: true,
            failure: Failure::of_reading(error),
        }
    }
}
