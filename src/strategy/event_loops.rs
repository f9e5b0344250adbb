//! Event loops: N requests in flight on one thread, or on K threads, each with a loop of its own.
//!
//! Built by `strategy::build`. The first loop is the calling thread, and with one loop there is no other: files
//! are read there too. Workers and their connections stay on the loop they began on, so that loops have nothing
//! to wait for from each other but the queue. How many workers there are follows the gauge.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use futures::stream::{FuturesUnordered, StreamExt as _};

use super::clients::{Clients, own_runtime};
use super::evidence::Polled;
use super::gauge::{Controller, FirstTask, Gauge, gauge};
use super::worker_loop::{do_task, on_threads_and_here};
use super::{Strategy, StrategyContext};
use crate::error::Result;
use crate::queue::Receiver;
use crate::transfer::Task;

pub(super) struct EventLoops;

/// One loop among others.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    loops: usize,
}

impl Place {
    /// Workers of this loop out of `all`; what does not divide evenly goes to the first loops.
    fn share(self, all: usize) -> usize {
        all / self.loops + usize::from(self.number < all % self.loops)
    }
}

impl Strategy for EventLoops {
    fn run(&self, context: &StrategyContext) -> Result<()> {
        let choice = context.choice;
        let loops = choice.event_loops.max(1);
        let place = |number| Place { number, loops };
        let first_task = |task: &Task| FirstTask {
            bytes: task.size_bytes(),
            is_fetched: task.is_fetched(),
        };
        let first_task = choice
            .adapts
            .then(|| context.tasks.wait_for_first(first_task).unwrap_or_default());
        let (gauge, mut controller) = gauge(choice.concurrency, first_task);
        let here = || {
            let first = one_loop(place(0), &gauge, &context.clients, context);
            let outcome = context.clients.host().runtime.block_on(with_controller(
                first,
                &mut controller,
                &gauge,
                context,
            ));
            // The other loops hear that the window will not change any more.
            context.evidence.window(controller);
            outcome
        };
        on_threads_and_here(1..loops, &context.evidence, here, |_, number| {
            let runtime = own_runtime()?;
            let clients = {
                let _on_this_loop = runtime.enter();
                context.clients.for_loop(place(number).share(choice.concurrency))
            };
            runtime.block_on(one_loop(place(number), &gauge, &clients, context))
        })
    }
}

async fn with_controller(
    first: impl Future<Output = Result<()>>,
    controller: &mut Controller,
    gauge: &Gauge,
    context: &StrategyContext,
) -> Result<()> {
    let adapting = controller.adapt(gauge, context.clients.connector().pace());
    tokio::select! {
        outcome = first => outcome,
        () = adapting => unreachable!("the controller never ends by itself"),
    }
}

/// Why a worker ended.
enum Ended {
    /// The window is smaller now.
    Retired { slot: usize },
    /// There is no work left.
    Done,
}

/// What the workers of one loop share. A loop stays on its thread, so cells are enough.
struct Staff {
    place: Place,
    count: Cell<usize>,
    /// Those of them that wait for the queue.
    waiting: Cell<usize>,
    /// Tasks that were taken from the queue together.
    hand: RefCell<VecDeque<Task>>,
}

impl Staff {
    /// A task that is there now. `all` workers, on all loops, are to find one.
    fn task(&self, tasks: &Receiver<Task>, all: usize) -> Option<Task> {
        let mut hand = self.hand.borrow_mut();
        if hand.is_empty() {
            tasks.receive_some(all, &mut hand);
        }
        hand.pop_front()
    }

    /// The next task; none when there will be no more.
    async fn next(&self, tasks: &Receiver<Task>, gauge: &Gauge) -> Option<Task> {
        if let Some(task) = self.task(tasks, gauge.size()) {
            return Some(task);
        }
        gauge.starve();
        self.waiting.update(|waiting| waiting + 1);
        let task = tasks.receive().await;
        self.waiting.update(|waiting| waiting - 1);
        task
    }

    /// Whether a worker has to stay although the window has shrunk: all others of this loop sleep, and nobody would do
    /// what is in its hand.
    fn is_last_with_work(&self) -> bool {
        self.count.get() - self.waiting.get() == 1 && !self.hand.borrow().is_empty()
    }
}

/// Counts a worker for as long as it exists.
struct AtWork<'a> {
    staff: &'a Staff,
    gauge: &'a Gauge,
}

