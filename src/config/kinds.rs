//! The names of strategies, client modes and engines, and which go together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who pulls tasks and on what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
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

/// Who makes the requests that carry bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// `direct`, but `sdk` for Amazon S3 itself and for endpoints that want more than plain Signature Version 4.
    #[default]
    Auto,
    /// PutObject, UploadPart and ListObjectsV2 on requests of our own, everything else through the SDK.
    Direct,
    /// Every request through aws-sdk-s3.
    Sdk,
    /// Nothing is sent: bodies are read, summed and dropped. For benchmarks; the command line does not offer it.
    Null,
}

/// How closely a run looks at itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attention {
    /// Files only.
    #[default]
    Files,
    /// Also how long connecting and answers take, as distributions.
    Requests,
    /// Also when each task was on a CPU and when it waited for one. Each poll asks four clocks.
    Tasks,
}

/// Whether bodies are part of a request's signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadSigning {
    /// Only over plain http to another machine, where nothing else protects them.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never; each body's checksum still goes with it.
    Never,
}

/// How many S3 clients, and so connection pools, there are. A promise about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
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
