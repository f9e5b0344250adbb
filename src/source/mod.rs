//! Finds the files to upload: lazily, one entry at a time, every name as bytes.
//!
//! Called by the pipeline's feeder. An entry that cannot be read is an [`Found::Failed`], not a stop; what is
//! left out on purpose is a [`Found::Skipped`] with its reason. Knows nothing of servers and strategies.

mod filter;
pub mod key;
mod list;
mod roots;
mod url;
mod walk;

use std::path::PathBuf;

use crate::event::{Failure, SkipReason};

pub use filter::{Filter, FilterAction};
pub use list::PathList;
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
    /// Size when it was found.
    pub size_bytes: u64,
    /// Device and inode; none for a stream.
    pub identity: Option<(u64, u64)>,
}

/// One entry of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file to upload.
    File(SourceFile),
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
        /// Why.
        failure: Failure,
    },
}
