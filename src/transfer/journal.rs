//! What a run has begun on the server, written down before it is, so that the next run knows what one that was killed left.
//!
//! Records follow one another: length of the content and its CRC-32C, four bytes each and little-endian, then the content
//! as JSON. What comes behind a record that is torn or damaged was never acted upon, or can be found out anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crc_fast::CrcAlgorithm;
use serde::{Deserialize, Serialize};

use super::step::PartDone;
use crate::identity::FileIdentity;

/// Longest content of a record, in bytes. A key has 1,024, an upload id a few hundred.
const MOST_BYTES: usize = 64 * 1024;
const HEAD_BYTES: usize = 8;

/// One thing that happened, or is about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub(super) enum Record {
    /// The server is about to be asked to begin an upload.
    Asked {
        key: String,
        /// Microseconds since the Unix epoch.
        at: u64,
    },
    /// It answered what was asked then, and nothing is left of it.
    Refused { key: String, at: u64 },
    /// An upload has begun; nothing has been sent for it yet.
    Begun {
        key: String,
        /// When it was asked for.
        at: u64,
        upload_id: String,
        /// The file as it was then; none when it is one that comes down.
        identity: Option<FileIdentity>,
        /// What tells one set of settings from another.
        settings: String,
    },
    /// A part is stored.
    Part { upload_id: String, part: PartDone },
    /// An upload is complete or aborted.
    Ended { upload_id: String },
}

/// A multipart upload that an earlier run began and did not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// Object key.
    pub key: String,
    /// The server's name for it; that of the temporary file when it is one that comes down.
    pub upload_id: String,
    /// The file as it was then; none when it is one that comes down.
    pub identity: Option<FileIdentity>,
    /// What tells one set of settings from another.
    pub settings: String,
    /// Parts that the server confirmed.
    pub parts: Vec<PartDone>,
}

/// What a journal says of earlier runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// By upload id. There may be several of one key: a run that is killed between beginning one and ending the one before
    /// leaves both.
    pub(super) uploads: BTreeMap<String, Earlier>,
    /// Keys whose upload was asked for without an answer, and when: microseconds since the Unix epoch. Of one key there may be
    /// several: each of some runs may have been killed there.
    pub(super) unanswered: BTreeSet<(String, u64)>,
}

/// An open journal. What cannot be written is told once; the run goes on without.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// None when it cannot be written any more.
    file: Option<File>,
}

fn crc(content: &[u8]) -> u32 {
    // A CRC of 32 bits in 64.
    u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, content)).unwrap_or(u32::MAX)
}

fn encode(record: &Record, into: &mut Vec<u8>) {
    let content = serde_json::to_vec(record).unwrap_or_default();
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    into.extend(length.to_le_bytes());
    into.extend(crc(&content).to_le_bytes());
    into.extend(content);
}

/// The records of a journal, up to the first that is none. Never fails, whatever the bytes are.
fn decode(mut bytes: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let [a, b, c, d, e, f, g, h] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((content, rest)) = rest.split_at_checked(length).filter(|_| length <= MOST_BYTES) else {
            break;
        };
        if crc(content) != u32::from_le_bytes([e, f, g, h]) {
            break;
        }
        let Ok(record) = serde_json::from_slice(content) else {
            break;
        };
        records.push(record);
        bytes = rest;
    }
    records
}

/// Reads `bytes` as a journal, writes what is in it, and reads that.
#[cfg(fuzzing)]
pub(crate) fn fuzz_journal(bytes: &[u8]) {
    let records = decode(bytes);
    let mut written = Vec::new();
    records.iter().for_each(|record| encode(record, &mut written));
    assert_eq!(decode(&written), records);
    let left = Left::of(records);
    let mut written = Vec::new();
    left.records().for_each(|record| encode(&record, &mut written));
    assert_eq!(Left::of(decode(&written)), left);
}

impl Left {
    fn of(records: Vec<Record>) -> Self {
        let mut left = Self::default();
        for record in records {
            match record {
                Record::Asked { key, at } => _ = left.unanswered.insert((key, at)),
                Record::Refused { key, at } => _ = left.unanswered.remove(&(key, at)),
                Record::Begun {
                    key,
                    at,
                    upload_id,
                    identity,
                    settings,
                } => {
                    left.unanswered.remove(&(key.clone(), at));
                    let earlier = Earlier {
                        key,
                        upload_id: upload_id.clone(),
                        identity,
                        settings,
                        parts: Vec::new(),
                    };
                    left.uploads.insert(upload_id, earlier);
                }
                Record::Part { upload_id, part } => {
                    if let Some(upload) = left.uploads.get_mut(&upload_id) {
                        upload.parts.retain(|other| other.part.number != part.part.number);
                        upload.parts.push(part);
                    }
                }
                Record::Ended { upload_id } => _ = left.uploads.remove(&upload_id),
            }
        }
        left
    }

    /// Takes the upload of `key` that has most parts.
    pub(super) fn take(&mut self, key: &str) -> Option<Earlier> {
        let of_key = self.uploads.values().filter(|earlier| earlier.key == key);
        let upload_id = of_key
            .max_by_key(|earlier| earlier.parts.len())?
            .upload_id
            .clone();
        self.uploads.remove(&upload_id)
    }

