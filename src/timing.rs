//! Times as they are measured and travel: distributions, spans of tasks, and the clock that all processes share.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

/// What takes longer counts as that: ten minutes.
const LONGEST_MICROS: u64 = 600_000_000;
/// Spans that are kept.
const KEPT_SPANS: usize = 20_000;

/// An empty histogram of microseconds, three digits exact.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("bounds that histograms allow")
}

/// Microseconds as a histogram takes them.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(LONGEST_MICROS).max(1)
}

/// A distribution that can travel: pairs of microseconds and how often they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution(pub Vec<(u64, u64)>);

impl From<&Histogram<u64>> for Distribution {
    fn from(histogram: &Histogram<u64>) -> Self {
        let values = histogram.iter_recorded();
        Self(
            values
                .map(|value| (value.value_iterated_to(), value.count_at_value()))
                .collect(),
        )
    }
}

impl Distribution {
    /// Adds it to `histogram`.
    pub fn add_to(&self, histogram: &mut Histogram<u64>) {
        for (micros, count) in &self.0 {
            histogram.saturating_record_n(*micros, *count);
        }
    }
}

/// What requests waited for, over all clients of a process or run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestTimes {
    /// Making a connection: TCP, and TLS where there is any.
    pub connect: Distribution,
    /// From the last byte that the transport took to the head of the answer.
    pub answer: Distribution,
}

impl RequestTimes {
    /// These and others together.
    #[must_use]
    pub fn and<'a>(self, others: impl Iterator<Item = &'a Self>) -> Self {
        let (mut connect, mut answer) = (histogram(), histogram());
        self.connect.add_to(&mut connect);
        self.answer.add_to(&mut answer);
        for times in others {
            times.connect.add_to(&mut connect);
            times.answer.add_to(&mut answer);
        }
        Self {
            connect: (&connect).into(),
            answer: (&answer).into(),
        }
    }
}

/// Where requests of a process say what they waited for.
#[derive(Debug)]
pub struct RequestTimer(Mutex<(Histogram<u64>, Histogram<u64>)>);

impl Default for RequestTimer {
    fn default() -> Self {
        Self(Mutex::new((histogram(), histogram())))
    }
}

impl RequestTimer {
    fn lock(&self) -> MutexGuard<'_, (Histogram<u64>, Histogram<u64>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection was made.
    pub fn connected(&self, after: Duration) {
        self.lock().0.saturating_record(micros(after));
    }

    /// The head of an answer came.
    pub fn answered(&self, after: Duration) {
        self.lock().1.saturating_record(micros(after));
    }

    /// What they said so far.
    pub fn times(&self) -> RequestTimes {
        let both = self.lock();
        RequestTimes {
            connect: (&both.0).into(),
            answer: (&both.1).into(),
        }
    }
}

fn nanos(time: Timespec) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Nanoseconds of the clock that never goes back and is the same in all processes of the machine.
pub fn monotonic_nanos() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

fn thread_cpu_nanos() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// One task in the hands of a worker. Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpan {
    /// Worker, unique in the run.
    pub worker: usize,
    /// When it was taken, by [`monotonic_nanos`].
    pub begin: u64,
    /// How long it took.
    pub length: u64,
    /// Of that, on a CPU.
    pub on_cpu: u64,
    /// Of that, ready to go on and waiting: for a CPU, or for other tasks of the same thread.
    pub waiting_for_cpu: u64,
}

/// The spans of a process.
#[derive(Debug, Default)]
pub struct SpanLog(Mutex<Vec<TaskSpan>>);

impl SpanLog {
    fn lock(&self) -> MutexGuard<'_, Vec<TaskSpan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `task`, and notes when it was on a CPU and when it waited for one. What is more than can be kept is run only.
    pub async fn watch<T>(&self, worker: usize, task: impl Future<Output = T>) -> T {
        if self.lock().len() >= KEPT_SPANS {
            return task.await;
        }
        let mut watched = Watched {
            task: Box::pin(task),
            woken: Arc::new(Woken::default()),
            span: TaskSpan {
                worker,
                begin: monotonic_nanos(),
                ..TaskSpan::default()
            },
        };
        let outcome = (&mut watched).await;
        let span = &mut watched.span;
        span.length = monotonic_nanos() - span.begin;
        self.lock().push(*span);
        outcome
    }

