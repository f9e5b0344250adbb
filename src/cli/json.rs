//! `--output json`: one event a line on standard output.
//!
//! Each has `v` (version of the form), `ts` (RFC 3339) and `event`. `cp` prints `start`, `file`, `retry`, `error` and
//! `summary`: each file has exactly one line, `file`, or `error` when it failed. `cp -n` prints a `plan` for each entry,
//! `ls` prints `prefix` and `object`, `demo` a `combination` a row, `sync` a `mirror` before its `summary`,
//! `doctor` a `check` a line and an `examination`. Of `backup`,
//! `run` prints a `backup`, `list` a `snapshot` a line, `ls` an `entry`, `diff` a `change`, `forget` a `forget`, `prune` a
//! `delete` for each object and a `prune`, `verify` a `difference` for each and a `verify`, `status` a `status` a job. An
//! `error` without `path` ends the run.

use serde::Serialize;
use serde_json::{Value, json};

use super::exit_code::ExitCode;
use super::printer;
use crate::error::{Error, chain};
use crate::event::{Event, Outcome};
use crate::mirror::{Deletion, MirrorSummary, Withheld};
use crate::pipeline::UploadRequest;
use crate::report::{Ending, RunSummary};
use crate::store::ListedObject;

/// Version of the lines' form.
const VERSION: u32 = 1;

pub(super) fn line(event: &str, content: impl Serialize) {
    let mut object = json!({ "v": VERSION, "ts": jiff::Timestamp::now().to_string(), "event": event });
    let content = serde_json::to_value(content).unwrap_or_default();
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), content) {
        for (name, value) in fields {
            // The envelope's own fields win.
            object.entry(name).or_insert(value);
        }
    }
    printer::data(&object.to_string());
}

pub(super) fn start(request: &UploadRequest) {
    line(
        "start",
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "target": request.target.to_string(),
            "endpoint": request.config.store.endpoint_url,
            "concurrency": request.config.run.concurrency,
        }),
    );
}

pub(super) fn event(event: &Event) {
    match event {
        Event::Retry(notice) => line("retry", notice),
        Event::File(record) if matches!(record.outcome, Outcome::Failed { .. }) => line("error", record),
        Event::File(record) => line("file", record),
        Event::Deletion(record) => line("delete", record),
        Event::Discovered { .. } | Event::DiscoveryDone | Event::Sent { .. } => {}
    }
}

pub(super) fn prefix(prefix: &str) {
    line("prefix", json!({ "prefix": prefix }));
}

pub(super) fn object(object: &ListedObject, modified: Option<jiff::Timestamp>) {
    line(
        "object",
        json!({
            "key": object.key,
            "size_bytes": object.size_bytes,
            "etag": object.etag,
            "last_modified": modified.map(|time| time.to_string()),
        }),
    );
}

/// What a backup came to, beside its uploads.
pub(super) fn summary(summary: &RunSummary, exit_code: ExitCode) {
    if let Ending::Fatal { cause } = &summary.ending {
        line(
            "error",
            json!({ "message": cause.message, "kind": cause.kind, "exit_code": exit_code as u8 }),
        );
    }
    let mut content = serde_json::to_value(summary).unwrap_or_default();
    if let Some(object) = content.as_object_mut() {
        object.insert("exit_code".to_owned(), json!(exit_code as u8));
        // Each failed file has had a line of its own.
        object.remove("failures");
    }
    line("summary", content);
}

/// What a mirror came to beside its uploads.
pub(super) fn mirror(summary: &MirrorSummary) {
    let tally = &summary.tally;
    let deletion = match &summary.deletion {
        None => Value::Null,
        Some(Deletion::Done(deleted)) => json!({
            "deleted": deleted.objects,
            "bytes_deleted": deleted.bytes,
            "failed": deleted.failed,
        }),
        Some(Deletion::Planned { objects, bytes }) => {
            json!({ "planned": objects, "bytes_planned": bytes })
        }
        Some(Deletion::Withheld(Withheld::Refused(why, flag))) => {
            json!({ "refused": why, "allow_with": flag })
        }
        Some(Deletion::Withheld(Withheld::Incomplete(why))) => json!({ "withheld": why }),
    };
    line(
        "mirror",
        json!({
            "files": tally.files,
            "unchanged": tally.unchanged,
            "bytes_unchanged": tally.bytes_unchanged,
            "stored_before": tally.stored,
            "gone": tally.gone,
            "sheltered": tally.sheltered,
            "deletion": deletion,
            "notes": summary.state_notes,
        }),
    );
}

pub(super) fn error(error: &Error, exit_code: ExitCode) {
    line(
        "error",
        json!({ "message": chain(error), "hint": error.hint(), "exit_code": exit_code as u8 }),
    );
}
