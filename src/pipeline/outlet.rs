//! The feeder's way into the queue: a little ahead of it, so that large files go first and small ones together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::plan::{GROUP, MAX_BATCH_OBJECTS, PartPlan, can_be_in_a_batch, cut, largest_first};
use crate::queue::Sender;
use crate::transfer::{FileTask, Look, ObjectSpec, Task, Ticket, parts};

/// Small files that are gathered, sorted and cut into batches together: what is close together in a listing is found
/// by one page of it, and directories come in no order.
const GATHERED: usize = 16 * MAX_BATCH_OBJECTS;
/// Bytes of contents that files which are held back may have with them: the queue does not weigh those yet.
const AHEAD_BYTES: usize = 1024 * 1024;
/// Workers without work wait no longer than this for more files to come.
const PATIENCE: Duration = Duration::from_millis(5);
/// The same for batches, which gain more by being full.
const PATIENCE_OF_BATCHES: Duration = Duration::from_millis(200);
/// The clock is looked at once in so many files.
const LOOK_EVERY: usize = 32;

/// How a file goes up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// In one piece, or as its worker sees fit.
    Whole,
    /// In parts.
    Parts(PartPlan),
    /// As it turns out when it is opened: nobody has looked at its size.
    Presumed,
}

/// A file that is to go up.
struct Planned {
    object: ObjectSpec,
    ticket: Ticket,
    way: Way,
    look: Option<Box<Look>>,
}

impl Planned {
    /// Whether it goes with others, where files of up to `batch_limit` bytes do.
    fn is_gathered(&self, batch_limit: Option<u64>) -> bool {
        let is_small = batch_limit.is_some_and(|limit| self.object.size_bytes <= limit);
        is_small
            && self.look.is_none()
            && self.object.only_as.is_none()
            && matches!(self.way, Way::Whole)
            && can_be_in_a_batch(&self.object.key)
    }

    /// Itself, or its parts. What is presumed gets a way back to the queue that it stands in.
    fn into_tasks(self, queue: &Arc<Sender<Task>>) -> impl Iterator<Item = Task> + use<> {
        let Self {
            object,
            ticket,
            way,
            look,
        } = self;
        let object = Arc::new(object);
        let (whole, in_parts) = match way {
            Way::Parts(plan) => (None, Some(parts(object, ticket, plan))),
            Way::Whole | Way::Presumed => {
                let queue = matches!(way, Way::Presumed).then(|| queue.clone());
                (
                    Some(FileTask {
                        look,
                        queue,
                        ..FileTask::new(object, ticket)
                    }),
                    None,
                )
            }
        };
        whole
            .map(Task::File)
            .into_iter()
            .chain(in_parts.into_iter().flatten())
    }
}

/// See the module. A task that nobody takes settles itself when it is dropped.
pub(super) struct Outlet<'a> {
    tasks: &'a Arc<Sender<Task>>,
    /// Largest file that goes in a batch, in bytes; none when no file does.
    batch_limit: Option<u64>,
    /// False where the order of the walk is a part of the strategy.
    sorts: bool,
    ahead: Vec<Planned>,
    ahead_bytes: usize,
    ahead_since: Instant,
    gathered: Vec<FileTask>,
    gathered_since: Instant,
}

impl<'a> Outlet<'a> {
    pub(super) fn new(tasks: &'a Arc<Sender<Task>>, batch_limit: Option<u64>, sorts: bool) -> Self {
        let now = Instant::now();
        Self {
            tasks,
            batch_limit,
            sorts,
            ahead: Vec::new(),
            ahead_bytes: 0,
            ahead_since: now,
            gathered: Vec::new(),
            gathered_since: now,
        }
    }

    /// Takes a file.
    pub(super) fn put(&mut self, object: ObjectSpec, ticket: Ticket, way: Way, look: Option<Box<Look>>) {
        if self.ahead.is_empty() {
            self.ahead_since = Instant::now();
        }
        self.ahead_bytes += object.kept_bytes();
        self.ahead.push(Planned {
            object,
            ticket,
            way,
            look,
        });
        let is_waited_for = self.ahead.len().is_multiple_of(LOOK_EVERY)
            && self.ahead_since.elapsed() >= PATIENCE
            && self.tasks.is_empty();
        let is_full = self.ahead.len() >= GROUP || self.ahead_bytes >= AHEAD_BYTES;
        if !self.sorts || is_full || is_waited_for {
            self.release();
        }
    }

