//! When a run stops beginning things.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// A moment, and whether it has cut anything short.
#[derive(Clone, Debug)]
pub struct TimeLimit {
    end: Instant,
    has_cut: Arc<AtomicBool>,
}

impl TimeLimit {
    /// A limit at `end`.
    pub fn at(end: Instant) -> Self {
        Self {
            end,
            has_cut: Arc::default(),
        }
    }

    /// Whether it is over. Whoever asks has something left to do, and does not do it then.
    pub fn is_over(&self) -> bool {
        let is_over = Instant::now() >= self.end;
        if is_over {
            self.has_cut.store(true, Ordering::Relaxed);
        }
        is_over
    }

    /// Whether something was not done because it was over.
    pub fn has_cut(&self) -> bool {
        self.has_cut.load(Ordering::Relaxed)
    }
}
