//! The elementary acts of a transfer, as plain data: what a worker does itself or sends to a child process.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::journal::Earlier;
use super::look::Look;
use super::task::ObjectSpec;
use crate::event::{Failure, FailureKind};
use crate::identity::FileIdentity;
use crate::store::CompletedPart;

/// A multipart upload that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The server's name for it.
    pub upload_id: String,
    /// The file's state at that moment; none for a stream.
    pub identity: Option<FileIdentity>,
}

/// A part that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartDone {
    /// As the server confirmed it.
    pub part: CompletedPart,
    /// Bytes.
    pub length: u64,
}

/// An object that is stored and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// ETag without quotes.
    pub etag: String,
    /// `algorithm:base64`; empty when nobody knows it.
    pub checksum: String,
    /// Bytes that it has; a file may have grown since it was listed.
    pub size_bytes: u64,
    /// The state of its file, if anybody wants to know; none of a stream.
    pub identity: Option<Box<FileIdentity>>,
}

/// One act: at most a few requests, for one object or for a batch of small ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Find out whether a file is what is stored.
    Look {
        /// What.
        object: Arc<ObjectSpec>,
        /// How.
        look: Box<Look>,
    },
    /// Store a file by one PUT, or fetch an object by one GET.
    Put {
        /// What.
        object: Arc<ObjectSpec>,
        /// Read all of it before the first byte is sent: it changes too often to be read while it is.
        at_once: bool,
    },
    /// Read small files and store them by one PUT that the server takes apart.
    Batch {
        /// What.
        objects: Vec<Arc<ObjectSpec>>,
    },
    /// Look at a file and begin its multipart upload.
    Begin {
        /// What.
        object: Arc<ObjectSpec>,
        /// The upload that an earlier run began: go on with it if the file is the same, else abort it.
        earlier: Option<Box<Earlier>>,
    },
    /// Store one part.
    Part {
        /// Of what.
        object: Arc<ObjectSpec>,
        /// Of which upload.
        begun: Arc<Begun>,
        /// From 1.
        number: u32,
        /// First byte in the content.
        offset: u64,
        /// Bytes.
        length: u64,
        /// What an earlier run sent of it: nothing is sent if it is the same.
        sent: Option<Box<PartDone>>,
    },
    /// Look at the file again, complete the upload and check the object.
    Finish {
        /// What.
        object: Arc<ObjectSpec>,
        /// Which upload.
        begun: Arc<Begun>,
        /// All its parts in rising order.
        parts: Vec<PartDone>,
    },
    /// Give an upload up.
    Abort {
        /// Of what.
        object: Arc<ObjectSpec>,
        /// Which upload.
        upload_id: String,
    },
}

impl Step {
    /// Whether it is something new. What ends what was begun is not.
    pub(super) fn begins(&self) -> bool {
        !matches!(self, Self::Finish { .. } | Self::Abort { .. })
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepDone {
    /// Of `Look`: it is.
    Same(Done),
    /// Of `Look`: it is not, or nobody can tell.
    Different,
    /// Of `Put` and `Finish`.
    Stored(Done),
    /// Of `Batch`, in its order: what is stored; none for what has to go by itself.
    Batch(Vec<Option<Done>>),
    /// Of `Begin`.
    Begun(Arc<Begun>),
    /// Of `Begin`: an earlier upload goes on, and has these parts.
    Resumed(Arc<Begun>, Vec<PartDone>),
    /// Of `Part`.
    Part(PartDone),
    /// Of `Abort`.
    Aborted,
}

/// Why a step was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepError {
    /// The file is not what it was: the whole file is tried again.
    Changed,
    /// It is too large for one PUT: it is uploaded by parts.
    TooLarge {
        /// Bytes.
        size_bytes: u64,
    },
    /// The upload or object is not what it should be, and a fresh start may help.
    Restart(Failure),
    /// `--if-none-match` met an object.
    Exists,
    /// This run itself writes the file.
    OwnOutput,
    /// This object cannot be uploaded.
    Failed(Failure),
    /// No object can be uploaded: the run ends.
    Fatal(FatalCause),
    /// The run was stopped.
    Cancelled,
}

impl StepError {
    /// True when whoever did the step is gone or was stopped before it could tell what came of it.
    pub(super) fn lost_its_answer(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Failed(failure) => failure.kind == FailureKind::WorkerLost,
            _ => false,
        }
    }
}

/// An error that ends the run, from whichever process met it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FatalCause {
    /// What the run died of.
    pub kind: crate::store::StoreErrorKind,
    /// For people.
    pub message: String,
}

/// Somebody who can do steps: this process, or a child.
#[async_trait]
pub trait Steps: Send + Sync {
    /// Does one step. Dropping the future abandons it; the server may have acted on it.
    async fn run(&self, step: Step) -> Result<StepDone, StepError>;
}

/// A multipart upload that is being begun when the run stops gets this long to say its id: one that the server
/// begins and nobody knows of could not be aborted.
const BEGIN_GRACE: Duration = Duration::from_secs(2);

/// Does `step` unless the run is cancelled first, or it is too late for it. Aborts are always done.
pub(crate) async fn run_unless_cancelled(
    steps: &dyn Steps,
    step: Step,
    cancel: &CancellationToken,
    is_late: bool,
) -> Result<StepDone, StepError> {
    let grace = match &step {
        Step::Abort { .. } => return steps.run(step).await,
        _ if is_late || cancel.is_cancelled() => return Err(StepError::Cancelled),
        Step::Begin { .. } => BEGIN_GRACE,
        _ => Duration::ZERO,
    };
    let stopped = async {
        cancel.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        biased;
        outcome = steps.run(step) => outcome,
        () = stopped => Err(StepError::Cancelled),
    }
}
