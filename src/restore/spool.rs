//! What is to be fetched, written down until all of it is known: there may be millions of objects.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Lines, Seek as _, Write as _};

use serde::{Deserialize, Serialize};

/// An object, as the listing says it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spooled {
    pub(super) key: String,
    pub(super) size_bytes: u64,
    pub(super) etag: String,
}

/// Objects in a file without a name, a line of JSON each.
pub(super) struct Spool {
    file: BufWriter<File>,
}

impl Spool {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile()?),
        })
    }

    pub(super) fn add(&mut self, object: &Spooled) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, object)?;
        self.file.write_all(b"\n")
    }

    /// All of them, in the order in which they came.
    pub(super) fn read(self) -> io::Result<Reading> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Reading {
            lines: BufReader::new(file).lines(),
        })
    }
}

/// See [`Spool::read`].
pub(super) struct Reading {
    lines: Lines<BufReader<File>>,
}

impl Iterator for Reading {
    type Item = io::Result<Spooled>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.lines.next()?;
        Some(line.and_then(|line| serde_json::from_str(&line).map_err(io::Error::from)))
    }
}
