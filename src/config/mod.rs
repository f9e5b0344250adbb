//! One resolved configuration, in small parts, validated once.
//!
//! Built by the command line (or by a library user through `Default`), read by everybody below it.
//! Holds settings only: no handles, no clients. Every default of the program stands here.

mod attributes;
mod batch;
mod kinds;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{ByteSize, KIB, Rate};

pub use batch::BatchSmall;
pub use kinds::{Attention, ClientMode, Engine, PayloadSigning, StrategyKind, impossible};

/// Part size unless asked otherwise.
pub const DEFAULT_PART_SIZE: ByteSize = ByteSize::mib(16);
/// Files above this go up in parts.
pub const DEFAULT_MULTIPART_THRESHOLD: ByteSize = ByteSize::mib(16);
/// Budget for bytes of file content held at once.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::mib(64);
/// Requests in flight over the whole run, for strategies whose number of workers is fixed.
pub const DEFAULT_CONCURRENCY: usize = 32;
/// Tries after the first, for answers that are worth another try.
pub const DEFAULT_RETRIES: u32 = 10;
/// Above this, one thread per file needs `--force`.
pub const THREAD_PER_FILE_LIMIT: usize = 1_024;

/// Checksum that s3haul computes and sends with every object and part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChecksumAlgorithm {
    /// CRC-64/NVME, of the whole object also for multipart uploads.
    Crc64Nvme,
    /// CRC-32C (Castagnoli).
    Crc32C,
    /// CRC-32 (ISO-HDLC).
    Crc32,
    /// SHA-256; composite for multipart uploads.
    Sha256,
}

impl ChecksumAlgorithm {
    /// The name as typed and as records have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32C => "crc32c",
            Self::Crc32 => "crc32",
            Self::Sha256 => "sha256",
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Crc64Nvme, Self::Crc32C, Self::Crc32, Self::Sha256];

    /// The one with that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// What is done after the server said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyMode {
    /// `head` for servers whose behaviour is unknown, `none` for those that are known, or were found, to check what they
    /// store.
    Auto,
    /// The answer's ETag and checksum are checked, nothing else is asked.
    None,
    /// A HEAD for each object: size, ETag and checksum.
    Head,
    /// Each object is read back and its checksum computed.
    Read,
}

/// A text that must not be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the signer only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Credentials given by the program itself (for its embedded server), not found in the environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedCredentials {
    /// Access key id.
    pub access_key: String,
    /// Secret access key.
    pub secret_key: Secret,
}

/// Where the profile of a server is kept: what `s3haul doctor` has found out about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfilePlace {
    /// The directory in which there is a file for each endpoint and bucket.
    pub directory: PathBuf,
    /// The bucket.
    pub bucket: String,
}

/// Which server, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreSettings {
    /// `http://` or `https://` address; none means what the environment or the profile says, else AWS.
    pub endpoint_url: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Region; none means environment, profile, then `us-east-1` where the endpoint is not AWS.
    pub region: Option<String>,
    /// Requests go unsigned, for buckets anybody may write to.
    pub anonymous: bool,
    /// PEM file with certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Who makes the requests that carry bytes.
    pub engine: Engine,
    /// Whether bodies are part of the signature.
    pub payload_signing: PayloadSigning,
    /// Where it is written what the server was found to do; none when nothing is to be known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_profile: Option<ProfilePlace>,
    /// Instead of the provider chain; set by the program for its embedded server.
    pub credentials: Option<FixedCredentials>,
}

/// What is stored with every object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectAttributes {
    /// Instead of the one guessed from the extension.
    pub content_type: Option<String>,
    /// S3 storage class as the server names it.
    pub storage_class: Option<String>,
    /// User metadata: names to printable ASCII values. `mtime` is s3haul's own.
    pub metadata: BTreeMap<String, String>,
    /// Object tags, at most 10; names of at most 128 characters, values of at most 256.
    pub tags: BTreeMap<String, String>,
    /// `AES256`, `aws:kms` or `aws:kms:dsse`.
    pub server_side_encryption: Option<String>,
}

