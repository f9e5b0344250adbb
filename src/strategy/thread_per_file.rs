//! One OS thread for each file, all started at once and all joined.
//!
//! Built by `strategy::build`. Waits for the whole list, because too many files are refused before the first
//! byte. A large file's parts are sent one after another by its one thread, by definition.

use super::worker_loop::{block_on, do_task, on_threads};
use super::{Strategy, StrategyContext};
use crate::config::THREAD_PER_FILE_LIMIT;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::Task;

pub(super) struct ThreadPerFile;

impl Strategy for ThreadPerFile {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let list = self.list(context)?;
        on_threads(list, &context.evidence, |worker, task| {
            context.evidence.worker_begins();
            block_on(context, async {
                let clients = context.clients.for_worker()?;
                do_task(task, worker, &clients, context).await
            })?
        })
    }
}

impl ThreadPerFile {
    fn list(&self, context: &StrategyContext) -> Result<Vec<Task>> {
        let mut list = Vec::new();
        while let Some(task) = context.tasks.receive_blocking() {
            list.push(task);
            if list.len() > THREAD_PER_FILE_LIMIT && !context.config.run.force {
                context.run.cancel.cancel();
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!(
                        "'--strategy thread-per-file' would start more than {THREAD_PER_FILE_LIMIT} threads"
                    ),
                )
                .with_hint("use --strategy threads, or --force if you mean it"));
            }
        }
        Ok(list)
    }
}
