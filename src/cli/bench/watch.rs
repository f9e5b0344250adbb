//! Progress of a comparison: a line that is drawn between arms only, so that drawing is never measured.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::output_args::{OutputArgs, ProgressArg};
use super::super::printer;
use crate::bench::plan::Plan;
use crate::bench::run::{Note, Watcher};
use crate::units::spoken;

/// Without a terminal, a line this often.
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Watch {
    bar: Option<ProgressBar>,
    is_plain: bool,
    plain_at: Instant,
    blocks: usize,
    group: String,
    arms_done: usize,
    arms: usize,
    /// Seconds of all arms so far.
    seconds: f64,
    began: Instant,
    estimate: Duration,
}

impl Watch {
    pub(super) fn new(plan: &Plan, output: &OutputArgs) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let (has_bar, is_plain) = match output.progress {
            _ if output.quiet => (false, false),
            ProgressArg::None => (false, false),
            ProgressArg::Plain => (false, true),
            ProgressArg::Bar => (true, false),
            ProgressArg::Auto => (on_terminal, !on_terminal),
        };
        let estimate = plan.estimate();
        Self {
            bar: has_bar.then(bar),
            is_plain,
            plain_at: Instant::now() + PLAIN_EVERY,
            blocks: plan.blocks,
            group: String::new(),
            arms_done: 0,
            arms: estimate.arms,
            seconds: 0.0,
            began: Instant::now(),
            estimate: estimate.time,
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Time that is left: by the arms so far once there are some, else by the estimate.
    fn remaining(&self) -> Duration {
        if self.arms_done < 3 {
            return self.estimate.saturating_sub(self.began.elapsed());
        }
        let left = self.arms.saturating_sub(self.arms_done) as f64;
        Duration::from_secs_f64(self.seconds / self.arms_done as f64 * left)
    }

    fn say(&mut self, what: &str) {
        let line = format!("{what}; {} left", spoken(self.remaining()));
        if let Some(bar) = &self.bar {
            bar.set_message(line);
            bar.tick();
        } else if self.is_plain && Instant::now() >= self.plain_at {
            self.plain_at = Instant::now() + PLAIN_EVERY;
            printer::note(&line);
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
    bar.set_style(ProgressStyle::with_template("{msg}").expect("a template"));
    bar
}

impl Watcher for Watch {
    fn notify(&mut self, note: &Note) {
        match note {
            Note::Preparing { workload } => self.say(&format!("making workload {workload}")),
            Note::Group { number, count, name } => {
                self.group = format!("group {number} of {count}, {name}");
                self.say(&self.group.clone());
            }
            Note::Arm { block: 0, label } => self.say(&format!("{}: warming up {label}", self.group)),
            Note::Arm { block, label } => {
                self.say(&format!(
                    "{}: block {block} of {}, {label}",
                    self.group, self.blocks
                ));
            }
            Note::ArmDone { seconds } => {
                self.arms_done += 1;
                self.seconds += seconds;
            }
        }
    }
}
