//! Tests only: a thread for each file that is started and never joined, as in articles that timed no more than that.
//!
//! A strategy has to wait for what it starts; this one is there to be refused.

use std::thread;

use super::worker_loop::{block_on, do_task};
use super::{Strategy, StrategyContext};
use crate::error::Result;
use crate::transfer::Task;

pub(crate) struct Unjoined;

impl Strategy for Unjoined {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let tasks: Vec<Task> = std::iter::from_fn(|| context.tasks.receive_blocking()).collect();
        for (worker, task) in tasks.into_iter().enumerate() {
            let context = context.clone();
            context.evidence.thread_started();
            thread::spawn(move || {
                context.evidence.worker_begins();
                let upload = async { do_task(task, worker, &context.clients.for_worker()?, &context).await };
                block_on(&context, upload).and_then(|outcome| outcome)
            });
        }
        Ok(())
    }
}
