//! Runs that nobody watches: how long they may take, and who hears what came of them.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::choices::duration;
use super::exit_code::ExitCode;
use super::metrics::{Figures, Metrics};
use super::{logging, printer, signals};
use crate::error::{Error, Result, chain};
use crate::report::RunSummary;
use crate::store::ping;

/// Time that somebody who is pinged has for the answer.
const PING_LIMIT: Duration = Duration::from_secs(10);
/// The same when somebody has told the run to stop, and waits.
const PING_LIMIT_AT_A_STOP: Duration = Duration::from_secs(2);

/// How long a run may take, and who hears of it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Unattended")]
pub(super) struct UnattendedArgs {
    /// Begin nothing new after this time, such as 5h; what is in hand is finished, and the next run goes on (exit 5)
    #[arg(long, value_name = "TIME", value_parser = duration, env = "S3HAUL_MAX_DURATION")]
    max_duration: Option<Duration>,

    /// Write what the run came to in the form of Prometheus' text collector, by way of a temporary file
    #[arg(long, value_name = "FILE.prom", env = "S3HAUL_METRICS_FILE")]
    metrics_file: Option<PathBuf>,

    /// POST to URL/start when the run begins and to URL/EXITCODE when it ends; a ping that fails changes nothing
    #[arg(long, value_name = "URL", env = "S3HAUL_PING_URL", hide_env_values = true)]
    ping_url: Option<String>,
}

/// What a run came to, for those who were not there.
pub(super) struct Came {
    pub(super) code: ExitCode,
    pub(super) figures: Figures,
    /// A line for people.
    pub(super) headline: String,
    /// A file that says when the last success was.
    pub(super) stamp: Option<PathBuf>,
}

/// Files and bytes of `run` by what became of them; `word` is for those that are done. `unchanged` are those, and their
/// bytes, that the run did not have to look at.
pub(super) fn figures(run: &RunSummary, word: &'static str, unchanged: (u64, u64)) -> Figures {
    let totals = &run.totals;
    Figures {
        results: vec![
            (word, totals.done, totals.bytes_done),
            ("unchanged", totals.unchanged + unchanged.0, unchanged.1),
            ("skipped", totals.skipped, 0),
            ("failed", totals.failed, 0),
            ("not-tried", totals.cancelled, 0),
        ],
        retries: totals.retries,
    }
}

impl UnattendedArgs {
    /// Does `run`, which may begin new things until the moment that it is told, and tells those who want to know of it as
    /// `job`.
    ///
    /// # Errors
    /// Those of `run`.
    pub(super) fn attend(
        &self,
        job: &str,
        run: impl FnOnce(Option<Instant>) -> Result<Came>,
    ) -> Result<ExitCode> {
        let (begun, since) = (jiff::Timestamp::now(), Instant::now());
        let ping_url = self.ping_url.as_ref().map(|url| url.trim_end_matches('/'));
        let start = ping_url.map(|url| {
            let (url, job) = (format!("{url}/start"), job.to_owned());
            thread::spawn(move || tell(&url, job, PING_LIMIT))
        });
        let outcome = run(self.max_duration.map(|limit| since + limit));
        let (code, headline) = match &outcome {
            Ok(came) => (came.code, came.headline.clone()),
            Err(error) => (ExitCode::of_error(error), chain(error)),
        };
        let metrics = Metrics {
            job,
            begun: begun.as_second(),
            seconds: since.elapsed().as_secs_f64(),
            exit_code: code as u8,
            figures: &outcome
                .as_ref()
                .map_or_else(|_| Figures::default(), |came| came.figures.clone()),
        };
        let told = self
            .metrics_file
            .as_ref()
            .map_or(Ok(()), |path| metrics.write(path));
        let is_stopped = signals::received().is_some();
        if let Some(start) = start.filter(|_| !is_stopped) {
            // A ping that fails changes nothing.
            let _ = start.join();
        }
        if let Some(url) = ping_url {
            let limit = if is_stopped {
                PING_LIMIT_AT_A_STOP
            } else {
                PING_LIMIT
            };
            tell(
                &format!("{url}/{}", code as u8),
                format!("{job}: {headline}"),
                limit,
            );
        }
        let came = outcome?;
        if let (ExitCode::Done, Some(stamp)) = (came.code, &came.stamp)
            && let Err(error) = write_stamp(stamp, begun)
        {
            tracing::info!(target: logging::RUN, %error, "the last success cannot be noted");
        }
        Ok(told.map_or_else(|error| incomplete(&error, came.code), |()| came.code))
    }
}

/// What was done stands; who asked for a file does not have it.
fn incomplete(error: &Error, code: ExitCode) -> ExitCode {
    printer::error(error);
    if code == ExitCode::Done {
        ExitCode::Failed
    } else {
        code
    }
}

fn write_stamp(path: &Path, begun: jiff::Timestamp) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, format!("{begun:.0}\n"))?;
    std::fs::rename(&fresh, path)
}

fn tell(url: &str, text: String, limit: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = match runtime {
        Ok(runtime) => runtime
            .block_on(ping(url, text, limit))
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = told {
        tracing::info!(target: logging::RUN, error, "a ping failed");
    }
}