    /// All of them, in the order in which they ended.
    pub fn spans(&self) -> Vec<TaskSpan> {
        self.lock().clone()
    }
}

/// A waker that notes when it was called first.
#[derive(Default)]
struct Woken {
    /// Nanoseconds; 0 when nobody has called.
    at: AtomicU64,
    inner: Mutex<Option<Waker>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        let _ = self
            .at
            .compare_exchange(0, monotonic_nanos(), Ordering::AcqRel, Ordering::Relaxed);
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(inner) = inner {
            inner.wake();
        }
    }
}

struct Watched<F: Future> {
    task: Pin<Box<F>>,
    woken: Arc<Woken>,
    span: TaskSpan,
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = monotonic_nanos();
        let on_cpu = thread_cpu_nanos();
        let woken_at = self.woken.at.swap(0, Ordering::AcqRel);
        if woken_at > 0 {
            self.span.waiting_for_cpu += began.saturating_sub(woken_at);
        }
        let outer = context.waker().clone();
        *self.woken.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(outer);
        let waker = Waker::from(self.woken.clone());
        let outcome = self.task.as_mut().poll(&mut Context::from_waker(&waker));
        let (polled, used) = (monotonic_nanos() - began, thread_cpu_nanos() - on_cpu);
        self.span.on_cpu += used;
        // What was polled and not on a CPU, somebody else had the CPU.
        self.span.waiting_for_cpu += polled.saturating_sub(used);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_distributions_gives_what_one_recorder_would_have() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut value = || {
            let bits = rng.u32(1..28);
            1 + rng.u64(..1 << bits)
        };
        let values: Vec<u64> = (0..10_000).map(|_| value()).collect();
        let mut whole = histogram();
        let mut shares = [histogram(), histogram(), histogram()];
        for (number, value) in values.iter().enumerate() {
            whole.record(*value).expect("within bounds");
            shares[number % 3].record(*value).expect("within bounds");
        }
        let mut merged = histogram();
        for share in &shares {
            Distribution::from(share).add_to(&mut merged);
        }
        assert_eq!(merged, whole);
    }

    /// Sleeping is waiting for neither a CPU nor on one; working is on one.
    #[tokio::test]
    async fn a_task_is_on_a_cpu_when_it_works_and_not_when_it_sleeps() {
        let log = SpanLog::default();
        let task = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            let until = thread_cpu_nanos() + 40_000_000;
            while thread_cpu_nanos() < until {
                std::hint::spin_loop();
            }
        };
        log.watch(7, task).await;
        let span = log.spans()[0];
        assert_eq!(span.worker, 7);
        assert!(
            span.on_cpu >= 40_000_000 && span.length >= 100_000_000,
            "{span:?}"
        );
        assert!(span.on_cpu + span.waiting_for_cpu <= span.length, "{span:?}");
    }

    /// Of two tasks on one thread, one waits while the other works.
    #[tokio::test]
    async fn who_waits_for_others_on_its_thread_waits_for_a_cpu() {
        let log = SpanLog::default();
        let sleeper = log.watch(0, tokio::time::sleep(Duration::from_millis(5)));
        let worker = log.watch(1, async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::thread::sleep(Duration::from_millis(50));
        });
        tokio::join!(sleeper, worker);
        let spans = log.spans();
        let of = |worker| *spans.iter().find(|span| span.worker == worker).expect("watched");
        assert!(of(0).length >= 50_000_000, "{spans:?}");
        assert!(
            of(1).waiting_for_cpu >= 40_000_000,
            "a thread that sleeps is polled and not on a CPU: {spans:?}"
        );
    }
}
