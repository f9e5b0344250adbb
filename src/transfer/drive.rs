//! Takes one task to its outcome: the order of the steps, who ends a multipart upload, when a file is tried again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::drive_batch::drive_batch;
use super::drive_file::{drive_file, upload_whole};
use super::file::settle_time;
use super::multipart::{Ending, Start, Upload};
use super::open_uploads::OpenUploads;
use super::step::{
    Begun, Done, FatalCause, PartDone, Step, StepDone, StepError, Steps, run_unless_cancelled,
};
use super::task::{Content, FileTask, ObjectSpec, PartTask, Task};
use super::ticket::{EventSender, Ticket};
use super::time_limit::TimeLimit;
use crate::event::{DETAIL, Event, Failure, FailureKind, Outcome, SkipReason, WorkerId};
use crate::plan::PartPlan;

/// Time that giving an upload up may take while the run goes on, and when it is to stop.
const ABORT_LIMIT: Duration = Duration::from_secs(30);
const ABORT_LIMIT_AT_THE_END: Duration = Duration::from_secs(2);

/// What all workers of a run share, wherever they are.
#[derive(Clone)]
pub struct RunContext {
    /// Where records go.
    pub events: EventSender,
    /// Cancelled when the run is to stop; nothing new starts then.
    pub cancel: CancellationToken,
    /// Uploads to abort when everything else fails.
    pub open_uploads: Arc<OpenUploads>,
    /// What ended the run early, if something did.
    pub fatal: Arc<Mutex<Option<FatalCause>>>,
    /// Files above this are multipart uploads.
    pub threshold_bytes: u64,
    /// Bytes of a part.
    pub part_bytes: u64,
    /// When nothing new is begun any more; what is in hand is finished.
    pub time_limit: Option<TimeLimit>,
    /// Nothing is sent: files are looked at, and what would be is told.
    pub plans: bool,
}

impl RunContext {
    /// Ends the run because of `cause`; the first one counts.
    pub fn give_up(&self, cause: FatalCause) {
        self.fatal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(cause);
        self.cancel.cancel();
    }

    /// True when the time is up. Whoever asks does not go on then.
    pub fn is_out_of_time(&self) -> bool {
        self.time_limit.as_ref().is_some_and(TimeLimit::is_over)
    }

    /// True when the run is not to come to its end, and what is open is left to the next one.
    pub fn leaves_uploads(&self) -> bool {
        let uploads = &self.open_uploads;
        let is_over = self.time_limit.as_ref().is_some_and(TimeLimit::has_cut);
        (is_over && uploads.are_written_down()) || (self.cancel.is_cancelled() && uploads.stay())
    }

    /// Does `step`, unless the run is stopped or the time is up. No future of its own: each object comes by here.
    pub(super) fn run(
        &self,
        steps: &dyn Steps,
        step: Step,
    ) -> impl Future<Output = Result<StepDone, StepError>> + Send {
        let is_late = self.time_limit.is_some() && step.begins() && self.is_out_of_time();
        run_unless_cancelled(steps, step, &self.cancel, is_late)
    }
}

/// Takes `task` to its outcome. Never fails: what goes wrong is in the record. When the run is cancelled, the
/// request in flight is dropped, an open upload is aborted and the record says `Cancelled`.
pub async fn drive(task: Task, steps: &dyn Steps, context: &RunContext, worker: WorkerId) {
    match task {
        Task::File(file) => drive_file(file, steps, context, worker).await,
        Task::Batch(files) => drive_batch(files, steps, context, worker).await,
        Task::Part(part) => drive_part(part, steps, context, worker).await,
    }
}

async fn drive_part(task: PartTask, steps: &dyn Steps, context: &RunContext, worker: WorkerId) {
    let PartTask { upload, number, held } = task;
    upload.touch();
    let (body, _held) = held.unzip();
    let outcome = match upload.trouble() {
        Some(trouble) => Err(trouble),
        None => send_part(&upload, number, body, steps, context).await,
    };
    let Some(ending) = upload.settle(outcome) else {
        return;
    };
    end(&upload, ending, steps, context, worker).await;
}

