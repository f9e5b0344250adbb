//! The run's gate as a child sees it: it asks the parent by pipe, so that one limit holds for all processes
//! together, however unevenly they send.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::child::{Output, say};
use super::protocol::FromChild;
use crate::store::Gate;

/// See the module.
pub(super) struct ParentsGate {
    output: Output,
    next_id: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<()>>>,
}

impl ParentsGate {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            next_id: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The parent said yes.
    pub(super) fn passed(&self, id: u64) {
        if let Some(sender) = self.waiting().remove(&id) {
            // Nobody waits any more when the request was dropped; its bytes are then the run's loss.
            let _ = sender.send(());
        }
    }
}

impl fmt::Debug for ParentsGate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ParentsGate")
    }
}

#[async_trait]
impl Gate for ParentsGate {
    async fn pass(&self, bytes: usize) {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.waiting().insert(id, sender);
        say(&self.output, &FromChild::Pass { id, bytes });
        // A sender that is gone means that the parent is; the end of input ends this process then.
        let _ = receiver.await;
    }
}
