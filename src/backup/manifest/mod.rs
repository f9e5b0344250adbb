//! The manifest of a snapshot: all that a restore needs to know, as lines of JSON, compressed.
//!
//! `docs/backup-format.md` says it for people. The first line says what it is, the last one how many there are and what
//! their hash is; a manifest without its last line is none.

mod reading;
mod writing;

use serde::{Deserialize, Serialize};

use super::hashing::Digest;
use super::layout::{SnapshotId, data_key, digest_of};

pub use reading::{ManifestError, ManifestReader};
pub use writing::ManifestWriter;

/// What the first line calls it.
pub const KIND: &str = "backup manifest";
/// Version of the format. Readers take all versions up to theirs.
pub const VERSION: u32 = 1;
/// Longest line, in bytes, with its end: a path and a link's target have at most 4,096 bytes each, of which one may take
/// three in a name and six in JSON.
const MOST_LINE_BYTES: u64 = 64 * 1024;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`KIND`].
    pub s3haul: String,
    /// [`VERSION`] of who wrote it.
    pub version: u32,
    /// Name of the job.
    pub job: String,
    /// The snapshot's own.
    pub id: SnapshotId,
    /// The machine that the files are on.
    pub host: String,
    /// Directories and files that were named.
    pub sources: Vec<String>,
}

/// What something in a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory. Its path ends with a slash.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block or character device.
    Device,
}

/// A line for each entry of the sources, in the order of the paths' bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name of its source and its path in that, encoded as keys are (see [`crate::source::key`]).
    pub path: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Time of modification: seconds since the Unix epoch, with nine decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// Permissions, in octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Number of the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Number of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Bytes of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of a file's content, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Key of the object with this content, below the prefix of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where a symbolic link points to, encoded like a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Path of an earlier entry that is the same file: a hard link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_of: Option<String>,
    /// Why there is no content: it could not be read, or changed again and again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Entry {
    /// Hash and size of its content, if it has one.
    pub(super) fn content(&self) -> Option<(Digest, u64)> {
        Some((digest_of(self.sha256.as_ref()?)?, self.size?))
    }

    /// One of which nothing is known but its name.
    pub(super) fn bare(path: String, kind: EntryKind) -> Self {
        Self {
            path,
            kind,
            mtime: None,
            mode: None,
            uid: None,
            gid: None,
            size: None,
            sha256: None,
            key: None,
            target: None,
            link_of: None,
            error: None,
        }
    }
}

/// What a manifest has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Entries of any kind.
    pub entries: u64,
    /// Files among them.
    pub files: u64,
    /// Bytes of those, each name of a file counted.
    pub bytes: u64,
    /// Entries that could not be read.
    pub errors: u64,
}

impl Totals {
    fn count(&mut self, entry: &Entry) {
        self.entries += 1;
        self.files += u64::from(entry.kind == EntryKind::File);
        self.bytes = self.bytes.saturating_add(entry.size.unwrap_or(0));
        self.errors += u64::from(entry.error.is_some());
    }
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Trailer {
    end: Totals,
    /// Of all lines before this one with their ends, in hexadecimal.
    sha256: String,
}

/// Whether an entry says what one of its kind has to say, and nothing that cannot be.
fn check(entry: &Entry) -> Result<(), String> {
    let is_directory = entry.path.ends_with('/');
    if is_directory != (entry.kind == EntryKind::Directory) {
        return Err("the path of a directory ends with a slash, and no other".to_owned());
    }
    let is_lacking = match entry.kind {
        EntryKind::File => entry.key.is_none(),
        EntryKind::Symlink => entry.target.is_none(),
        _ => false,
    };
    if is_lacking && entry.error.is_none() {
        return Err("a file without content, or a symbolic link without a target".to_owned());
    }
    if entry.link_of.as_ref().is_some_and(|first| *first >= entry.path) {
        return Err("another name of a file that does not come before it".to_owned());
    }
    match (&entry.sha256, &entry.key, entry.kind) {
        (None, None, _) if entry.link_of.is_none() => Ok(()),
        (Some(hash), Some(key), EntryKind::File) => {
            if digest_of(hash).is_some() && *key == data_key("", hash) && entry.size.is_some() {
                Ok(())
            } else {
                Err(format!("'{key}' is not the key of the content '{hash}'"))
            }
        }
        _ => Err("a content without a hash or a key, or of what has none".to_owned()),
    }
}

#[cfg(test)]
mod tests;
