//! The feeder's way into the queue: tasks as they come, small files gathered into batches where that is wanted.

use std::time::{Duration, Instant};

use crate::plan::{MAX_BATCH_OBJECTS, PartPlan, can_be_in_a_batch, cut};
use crate::queue::Sender;
use crate::transfer::{FileTask, ObjectSpec, Task, Ticket, expand};

/// Files that are gathered, sorted and cut into batches together: what is close together in a listing is found by
/// one page of it, and directories come in no order.
const WINDOW: usize = 16 * MAX_BATCH_OBJECTS;
/// Workers without work wait no longer than this for a window to fill.
const PATIENCE: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Outlet<'a> {
    tasks: &'a Sender<Task>,
    /// Largest file that goes in a batch, in bytes; none when no file does.
    batch_limit: Option<u64>,
    gathered: Vec<FileTask>,
    since: Instant,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(tasks: &'a Sender<Task>, batch_limit: Option<u64>) -> Self {
        Self {
            tasks,
            batch_limit,
            gathered: Vec::new(),
            since: Instant::now(),
        }
    }

    /// Takes a file; `plan` when it goes up in parts. A task that nobody takes settles itself when it is dropped.
    pub(super) fn put(&mut self, object: ObjectSpec, ticket: Ticket, plan: Option<PartPlan>) {
        let is_small = plan.is_none() && self.batch_limit.is_some_and(|limit| object.size_bytes <= limit);
        let is_gathered = is_small && can_be_in_a_batch(&object.key);
        for task in expand(object, ticket, plan) {
            match task {
                Task::File(file) if is_gathered => self.gather(file),
                task => {
                    if self.tasks.send(task).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn gather(&mut self, file: FileTask) {
        if self.gathered.is_empty() {
            self.since = Instant::now();
        }
        self.gathered.push(file);
        let is_waited_for = self.gathered.len() >= MAX_BATCH_OBJECTS
            && self.since.elapsed() >= PATIENCE
            && self.tasks.is_empty();
        if self.gathered.len() >= WINDOW || is_waited_for {
            self.flush();
        }
    }

    /// Enqueues what is gathered.
    pub(super) fn flush(&mut self) {
        let mut files = std::mem::take(&mut self.gathered);
        files.sort_unstable_by(|a, b| a.object.key.cmp(&b.object.key));
        for mut batch in cut(files, |file| file.object.size_bytes) {
            let task = match (batch.len(), batch.pop()) {
                (1, Some(file)) => Task::File(file),
                (_, last) => {
                    batch.extend(last);
                    Task::Batch(batch)
                }
            };
            if self.tasks.send(task).is_err() {
                return;
            }
        }
    }
}
