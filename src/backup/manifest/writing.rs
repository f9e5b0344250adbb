//! A manifest in the making.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Entry, Header, MOST_LINE_BYTES, Totals, Trailer, check};
use crate::store::hex;

/// zstd's fastest usual level: of manifests, level 3 takes three times as long and makes them a tenth longer (measured on
/// 10,000 entries), for half of what is in them are hashes.
const LEVEL: i32 = 1;

/// Writes a manifest, line by line, compressed, into `W`.
pub struct ManifestWriter<W: Write> {
    into: zstd::Encoder<'static, W>,
    hasher: Sha256,
    totals: Totals,
    line: Vec<u8>,
    last_path: String,
}

impl<W: Write> ManifestWriter<W> {
    /// Begins one.
    ///
    /// # Errors
    /// It cannot be written, as for all that follows.
    pub fn new(into: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            into: zstd::Encoder::new(into, LEVEL)?,
            hasher: Sha256::new(),
            totals: Totals::default(),
            line: Vec::new(),
            last_path: String::new(),
        };
        writer.into.include_checksum(true)?;
        writer.line(header)?;
        Ok(writer)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// As [`Self::new`]; no reader would take it: its path does not come behind that of the one before, or it does not say
    /// what one of its kind has to.
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.path <= self.last_path {
            let message = format!("'{}' comes behind '{}'", entry.path, self.last_path);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        check(entry).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
        self.totals.count(entry);
        self.last_path.clone_from(&entry.path);
        self.line(entry)
    }

    /// Ends it. Returns what it was written into, and what is in it.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn finish(mut self) -> io::Result<(W, Totals)> {
        let trailer = Trailer {
            end: self.totals,
            sha256: hex(&self.hasher.clone().finalize()),
        };
        self.line(&trailer)?;
        Ok((self.into.finish()?, self.totals))
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        if self.line.len() as u64 > MOST_LINE_BYTES {
            let message = "a line would be longer than any reader takes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.hasher.update(&self.line);
        self.into.write_all(&self.line)
    }
}
