//! What is gone from the source, written down until it may be deleted: there may be millions of them.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use super::deletion::unreadable;
use crate::error::Result;
use crate::event::{DeletionOutcome, DeletionRecord};

/// Keys and sizes, in a file without a name.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    /// None until there is something to write.
    file: Option<BufWriter<File>>,
    objects: u64,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GoneObject {
    pub(super) key: String,
    pub(super) size_bytes: u64,
}

impl Gone {
    /// Adds one.
    ///
    /// # Errors
    /// The temporary directory cannot be written.
    pub(crate) fn note(&mut self, key: &str, size_bytes: u64) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(BufWriter::new(tempfile::tempfile()?)),
        };
        let length = u32::try_from(key.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&size_bytes.to_le_bytes())?;
        file.write_all(key.as_bytes())?;
        self.objects += 1;
        Ok(())
    }

    /// Tells of each of them that it would be deleted. Returns how many they are, and their bytes.
    ///
    /// # Errors
    /// What was written cannot be read.
    pub(crate) fn tell(self, told: &mut dyn FnMut(&DeletionRecord)) -> Result<(u64, u64)> {
        let (mut objects, mut bytes) = (0, 0);
        for object in self.read().map_err(unreadable)? {
            let GoneObject { key, size_bytes } = object.map_err(unreadable)?;
            objects += 1;
            bytes += size_bytes;
            told(&DeletionRecord {
                key,
                size_bytes,
                outcome: DeletionOutcome::Planned,
            });
        }
        Ok((objects, bytes))
    }

    /// Reads all of them, in the order in which they came.
    ///
    /// # Errors
    /// What was written cannot be read.
    pub(super) fn read(self) -> io::Result<impl Iterator<Item = io::Result<GoneObject>>> {
        let mut left = self.objects;
        let mut file = match self.file {
            None => None,
            Some(file) => {
                let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.rewind()?;
                Some(BufReader::new(file))
            }
        };
        Ok(std::iter::from_fn(move || {
            let file = file.as_mut().filter(|_| left > 0)?;
            left -= 1;
            Some(next(file))
        }))
    }
}

fn next(file: &mut BufReader<File>) -> io::Result<GoneObject> {
    let (mut length, mut size) = ([0; 4], [0; 8]);
    file.read_exact(&mut length)?;
    file.read_exact(&mut size)?;
    let mut key = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut key)?;
    Ok(GoneObject {
        key: String::from_utf8(key).map_err(io::Error::other)?,
        size_bytes: u64::from_le_bytes(size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_comes_back() {
        assert_eq!(Gone::default().read().expect("nothing").count(), 0);
        let mut gone = Gone::default();
        let objects: Vec<GoneObject> = (0..10_000)
            .map(|number| GoneObject {
                key: format!("p/\u{e9}/{number}"),
                size_bytes: number,
            })
            .collect();
        for object in &objects {
            gone.note(&object.key, object.size_bytes).expect("room");
        }
        let read: io::Result<Vec<GoneObject>> = gone.read().expect("rewound").collect();
        assert_eq!(read.expect("readable"), objects);
    }
}
