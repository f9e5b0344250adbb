//! One resolved configuration, in small parts, validated once.
//!
//! Built by the command line (or by a library user through `Default`), read by everybody below it.
//! Holds settings only: no handles, no clients. Every default of the program stands here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{MAX_PART_BYTES, MIN_PART_BYTES};
use crate::units::{ByteSize, KIB, Rate};

/// Part size unless asked otherwise.
pub const DEFAULT_PART_SIZE: ByteSize = ByteSize::mib(16);
/// Files above this go up in parts.
pub const DEFAULT_MULTIPART_THRESHOLD: ByteSize = ByteSize::mib(16);
/// Budget for bytes of file content held at once.
pub const DEFAULT_MEMORY: ByteSize = ByteSize::mib(64);
/// Requests in flight over the whole run.
pub const DEFAULT_CONCURRENCY: usize = 32;
/// Tries after the first, for answers that are worth another try.
pub const DEFAULT_RETRIES: u32 = 10;
/// Above this, one thread per file needs `--force`.
pub const THREAD_PER_FILE_LIMIT: usize = 1_024;

/// Who pulls tasks and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyKind {
    /// One thread, one request at a time.
    Sequential,
    /// N OS threads that pull from the one bounded queue.
    Threads,
    /// N OS threads; the list is split beforehand into 4N chunks.
    Chunked,
    /// One OS thread for each file.
    ThreadPerFile,
    /// Event loops: one thread, or K threads, with N requests in flight.
    Async,
    /// N child processes with one request in flight each.
    Processes,
    /// P child processes with T threads each.
    Hybrid,
}

impl StrategyKind {
    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; 7] = [
        Self::Sequential,
        Self::Threads,
        Self::Chunked,
        Self::ThreadPerFile,
        Self::Async,
        Self::Processes,
        Self::Hybrid,
    ];

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Threads => "threads",
            Self::Chunked => "chunked",
            Self::ThreadPerFile => "thread-per-file",
            Self::Async => "async",
            Self::Processes => "processes",
            Self::Hybrid => "hybrid",
        }
    }
}

/// How many S3 clients, and so connection pools, there are. A promise about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientMode {
    /// One client for the run (for each process, with `hybrid`); at most as many connections as requests in flight.
    Shared,
    /// Each worker has its own client and connections.
    PerWorker,
    /// A fresh client, and so a new connection, for every object and part.
    PerUpload,
}

impl ClientMode {
    /// All of them, in the order in which tables show them.
    pub const ALL: [Self; 3] = [Self::Shared, Self::PerWorker, Self::PerUpload];

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::PerWorker => "per-worker",
            Self::PerUpload => "per-upload",
        }
    }
}

/// The reason why `strategy` cannot work with `client`, or `None` when it can.
pub fn impossible(strategy: StrategyKind, client: ClientMode) -> Option<&'static str> {
    match (strategy, client) {
        (StrategyKind::Processes, ClientMode::Shared) => {
            Some("each process has its own memory, so a client cannot be shared among them")
        }
        _ => None,
    }
}

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

/// What is done after the server said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyMode {
    /// `head` for servers whose behaviour is unknown, `none` for those that are known to check what they store.
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
    /// User metadata: names to printable ASCII values.
    pub metadata: BTreeMap<String, String>,
    /// Object tags, at most 10.
    pub tags: BTreeMap<String, String>,
    /// `AES256` or `aws:kms`.
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
}

impl Default for TransferSettings {
    fn default() -> Self {
        Self {
            part_size: DEFAULT_PART_SIZE,
            multipart_threshold: DEFAULT_MULTIPART_THRESHOLD,
            memory: DEFAULT_MEMORY,
            checksum: ChecksumAlgorithm::Crc64Nvme,
            verify: VerifyMode::Auto,
            attributes: ObjectAttributes::default(),
            if_none_match: false,
            bandwidth: None,
            follow_symlinks: false,
            retry: RetrySettings::default(),
        }
    }
}

/// Who works, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSettings {
    /// None lets the program choose.
    pub strategy: Option<StrategyKind>,
    /// None lets the program choose.
    pub client: Option<ClientMode>,
    /// Requests in flight over the whole run.
    pub concurrency: usize,
    /// Threads that run event loops (`async` only).
    pub event_loops: Option<usize>,
    /// Child processes (`hybrid` only; `processes` has as many as requests in flight).
    pub processes: Option<usize>,
    /// Allows more than 1,024 threads for `thread-per-file`.
    pub force: bool,
    /// Program to start as a worker process; none means the running one. It must answer to `__worker`.
    pub worker_program: Option<PathBuf>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            strategy: None,
            client: None,
            concurrency: DEFAULT_CONCURRENCY,
            event_loops: None,
            processes: None,
            force: false,
            worker_program: None,
        }
    }
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

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

