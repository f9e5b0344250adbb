//! What happened, as data: events from workers, one record per file, serialisable.
//!
//! Workers and the feeder send [`Event`]s; one collector (in `pipeline`) folds them into the summary
//! and hands them to the caller's monitor. Knows no S3 and no terminal.

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::identity::FileIdentity;

/// Why a file was left out on purpose. Not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// An `--exclude` matched it. A directory that is excluded counts once: it is never entered.
    Excluded,
    /// A symbolic link, and links are not followed.
    Symlink,
    /// A followed link that leads back to a directory above itself.
    SymlinkLoop,
    /// A named pipe; never opened.
    Fifo,
    /// A socket; never opened.
    Socket,
    /// A block or character device; never opened.
    Device,
    /// The key exists and `--if-none-match` was asked for.
    Exists,
    /// This run writes it itself: its report, its log, its redirected output.
    OwnOutput,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Excluded => "excluded",
            Self::Symlink => "symbolic link, not followed",
            Self::SymlinkLoop => "symbolic link loop",
            Self::Fifo => "named pipe",
            Self::Socket => "socket",
            Self::Device => "device",
            Self::Exists => "exists already",
            Self::OwnOutput => "written by this run itself",
        })
    }
}

/// Why a file is uploaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UploadReason {
    /// It was asked for.
    #[default]
    Requested,
    /// Nothing is stored at its key.
    New,
    /// It has another size than what is stored.
    Size,
    /// It was modified at another time.
    Mtime,
    /// Its inode was changed since, and its content differs.
    Ctime,
    /// It is another file of that name, and its content differs.
    Inode,
    /// Its content differs.
    Content,
    /// Everything is uploaded again.
    Forced,
}

impl fmt::Display for UploadReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Requested => "requested",
            Self::New => "new",
            Self::Size => "size",
            Self::Mtime => "mtime",
            Self::Ctime => "ctime",
            Self::Inode => "inode",
            Self::Content => "content",
            Self::Forced => "forced",
        })
    }
}

/// What kind of failure a file met; stable names for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The file or directory could not be read.
    Unreadable,
    /// The file or directory could not be written.
    Unwritable,
    /// The file was there when it was listed and is gone now.
    Vanished,
    /// The file kept changing while it was read.
    Changed,
    /// The name cannot become a key that servers treat well.
    KeyRefused,
    /// The server refused this object, or the request failed after all retries.
    Upload,
    /// What the server says it stored is not what was sent.
    Verification,
    /// A file is there already, and nobody has said that it may be replaced.
    Exists,
    /// The worker panicked or its process died.
    WorkerLost,
}

/// Why a file is not in the bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, for programs.
    pub kind: FailureKind,
    /// What happened, for people: a lower-case fragment with the cause.
    pub message: String,
}

impl Failure {
    /// What `error` makes of something that was to be read.
    pub(crate) fn of_reading(error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => FailureKind::Vanished,
            _ if crate::identity::FileChanged::caused(error) => FailureKind::Changed,
            _ => FailureKind::Unreadable,
        };
        Self::new(kind, error.to_string())
    }

    /// A failure of `kind`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// How one file ended: exactly one of these for each file that was discovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// In the bucket, and proven to be.
    Done {
        /// The ETag the server gave, without quotes.
        etag: String,
        /// Checksum as sent, `algorithm:base64`.
        checksum: Option<String>,
    },
    /// In the bucket already: somebody looked.
    Unchanged {
        /// The ETag that the object has.
        etag: String,
        /// Its checksum, `algorithm:base64`, if it has one.
        checksum: Option<String>,
    },
    /// It would go up, if this run sent anything.
    Planned,
    /// Left out on purpose.
    Skipped {
        /// Why.
        reason: SkipReason,
    },
    /// Not in the bucket.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// The run was stopped before this file was done.
    Cancelled,
}

/// Who uploaded a file or part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WorkerId {
    /// Number of the worker, from 0, unique in the run.
    pub worker: usize,
    /// Process that sent the bytes.
    pub pid: u32,
}

/// Target of the log lines that only those want who ask twice (`-vv`). They are of level info: release builds leave
/// out all that is below.
pub(crate) const DETAIL: &str = "s3haul::detail";

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileRecord {
    /// The path as the user would type it; bytes that are not UTF-8 appear as U+FFFD here.
    pub path: String,
    /// The object key, empty when the name could not become one.
    pub key: String,
    /// Why it is uploaded, where that is a question.
    #[serde(default, skip_serializing_if = "is_requested")]
    pub reason: UploadReason,
    /// The state in which the file was read, if anybody wants to know; none of what was not read to its end, and of
    /// streams.
    #[serde(skip)]
    pub identity: Option<Box<FileIdentity>>,
    /// The key is not the path's own bytes but their reversible encoding.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub encoded: bool,
    /// Bytes of content; what the file had when it was read, or when it was looked at if it never was. 0 when it was
    /// never looked at either.
    pub size_bytes: u64,
    /// Bytes that it was expected to have when it was discovered.
    #[serde(skip)]
    pub expected_bytes: u64,
    /// Parts of the multipart upload; 0 for a single PUT.
    pub parts: u32,
    /// Times the upload was begun: 1 unless the file changed while it was read.
    pub attempts: u32,
    /// When it was found; known in the process of the run only, and if anybody wants to know.
    #[serde(skip)]
    pub found: Option<Instant>,
    /// When a worker took its first task; none if nobody did.
    #[serde(skip)]
    pub begun: Option<Instant>,
    /// From taking the first task of this file to its outcome.
    #[serde(with = "seconds")]
    pub elapsed: Duration,
    /// The worker that finished it.
    pub worker: WorkerId,
    /// Number of the static chunk the file's last task stood in (`--strategy chunked` only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<usize>,
    /// It went together with others, in an archive that the server took apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub batched: bool,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_requested(reason: &UploadReason) -> bool {
    *reason == UploadReason::Requested
}

/// One request that will be tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryNotice {
    /// S3 operation, for instance `PutObject`.
    pub operation: String,
    /// Key, or bucket for bucket operations.
    pub place: String,
    /// Tries so far.
    pub attempt: u32,
    /// Why.
    pub error: String,
    /// Time until the next try.
    #[serde(with = "seconds")]
    pub delay: Duration,
}

/// What became of an object that the source does not have any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionRecord {
    /// Object key.
    pub key: String,
    /// Bytes that it has, or had.
    pub size_bytes: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: DeletionOutcome,
}

/// How the deletion of an object ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum DeletionOutcome {
    /// The object is gone.
    Done,
    /// It would be deleted, if this run deleted anything.
    Planned,
    /// It is still there.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// What the feeder, the workers and the retry layer report while a run goes on.
#[derive(Clone, Debug)]
pub enum Event {
    /// A file (or an entry left out, or one that cannot be read) was found; a record for it follows.
    Discovered {
        /// Bytes that will be sent for it: [`FileRecord::expected_bytes`] of the record.
        size_bytes: u64,
    },
    /// The walk is over: what was discovered is all there is.
    DiscoveryDone,
    /// Content bytes of one part that the server took. Those of a file without parts are in its record.
    Sent {
        /// How many.
        bytes: u64,
    },
    /// A request will be tried again.
    Retry(RetryNotice),
    /// A file ended.
    File(Box<FileRecord>),
    /// An object without a file was dealt with.
    Deletion(Box<DeletionRecord>),
}

/// Durations as seconds with fraction in JSON.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}
