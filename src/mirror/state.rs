//! What is remembered of a mirror from one run to the next: of each object the file that it was made of, and when.
//!
//! A convenience and never the truth: what is remembered counts only for the object that is there, and a state that is
//! damaged, of another machine or of another version is put aside and made anew from the bucket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, DatabaseError, Range, ReadableDatabase as _, TableDefinition};

use super::join::Keyed;

/// Memory for pages. The whole of it is read once and in order.
const CACHE_BYTES: usize = 4 * 1024 * 1024;
/// Version of the tables.
const VERSION: &str = "1";

/// Size, modification and change time in nanoseconds since the Unix epoch, inode; racy; ETag; checksum or nothing.
type Row = (u64, i128, i128, u64, bool, &'static str, &'static str);
const OBJECTS: TableDefinition<'static, &str, Row> = TableDefinition::new("objects");
const FACTS: TableDefinition<'static, &str, &str> = TableDefinition::new("facts");

/// What tells one state of a file from another, but for the device: its number may be another after a reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    /// Nanoseconds since the Unix epoch.
    pub(crate) modified: i128,
    /// The same of the inode's last change.
    pub(crate) changed: i128,
    pub(crate) inode: u64,
}

/// A file that changed so shortly before it was read may change again without its times telling: file systems count in
/// steps of up to two seconds.
const RACY: Duration = Duration::from_secs(2);

impl Stamp {
    /// Whether who began to read the file at that time, since the Unix epoch, read it so soon after a change that another
    /// one might not show.
    pub(crate) fn is_racy(&self, begun: Duration) -> bool {
        self.modified.max(self.changed) > begun.as_nanos() as i128 - RACY.as_nanos() as i128
    }
}

/// What is remembered of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The file that it was made of, as it was then.
    pub(crate) stamp: Stamp,
    /// The file had changed just before it was read: it may have changed again without its times telling.
    pub(crate) is_racy: bool,
    /// Without quotes.
    pub(crate) etag: String,
    /// `algorithm:base64`, of the whole content.
    pub(crate) checksum: Option<String>,
}

/// A remembered object and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownObject {
    pub(crate) key: String,
    pub(crate) known: Known,
}

impl Keyed for KnownObject {
    fn key(&self) -> &str {
        &self.key
    }
}

/// What follows for the state from something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Remember(KnownObject),
    Forget { key: String },
}

/// Where the source was when it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// This machine.
    pub(crate) host: String,
    /// Path of the source.
    pub(crate) source: String,
    /// Device that the source is on.
    pub(crate) device: u64,
}

/// An open state; others cannot open it.
pub(crate) struct State {
    database: Database,
}

/// What was found at the place of a state.
pub(crate) struct Opened {
    pub(crate) state: State,
    /// Why what was there does not count; none when it does, or when nothing was there.
    pub(crate) distrust: Option<String>,
    /// Where the source was; none without a state that counts.
    pub(crate) origin: Option<Origin>,
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

impl State {
    /// Opens the state at `path` for a mirror of `origin`, or makes one.
    ///
    /// # Errors
    /// It can neither be opened nor made: the directory cannot be written, the disk is full, somebody has it open.
    /// One that does not count is put aside, unless nothing is to be changed: that is an error then.
    pub(crate) fn open(path: &Path, origin: &Origin, plans: bool) -> io::Result<Opened> {
        let distrust = match Self::trusted(path, origin) {
            Ok((state, found)) => {
                return Ok(Opened {
                    state,
                    distrust: None,
                    origin: found,
                });
            }
            Err(Distrust::Unusable(error)) => return Err(error),
            Err(Distrust::Because(reason)) if plans => return Err(io::Error::other(reason)),
            Err(Distrust::Because(reason)) => reason,
        };
        fs::rename(path, aside(path))?;
        let (state, _) = Self::trusted(path, origin).map_err(|distrust| match distrust {
            Distrust::Unusable(error) => error,
            Distrust::Because(reason) => io::Error::other(reason),
        })?;
        Ok(Opened {
            state,
            distrust: Some(distrust),
            origin: None,
        })
    }

