//! `s3haul backup verify`: what snapshots need is there, and is what it should be.

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::{find, which};
use crate::backup::{Checked, Difference, Flaw, Share, Snapshot, check, look_again, share_of};
use crate::cli::exit_code::ExitCode;
use crate::cli::jobs::Job;
use crate::cli::metrics::Figures;
use crate::cli::output_args::{OutputArgs, OutputFormat};
use crate::cli::unattended::{Came, UnattendedArgs};
use crate::cli::{json, printer, signals};
use crate::error::Result;
use crate::units::{ByteSize, grouped};

/// Prove that snapshots can be restored: all that they need is there and as long as it should be
///
/// With --read, a share of it is downloaded and hashed as well: another one each day, so that 5% a day reads everything in
/// 20 days.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    /// The job, and which snapshot: all of them, unless one is named
    #[arg(value_name = "JOB[@SNAPSHOT]")]
    pub(super) snapshot: String,
    /// Download and hash this share of what is needed
    #[arg(long, value_name = "N%", value_parser = percent)]
    read: Option<f64>,
    /// Which share: whoever counts this up by one each time reads everything in time [default: the day's number]
    #[arg(long, value_name = "N", requires = "read")]
    seed: Option<u64>,
    #[command(flatten)]
    unattended: UnattendedArgs,
}

fn percent(text: &str) -> Result<f64, String> {
    let wrong = || format!("'{text}' is no share; write it as 5% or 100%");
    let percent: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .map_err(|_| wrong())?;
    share_of(percent, 0).map(|_| percent).map_err(|_| wrong())
}

impl VerifyArgs {
    fn share(&self) -> Result<Option<Share>> {
        let day = u64::try_from(Timestamp::now().as_second() / 86_400).unwrap_or(0);
        self.read
            .map(|percent| share_of(percent, self.seed.unwrap_or(day)))
            .transpose()
    }
}

pub(super) fn verify(
    job: &Job,
    snapshot: Option<&str>,
    args: &VerifyArgs,
    output: &OutputArgs,
) -> Result<ExitCode> {
    let snapshot = snapshot.map(which).transpose()?;
    let share = args.share()?;
    let cancel = signals::cancel_on_signals();
    args.unattended
        .attend(&format!("{} verify", job.name), |deadline| {
            let open = job.open(&cancel)?;
            let snapshots: Vec<Snapshot> = match &snapshot {
                Some(which) => vec![find(&open.repository, which)?],
                None => open.repository.snapshots()?,
            };
            if snapshots.is_empty() {
                // There is nothing that could be proven.
                find(&open.repository, &crate::backup::Which::Latest)?;
            }
            let checked = check(&open.repository, &snapshots, share, deadline)?;
            tell(job, &checked, output);
            let code = if checked.is_good() && checked.is_cut {
                ExitCode::OutOfTime
            } else if checked.is_good() {
                ExitCode::Done
            } else {
                let state = job.state.settings()?;
                if let Err(error) = look_again(&open.repository, &job.name, &state, &cancel) {
                    printer::note(&format!("the next run may not look for what is missing: {error}"));
                }
                ExitCode::Differs
            };
            let headline = headline(job, &checked);
            match output.output {
                OutputFormat::Json => tell_sums(job, &checked, code),
                OutputFormat::Text if output.is_silent() && code == ExitCode::Done => {}
                OutputFormat::Text => printer::data(&headline),
            }
            Ok(Came {
                code,
                figures: Figures {
                    results: vec![
                        ("needed", checked.contents.0, checked.contents.1),
                        ("read", checked.read.0, checked.read.1),
                        ("different", checked.differences.len() as u64, 0),
                    ],
                    retries: 0,
                },
                headline,
                stamp: None,
            })
        })
}

fn said(flaw: &Flaw) -> String {
    match flaw {
        Flaw::Missing => "is missing".to_owned(),
        Flaw::Size(bytes) => format!("has {bytes} bytes, which is not what it should have"),
        Flaw::Content => "has another content than its name says".to_owned(),
        Flaw::Unreadable(why) => format!("cannot be read: {why}"),
    }
}

fn tell(job: &Job, checked: &Checked, output: &OutputArgs) {
    for (id, why) in &checked.damaged {
        match output.output {
            OutputFormat::Json => json::line(
                "difference",
                json!({ "job": job.name, "snapshot": id, "why": why }),
            ),
            OutputFormat::Text => printer::failure(&format!("{}@{id}: {why}", job.name)),
        }
    }
    for difference in &checked.differences {
        let Difference {
            key,
            flaw,
            files,
            touched,
        } = difference;
        match output.output {
            OutputFormat::Json => {
                let files: Vec<_> = files
                    .iter()
                    .map(|(id, path)| json!({ "snapshot": id, "path": path }))
                    .collect();
                json::line(
                    "difference",
                    json!({ "job": job.name, "key": key, "why": said(flaw), "files": files, "touched": touched }),
                );
            }
            OutputFormat::Text => {
                printer::failure(&format!("{key} {}", said(flaw)));
                for (id, path) in files {
                    printer::note(&format!("  {}@{id}: {}", job.name, path.escape_debug()));
                }
                let more = touched.saturating_sub(files.len() as u64);
                if more > 0 {
                    printer::note(&format!("  and {} more", grouped(more)));
                }
            }
        }
    }
}

fn tell_sums(job: &Job, checked: &Checked, code: ExitCode) {
    json::line(
        "verify",
        json!({
            "job": job.name,
            "snapshots": checked.snapshots,
            "damaged_snapshots": checked.damaged.len(),
            "needed": { "contents": checked.contents.0, "bytes": checked.contents.1 },
            "read": { "contents": checked.read.0, "bytes": checked.read.1 },
            "differences": checked.differences.len(),
            "exit_code": code as u8,
        }),
    );
}

fn headline(job: &Job, checked: &Checked) -> String {
    let sized = |(count, bytes): (u64, u64)| format!("{} contents ({})", grouped(count), ByteSize(bytes));
    let verdict = match (checked.damaged.len(), checked.differences.len()) {
        (0, 0) => "all there".to_owned(),
        (damaged, differences) => {
            format!("{damaged} damaged snapshots, {differences} contents that are not what they should be")
        }
    };
    format!(
        "{}: {verdict}; {} snapshots need {}, of which {} were read",
        job.name,
        grouped(checked.snapshots),
        sized(checked.contents),
        sized(checked.read)
    )
}
