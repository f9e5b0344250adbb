//! The fault plan case by case: what the embedded server does wrong, and what becomes of the upload.
//!
//! Here: faults that pass and faults that stay. How long is waited stands in `fault_waits`, what ends otherwise
//! than by another try in `fault_endings`.

use s3haul::config::Engine;
use s3haul::server::FaultAction;

use crate::env::engine_name;
use crate::scene::{Scene, rule};
use crate::with_both_engines;

with_both_engines!(
    faults_that_pass_cost_nothing_but_time,
    faults_that_stay_fail_the_file_and_nothing_else,
);

/// Faults that pass: the run ends well, and says that it tried again.
fn faults_that_pass_cost_nothing_but_time(engine: Engine) {
    let error = |status, code: &str| FaultAction::Error {
        status,
        code: code.into(),
        body: None,
        content_type: None,
    };
    let empty = FaultAction::Error {
        status: 503,
        code: String::new(),
        body: Some(String::new()),
        content_type: None,
    };
    let html = FaultAction::Error {
        status: 502,
        code: String::new(),
        body: Some("<html>bad gateway</html>".into()),
        content_type: Some("text/html".into()),
    };
    for (name, operation, action) in [
        ("slow down", "PutObject", FaultAction::SlowDown),
        ("slow down", "UploadPart", FaultAction::SlowDown),
        ("minio's slow down", "PutObject", FaultAction::SlowDownWrite),
        (
            "429",
            "PutObject",
            FaultAction::TooManyRequests {
                retry_after_seconds: 1,
            },
        ),
        ("500", "CreateMultipartUpload", error(500, "InternalError")),
        ("409", "PutObject", error(409, "OperationAborted")),
        ("408", "UploadPart", error(408, "RequestTimeout")),
        ("bad digest", "UploadPart", error(400, "BadDigest")),
        ("503 without body", "PutObject", empty),
        ("502 as HTML", "UploadPart", html),
        ("reset", "UploadPart", FaultAction::ResetAfter { bytes: 100_000 }),
        ("reset at once", "PutObject", FaultAction::ResetAfter { bytes: 0 }),
        ("flipped bit", "PutObject", FaultAction::FlipBodyBit),
        ("flipped bit", "UploadPart", FaultAction::FlipBodyBit),
        ("wrong etag", "PutObject", FaultAction::WrongEtag),
        ("no etag", "PutObject", FaultAction::NoEtag),
        ("no etag", "UploadPart", FaultAction::NoEtag),
        ("html", "PutObject", FaultAction::Html200),
        ("answer lost", "PutObject", FaultAction::DropResponse),
        ("answer lost", "UploadPart", FaultAction::DropResponse),
        (
            "answer lost",
            "CompleteMultipartUpload",
            FaultAction::DropResponse,
        ),
        (
            "error in 200",
            "CompleteMultipartUpload",
            FaultAction::CompleteErrorIn200 {
                code: "InternalError".into(),
            },
        ),
        (
            "empty 200",
            "CompleteMultipartUpload",
            FaultAction::CompleteGarbageIn200 { body: String::new() },
        ),
        (
            "garbage in 200",
            "CompleteMultipartUpload",
            FaultAction::CompleteGarbageIn200 {
                body: "<html>".into(),
            },
        ),
        ("wrong etag", "CompleteMultipartUpload", FaultAction::WrongEtag),
    ] {
        let scene = Scene::with_faults(vec![rule(operation, Some(1), action)]);
        let ran = scene.upload(&["--engine", engine_name(engine)]);
        assert_eq!(ran.code, 0, "{name} of {operation}: {}", ran.stderr);
        assert_eq!(
            scene.server.handle().counters().faults,
            1,
            "{name} of {operation} happened"
        );
        let retries = ran.summary()["totals"]["retries"].as_u64().unwrap_or(0);
        let silent = operation == "CompleteMultipartUpload" || name == "answer lost";
        assert!(
            retries >= 1 || silent,
            "{name} of {operation}: no retry is reported"
        );
        assert_eq!(ran.events("retry").len() as u64, retries, "{name} of {operation}");
        scene.assert_whole();
    }
}

/// Faults that stay: the file fails, the others do not, nothing is left open, exit 3.
fn faults_that_stay_fail_the_file_and_nothing_else(engine: Engine) {
    let denied = FaultAction::Error {
        status: 403,
        code: "AccessDenied".into(),
        body: None,
        content_type: None,
    };
    for (name, operation, action) in [
        ("denied", "PutObject", denied.clone()),
        ("denied part", "UploadPart", denied),
        ("wrong etag", "PutObject", FaultAction::WrongEtag),
        ("no etag", "UploadPart", FaultAction::NoEtag),
        ("html", "PutObject", FaultAction::Html200),
        ("html complete", "CompleteMultipartUpload", FaultAction::Html200),
        ("slow down", "PutObject", FaultAction::SlowDown),
    ] {
        let mut bad = rule(operation, None, action);
        bad.key_contains = Some(if operation == "PutObject" {
            "b".into()
        } else {
            "large".into()
        });
        let scene = Scene::with_faults(vec![bad]);
        let ran = scene.upload(&["--retries", "2", "--engine", engine_name(engine)]);
        assert_eq!(ran.code, 3, "{name}: {}", ran.stderr);
        let totals = &ran.summary()["totals"];
        assert_eq!(
            (&totals["done"], &totals["failed"]),
            (&3.into(), &1.into()),
            "{name}"
        );
        assert_eq!(ran.events("error").len(), 1, "{name}");
        scene.assert_nothing_open();
    }
}