    fn trusted(path: &Path, origin: &Origin) -> Result<(Self, Option<Origin>), Distrust> {
        let mut database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path)
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => Distrust::Unusable(other(error)),
                DatabaseError::Storage(redb::StorageError::Io(error))
                    if error.kind() != io::ErrorKind::InvalidData
                        && error.kind() != io::ErrorKind::UnexpectedEof =>
                {
                    Distrust::Unusable(error)
                }
                error => Distrust::Because(format!("it is damaged: {error}")),
            })?;
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(Distrust::Because("it is damaged".to_owned())),
            Err(error) => return Err(Distrust::Because(format!("it is damaged: {error}"))),
        }
        let state = Self { database };
        let found = state
            .origin()
            .map_err(|error| Distrust::Because(format!("it cannot be read: {error}")))?;
        match found {
            Some((version, _)) if version != VERSION => Err(Distrust::Because(format!(
                "it is of version {version}, not {VERSION}"
            ))),
            Some((_, found)) if found.host != origin.host => Err(Distrust::Because(format!(
                "it is of another machine, '{}'",
                found.host
            ))),
            Some((_, found)) if found.source != origin.source => Err(Distrust::Because(format!(
                "it is of another source, '{}'",
                found.source
            ))),
            found => Ok((state, found.map(|(_, origin)| origin))),
        }
    }

    /// Version and origin; none in a new state.
    fn origin(&self) -> Result<Option<(String, Origin)>, redb::Error> {
        let read = self.database.begin_read()?;
        let facts = match read.open_table(FACTS) {
            Ok(facts) => facts,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let fact = |name: &str| -> Result<String, redb::Error> {
            Ok(facts
                .get(name)?
                .map(|value| value.value().to_owned())
                .unwrap_or_default())
        };
        let origin = Origin {
            host: fact("host")?,
            source: fact("source")?,
            device: fact("device")?.parse().unwrap_or(0),
        };
        Ok(Some((fact("version")?, origin)))
    }

    /// Notes where the source is.
    ///
    /// # Errors
    /// The state cannot be written.
    pub(crate) fn set_origin(&self, origin: &Origin) -> io::Result<()> {
        let write = self.database.begin_write().map_err(other)?;
        {
            let mut facts = write.open_table(FACTS).map_err(other)?;
            let device = origin.device.to_string();
            for (name, value) in [
                ("version", VERSION),
                ("host", &origin.host),
                ("source", &origin.source),
                ("device", &device),
            ] {
                facts.insert(name, value).map_err(other)?;
            }
            write.open_table(OBJECTS).map_err(other)?;
        }
        write.commit().map_err(other)
    }

    /// What was noted under `name`; none when nothing was.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn fact(&self, name: &str) -> io::Result<Option<String>> {
        let read = self.database.begin_read().map_err(other)?;
        match read.open_table(FACTS) {
            Ok(facts) => Ok(facts
                .get(name)
                .map_err(other)?
                .map(|value| value.value().to_owned())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(other(error)),
        }
    }

    /// Notes something under `name`.
    ///
    /// # Errors
    /// The state cannot be written; it is what it was.
    pub(crate) fn set_fact(&self, name: &str, value: &str) -> io::Result<()> {
        let write = self.database.begin_write().map_err(other)?;
        {
            let mut facts = write.open_table(FACTS).map_err(other)?;
            facts.insert(name, value).map_err(other)?;
        }
        write.commit().map_err(other)
    }

    /// All that is remembered now, in the order of the keys; what changes meanwhile is not seen.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn objects(&self) -> io::Result<Objects> {
        let read = self.database.begin_read().map_err(other)?;
        let rows = match read.open_table(OBJECTS) {
            Ok(table) => Some(table.range::<&str>(..).map_err(other)?),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(other(error)),
        };
        Ok(Objects { rows })
    }

    /// Makes changes, all or none of them.
    ///
    /// # Errors
    /// The state cannot be written; it is what it was.
    pub(crate) fn apply(&self, changes: &[Change]) -> io::Result<()> {
        let write = self.database.begin_write().map_err(other)?;
        {
            let mut objects = write.open_table(OBJECTS).map_err(other)?;
            for change in changes {
                match change {
                    Change::Forget { key } => _ = objects.remove(key.as_str()).map_err(other)?,
                    Change::Remember(KnownObject { key, known }) => {
                        let Known {
                            stamp,
                            is_racy,
                            etag,
                            checksum,
                        } = known;
                        let row = (
                            stamp.size_bytes,
                            stamp.modified,
                            stamp.changed,
                            stamp.inode,
                            *is_racy,
                            etag.as_str(),
                            checksum.as_deref().unwrap_or_default(),
                        );
                        objects.insert(key.as_str(), row).map_err(other)?;
                    }
                }
            }
        }
        write.commit().map_err(other)
    }
}

/// Why a state is not used.
enum Distrust {
    /// Neither it nor another at its place can be.
    Unusable(io::Error),
    Because(String),
}

/// Where a state is put that does not count: the last one is kept.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("distrusted")
}

/// See [`State::objects`].
pub(crate) struct Objects {
    rows: Option<Range<'static, &'static str, Row>>,
}

impl Iterator for Objects {
    type Item = io::Result<KnownObject>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, row) = match self.rows.as_mut()?.next()? {
            Ok(found) => found,
            Err(error) => {
                self.rows = None;
                return Some(Err(other(error)));
            }
        };
        let (size_bytes, modified, changed, inode, is_racy, etag, checksum) = row.value();
        Some(Ok(KnownObject {
            key: key.value().to_owned(),
            known: Known {
                stamp: Stamp {
                    size_bytes,
                    modified,
                    changed,
                    inode,
                },
                is_racy,
                etag: etag.to_owned(),
                checksum: (!checksum.is_empty()).then(|| checksum.to_owned()),
            },
        }))
    }
}

#[cfg(test)]
mod tests;