impl Config {
    /// Checks what no single flag can check on its own.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the flags named as they are typed.
    pub fn validate(&self) -> Result<()> {
        self.transfer.validate()?;
        self.store.validate()?;
        self.run.validate()
    }
}

impl TransferSettings {
    fn validate(&self) -> Result<()> {
        let part = self.part_size;
        if !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&part.bytes()) {
            return Err(
                usage(format!("'--part-size {part}' is not between 5 MiB and 5 GiB"))
                    .with_hint("S3 takes parts of 5 MiB to 5 GiB; the default is 16MiB"),
            );
        }
        if self.multipart_threshold.bytes() > MAX_PART_BYTES {
            return Err(usage(format!(
                "'--multipart-threshold {}' is above 5 GiB, the most that one PUT can hold",
                self.multipart_threshold
            )));
        }
        for (flag, size) in [
            ("--part-size", part),
            ("--multipart-threshold", self.multipart_threshold),
        ] {
            if size > self.memory {
                return Err(usage(format!(
                    "'--memory {}' is smaller than '{flag} {size}': one part would not fit into the budget",
                    self.memory
                ))
                .with_hint(format!("raise --memory to at least {size}, or lower {flag}")));
            }
        }
        if self.bandwidth.is_some_and(|rate| rate.0.bytes() == 0) {
            return Err(usage("'--bwlimit 0' would never send a byte".to_owned())
                .with_hint("leave the flag out for no limit"));
        }
        if self.attributes.tags.len() > 10 {
            return Err(usage(format!(
                "{} tags are given; an object takes at most 10",
                self.attributes.tags.len()
            )));
        }
        Ok(())
    }
}

impl StoreSettings {
    /// Whether the endpoint, if one is set, is an address.
    pub(crate) fn validate(&self) -> Result<()> {
        let Some(endpoint) = &self.endpoint_url else {
            return Ok(());
        };
        let uri: http::Uri = endpoint.parse().map_err(|error| {
            usage(format!("endpoint '{endpoint}' is not an address"))
                .with_source(error)
                .with_hint("write it like http://127.0.0.1:9000")
        })?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(usage(format!(
                "endpoint '{endpoint}' has no http:// or https:// in front"
            ))
            .with_hint(format!(
                "did you mean http://{} ?",
                endpoint.rsplit("://").next().unwrap_or(endpoint)
            )));
        }
        Ok(())
    }
}

impl RunSettings {
    fn validate(&self) -> Result<()> {
        if self.concurrency == 0 {
            return Err(usage("'--concurrency 0' would upload nothing".to_owned()));
        }
        if self.concurrency > 10_000 {
            return Err(usage(format!(
                "'--concurrency {}' is above 10,000",
                self.concurrency
            )));
        }
        if let (Some(strategy), Some(client)) = (self.strategy, self.client)
            && let Some(reason) = impossible(strategy, client)
        {
            return Err(usage(format!(
                "'--client {}' cannot be used with '--strategy {}': {reason}",
                client.name(),
                strategy.name()
            ))
            .with_hint("use --client per-worker"));
        }
        if self.event_loops == Some(0) {
            return Err(usage("'--event-loops 0' would upload nothing".to_owned()));
        }
        if self.event_loops.is_some() && !matches!(self.strategy, None | Some(StrategyKind::Async)) {
            return Err(usage(
                "'--event-loops' goes with '--strategy async' only".to_owned(),
            ));
        }
        if self.processes == Some(0) {
            return Err(usage("'--processes 0' would upload nothing".to_owned()));
        }
        if self.processes.is_some() && self.strategy != Some(StrategyKind::Hybrid) {
            return Err(
                usage("'--processes' goes with '--strategy hybrid' only".to_owned())
                    .with_hint("'--strategy processes' starts as many as --concurrency says"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(config: &Config) -> String {
        config.validate().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().expect("defaults");
    }

    #[test]
    fn a_budget_below_one_part_is_refused_with_both_flags_named() {
        let mut config = Config::default();
        config.transfer.memory = ByteSize::mib(8);
        assert_eq!(
            message(&config),
            "'--memory 8 MiB' is smaller than '--part-size 16 MiB': one part would not fit into the budget"
        );
    }

    #[test]
    fn an_endpoint_without_scheme_is_refused() {
        for endpoint in ["127.0.0.1:9000", "localhost:9000", "ftp://x", "http://", "minio"] {
            let mut config = Config::default();
            config.store.endpoint_url = Some(endpoint.into());
            assert!(message(&config).contains(endpoint), "{endpoint}");
        }
    }

    #[test]
    fn one_client_for_many_processes_is_refused_with_the_reason() {
        let mut config = Config::default();
        config.run.strategy = Some(StrategyKind::Processes);
        config.run.client = Some(ClientMode::Shared);
        assert_eq!(
            message(&config),
            "'--client shared' cannot be used with '--strategy processes': each process has its own memory, \
             so a client cannot be shared among them"
        );
    }
}
