//! Takes a batch to the outcomes of its files: together if that works, else one after another.

use std::sync::Arc;

use super::drive::{RunContext, settle};
use super::drive_file::upload_whole;
use super::step::{Step, StepDone, StepError, Steps};
use super::task::FileTask;
use crate::event::{DETAIL, WorkerId};

pub(super) async fn drive_batch(
    mut files: Vec<FileTask>,
    steps: &dyn Steps,
    context: &RunContext,
    worker: WorkerId,
) {
    for file in &mut files {
        file.ticket.start();
        file.ticket.note(|record| record.worker = worker);
    }
    let objects = files.iter().map(|file| Arc::clone(&file.object)).collect();
    let stored = match context.run(steps, Step::Batch { objects }).await {
        Ok(StepDone::Batch(stored)) => stored,
        Ok(_) => Vec::new(),
        Err(trouble @ (StepError::Cancelled | StepError::Fatal(_))) => {
            for file in files {
                settle(Err(trouble.clone()), file.ticket, context);
            }
            return;
        }
        Err(trouble) => {
            tracing::info!(target: DETAIL,
                ?trouble,
                files = files.len(),
                "a batch failed; its files go one by one"
            );
            Vec::new()
        }
    };
    let outcomes = stored.into_iter().chain(std::iter::repeat(None));
    for (mut file, stored) in files.into_iter().zip(outcomes) {
        match stored {
            Some(done) => {
                file.ticket.note(|record| record.batched = true);
                settle(Ok(done), file.ticket, context);
            }
            None => upload_whole(file, 1, steps, context).await,
        }
    }
}