    /// Enqueues all that is held back.
    pub(super) fn flush(&mut self) {
        self.release();
        self.send_batches();
    }

    fn release(&mut self) {
        self.ahead_bytes = 0;
        if self.sorts {
            largest_first(&mut self.ahead, |file| file.object.size_bytes);
        }
        let (tasks, batch_limit) = (self.tasks, self.batch_limit);
        let is_gathered = |file: &mut Planned| file.is_gathered(batch_limit);
        let gathered: Vec<_> = self.ahead.extract_if(.., is_gathered).collect();
        // What nobody takes any more settles itself.
        let _ = tasks.send_all(self.ahead.drain(..).flat_map(|file| file.into_tasks(tasks)));
        for Planned { object, ticket, .. } in gathered {
            self.gather(FileTask::new(Arc::new(object), ticket));
        }
    }

    fn gather(&mut self, file: FileTask) {
        if self.gathered.is_empty() {
            self.gathered_since = Instant::now();
        }
        self.gathered.push(file);
        let is_waited_for = self.gathered.len().is_multiple_of(MAX_BATCH_OBJECTS)
            && self.gathered_since.elapsed() >= PATIENCE_OF_BATCHES
            && self.tasks.is_empty();
        if self.gathered.len() >= GATHERED || is_waited_for {
            self.send_batches();
        }
    }

    fn send_batches(&mut self) {
        let mut files = std::mem::take(&mut self.gathered);
        files.sort_unstable_by(|a, b| a.object.key.cmp(&b.object.key));
        let batches = cut(files, |file| file.object.size_bytes).into_iter();
        let _ = self
            .tasks
            .send_all(batches.map(|mut batch| match (batch.len(), batch.pop()) {
                (1, Some(file)) => Task::File(file),
                (_, last) => {
                    batch.extend(last);
                    Task::Batch(batch)
                }
            }));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::queue;
    use crate::transfer::{Content, EventSender};

    /// The tasks of files of these sizes, as sizes of files, in the order in which they are taken.
    fn order(sizes: &[u64], batch_limit: Option<u64>, sorts: bool) -> Vec<Vec<u64>> {
        let (sender, receiver) = queue::bounded(10_000, usize::MAX);
        let sender = Arc::new(sender);
        let mut outlet = Outlet::new(&sender, batch_limit, sorts);
        for (number, size_bytes) in sizes.iter().enumerate() {
            let key = format!("{number:06}");
            let events = EventSender::new(|_| {});
            let ticket = Ticket::new(
                Path::new(&key),
                &key,
                false,
                *size_bytes,
                events,
                CancellationToken::new(),
            );
            let content = Content::Path(key.clone().into());
            let object = ObjectSpec {
                key,
                content,
                size_bytes: *size_bytes,
                only_as: None,
            };
            outlet.put(object, ticket, Way::Whole, None);
        }
        outlet.flush();
        drop(sender);
        let size = |file: &FileTask| file.object.size_bytes;
        std::iter::from_fn(|| receiver.receive_blocking())
            .map(|task| match task {
                Task::File(file) => vec![size(&file)],
                Task::Batch(files) => files.iter().map(size).collect(),
                Task::Part(_) => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn large_files_go_first_as_far_as_one_looks_ahead() {
        assert_eq!(order(&[3, 1, 2, 3], None, true), [[3], [3], [2], [1]]);
        assert_eq!(order(&[3, 1, 2], None, false), [[3], [1], [2]]);
        let mut sizes = vec![1; GROUP];
        sizes.push(2);
        assert_eq!(order(&sizes, None, true).last(), Some(&vec![2]));
    }

    #[test]
    fn small_files_go_together_and_large_ones_do_not() {
        assert_eq!(
            order(&[5, 90, 6, 7], Some(10), true),
            [vec![90], vec![5, 6, 7]],
            "in the order of their keys"
        );
        assert_eq!(
            order(&[5, 90], Some(10), true),
            [[90], [5]],
            "one alone is no batch"
        );
        let batches = order(&vec![1; 2 * GATHERED], Some(10), true);
        assert_eq!(batches.len(), 2 * GATHERED / MAX_BATCH_OBJECTS);
    }
}
