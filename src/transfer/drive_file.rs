//! Takes a file that one worker has to its outcome: by one PUT, by parts, or by handing its parts out.

use std::sync::Arc;

use super::drive::{RunContext, begin, earlier_part, finish, give_up, lost, part, settle};
use super::file::settle_time;
use super::look::Look;
use super::multipart::Start;
use super::step::{Done, PartDone, Step, StepDone, StepError, Steps};
use super::task::{Content, FileTask, ObjectSpec, Task, parts};
use super::ticket::Ticket;
use crate::event::{Failure, FailureKind, Outcome, WorkerId};
use crate::plan::PartPlan;
use crate::queue::Sender;

/// Times a file that changes while it is read is tried in all.
const MAX_ATTEMPTS: u32 = 3;

/// What a single PUT came to.
enum Put {
    Stored(Done),
    /// Nothing was sent: so many bytes are too many.
    TooLarge(u64),
}

pub(super) async fn drive_file(
    mut file: FileTask,
    steps: &dyn Steps,
    context: &RunContext,
    worker: WorkerId,
) {
    file.ticket.start();
    file.ticket.note(|record| record.worker = worker);
    if let Some(look) = file.look.take() {
        // Boxed: those that are looked at are few, and large.
        match Box::pin(look_at(&file.object, look, steps, context)).await {
            Ok(Some(done)) => return settle_unchanged(done, file.ticket),
            Ok(None) => {}
            // What cannot be looked at now may be sent all the same, and has its tries then.
            Err(StepError::Changed | StepError::Restart(_)) if !context.plans => {}
            Err(trouble) => return settle(Err(trouble), file.ticket, context),
        }
    }
    if context.plans {
        return file.ticket.settle(Outcome::Planned);
    }
    upload_whole(file, 1, steps, context).await;
}

/// What is stored already; none when that is something else. A file that changes meanwhile is looked at again.
async fn look_at(
    object: &Arc<ObjectSpec>,
    look: Box<Look>,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<Option<Done>, StepError> {
    let mut attempt = 1;
    loop {
        let step = Step::Look {
            object: object.clone(),
            look: look.clone(),
        };
        match context.run(steps, step).await {
            Ok(StepDone::Same(done)) => return Ok(Some(done)),
            Ok(StepDone::Different) => return Ok(None),
            Ok(_) => return Err(lost("an answer to another step")),
            Err(StepError::Changed) if context.plans && attempt < MAX_ATTEMPTS => {
                tokio::time::sleep(settle_time(attempt)).await;
                attempt += 1;
            }
            Err(trouble) => return Err(trouble),
        }
    }
}

fn settle_unchanged(done: Done, mut ticket: Ticket) {
    ticket.note(|record| {
        record.size_bytes = done.size_bytes;
        record.identity = done.identity;
    });
    ticket.settle(Outcome::Unchanged {
        etag: done.etag,
        checksum: Some(done.checksum).filter(|checksum| !checksum.is_empty()),
    });
}

/// Uploads a file, small or large, again if it changes meanwhile. A large one whose size comes as a surprise goes
/// back to the queue, in parts.
pub(super) async fn upload_whole(
    file: FileTask,
    first_attempt: u32,
    steps: &dyn Steps,
    context: &RunContext,
) {
    let FileTask {
        object,
        mut ticket,
        held: _held,
        queue,
        look: _,
    } = file;
    let mut attempt = first_attempt;
    loop {
        ticket.note(|record| {
            record.attempts = attempt;
            record.parts = 0;
        });
        let outcome = match (put(&object, attempt > 1, steps, context).await, &queue) {
            (Ok(Put::Stored(done)), _) => Ok(done),
            (Ok(Put::TooLarge(size_bytes)), Some(queue)) => {
                return hand_out(&object, ticket, size_bytes, queue, context);
            }
            (Ok(Put::TooLarge(_)), None) => by_parts(&object, &mut ticket, steps, context).await,
            (Err(trouble), _) => Err(trouble),
        };
        if attempt >= MAX_ATTEMPTS || !object.is_worth_a_try_after(&outcome) {
            return settle(outcome, ticket, context);
        }
        tokio::time::sleep(settle_time(attempt)).await;
        attempt += 1;
    }
}

async fn put(
    object: &Arc<ObjectSpec>,
    at_once: bool,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<Put, StepError> {
    // The file decides by its size now, not the listing: it may have grown or shrunk.
    if matches!(object.content, Content::Held(_)) && object.size_bytes > context.threshold_bytes {
        return Ok(Put::TooLarge(object.size_bytes));
    }
    let step = Step::Put {
        object: object.clone(),
        at_once,
    };
    match context.run(steps, step).await {
        Ok(StepDone::Stored(done)) => Ok(Put::Stored(done)),
        Ok(_) => Err(lost("an answer to another step")),
        Err(StepError::TooLarge { size_bytes }) => Ok(Put::TooLarge(size_bytes)),
        Err(trouble) => Err(trouble),
    }
}

fn impossible(too_large: &impl ToString) -> StepError {
    StepError::Failed(Failure::new(FailureKind::KeyRefused, too_large.to_string()))
}

/// Puts the parts of a large file before all that waits in the queue.
fn hand_out(
    object: &ObjectSpec,
    mut ticket: Ticket,
    size_bytes: u64,
    queue: &Sender<Task>,
    context: &RunContext,
) {
    match PartPlan::new(size_bytes, context.part_bytes) {
        Ok(plan) => {
            ticket.note(|record| record.size_bytes = size_bytes);
            let object = ObjectSpec {
                size_bytes,
                ..object.clone()
            };
            queue.send_first(parts(Arc::new(object), ticket, plan).collect());
        }
        Err(too_large) => settle(Err(impossible(&too_large)), ticket, context),
    }
}

async fn by_parts(
    object: &Arc<ObjectSpec>,
    ticket: &mut Ticket,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<Done, StepError> {
    let start = begin(object, None, steps, context).await?;
    let begun = &start.begun;
    let size_bytes = begun
        .identity
        .map_or(object.size_bytes, |identity| identity.size_bytes);
    let sent = send_all_parts(object, &start, size_bytes, steps, context).await;
    let parts = match sent {
        Ok(parts) => parts,
        Err(trouble) => {
            give_up(begun, object, steps, context).await;
            return Err(trouble);
        }
    };
    ticket.note(|record| record.parts = u32::try_from(parts.len()).unwrap_or(u32::MAX));
    finish(object.clone(), begun, parts, steps, context).await
}

async fn send_all_parts(
    object: &Arc<ObjectSpec>,
    Start { begun, sent }: &Start,
    size_bytes: u64,
    steps: &dyn Steps,
    context: &RunContext,
) -> Result<Vec<PartDone>, StepError> {
    let plan = PartPlan::new(size_bytes, context.part_bytes).map_err(|too_large| impossible(&too_large))?;
    let mut parts = Vec::with_capacity(plan.count() as usize);
    for number in 1..=plan.count() {
        let (offset, length) = plan.range(number);
        let step = Step::Part {
            object: object.clone(),
            begun: begun.clone(),
            number,
            offset,
            length,
            sent: earlier_part(sent, number, length),
        };
        parts.push(part(step, &begun.upload_id, steps, context).await?);
    }
    Ok(parts)
}