/// What happens when the bucket is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BucketPolicy {
    /// The run ends.
    #[default]
    MustExist,
    /// It is made.
    Create,
}

/// How tries after a failed request are spaced and bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySettings {
    /// Tries after the first for answers worth another one. Lost connections are bounded by time instead.
    pub retries: u32,
    /// Time for one request with all its tries.
    pub budget: Duration,
    /// The run ends when no request at all has succeeded for this long because the server is unreachable.
    pub outage_limit: Duration,
    /// An attempt ends when no byte moved for this long.
    pub stall_limit: Duration,
    /// An attempt ends when the answer takes longer than this after the last byte was sent.
    pub answer_limit: Duration,
    /// The same for CompleteMultipartUpload, which may take minutes.
    pub complete_limit: Duration,
    /// Slowest connection worth waiting for, per second. A kernel may hold megabytes of a body that was handed
    /// over, so an answer gets the time that they take at this rate on top.
    pub slowest_link: ByteSize,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            retries: DEFAULT_RETRIES,
            budget: Duration::from_mins(15),
            outage_limit: Duration::from_mins(3),
            stall_limit: Duration::from_secs(30),
            answer_limit: Duration::from_mins(1),
            complete_limit: Duration::from_mins(15),
            slowest_link: ByteSize(16 * KIB),
        }
    }
}

/// How bytes go up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferSettings {
    /// Size of a part; grows for files that would need more than 10,000.
    pub part_size: ByteSize,
    /// Files larger than this are multipart uploads.
    pub multipart_threshold: ByteSize,
    /// Budget for bytes of content held at once, over all workers of the process.
    pub memory: ByteSize,
    /// Checksum sent with each object and part.
    pub checksum: ChecksumAlgorithm,
    /// What is checked afterwards.
    pub verify: VerifyMode,
    /// Whether small files go together in archives.
    pub batch_small: BatchSmall,
    /// What is stored with each object.
    pub attributes: ObjectAttributes,
    /// Never replace an object that exists.
    pub if_none_match: bool,
    /// Bytes a second over the whole run; none means no limit.
    pub bandwidth: Option<Rate>,
    /// Follow symbolic links.
    pub follow_symlinks: bool,
    /// Tries and limits.
    pub retry: RetrySettings,
    /// Rounds of SHA-256 over each body before it goes out: work of a known size, as compressing or encrypting would
    /// be. For benchmarks.
    pub extra_rounds: u32,
    /// Records say in which state each file was read.
    #[serde(default)]
    pub keeps_identities: bool,
    /// How closely the run looks at itself.
    pub attention: Attention,
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            part_size: DEFAULT_PART_SIZE,
            multipart_threshold: DEFAULT_MULTIPART_THRESHOLD,
            memory: DEFAULT_MEMORY,
            checksum: ChecksumAlgorithm::Crc64Nvme,
            verify: VerifyMode::Auto,
            batch_small: BatchSmall::Off,
            attributes: ObjectAttributes::default(),
            if_none_match: false,
            bandwidth: None,
            follow_symlinks: false,
            retry: RetrySettings::default(),
            extra_rounds: 0,
            keeps_identities: false,
            attention: Attention::Files,
        }
    }
}

/// Who works, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSettings {
    /// None lets the program choose.
    pub strategy: Option<StrategyKind>,
    /// None lets the program choose.
    pub client: Option<ClientMode>,
    /// Requests in flight over the whole run; none adapts to the server (`async`), or takes the default.
    pub concurrency: Option<usize>,
    /// Threads that run event loops (`async` only).
    pub event_loops: Option<usize>,
    /// Child processes (`hybrid` only; `processes` has as many as requests in flight).
    pub processes: Option<usize>,
    /// Allows more than 1,024 threads for `thread-per-file`.
    pub force: bool,
    /// Program to start as a worker process; none means the running one. It must answer to `__worker`.
    pub worker_program: Option<PathBuf>,
}

/// Everything a run needs to know about how, as opposed to what ([`crate::pipeline::UploadRequest`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Which server.
    pub store: StoreSettings,
    /// How bytes go up.
    pub transfer: TransferSettings,
    /// Who works.
    pub run: RunSettings,
}
