//! Flags whose values are words, with what `--help` says of each.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use crate::config::{BatchSmall, ClientMode, Engine, PayloadSigning, StrategyKind};

/// A duration as people type it: `20ms`, `1.5s`, `10m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration; write it as 90s, 10m or 1h");
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(parsed).map_err(|_| wrong())
}

/// `--strategy` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StrategyArg {
    /// The best one for this run; the summary says which
    Auto,
    /// One request at a time
    Sequential,
    /// N OS threads pulling from one bounded queue
    Threads,
    /// N OS threads; the list is split beforehand into 4N chunks
    Chunked,
    /// One OS thread for each file, at most 1,024 without --force
    ThreadPerFile,
    /// Event loops with N requests in flight; see --event-loops
    Async,
    /// N child processes
    Processes,
    /// Child processes x threads; see --processes
    Hybrid,
}

impl StrategyArg {
    pub(super) fn kind(self) -> Option<StrategyKind> {
        Some(match self {
            Self::Auto => return None,
            Self::Sequential => StrategyKind::Sequential,
            Self::Threads => StrategyKind::Threads,
            Self::Chunked => StrategyKind::Chunked,
            Self::ThreadPerFile => StrategyKind::ThreadPerFile,
            Self::Async => StrategyKind::Async,
            Self::Processes => StrategyKind::Processes,
            Self::Hybrid => StrategyKind::Hybrid,
        })
    }
}

/// `--client` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ClientArg {
    /// The best one for the strategy
    Auto,
    /// One client for all (for each process, with hybrid); not with processes
    Shared,
    /// Each worker has its own client and connections
    PerWorker,
    /// A fresh client and connection for every object and part
    PerUpload,
}

impl ClientArg {
    pub(super) fn mode(self) -> Option<ClientMode> {
        match self {
            Self::Auto => None,
            Self::Shared => Some(ClientMode::Shared),
            Self::PerWorker => Some(ClientMode::PerWorker),
            Self::PerUpload => Some(ClientMode::PerUpload),
        }
    }
}

/// `--engine` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineArg {
    /// direct; sdk for Amazon S3 itself, where direct could not be tried, and for directory buckets
    Auto,
    /// Uploads on requests of our own, everything else through the SDK
    Direct,
    /// Every request through the AWS SDK
    Sdk,
}

impl From<EngineArg> for Engine {
    fn from(typed: EngineArg) -> Self {
        match typed {
            EngineArg::Auto => Self::Auto,
            EngineArg::Direct => Self::Direct,
            EngineArg::Sdk => Self::Sdk,
        }
    }
}

/// `--payload-signing` as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SigningArg {
    /// Over plain http to another machine; not over TLS, not on loopback
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl From<SigningArg> for PayloadSigning {
    fn from(typed: SigningArg) -> Self {
        match typed {
            SigningArg::Auto => Self::Auto,
            SigningArg::Always => Self::Always,
            SigningArg::Never => Self::Never,
        }
    }
}

/// `--concurrency` as typed: a number, or none for `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConcurrencyArg(pub(super) Option<usize>);

impl FromStr for ConcurrencyArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            number => number
                .parse()
                .map(|number| Self(Some(number)))
                .map_err(|_| format!("'{number}' is neither a number nor 'auto'")),
        }
    }
}

/// `--batch-small` as typed: a size, `auto` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchArg(pub(super) BatchSmall);

impl FromStr for BatchArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(BatchSmall::Off)),
            "auto" => Ok(Self(BatchSmall::Auto)),
            size => size
                .parse()
                .map(|size| Self(BatchSmall::UpTo(size)))
                .map_err(|error| format!("'{size}' is neither 'auto' nor 'off' nor a size ({error})")),
        }
    }
}
