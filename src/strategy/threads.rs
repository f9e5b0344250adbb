//! N OS threads that pull from the one bounded queue and make blocking calls.
//!
//! Built by `strategy::build`; ends when the queue is closed and empty. With a shared client the threads block
//! on requests whose connections one background event loop drives; otherwise each has an event loop of its own.

use super::worker_loop::{block_on, on_threads, work};
use super::{Strategy, StrategyContext};
use crate::error::Result;

pub(super) struct Threads;

impl Strategy for Threads {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let count = context.choice.concurrency;
        on_threads(0..count, &context.evidence, |worker, _| {
            block_on(context, work(worker, &context.clients, context))?
        })
    }
}
