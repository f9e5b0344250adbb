//! One OS thread for each file, all started at once and all joined.
//!
//! Built by `strategy::build`. Waits for the whole list, because too many files are refused before the first
//! byte. A large file's parts are sent one after another by its one thread, by definition.

use std::thread;

use super::worker_loop::{block_on, do_task, no_thread};
use super::{Strategy, StrategyContext};
use crate::config::THREAD_PER_FILE_LIMIT;
use crate::error::{Error, ErrorKind, Result};
use crate::transfer::Task;

pub(super) struct ThreadPerFile;

impl Strategy for ThreadPerFile {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let list = self.list(context)?;
        thread::scope(|scope| {
            let mut handles = Vec::with_capacity(list.len());
            let mut outcome = Ok(());
            for (worker, task) in list.into_iter().enumerate() {
                let body = move || {
                    block_on(context, async {
                        let clients = context.clients.for_worker()?;
                        do_task(task, worker, &clients, context).await
                    })?
                };
                match thread::Builder::new()
                    .name(format!("file-{worker}"))
                    .spawn_scoped(scope, body)
                {
                    Ok(handle) => {
                        context.evidence.thread_started();
                        handles.push(handle);
                    }
                    // The task went with the closure and has settled itself; the others still run.
                    Err(error) => outcome = Err(no_thread(worker, error)),
                }
            }
            for handle in handles {
                let joined = handle
                    .join()
                    .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "a worker panicked")));
                context.evidence.thread_joined();
                if outcome.is_ok() {
                    outcome = joined;
                }
            }
            outcome
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
