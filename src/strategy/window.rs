//! How many requests should be in flight: a pure state machine, fed with what was measured.
//!
//! Doubling while it pays finds the right order of magnitude in a few round trips, whatever the latency (slow
//! start, RFC 5681); halving when the server refuses and growing by small steps afterwards is fair to others
//! and stable (AIMD, Chiu and Jain 1989). What counts is requests per second for small objects and bytes per
//! second for parts.

use std::time::Duration;

/// Where it begins for small objects, when there is that much to do.
pub(super) const FIRST_WINDOW: usize = 64;
/// The same for parts: a few of them fill most links, and each costs its server memory.
pub(super) const FIRST_WINDOW_OF_PARTS: usize = 8;
/// The same for parts that come down: two read as fast as one disk writes, and more writers of one file only wait for each
/// other.
pub(super) const FIRST_WINDOW_OF_FETCHED_PARTS: usize = 2;
/// More is never tried: a process has only so many sockets, and a server so much patience.
pub(super) const LARGEST_WINDOW: usize = 1_024;
/// A larger window must give this much more to be worth its connections.
const WORTH_DOUBLING: f64 = 1.2;
/// The same for a small step.
const WORTH_A_STEP: f64 = 1.05;
/// A small step back must cost less than this.
const CHEAP_STEP_BACK: f64 = 0.98;
/// An answer in a hundred that takes this many times the median, and twice what it took at best, is a queue
/// that grows at the server.
const RUNAWAY: f64 = 8.0;
/// Answers faster than this are no queue, whatever their spread: between two processes of one machine the scheduler
/// makes more of a difference.
const NO_QUEUE: Duration = Duration::from_millis(50);
/// Samples after a refusal before anything larger is tried.
const HOLD_AFTER_REFUSAL: u32 = 4;
/// Samples until a refusal counts again although too much is in flight: then the server means it.
const LONGEST_DRAIN: u32 = 10;
/// Samples between two careful tries of something larger.
const HOLD_WHEN_STEADY: u32 = 10;
/// The same below a size that the server has refused: each try there costs somebody a pause.
const HOLD_BELOW_REFUSED: u32 = 30;
/// Objects larger than this on average are measured in bytes.
const PART_BYTES: u64 = 1024 * 1024;
const SHORTEST_SAMPLE: Duration = Duration::from_millis(50);
const LONGEST_SAMPLE: Duration = Duration::from_secs(2);

/// What happened since the last sample.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) elapsed: Duration,
    /// Requests that were answered well.
    pub(super) requests: u64,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
    /// Time that the median request took, and one in a hundred.
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// Answers that asked for less.
    pub(super) refused: u64,
    /// Requests in flight at its end, with those that wait to be tried again.
    pub(super) in_flight: usize,
}

/// What more of is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Answers a second: small objects.
    Requests,
    /// Bytes a second: parts, and batches.
    Bytes,
}

impl Goal {
    fn of(bytes: u64, requests: u64) -> Self {
        if bytes > requests * PART_BYTES {
            Self::Bytes
        } else {
            Self::Requests
        }
    }
}

impl Sample {
    fn rate(&self, goal: Goal) -> f64 {
        let amount = match goal {
            Goal::Requests => self.requests,
            Goal::Bytes => self.bytes,
        };
        amount as f64 / self.elapsed.as_secs_f64().max(1e-6)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Doubles as long as that pays. `before` is the rate of the size before this one; one sample that shows no gain
    /// may be chance, two in a row are not.
    Rising { before: Option<f64>, is_doubtful: bool },
    /// Stays for some samples; none larger is tried until then.
    Holding { samples: u32 },
    /// Tries a small step from `from`, which gave `before`.
    Stepping { from: usize, before: f64 },
}

impl Phase {
    const BEGIN: Self = Self::Rising {
        before: None,
        is_doubtful: false,
    };
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Window {
    size: usize,
    max: usize,
    goal: Goal,
    phase: Phase,
    /// The server refused at this size.
    refused_at: Option<usize>,
    /// Samples for which more may be in flight than the window allows, from before it shrank: what the server
    /// refuses of those says nothing new.
    draining: u32,
    /// Samples in a row without a refusal. Latencies soon after one are those of its pauses.
    calm: u32,
    best_p99: Option<Duration>,
    median: Duration,
    /// Which way the next small step goes. Up and down in turn: measurements vary, and who only looks for more finds
    /// it now and then where there is none.
    goes_down: bool,
}

impl Window {
    /// A window of at most `max` for work that begins with a task of `first_task_bytes`.
    pub(super) fn new(max: usize, first_task_bytes: u64) -> Self {
        let max = max.clamp(1, LARGEST_WINDOW);
        let goal = Goal::of(first_task_bytes, 1);
        let first = match goal {
            Goal::Requests => FIRST_WINDOW,
            Goal::Bytes => FIRST_WINDOW_OF_PARTS,
        };
        Self {
            size: first.min(max),
            max,
            goal,
            phase: Phase::BEGIN,
            refused_at: None,
            draining: 0,
            calm: HOLD_AFTER_REFUSAL,
            best_p99: None,
            median: Duration::ZERO,
            goes_down: false,
        }
    }

    /// The same for a run that begins with objects that come down.
    pub(super) fn for_fetches(mut self) -> Self {
        if self.goal == Goal::Bytes {
            self.size = FIRST_WINDOW_OF_FETCHED_PARTS.min(self.max);
        }
        self
    }