    fn records(&self) -> impl Iterator<Item = Record> {
        let unanswered = self.unanswered.iter().map(|(key, at)| Record::Asked {
            key: key.clone(),
            at: *at,
        });
        let uploads = self.uploads.values().flat_map(|earlier| {
            let begun = Record::Begun {
                key: earlier.key.clone(),
                at: 0,
                upload_id: earlier.upload_id.clone(),
                identity: earlier.identity,
                settings: earlier.settings.clone(),
            };
            let parts = earlier.parts.iter().map(|part| Record::Part {
                upload_id: earlier.upload_id.clone(),
                part: part.clone(),
            });
            std::iter::once(begun).chain(parts)
        });
        unanswered.chain(uploads)
    }
}

impl Journal {
    /// Opens the journal at `path`, or makes one, and says what earlier runs left. What is over is dropped from it: a new
    /// file takes its place when it is on the disk.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Left)> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let left = Left::of(decode(&bytes));
        let mut kept = Vec::new();
        left.records().for_each(|record| encode(&record, &mut kept));
        let fresh = path.with_extension("new");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(&kept)?;
        file.sync_data()?;
        fs::rename(&fresh, path)?;
        let journal = Self {
            path: path.to_owned(),
            file: Some(file),
        };
        Ok((journal, left))
    }

    /// False once something could not be written.
    pub(super) fn is_written(&self) -> bool {
        self.file.is_some()
    }

    /// Adds a record. One that announces an act is on the disk when this returns.
    pub(super) fn note(&mut self, record: &Record) {
        let Some(file) = &mut self.file else { return };
        let mut bytes = Vec::new();
        encode(record, &mut bytes);
        let announces = matches!(record, Record::Asked { .. } | Record::Begun { .. });
        let written = file
            .write_all(&bytes)
            .and_then(|()| if announces { file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            tracing::warn!(path = %self.path.display(), %error,
                "what is begun cannot be written down; should this run be killed, the next one does not continue it");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ChecksumAlgorithm;
    use crate::store::{Checksum, CompletedPart};

    fn part(number: u32) -> PartDone {
        PartDone {
            part: CompletedPart {
                number,
                etag: format!("e{number}"),
                checksum: Checksum {
                    algorithm: ChecksumAlgorithm::Crc64Nvme,
                    value: "AAAA".to_owned(),
                },
            },
            length: 5,
        }
    }

    fn begun(key: &str, upload_id: &str) -> Record {
        Record::Begun {
            key: key.to_owned(),
            at: 7,
            upload_id: upload_id.to_owned(),
            identity: Some(FileIdentity::NONE),
            settings: "s".to_owned(),
        }
    }

    fn story() -> Vec<Record> {
        let asked = |key: &str| Record::Asked {
            key: key.to_owned(),
            at: 7,
        };
        let stored = |upload_id: &str, number| Record::Part {
            upload_id: upload_id.to_owned(),
            part: part(number),
        };
        vec![
            begun("a", "0"),
            asked("a"),
            begun("a", "1"),
            stored("1", 2),
            asked("b\u{e9}"),
            begun("b\u{e9}", "2"),
            stored("1", 1),
            stored("2", 1),
            Record::Asked {
                key: "c".to_owned(),
                at: 3,
            },
            asked("c"),
            asked("d"),
            Record::Refused {
                key: "d".to_owned(),
                at: 7,
            },
            Record::Ended {
                upload_id: "2".to_owned(),
            },
        ]
    }

    #[test]
    fn what_was_not_ended_is_left_and_survives_being_opened_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal");
        let (mut journal, left) = Journal::open(&path).expect("new");
        assert_eq!(left, Left::default());
        story().iter().for_each(|record| journal.note(record));
        for _ in 0..3 {
            let (_, left) = Journal::open(&path).expect("opens");
            let ids: Vec<&String> = left.uploads.keys().collect();
            assert_eq!(ids, ["0", "1"], "both of one key");
            assert_eq!(
                left.unanswered,
                BTreeSet::from([("c".to_owned(), 3), ("c".to_owned(), 7)])
            );
            let mut left = left;
            assert_eq!(left.take("a").expect("one").parts, [part(2), part(1)]);
            assert_eq!(left.take("a").expect("the other").parts, []);
            assert_eq!(left.take("a"), None);
        }
    }

    #[test]
    fn a_journal_that_is_cut_anywhere_has_the_records_before_the_cut() {
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for record in story() {
            encode(&record, &mut bytes);
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(decode(&bytes[..cut]), story()[..whole], "cut at {cut}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_flipped_bit_ends_the_journal_where_it_is(place in 0_usize..4_000, bit in 0_u8..8) {
            let mut bytes = Vec::new();
            story().iter().for_each(|record| encode(record, &mut bytes));
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            let read = decode(&bytes);
            proptest::prop_assert!(read.len() < story().len());
            proptest::prop_assert_eq!(&read[..], &story()[..read.len()]);
        }

        #[test]
        fn bytes_that_are_no_journal_are_none(bytes: Vec<u8>) {
            proptest::prop_assert!(decode(&bytes).is_empty());
        }
    }
}
