//! `--dry-run`: the plan, and nothing sent.

use serde_json::json;

use super::exit_code::ExitCode;
use super::output_args::{OutputArgs, OutputFormat};
use super::run_output::Deed;
use super::{json as lines, printer};
use crate::error::Result;
use crate::event::{DeletionRecord, Event, FileRecord, Outcome};
use crate::pipeline::{Monitor, PlannedAction, PlannedFile, UploadRequest, plan};
use crate::units::{ByteSize, grouped};

/// Prints the plan. Exit 3 when something in it could not be uploaded.
pub(super) fn run(request: &UploadRequest, output: &OutputArgs) -> Result<ExitCode> {
    let (mut files, mut bytes, mut failed) = (0, 0, 0);
    for PlannedFile { path, action } in plan(request)? {
        let path = path.display();
        match action {
            PlannedAction::Upload {
                key,
                encoded,
                reason,
                size_bytes,
                parts,
            } => {
                files += 1;
                bytes += size_bytes;
                let reason = serde_json::to_value(reason).unwrap_or_default();
                let reason = reason.as_str().unwrap_or_default();
                let how = if parts == 0 {
                    "1 PUT".to_owned()
                } else {
                    format!("{parts} parts")
                };
                let note = if encoded { ", name encoded" } else { "" };
                let bucket = &request.target.bucket;
                print_plan(
                    output,
                    &format!(
                        "upload {path} to s3://{bucket}/{key} ({reason}, {}, {how}{note})",
                        ByteSize(size_bytes)
                    ),
                    || json!({ "action": "upload", "path": path.to_string(), "key": key, "reason": reason, "size_bytes": size_bytes, "parts": parts, "encoded": encoded }),
                );
            }
            PlannedAction::Skip(reason) => print_plan(
                output,
                &format!("skip {path} ({reason})"),
                || json!({ "action": "skip", "path": path.to_string(), "reason": reason }),
            ),
            PlannedAction::Fail(failure) => {
                failed += 1;
                print_plan(
                    output,
                    &format!("fail {path} ({failure})"),
                    || json!({ "action": "fail", "path": path.to_string(), "failure": failure }),
                );
            }
        }
    }
    if !output.quiet {
        printer::note(&format!(
            "would upload {} files, {}; nothing was sent",
            grouped(files),
            ByteSize(bytes)
        ));
    }
    Ok(if failed > 0 {
        ExitCode::Incomplete
    } else {
        ExitCode::Done
    })
}

/// Prints what a run that changes nothing would do.
pub(super) struct PlanMonitor {
    deed: Deed,
    bucket: String,
    output: OutputArgs,
}

impl PlanMonitor {
    pub(super) fn new(deed: Deed, bucket: &str, output: &OutputArgs) -> Self {
        Self {
            deed,
            bucket: bucket.to_owned(),
            output: output.clone(),
        }
    }

    fn file(&self, record: &FileRecord) {
        let FileRecord {
            path,
            key,
            reason,
            size_bytes,
            ..
        } = record;
        match &record.outcome {
            Outcome::Planned if self.deed == Deed::Restores => print_plan(
                &self.output,
                &format!(
                    "restore s3://{}/{key} to {path} ({})",
                    self.bucket,
                    ByteSize(*size_bytes)
                ),
                || json!({ "action": "restore", "path": path, "key": key, "size_bytes": size_bytes }),
            ),
            Outcome::Planned => print_plan(
                &self.output,
                &format!(
                    "upload {path} to s3://{}/{key} ({reason}, {})",
                    self.bucket,
                    ByteSize(*size_bytes)
                ),
                || json!({ "action": "upload", "path": path, "key": key, "reason": reason, "size_bytes": size_bytes }),
            ),
            Outcome::Skipped { reason } => print_plan(
                &self.output,
                &format!("skip {path} ({reason})"),
                || json!({ "action": "skip", "path": path, "reason": reason }),
            ),
            Outcome::Failed { failure } => print_plan(
                &self.output,
                &format!("fail {path} ({failure})"),
                || json!({ "action": "fail", "path": path, "failure": failure }),
            ),
            Outcome::Done { .. } | Outcome::Unchanged { .. } | Outcome::Cancelled => {}
        }
    }
}

impl Monitor for PlanMonitor {
    fn notify(&mut self, event: &Event) {
        match event {
            Event::File(record) => self.file(record),
            Event::Deletion(record) => {
                let DeletionRecord { key, size_bytes, .. } = &**record;
                print_plan(
                    &self.output,
                    &format!("delete s3://{}/{key} ({})", self.bucket, ByteSize(*size_bytes)),
                    || json!({ "action": "delete", "key": key, "size_bytes": size_bytes }),
                );
            }
            Event::Discovered { .. } | Event::DiscoveryDone | Event::Sent { .. } | Event::Retry(_) => {}
        }
    }
}

fn print_plan(output: &OutputArgs, text: &str, value: impl FnOnce() -> serde_json::Value) {
    match output.output {
        OutputFormat::Text => printer::data(text),
        OutputFormat::Json => lines::line("plan", value()),
    }
}
