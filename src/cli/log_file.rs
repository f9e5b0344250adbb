//! The log file: appended to, and put aside when it is large, so that years of nights do not fill a disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::printer::FirstFailure;

/// A file of this size is put aside.
const LARGE_BYTES: u64 = 10 * 1024 * 1024;
/// Files that are put aside: `FILE.1` is the newest of them.
const KEPT: u32 = 3;

/// An open log file. Keeps the first failure, to be told at the end, and goes on.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    failure: &'static FirstFailure,
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let metadata = file.metadata()?;
    // What is no file, such as /dev/stderr, has no size and is never put aside.
    Ok((file, if metadata.is_file() { metadata.len() } else { 0 }))
}

fn aside(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

impl LogFile {
    pub(super) fn open(path: &Path, failure: &'static FirstFailure) -> io::Result<Self> {
        let (file, bytes) = open(path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            bytes,
            failure,
        })
    }

    /// Puts the file aside and begins a new one. Another run may have done so meanwhile, or somebody's logrotate: then the
    /// file at the path is another one, and is gone on with.
    fn rotate(&mut self) -> io::Result<()> {
        let (_, bytes) = open(&self.path)?;
        if bytes >= LARGE_BYTES {
            for number in (1..KEPT).rev() {
                match fs::rename(aside(&self.path, number), aside(&self.path, number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&self.path, aside(&self.path, 1))?;
        }
        (self.file, self.bytes) = open(&self.path)?;
        Ok(())
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytes >= LARGE_BYTES && self.file.metadata().is_ok_and(|metadata| metadata.is_file()) {
            let rotated = self.rotate();
            // One that cannot be put aside goes on to grow; it is looked at again after as much.
            self.bytes = if rotated.is_ok() { self.bytes } else { 0 };
            self.failure.note(rotated);
        }
        self.failure.note(self.file.write_all(bytes));
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static FAILURE: FirstFailure = FirstFailure::none();

    #[test]
    fn a_large_file_is_put_aside_and_a_few_are_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let lot = vec![b'x'; usize::try_from(LARGE_BYTES).expect("fits")];
        for round in 0..6_u8 {
            // Each a run of its own.
            let mut log = LogFile::open(&path, &FAILURE).expect("opened");
            log.write_all(&[b'a' + round]).expect("written");
            log.write_all(&lot).expect("written");
        }
        let mut log = LogFile::open(&path, &FAILURE).expect("opened");
        log.write_all(b"end").expect("written");
        assert_eq!(fs::read(&path).expect("there"), b"end");
        for (number, first) in [(1, b'f'), (2, b'e'), (3, b'd')] {
            assert_eq!(fs::read(aside(&path, number)).expect("there")[0], first);
        }
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 4);
        assert!(FAILURE.take().is_none());
    }
}