async fn send_part(
    upload: &Upload,
    number: u32,
    body: Option<crate::store::Body>,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<PartDone, StepError> {
    let start = upload
        .start
        .get_or_init(|| begin(&upload.object, upload.plan, steps, context))
        .await;
    let Start { begun, sent } = start.as_ref().map_err(StepError::clone)?;
    let (object, offset, length) = match (body, upload.plan) {
        (Some(body), _) => {
            let length = body.length();
            let held = ObjectSpec {
                content: Content::Held(body),
                ..(*upload.object).clone()
            };
            (Arc::new(held), 0, length)
        }
        (None, Some(plan)) => {
            let (offset, length) = plan.range(number);
            (upload.object.clone(), offset, length)
        }
        (None, None) => return Err(lost("a part without bytes")),
    };
    let step = Step::Part {
        object,
        begun: begun.clone(),
        number,
        offset,
        length,
        sent: earlier_part(sent, number, length),
    };
    part(step, &begun.upload_id, steps, context).await
}

/// What an earlier run sent as this part, if it can be the same.
pub(super) fn earlier_part(sent: &[PartDone], number: u32, length: u64) -> Option<Box<PartDone>> {
    let part = sent.iter().find(|part| part.part.number == number)?;
    (part.length == length).then(|| Box::new(part.clone()))
}

/// Begins an upload, or goes on with that of an earlier run; one whose file has another size than planned is a changed
/// file.
pub(super) async fn begin(
    object: &Arc<ObjectSpec>,
    plan: Option<PartPlan>,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<Start, StepError> {
    if context.cancel.is_cancelled() {
        return Err(StepError::Cancelled);
    }
    let uploads = &context.open_uploads;
    let earlier = uploads.take_earlier(object);
    let (earlier, other) = match earlier {
        Some(earlier) if uploads.fits(object, &earlier) => (Some(earlier), None),
        other => (None, other),
    };
    if let Some(other) = other {
        // First, for what came of it may have the room that is needed now.
        abort(&other.upload_id, object, steps, context).await;
    }
    let earlier_id = earlier.as_ref().map(|earlier| earlier.upload_id.clone());
    let step = Step::Begin {
        object: object.clone(),
        earlier,
    };
    uploads.asked(object);
    let outcome = context.run(steps, step).await;
    let start = match outcome {
        Ok(StepDone::Begun(begun)) => {
            uploads.add(&begun, object);
            if let Some(upload_id) = earlier_id.filter(|earlier_id| *earlier_id != begun.upload_id) {
                abort(&upload_id, object, steps, context).await;
            }
            Start {
                begun,
                sent: Vec::new(),
            }
        }
        Ok(StepDone::Resumed(begun, sent)) => {
            uploads.add_earlier(&begun, object);
            Start { begun, sent }
        }
        Ok(_) => return Err(lost("an answer to another step")),
        Err(trouble) => {
            if !trouble.lost_its_answer() {
                uploads.refused(object);
            }
            return Err(trouble);
        }
    };
    match (plan, &start.begun.identity) {
        (Some(plan), Some(identity)) if identity.size_bytes != plan.size_bytes() => {
            abort(&start.begun.upload_id, object, steps, context).await;
            Err(StepError::Changed)
        }
        _ => Ok(start),
    }
}

pub(super) async fn part(
    step: Step,
    upload_id: &str,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<PartDone, StepError> {
    let StepDone::Part(done) = context.run(steps, step).await? else {
        return Err(lost("an answer to another step"));
    };
    context.open_uploads.stored(upload_id, &done);
    context.events.send(Event::Sent { bytes: done.length });
    Ok(done)
}

pub(super) fn lost(what: &str) -> StepError {
    StepError::Failed(Failure::new(
        FailureKind::WorkerLost,
        format!("a worker gave {what}"),
    ))
}

/// Ends an upload whose parts are all settled.
async fn end(upload: &Upload, ending: Ending, steps: &dyn Steps, context: &RunContext, worker: WorkerId) {
    let start = upload.start.get().and_then(|start| start.as_ref().ok());
    let begun = start.map(|start| &start.begun);
    match ending {
        Ending::Complete { parts, mut ticket } => {
            ticket.note(|record| {
                record.worker = worker;
                record.parts = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            });
            let outcome = match begun {
                Some(begun) => finish(upload.object.clone(), begun, parts, steps, context).await,
                None => Err(lost("parts without an upload")),
            };
            conclude(upload, outcome, ticket, steps, context).await;
        }
        Ending::GiveUp { trouble, mut ticket } => {
            ticket.note(|record| record.worker = worker);
            if let Some(begun) = begun {
                give_up(begun, &upload.object, steps, context).await;
            }
            conclude(upload, Err(trouble), ticket, steps, context).await;
        }
    }
}

/// Settles the ticket, or tries the whole file again where that can help.
async fn conclude(
    upload: &Upload,
    outcome: Result<Done, StepError>,
    ticket: Ticket,
    steps: &dyn Steps,
    context: &RunContext,
) {
    if upload.object.is_worth_a_try_after(&outcome) {
        // One worker sends it alone this time: rare, and simpler than sending its parts through the queue.
        tokio::time::sleep(settle_time(1)).await;
        let file = FileTask::new(upload.object.clone(), ticket);
        return Box::pin(upload_whole(file, 2, steps, context)).await;
    }
    settle(outcome, ticket, context);
}

pub(super) async fn finish(
    object: Arc<ObjectSpec>,
    begun: &Arc<Begun>,
    parts: Vec<PartDone>,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<Done, StepError> {
    let step = Step::Finish {
        object: object.clone(),
        begun: begun.clone(),
        parts,
    };
    match context.run(steps, step).await {
        Ok(StepDone::Stored(done)) => {
            context.open_uploads.remove(&begun.upload_id);
            Ok(done)
        }
        Ok(_) => Err(lost("an answer to another step")),
        Err(trouble) => {
            give_up(begun, &object, steps, context).await;
            Err(trouble)
        }
    }
}

/// Gives an upload up, unless the run is stopped and the next one can go on with it.
pub(super) async fn give_up(
    begun: &Arc<Begun>,
    object: &Arc<ObjectSpec>,
    steps: &dyn Steps,
    context: &RunContext,
) {
    // A stream cannot be read again.
    if !context.leaves_uploads() || matches!(object.content, Content::Held(_)) {
        abort(&begun.upload_id, object, steps, context).await;
    }
}

/// Aborts an upload, or removes what came of an object, also when the run is cancelled. What cannot be ended now stays in
/// [`OpenUploads`] for the end of the run, or in the journal for the next one.
async fn abort(upload_id: &str, object: &Arc<ObjectSpec>, steps: &dyn Steps, context: &RunContext) {
    let step = Step::Abort {
        object: object.clone(),
        upload_id: upload_id.to_owned(),
    };
    let limit = if context.cancel.is_cancelled() {
        ABORT_LIMIT_AT_THE_END
    } else {
        ABORT_LIMIT
    };
    match tokio::time::timeout(limit, steps.run(step)).await {
        Ok(Ok(_)) => context.open_uploads.remove(upload_id),
        outcome => tracing::info!(target: DETAIL,
            key = object.key,
            ?outcome,
            "abort failed; it is tried again later"
        ),
    }
}

pub(super) fn settle(outcome: Result<Done, StepError>, mut ticket: Ticket, context: &RunContext) {
    let failed = |failure| Outcome::Failed { failure };
    let outcome = match outcome {
        Ok(done) => {
            ticket.note(|record| {
                record.size_bytes = done.size_bytes;
                record.identity = done.identity;
            });
            Outcome::Done {
                etag: done.etag,
                checksum: Some(done.checksum),
            }
        }
        Err(StepError::Exists) => Outcome::Skipped {
            reason: SkipReason::Exists,
        },
        Err(StepError::OwnOutput) => {
            // No part of the source, and of no size to anybody.
            ticket.note(|record| record.size_bytes = 0);
            Outcome::Skipped {
                reason: SkipReason::OwnOutput,
            }
        }
        Err(StepError::Cancelled) => Outcome::Cancelled,
        Err(StepError::Changed) => failed(Failure::new(
            FailureKind::Changed,
            "changed while being read, and again when tried anew",
        )),
        Err(StepError::TooLarge { size_bytes }) => failed(Failure::new(
            FailureKind::Changed,
            format!("{size_bytes} bytes are too many for one PUT"),
        )),
        Err(StepError::Restart(failure) | StepError::Failed(failure)) => failed(failure),
        Err(StepError::Fatal(cause)) => {
            let failure = Failure::new(FailureKind::Upload, cause.message.clone());
            context.give_up(cause);
            failed(failure)
        }
    };
    ticket.settle(outcome);
}
