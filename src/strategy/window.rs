//! How many requests should be in flight: a pure state machine, fed with what was measured.
//!
//! Doubling while it pays finds the right order of magnitude in a few round trips, whatever the latency (slow
//! start, RFC 5681); halving when the server refuses and growing by small steps afterwards is fair to others
//! and stable (AIMD, Chiu and Jain 1989). What counts is requests per second for small objects and bytes per
//! second for parts.

use std::time::Duration;

/// Where it begins, when there is that much to do.
pub(super) const FIRST_WINDOW: usize = 64;
/// More is never tried: a process has only so many sockets, and a server so much patience.
pub(super) const LARGEST_WINDOW: usize = 1_024;
/// A larger window must give this much more to be worth its connections.
const WORTH_DOUBLING: f64 = 1.2;
/// The same for a small step.
const WORTH_A_STEP: f64 = 1.05;
/// An answer in a hundred that takes this many times the median, and twice what it took at best, is a queue
/// that grows at the server.
const RUNAWAY: f64 = 8.0;
/// Samples after a refusal before anything larger is tried.
const HOLD_AFTER_REFUSAL: u32 = 4;
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
}

impl Sample {
    /// Requests or bytes a second.
    fn rate(&self) -> f64 {
        let amount = if self.bytes > self.requests * PART_BYTES {
            self.bytes
        } else {
            self.requests
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
    /// Tries a small step up from `from`, which gave `before`.
    Stepping { from: usize, before: f64 },
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Window {
    size: usize,
    max: usize,
    phase: Phase,
    /// The server refused at this size.
    refused_at: Option<usize>,
    best_p99: Option<Duration>,
    median: Duration,
}

impl Window {
    /// A window of at most `max`.
    pub(super) fn new(max: usize) -> Self {
        let max = max.clamp(1, LARGEST_WINDOW);
        Self {
            size: FIRST_WINDOW.min(max),
            max,
            phase: Phase::Rising {
                before: None,
                is_doubtful: false,
            },
            refused_at: None,
            best_p99: None,
            median: Duration::ZERO,
        }
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
        if sample.refused > 0 {
            return self.shrink();
        }
        if sample.requests == 0 {
            return;
        }
        self.median = sample.p50;
        if self.runs_away(sample) {
            self.size = (self.size * 3 / 4).max(1);
            self.phase = Phase::Holding {
                samples: HOLD_WHEN_STEADY,
            };
            return;
        }
        let rate = sample.rate();
        match self.phase {
            Phase::Rising { before, is_doubtful } => self.rise(before, is_doubtful, rate),
            Phase::Holding { samples: 0 } => self.step(rate),
            Phase::Holding { samples } => self.phase = Phase::Holding { samples: samples - 1 },
            Phase::Stepping { from, before } => {
                if rate < before * WORTH_A_STEP {
                    self.size = from;
                }
                self.phase = Phase::Holding {
                    samples: HOLD_WHEN_STEADY,
                };
            }
        }
    }

    fn shrink(&mut self) {
        // Answers to requests from before the last halving say nothing new.
        if self.refused_at.is_none_or(|at| self.size <= at) || !matches!(self.phase, Phase::Holding { .. }) {
            self.refused_at = Some(self.size);
        }
        self.size = (self.size / 2).max(1);
        self.phase = Phase::Holding {
            samples: HOLD_AFTER_REFUSAL,
        };
    }

    fn runs_away(&mut self, sample: &Sample) -> bool {
        let best = *self.best_p99.get_or_insert(sample.p99);
        self.best_p99 = Some(best.min(sample.p99));
        sample.p99.as_secs_f64() > RUNAWAY * sample.p50.as_secs_f64()
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
mod tests {
    use super::*;

    /// A server that takes `latency` for an answer, gives at most `capacity` answers a second, and refuses what
    /// is above `limit` in flight.
    struct Simulated {
        latency: f64,
        capacity: f64,
        limit: usize,
    }

    impl Simulated {
        /// Plays for `seconds` and returns the window over time.
        fn play(&self, window: &mut Window, seconds: f64) -> Vec<(f64, usize)> {
            let (mut time, mut course) = (0.0, Vec::new());
            while time < seconds {
                let size = window.size();
                let taken = size.min(self.limit) as f64;
                let rate = (taken / self.latency).min(self.capacity);
                let round_trip = taken / rate;
                let mut elapsed = window.interval().as_secs_f64();
                let sample = |elapsed: f64| Sample {
                    elapsed: Duration::from_secs_f64(elapsed),
                    requests: (rate * elapsed) as u64,
                    bytes: 0,
                    p50: Duration::from_secs_f64(round_trip),
                    p99: Duration::from_secs_f64(round_trip * 1.5),
                    refused: size.saturating_sub(self.limit) as u64,
                };
                while !window.is_enough(&sample(elapsed)) {
                    elapsed += 0.05;
                }
                time += elapsed;
                window.observe(&sample(elapsed));
                course.push((time, window.size()));
            }
            course
        }
    }

    const ANY: usize = usize::MAX;

    #[test]
    fn a_far_server_gets_a_large_window_within_a_dozen_round_trips() {
        for latency in [0.001, 0.005, 0.02, 0.1, 0.2] {
            let server = Simulated {
                latency,
                capacity: 1e9,
                limit: ANY,
            };
            let course = server.play(&mut Window::new(ANY), 60.0 * latency + 2.0);
            let reached = course.iter().find(|(_, size)| *size == LARGEST_WINDOW);
            let (time, _) = reached.unwrap_or_else(|| panic!("{latency}: {course:?}"));
            assert!(*time <= 20.0 * latency + 0.4, "{latency}: {time} s");
        }
    }

    #[test]
    fn a_server_at_its_limit_is_not_pushed_further() {
        // A MinIO on two cores: 2,500 objects a second, whatever is in flight.
        let server = Simulated {
            latency: 0.004,
            capacity: 2_500.0,
            limit: ANY,
        };
        let course = server.play(&mut Window::new(ANY), 60.0);
        let late = course.iter().filter(|(time, _)| *time > 5.0);
        for (time, size) in late {
            assert!(*size <= 2 * FIRST_WINDOW, "{time}: {size}");
        }
    }

    #[test]
    fn a_server_that_refuses_above_a_number_is_kept_below_it() {
        for limit in [1, 5, 20, 50, 100, 300] {
            let server = Simulated {
                latency: 0.02,
                capacity: 1e9,
                limit,
            };
            let mut window = Window::new(ANY);
            let course = server.play(&mut window, 60.0);
            let below = course.iter().find(|(_, size)| *size <= limit).expect("settles");
            assert!(below.0 <= 2.0, "{limit}: first below after {} s", below.0);
            let late: Vec<usize> = course
                .iter()
                .filter(|(time, _)| *time > 5.0)
                .map(|(_, size)| *size)
                .collect();
            let above = late.iter().filter(|size| **size > limit).count();
            assert!(
                above * 20 <= late.len(),
                "{limit}: above it {above} of {} times",
                late.len()
            );
            let mean = late.iter().sum::<usize>() as f64 / late.len() as f64;
            assert!(
                mean >= 0.4 * limit as f64,
                "{limit}: {mean} on average is too shy"
            );
        }
    }

    #[test]
    fn after_a_storm_it_recovers() {
        let mut window = Window::new(ANY);
        let calm = Simulated {
            latency: 0.02,
            capacity: 20_000.0,
            limit: ANY,
        };
        calm.play(&mut window, 5.0);
        let before = window.size();
        Simulated {
            latency: 0.02,
            capacity: 20_000.0,
            limit: 0,
        }
        .limited_to_one(&mut window);
        assert!(window.size() <= 2, "{}", window.size());
        calm.play(&mut window, 300.0);
        assert!(window.size() * 4 >= before, "{} of {before}", window.size());
    }

    impl Simulated {
        /// Everything is refused for a while.
        fn limited_to_one(&self, window: &mut Window) {
            for _ in 0..12 {
                window.observe(&Sample {
                    elapsed: Duration::from_millis(100),
                    refused: 10,
                    ..Sample::default()
                });
            }
        }
    }

    #[test]
    fn answers_that_take_ever_longer_are_a_brake() {
        let mut window = Window::new(ANY);
        let sample = |p50: u64, p99: u64| Sample {
            elapsed: Duration::from_millis(100),
            requests: 1_000,
            p50: Duration::from_millis(p50),
            p99: Duration::from_millis(p99),
            ..Sample::default()
        };
        window.observe(&sample(2, 5));
        let before = window.size();
        window.observe(&sample(2, 40));
        assert!(window.size() < before);
    }

    #[test]
    fn parts_are_measured_in_bytes() {
        let sample = Sample {
            elapsed: Duration::from_secs(1),
            requests: 10,
            bytes: 160 * 1024 * 1024,
            ..Sample::default()
        };
        assert!((sample.rate() - 160.0 * 1024.0 * 1024.0).abs() < 1.0);
    }
}