impl<'a> AtWork<'a> {
    fn begin(staff: &'a Staff, gauge: &'a Gauge) -> Self {
        staff.count.update(|count| count + 1);
        gauge.joined();
        Self { staff, gauge }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.staff.count.update(|count| count - 1);
        self.gauge.left();
    }
}

async fn one_loop(place: Place, gauge: &Gauge, clients: &Clients, context: &StrategyContext) -> Result<()> {
    let mut changes = gauge.changes();
    let staff = Staff {
        place,
        count: Cell::new(0),
        waiting: Cell::new(0),
        hand: RefCell::default(),
    };
    let mut taken = Vec::new();
    let mut running = FuturesUnordered::new();
    let (mut outcome, mut is_over) = (Ok(()), false);
    loop {
        let share = place.share(*changes.borrow_and_update());
        while taken.len() < share {
            context.evidence.worker_begins();
            taken.push(false);
        }
        let free = taken.iter_mut().enumerate().filter(|(_, taken)| !**taken);
        let missing = if is_over {
            0
        } else {
            share.saturating_sub(staff.count.get())
        };
        for (slot, taken) in free.take(missing) {
            *taken = true;
            let at_work = AtWork::begin(&staff, gauge);
            let worker = work(slot, at_work, clients, context);
            running.push(Polled::new(worker, &context.evidence));
        }
        if running.is_empty() && is_over {
            return outcome;
        }
        tokio::select! {
            biased;
            Some(ended) = running.next() => match ended {
                Ok(Ended::Retired { slot }) => taken[slot] = false,
                Ok(Ended::Done) => is_over = true,
                Err(error) => {
                    is_over = true;
                    // They would keep the queue open, and the run is lost.
                    staff.hand.take();
                    outcome = outcome.and(Err(error));
                }
            },
            changed = changes.changed(), if !is_over => is_over |= changed.is_err(),
        }
    }
}

/// One request at a time, for as long as the window has room.
///
/// When it shrinks, whoever ends a task first retires. Those that wait to try a request again stay, and count: else
/// they would come back on top of a full window, only to be refused again.
async fn work(
    slot: usize,
    at_work: AtWork<'_>,
    clients: &Clients,
    context: &StrategyContext,
) -> Result<Ended> {
    let AtWork { staff, gauge } = &at_work;
    let place = staff.place;
    let clients = clients.for_worker()?;
    let pace = context.clients.connector().pace();
    let worker = slot * place.loops + place.number;
    while staff.count.get() <= place.share(gauge.size()) || staff.is_last_with_work() {
        let Some(task) = staff.next(&context.tasks, gauge).await else {
            return Ok(Ended::Done);
        };
        let bytes = task.bytes_itself(context.run.threshold_bytes);
        let (began, refusals) = (Instant::now(), pace.refusals());
        do_task(task, worker, &clients, context).await?;
        // Pauses that the server asked for are no latency.
        let latency = (pace.refusals() == refusals).then(|| began.elapsed());
        gauge.record(latency, bytes);
    }
    Ok(Ended::Retired { slot })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_dealt_out_evenly_and_none_is_lost() {
        for (all, loops) in [(16, 2), (7, 3), (1, 1), (5, 4), (1, 4)] {
            let shares: Vec<usize> = (0..loops)
                .map(|number| Place { number, loops }.share(all))
                .collect();
            assert_eq!(shares.iter().sum::<usize>(), all, "{shares:?}");
            assert!(shares[0] - shares[loops - 1] <= 1, "{shares:?}");
            assert!(shares[0] >= 1);
        }
    }

    #[test]
    fn the_last_one_awake_stays_with_what_is_in_hand() {
        let (sender, receiver) = crate::queue::bounded::<Task>(1, 1);
        let staff = Staff {
            place: Place { number: 0, loops: 1 },
            count: Cell::new(2),
            waiting: Cell::new(1),
            hand: RefCell::default(),
        };
        assert!(!staff.is_last_with_work(), "nothing is in hand");
        assert!(staff.task(&receiver, 1).is_none());
        staff.hand.borrow_mut().push_back(Task::Batch(Vec::new()));
        assert!(staff.is_last_with_work());
        staff.waiting.set(0);
        assert!(!staff.is_last_with_work(), "the other one is awake");
        assert!(staff.task(&receiver, 1).is_some());
        drop(sender);
    }
}
