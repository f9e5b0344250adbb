//! What tells one state of a file from another.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use serde::{Deserialize, Serialize};

/// The state of a file: which one it is, and since when it is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    /// Bytes.
    pub size_bytes: u64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// The file is not what it was when it was opened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the file changed while it was sent")]
pub struct FileChanged;

impl FileChanged {
    /// Whether it is the cause of `error`.
    pub fn caused(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl From<FileChanged> for io::Error {
    fn from(changed: FileChanged) -> Self {
        Self::other(changed)
    }
}

impl From<&Metadata> for FileIdentity {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec().unsigned_abs()),
            changed: (metadata.ctime(), metadata.ctime_nsec().unsigned_abs()),
        }
    }
}

impl FileIdentity {
    /// The state of an open file.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::of_stat(&rustix::fs::fstat(file)?))
    }

    pub(crate) fn of_stat(stat: &rustix::fs::Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Nothing that any file is: the state of a stream.
    pub(crate) const NONE: Self = Self {
        device: 0,
        inode: 0,
        size_bytes: 0,
        modified: (0, 0),
        changed: (0, 0),
    };

    /// Fails with [`FileChanged`] when the open file is not what it was.
    ///
    /// # Errors
    /// Also whatever the file system says.
    pub fn ensure(&self, file: &File) -> io::Result<()> {
        if Self::of(file)? == *self {
            Ok(())
        } else {
            Err(FileChanged.into())
        }
    }

    /// Device and inode: the same under every name of the file.
    pub(crate) fn node(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Its inode alone.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// Modification time in nanoseconds since the Unix epoch.
    pub(crate) fn modified_nanos(&self) -> i128 {
        nanos(self.modified)
    }

    /// Time of the inode's last change, the same.
    pub(crate) fn changed_nanos(&self) -> i128 {
        nanos(self.changed)
    }

    /// Modification time as rclone writes it into metadata: seconds with nine decimals.
    pub fn mtime_text(&self) -> String {
        let (seconds, nanoseconds) = self.modified;
        if seconds < 0 && nanoseconds > 0 {
            // A time before 1970 counts its fraction upwards: -1.5 s is stored as -2 s + 0.5 s.
            return format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds);
        }
        // By hand: the formatter takes longer than the rest of a small file's properties.
        let mut fraction = *b".000000000";
        let mut rest = nanoseconds;
        for digit in fraction[1..].iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let text = [seconds.to_string().as_bytes(), &fraction].concat();
        String::from_utf8(text).expect("digits are text")
    }
}

fn nanos((seconds, nanoseconds): (i64, u64)) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)
}

/// Nanoseconds since the Unix epoch of a modification time as it stands in metadata: seconds with up to nine decimals,
/// as [`FileIdentity::mtime_text`] and rclone write it. None of what is no such time.
pub(crate) fn parse_mtime(text: &str) -> Option<i128> {
    let (is_before, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || fraction.len() > 9 || !is_number(seconds) || !is_number(fraction) {
        return None;
    }
    let whole = i128::from(seconds.parse::<u64>().ok()?) * 1_000_000_000;
    let total = whole + format!("{fraction:0<9}").parse::<i128>().ok()?;
    Some(if is_before { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(modified: (i64, u64)) -> FileIdentity {
        FileIdentity {
            device: 1,
            inode: 2,
            size_bytes: 3,
            modified,
            changed: (0, 0),
        }
    }

    #[test]
    fn mtime_is_written_as_rclone_does() {
        assert_eq!(
            identity((1_700_000_000, 123_456_789)).mtime_text(),
            "1700000000.123456789"
        );
        assert_eq!(identity((0, 5)).mtime_text(), "0.000000005");
        assert_eq!(identity((-2, 500_000_000)).mtime_text(), "-1.500000000");
    }
}
