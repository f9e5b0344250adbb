//! What somebody else than the object says of a file: its owner, permissions, time and the hash of its content.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FileType, Gid, Mode, Uid};
use serde::{Deserialize, Serialize};

use super::place::set_modified;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// What else it looks like.
    pub looks: Looks,
}

/// What a file or directory looks like, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks {
    /// When it was modified, in nanoseconds since the Unix epoch.
    pub modified: Option<i128>,
    /// Permissions; of these only reading, writing and executing are given, and of directories that everybody removes only
    /// what is his own: no program that runs as somebody else comes back.
    pub mode: Option<u32>,
    /// User and group that it is given to, by number; none when it stays whose it is.
    pub owner: Option<(u32, u32)>,
}

impl Looks {
    /// Gives an open file or directory these looks.
    ///
    /// # Errors
    /// It belongs to somebody else, or may not be given away.
    pub(super) fn give(&self, file: &File) -> io::Result<()> {
        if let Some((user, group)) = self.owner {
            own(file, user, group)?;
        }
        if let Some(mode) = self.mode {
            // A directory's own bits, such as that its group goes to what is made in it, are not the snapshot's to take.
            let stat = rustix::fs::fstat(file)?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let (kept, given) = if is_directory {
                (stat.st_mode & 0o7000, 0o1777)
            } else {
                (0, 0o777)
            };
            rustix::fs::fchmod(file, Mode::from_raw_mode(mode & given | kept))?;
        }
        match self.modified {
            Some(modified) => set_modified(file, modified),
            None => Ok(()),
        }
    }
}

fn own(file: impl AsFd, user: u32, group: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(
        file,
        Some(Uid::from_raw(user)),
        Some(Gid::from_raw(group)),
    )?)
}
