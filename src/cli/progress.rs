//! Progress while a run goes on: a bar on a terminal, a plain line every 30 s, or nothing.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output_args::ProgressArg;
use super::printer;
use crate::event::{Event, Outcome};
use crate::units::{ByteSize, grouped, mean_rate, spoken};

/// Time between two draws at least. indicatif's own limit allows bursts.
const DRAW_EVERY: Duration = Duration::from_millis(250);
/// Characters of the bar.
const BAR_WIDTH: usize = 20;
const PLAIN_EVERY: Duration = Duration::from_secs(30);

/// Counts for the display; the truth is in the summary.
#[derive(Default)]
struct Counts {
    files_found: u64,
    files_ended: u64,
    bytes_found: u64,
    bytes_sent: u64,
    failed: u64,
    all_found: bool,
}

enum Display {
    Bar { bar: ProgressBar, next: Instant },
    Plain { next: Instant },
    None,
}

/// See the module.
pub(super) struct Progress {
    counts: Counts,
    started: Instant,
    display: Display,
}

impl Progress {
    pub(super) fn new(choice: ProgressArg, quiet: bool) -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        let display = match choice {
            _ if quiet => Display::None,
            ProgressArg::None => Display::None,
            ProgressArg::Plain => Display::Plain {
                next: Instant::now() + PLAIN_EVERY,
            },
            ProgressArg::Auto if !on_terminal => Display::None,
            ProgressArg::Auto | ProgressArg::Bar => Display::Bar {
                bar: bar(),
                next: Instant::now(),
            },
        };
        Self {
            counts: Counts::default(),
            started: Instant::now(),
            display,
        }
    }

    pub(super) fn notify(&mut self, event: &Event) {
        let counts = &mut self.counts;
        match event {
            Event::Discovered { size_bytes } => {
                counts.files_found += 1;
                counts.bytes_found += size_bytes;
            }
            Event::DiscoveryDone => counts.all_found = true,
            Event::Sent { bytes } => counts.bytes_sent += bytes,
            Event::Retry(_) | Event::Deletion(_) => {}
            Event::File(record) => {
                counts.files_ended += 1;
                let others = counts.bytes_found.saturating_sub(record.expected_bytes);
                counts.bytes_found = others + record.size_bytes;
                if record.parts == 0 && matches!(record.outcome, Outcome::Done { .. }) {
                    counts.bytes_sent += record.size_bytes;
                }
                counts.failed += u64::from(matches!(record.outcome, Outcome::Failed { .. }));
            }
        }
        self.show();
    }

    fn show(&mut self) {
        match &mut self.display {
            Display::None => {}
            Display::Bar { bar, next } if Instant::now() >= *next => {
                *next = Instant::now() + DRAW_EVERY;
                // One change, one draw: indicatif draws at each.
                let line = self.counts.line(self.started.elapsed());
                bar.set_message(format!("[{:<BAR_WIDTH$}] {line}", self.counts.bar()));
            }
            Display::Plain { next } if Instant::now() >= *next => {
                *next = Instant::now() + PLAIN_EVERY;
                printer::note(&self.counts.line(self.started.elapsed()));
            }
            Display::Bar { .. } | Display::Plain { .. } => {}
        }
    }

    /// Runs `print` with the bar out of the way.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.display {
            Display::Bar { bar, .. } => bar.suspend(print),
            _ => print(),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Display::Bar { bar, .. } = &self.display {
            bar.finish_and_clear();
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // `wide_msg` cuts the line to the terminal's width.
    bar.set_style(
        ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

impl Counts {
    /// The filled part of the bar.
    fn bar(&self) -> String {
        let full = BAR_WIDTH as u64;
        let filled = (full * self.bytes_sent)
            .checked_div(self.bytes_found)
            .unwrap_or(0)
            .min(full);
        "=".repeat(usize::try_from(filled).unwrap_or(BAR_WIDTH))
    }

    fn line(&self, elapsed: Duration) -> String {
        let more = if self.all_found { "" } else { "+" };
        let rate = mean_rate(self.bytes_sent, elapsed);
        let failed = if self.failed > 0 {
            format!(", {} failed", grouped(self.failed))
        } else {
            String::new()
        };
        let left = self.bytes_found.saturating_sub(self.bytes_sent);
        let eta = if self.all_found && rate.0.bytes() > 0 && left > 0 {
            format!(", {} left", spoken(Duration::from_secs(left / rate.0.bytes())))
        } else {
            String::new()
        };
        format!(
            "{} of {}{more} files{failed}, {} of {}{more}, {rate}{eta}",
            grouped(self.files_ended),
            grouped(self.files_found),
            ByteSize(self.bytes_sent),
            ByteSize(self.bytes_found),
        )
    }
}
