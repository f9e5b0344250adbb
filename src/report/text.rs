//! A summary as a few lines for people.

use super::{Ending, KEPT_FAILURES, RunSummary};
use crate::units::{ByteSize, grouped, mean_rate, shown, spoken};

/// Failures that are shown; the rest is in the report, as far as it was kept.
const SHOWN_FAILURES: usize = 10;

impl RunSummary {
    /// The lines that `cp` prints at its end.
    pub fn text(&self) -> String {
        self.text_below(self.headline())
    }

    /// The same with another first line.
    pub fn text_below(&self, headline: String) -> String {
        let mut lines = vec![headline];
        lines.extend(self.skipped_line());
        lines.extend(self.encoded_line());
        lines.extend(self.failure_lines());
        lines.push(format!(
            "{} strategy, {} client, {}; {} connections, {} retries; CPU {:.2} s, peak memory {}",
            self.strategy.name(),
            self.client.name(),
            self.in_flight(),
            grouped(self.connections),
            grouped(self.totals.retries),
            self.cpu_seconds,
            ByteSize(self.peak_rss_bytes),
        ));
        lines.join("\n")
    }

    fn in_flight(&self) -> String {
        match self.workers.window.last() {
            None => format!("{} in flight", self.concurrency),
            Some(last) => format!("a window of {} requests in flight at the end", last.size),
        }
    }

    fn headline(&self) -> String {
        let totals = &self.totals;
        if totals.discovered == 0 {
            return format!("nothing to upload: no files were found for {}", self.target);
        }
        let files = if totals.done == 1 { "file" } else { "files" };
        let batched = match totals.batched {
            0 => String::new(),
            batched => format!(" ({} of them in batches)", grouped(batched)),
        };
        let head = format!(
            "uploaded {} {files}{batched}, {} to {} in {} ({})",
            grouped(totals.done),
            ByteSize(totals.bytes_done),
            self.target,
            spoken(self.elapsed),
            mean_rate(totals.bytes_done, self.elapsed),
        );
        match &self.ending {
            Ending::Finished => head,
            Ending::Cancelled | Ending::OutOfTime | Ending::Fatal { .. } => {
                format!("stopped early: {head}; {} not tried", grouped(totals.cancelled))
            }
        }
    }

    fn skipped_line(&self) -> Option<String> {
        let reasons: Vec<String> = self
            .skipped_by_reason
            .iter()
            .map(|(reason, count)| format!("{} {reason}", grouped(*count)))
            .collect();
        (!reasons.is_empty())
            .then(|| format!("skipped {}: {}", grouped(self.totals.skipped), reasons.join(", ")))
    }

    fn encoded_line(&self) -> Option<String> {
        let (path, key) = self.encoded.first()?;
        Some(format!(
            "{} names are encoded in their keys, the first: {path:?} as {key:?}",
            grouped(self.totals.encoded)
        ))
    }

    fn failure_lines(&self) -> Vec<String> {
        let total = self.totals.failed;
        if total == 0 {
            return Vec::new();
        }
        let mut lines = vec![format!(
            "failed {} of {}:",
            grouped(total),
            grouped(self.totals.discovered)
        )];
        for record in self.failures.iter().take(SHOWN_FAILURES) {
            if let crate::event::Outcome::Failed { failure } = &record.outcome {
                lines.push(format!("  {}: {failure}", shown(&record.path)));
            }
        }
        if total > SHOWN_FAILURES as u64 {
            lines.push(not_shown(total));
        }
        lines
    }
}

/// Where the failures beyond those that are shown can be found.
fn not_shown(total: u64) -> String {
    let kept = KEPT_FAILURES as u64;
    let place = if total > kept {
        format!(
            "--report FILE.json has the first {}, --output json all",
            grouped(kept)
        )
    } else {
        "--report FILE.json has them all".to_owned()
    };
    format!("  and {} more; {place}", grouped(total - SHOWN_FAILURES as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_said_to_have_what_it_has() {
        for (total, text) in [
            (11, "  and 1 more; --report FILE.json has them all"),
            (10_000, "  and 9,990 more; --report FILE.json has them all"),
            (
                10_001,
                "  and 9,991 more; --report FILE.json has the first 10,000, --output json all",
            ),
        ] {
            assert_eq!(not_shown(total), text);
        }
    }
}
