//! A manifest that comes from a bucket: whatever is in it, little memory is taken, and nothing is believed that is not
//! whole.

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest as _, Sha256};

use super::{Entry, Header, KIND, MOST_LINE_BYTES, Totals, Trailer, VERSION, check};
use crate::store::hex;

/// Largest window of zstd's that is taken, as a power of two: 8 MiB. Ours has 2.
const MOST_WINDOW: u32 = 23;

/// Why something is no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read, or decompressed.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// A line is longer than any entry can be.
    #[error("line {0} is longer than any entry can be")]
    TooLong(u64),
    /// A line is not what belongs there.
    #[error("line {0} is not what belongs there: {1}")]
    Wrong(u64, String),
    /// It was written by a later version.
    #[error("it is of version {0} of the format, and this program knows {VERSION}")]
    Future(u32),
    /// It is of another snapshot than its key says.
    #[error("it is that of snapshot {0}")]
    OfAnother(String),
    /// It breaks off.
    #[error("it breaks off behind line {0}")]
    Truncated(u64),
    /// Its content is not what was written.
    #[error("its content is not what its hash says")]
    WrongHash,
}

/// Reads a manifest, an entry at a time. That all of it is what was written is known at the end only: whoever acts on
/// entries reads it to its end before.
pub struct ManifestReader<R: Read> {
    from: BufReader<zstd::Decoder<'static, BufReader<R>>>,
    header: Header,
    hasher: Sha256,
    totals: Totals,
    line: Vec<u8>,
    number: u64,
    last_path: String,
    has_ended: bool,
}

/// The first line that says its version: that of a later one may have anything else in it.
#[derive(serde::Deserialize)]
struct Version {
    s3haul: String,
    version: u32,
}

impl<R: Read> ManifestReader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// It is no manifest, or one of a later version.
    pub fn new(from: R) -> Result<Self, ManifestError> {
        let mut decoder = zstd::Decoder::new(from)?;
        decoder.window_log_max(MOST_WINDOW)?;
        let mut reader = Self {
            from: BufReader::new(decoder),
            header: Header {
                s3haul: String::new(),
                version: 0,
                job: String::new(),
                id: Default::default(),
                host: String::new(),
                sources: Vec::new(),
            },
            hasher: Sha256::new(),
            totals: Totals::default(),
            line: Vec::new(),
            number: 0,
            last_path: String::new(),
            has_ended: false,
        };
        if !reader.next_line()? {
            return Err(ManifestError::Truncated(0));
        }
        let version: Version = serde_json::from_slice(&reader.line).map_err(|error| reader.wrong(error))?;
        if version.s3haul != KIND {
            return Err(reader.wrong("it is no manifest"));
        }
        if version.version > VERSION {
            return Err(ManifestError::Future(version.version));
        }
        reader.header = serde_json::from_slice(&reader.line).map_err(|error| reader.wrong(error))?;
        reader.hasher.update(&reader.line);
        Ok(reader)
    }

    /// The first line.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads what is left of it. Returns what is in it.
    ///
    /// # Errors
    /// It is not whole, or not what was written.
    pub fn prove(mut self) -> Result<(Header, Totals), ManifestError> {
        for entry in &mut self {
            entry?;
        }
        Ok((self.header, self.totals))
    }

    fn wrong(&self, why: impl ToString) -> ManifestError {
        ManifestError::Wrong(self.number, why.to_string())
    }

    /// Whether there is another line; it is in `line` then, with its end.
    fn next_line(&mut self) -> Result<bool, ManifestError> {
        self.line.clear();
        let mut limited = (&mut self.from).take(MOST_LINE_BYTES);
        let length = limited.read_until(b'\n', &mut self.line)?;
        if length == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.line.ends_with(b"\n") {
            Ok(true)
        } else if length as u64 == MOST_LINE_BYTES {
            Err(ManifestError::TooLong(self.number))
        } else {
            Err(ManifestError::Truncated(self.number - 1))
        }
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, ManifestError> {
        if !self.next_line()? {
            return Err(ManifestError::Truncated(self.number));
        }
        if self.line.starts_with(b"{\"end\"") {
            return self.end().map(|()| None);
        }
        let entry: Entry = serde_json::from_slice(&self.line).map_err(|error| self.wrong(error))?;
        if entry.path <= self.last_path {
            let message = format!("'{}' comes behind '{}'", entry.path, self.last_path);
            return Err(self.wrong(message));
        }
        check(&entry).map_err(|why| self.wrong(why))?;
        self.hasher.update(&self.line);
        self.totals.count(&entry);
        self.last_path.clone_from(&entry.path);
        Ok(Some(entry))
    }

    /// The last line, and nothing behind it.
    fn end(&mut self) -> Result<(), ManifestError> {
        let trailer: Trailer = serde_json::from_slice(&self.line).map_err(|error| self.wrong(error))?;
        if trailer.sha256 != hex(&self.hasher.clone().finalize()) || trailer.end != self.totals {
            return Err(ManifestError::WrongHash);
        }
        if self.next_line()? {
            return Err(self.wrong("something follows the end"));
        }
        Ok(())
    }
}

impl<R: Read> Iterator for ManifestReader<R> {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let next = self.next_entry().transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next
    }
}
