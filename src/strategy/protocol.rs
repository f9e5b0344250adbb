//! What parent and child processes say to each other: one JSON object a line.

use serde::{Deserialize, Serialize};

use super::evidence::ChildUsage;
use crate::config::Config;
use crate::event::RetryNotice;
use crate::transfer::{Step, StepDone, StepError};

/// The first line to a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Init {
    /// Settings, with this child's share of memory and bandwidth. Travels by pipe, so secrets may be in it.
    pub(super) config: Config,
    /// Bucket name.
    pub(super) bucket: String,
    /// Threads that do steps.
    pub(super) threads: usize,
    /// The parent has seen the server and knows how far it can be trusted.
    pub(super) server: crate::store::ServerKind,
}

/// Parent to child.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToChild {
    /// Comes first, once.
    Init(Box<Init>),
    /// Do this and answer with the same id.
    Do {
        id: u64,
        step: Step,
    },
    /// Abandon everything but aborts.
    Cancel,
}

/// Child to parent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FromChild {
    /// It has what it needs, or cannot work at all.
    Ready {
        error: Option<String>,
    },
    Done {
        id: u64,
        outcome: Result<StepDone, StepError>,
    },
    Retry(RetryNotice),
    /// The last line.
    Bye(ChildUsage),
}