    /// Requests that may be in flight.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// When the next sample is due: after about four round trips.
    pub(super) fn interval(&self) -> Duration {
        (self.median * 4).clamp(SHORTEST_SAMPLE, LONGEST_SAMPLE)
    }

    /// True when `sample` tells enough: a refusal, or about as many answers as requests may be in flight.
    pub(super) fn is_enough(&self, sample: &Sample) -> bool {
        sample.refused > 0 || sample.requests >= self.size as u64 || sample.elapsed >= LONGEST_SAMPLE
    }

    /// Takes `sample` into account, during which the window was used to the full.
    pub(super) fn observe(&mut self, sample: &Sample) {
        self.calm = if sample.refused > 0 {
            0
        } else {
            self.calm.saturating_add(1)
        };
        if sample.refused > 0 && self.draining == 0 {
            return self.shrink(sample);
        }
        self.draining = if sample.in_flight > self.size {
            self.draining.saturating_sub(1)
        } else {
            0
        };
        if sample.refused > 0 || sample.requests == 0 {
            return;
        }
        self.median = sample.p50;
        let goal = Goal::of(sample.bytes, sample.requests);
        if goal != self.goal {
            return self.change_to(goal);
        }
        if self.calm > HOLD_AFTER_REFUSAL && self.runs_away(sample) {
            self.size = (self.size * 3 / 4).max(1);
            self.phase = Phase::Holding {
                samples: HOLD_WHEN_STEADY,
            };
            return;
        }
        let rate = sample.rate(goal);
        match self.phase {
            Phase::Rising { before, is_doubtful } => self.rise(before, is_doubtful, rate),
            Phase::Holding { samples: 0 } => self.step(rate),
            Phase::Holding { samples } => self.phase = Phase::Holding { samples: samples - 1 },
            Phase::Stepping { from, before } => {
                let is_kept = if self.size > from {
                    rate >= before * WORTH_A_STEP
                } else {
                    rate >= before * CHEAP_STEP_BACK
                };
                if !is_kept {
                    self.size = from;
                }
                self.phase = Phase::Holding {
                    samples: HOLD_WHEN_STEADY,
                };
            }
        }
    }

    /// Large files end and small ones begin, or the other way round: nothing measured so far can be compared.
    fn change_to(&mut self, goal: Goal) {
        self.goal = goal;
        self.best_p99 = None;
        self.phase = Phase::BEGIN;
        if goal == Goal::Requests && self.refused_at.is_none() {
            self.size = self.size.max(FIRST_WINDOW.min(self.max));
        }
    }

    fn shrink(&mut self, sample: &Sample) {
        self.refused_at = Some(self.size);
        self.draining = LONGEST_DRAIN;
        self.size = match self.phase {
            // The size before this step was taken well.
            Phase::Stepping { from, .. } if from < self.size => from,
            // What was not refused is what the server takes. A quarter at least: it may have been a moment's trouble.
            _ => usize::try_from(sample.refused)
                .map_or(0, |refused| sample.in_flight.saturating_sub(refused))
                .clamp(self.size / 4, self.size / 2)
                .max(1),
        };
        self.phase = Phase::Holding {
            samples: HOLD_AFTER_REFUSAL,
        };
    }

    fn runs_away(&mut self, sample: &Sample) -> bool {
        let best = *self.best_p99.get_or_insert(sample.p99);
        self.best_p99 = Some(best.min(sample.p99));
        sample.p99 > NO_QUEUE
            && sample.p99.as_secs_f64() > RUNAWAY * sample.p50.as_secs_f64()
            && sample.p99 > best * 2
            && self.size > 1
    }

    fn rise(&mut self, before: Option<f64>, is_doubtful: bool, rate: f64) {
        let no_gain = before.is_some_and(|before| rate < before * WORTH_DOUBLING);
        if no_gain && !is_doubtful {
            self.phase = Phase::Rising {
                before,
                is_doubtful: true,
            };
        } else if no_gain {
            // The last doubling gave little: its connections are not worth it.
            self.size = (self.size / 2).max(1);
            self.phase = Phase::Holding {
                samples: HOLD_WHEN_STEADY,
            };
        } else if self.size >= self.max {
            self.phase = Phase::Holding {
                samples: HOLD_WHEN_STEADY,
            };
        } else {
            self.size = (self.size * 2).min(self.max);
            self.phase = Phase::Rising {
                before: Some(rate),
                is_doubtful: false,
            };
        }
    }

    fn step(&mut self, rate: f64) {
        let step = (self.size / 8).max(1);
        self.goes_down = !self.goes_down;
        if self.goes_down && self.size > step {
            self.phase = Phase::Stepping {
                from: self.size,
                before: rate,
            };
            self.size -= step;
            return;
        }
        let limit = match self.refused_at {
            // Near the size that was refused, the same answer would come again.
            Some(refused) => (refused * 9 / 10).max(1).min(self.max),
            None => self.max,
        };
        if self.size + step > limit {
            // Servers change their minds: the mark fades.
            self.refused_at = self.refused_at.map(|refused| refused + refused.div_ceil(20));
            self.phase = Phase::Holding {
                samples: if self.refused_at.is_some() {
                    HOLD_BELOW_REFUSED
                } else {
                    HOLD_WHEN_STEADY
                },
            };
            return;
        }
        self.phase = Phase::Stepping {
            from: self.size,
            before: rate,
        };
        self.size += step;
    }
}

#[cfg(test)]
mod tests;
