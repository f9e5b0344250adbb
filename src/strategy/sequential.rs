//! One thread, one request at a time: the baseline.
//!
//! Built by `strategy::build`; runs the shared worker loop once, on the calling thread. Client modes `shared`
//! and `per-worker` are the same here: there is one worker.

use super::worker_loop::work;
use super::{Strategy, StrategyContext};
use crate::error::Result;

pub(super) struct Sequential;

impl Strategy for Sequential {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        context
            .clients
            .host()
            .runtime
            .block_on(work(0, &context.clients, context))
    }
}
