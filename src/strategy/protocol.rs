//! What parent and child processes say to each other: one JSON object a line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::ChildUsage;
use crate::config::{BucketPolicy, Config};
use crate::error::ErrorKind;
use crate::event::RetryNotice;
use crate::store::KnownServer;
use crate::transfer::{Step, StepDone, StepError};

/// How often a child says that it lives.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(3);

/// The first line to a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Init {
    /// Settings, with this child's share of memory. Travels by pipe, so secrets may be in it.
    pub(super) config: Config,
    /// Bucket name.
    pub(super) bucket: String,
    /// Threads that do steps.
    pub(super) threads: usize,
    /// The first child looks at the bucket; the others are told what it found.
    pub(super) contact: Contact,
    /// Device and inode of what the run itself writes.
    pub(super) own_outputs: Vec<(u64, u64)>,
}

/// See [`Init`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Contact {
    /// Check server, credentials and bucket before anything else.
    First(BucketPolicy),
    /// They are good, and this is the server.
    Made(KnownServer),
}

/// Why a child cannot work: an [`crate::error::Error`] that can travel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Parent to child.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToChild {
    /// Comes first, once.
    Init(Box<Init>),
    /// Do this on this thread and answer with the same id.
    Do { id: u64, thread: usize, step: Step },
    /// The bytes of that [`FromChild::Pass`] may be sent now.
    Passed { id: u64 },
    /// Abandon everything but aborts.
    Cancel,
}

/// Child to parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FromChild {
    /// It has what it needs, and this is the server.
    Ready(KnownServer),
    /// It cannot work at all. The last line.
    Refused(Refusal),
    Done {
        id: u64,
        outcome: Result<StepDone, StepError>,
    },
    Retry(RetryNotice),
    /// May these bytes be sent? Asked only where the run has a limit, which is one for all processes.
    Pass {
        id: u64,
        bytes: usize,
    },
    /// Comes every [`HEARTBEAT`], whatever the threads do.
    Alive,
    /// The last line.
    Bye(ChildUsage),
}
