//! The fault plan case by case: what the embedded server does wrong, and what becomes of the upload.

use s3haul::server::{FaultAction, FaultPlan, FaultRule};

use crate::env::{Ran, Server, Tree, bucket, digests, random, run};

const MIB: usize = 1024 * 1024;

/// A server with a bucket, a tree of three small files and one of three parts.
struct Scene {
    server: Server,
    tree: Tree,
    bucket: String,
}

fn rule(operation: &str, times: Option<u64>, action: FaultAction) -> FaultRule {
    FaultRule {
        operation: Some(operation.into()),
        key_contains: None,
        skip: 0,
        times,
        every: None,
        action,
    }
}

impl Scene {
    fn new(rules: Vec<FaultRule>) -> Self {
        let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("fault"));
        for name in ["a", "b", "c"] {
            tree.file(name, random(2_000));
        }
        tree.file("large", random(11 * MIB));
        server.oracle(&bucket).make_bucket();
        server.handle().set_fault_plan(FaultPlan { rules });
        server.handle().reset_counters();
        Self { server, tree, bucket }
    }

    fn upload(&self, extra: &[&str]) -> Ran {
        let sizes = [
            "cp",
            "--output",
            "json",
            "--part-size",
            "5MiB",
            "--multipart-threshold",
            "5MiB",
        ];
        let target = format!("s3://{}/", self.bucket);
        run(self
            .server
            .s3haul()
            .args(sizes)
            .args(extra)
            .arg(self.tree.path())
            .arg(target))
    }

    fn requests(&self, operation: &str) -> u64 {
        self.server
            .handle()
            .counters()
            .requests
            .get(operation)
            .copied()
            .unwrap_or(0)
    }

    /// Everything arrived, nothing is left open.
    fn assert_whole(&self) {
        self.server
            .handle()
            .set_fault_plan(FaultPlan { rules: Vec::new() });
        assert_eq!(
            self.server.oracle(&self.bucket).digests(""),
            digests(self.tree.path())
        );
        self.assert_nothing_open();
    }

    fn assert_nothing_open(&self) {
        let open = self.server.handle().open_uploads().expect("listing");
        assert!(open.is_empty(), "{open:?}");
    }
}

/// Faults that pass: the run ends well, and says that it tried again.
#[test]
fn faults_that_pass_cost_nothing_but_time() {
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
        let scene = Scene::new(vec![rule(operation, Some(1), action)]);
        let ran = scene.upload(&[]);
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
#[test]
fn faults_that_stay_fail_the_file_and_nothing_else() {
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
        let scene = Scene::new(vec![bad]);
        let ran = scene.upload(&["--retries", "2"]);
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

#[test]
fn no_request_comes_sooner_than_the_server_asked_for() {
    let scene = Scene::new(vec![rule(
        "PutObject",
        Some(1),
        FaultAction::TooManyRequests {
            retry_after_seconds: 2,
        },
    )]);
    let ran = scene.upload(&["--concurrency", "1"]).expect_code(0);
    let retry = &ran.events("retry")[0];
    assert!(retry["delay"].as_f64().expect("seconds") >= 2.0, "{retry}");
    assert!(ran.summary()["elapsed"].as_f64().expect("seconds") >= 2.0);
    scene.assert_whole();
}

#[test]
fn a_refused_identity_ends_the_run_with_one_error_and_no_storm() {
    for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch"] {
        let action = FaultAction::Error {
            status: 403,
            code: code.into(),
            body: None,
            content_type: None,
        };
        let mut everything = rule("", None, action);
        everything.operation = None;
        let scene = Scene::new(vec![everything]);
        let ran = scene.upload(&[]).expect_code(1);
        assert!(ran.stderr.contains("are not accepted"), "{code}: {}", ran.stderr);
        let requests: u64 = scene.server.handle().counters().requests.values().sum();
        assert!(requests <= 2, "{code}: {requests} requests");
    }
}

#[test]
fn a_full_server_stops_the_run_and_leaves_no_upload_open() {
    let full = FaultAction::Error {
        status: 507,
        code: "XMinioStorageFull".into(),
        body: None,
        content_type: None,
    };
    let scene = Scene::new(vec![rule("UploadPart", None, full)]);
    let ran = scene.upload(&[]).expect_code(1);
    assert!(ran.stderr.contains("507"), "{}", ran.stderr);
    scene.assert_nothing_open();
}

#[test]
fn an_upload_that_somebody_else_aborted_starts_over_once() {
    let gone = FaultAction::Error {
        status: 404,
        code: "NoSuchUpload".into(),
        body: None,
        content_type: None,
    };
    let scene = Scene::new(vec![rule("UploadPart", Some(1), gone)]);
    let ran = scene.upload(&["--concurrency", "2"]).expect_code(0);
    assert_eq!(scene.requests("CreateMultipartUpload"), 2);
    let large = ran
        .events("file")
        .into_iter()
        .find(|event| event["key"] == "large")
        .expect("a record");
    assert_eq!(large["attempts"], 2);
    scene.assert_whole();
}

#[test]
fn a_lost_answer_is_no_conflict_with_ourselves() {
    for operation in ["PutObject", "CompleteMultipartUpload"] {
        let scene = Scene::new(vec![rule(operation, Some(1), FaultAction::DropResponse)]);
        let ran = scene
            .upload(&["--if-none-match", "--concurrency", "1"])
            .expect_code(0);
        assert_eq!(
            ran.summary()["totals"]["done"],
            4,
            "{operation}: our own object is not somebody else's"
        );
        scene.assert_whole();
    }
}

#[test]
fn a_wrong_clock_is_corrected_by_the_servers() {
    let mut skewed = rule("", None, FaultAction::SkewedClock { seconds: 3_600 });
    skewed.operation = None;
    let scene = Scene::new(vec![skewed]);
    let ran = scene.upload(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("clock differs"), "it is said: {}", ran.stderr);
    scene.assert_whole();
}

#[test]
fn an_answer_that_never_comes_ends_with_the_attempt() {
    // The limits are a library user's to set; the command line keeps its minutes.
    use s3haul::config::{Config, FixedCredentials, Secret};
    use s3haul::pipeline::{Silent, UploadRequest, upload};
    use std::time::Duration;
    for (operation, action) in [
        ("PutObject", FaultAction::NeverAnswer),
        ("UploadPart", FaultAction::NeverAnswer),
        ("UploadPart", FaultAction::StopReading { after_bytes: 100_000 }),
        ("CompleteMultipartUpload", FaultAction::NeverAnswer),
    ] {
        let scene = Scene::new(vec![rule(operation, Some(1), action)]);
        let mut config = Config::default();
        config.store.endpoint_url = Some(scene.server.url.clone());
        config.store.credentials = Some(FixedCredentials {
            access_key: "test".into(),
            secret_key: Secret::new("test-secret"),
        });
        config.transfer.part_size = "5MiB".parse().expect("size");
        config.transfer.multipart_threshold = "5MiB".parse().expect("size");
        config.transfer.retry.stall_limit = Duration::from_millis(600);
        config.transfer.retry.answer_limit = Duration::from_millis(600);
        config.transfer.retry.complete_limit = Duration::from_millis(600);
        config.transfer.retry.slowest_link = "1GiB".parse().expect("rate");
        let target = format!("s3://{}/", scene.bucket).parse().expect("target");
        let request = UploadRequest::new(scene.tree.path(), target, config);
        let summary = upload(&request, &Default::default(), &mut Silent).expect("runs");
        assert_eq!(
            (summary.totals.done, summary.totals.failed),
            (4, 0),
            "{operation}: {:?}",
            summary.failures
        );
        scene.assert_whole();
    }
}

#[test]
fn a_storm_slows_everybody_down_and_then_all_succeed() {
    let storm = rule("PutObject", Some(40), FaultAction::SlowDown);
    let scene = Scene::new(vec![storm]);
    scene.tree.many(200, 100);
    let ran = scene.upload(&["--concurrency", "20"]).expect_code(0);
    let totals = &ran.summary()["totals"];
    assert_eq!((&totals["done"], &totals["failed"]), (&204.into(), &0.into()));
    scene.assert_whole();
}

#[test]
fn a_random_fifth_of_refusals_costs_few_retries() {
    let mut fifth = rule("PutObject", None, FaultAction::SlowDown);
    fifth.every = Some(5);
    let scene = Scene::new(vec![fifth]);
    scene.tree.many(100, 100);
    let ran = scene.upload(&["--concurrency", "8"]).expect_code(0);
    let retries = ran.summary()["totals"]["retries"].as_u64().expect("a number");
    assert!((1..200).contains(&retries), "{retries}");
}

#[test]
fn a_bucket_in_another_region_is_said_with_the_flag_to_use() {
    let redirect = FaultAction::Error {
        status: 301,
        code: "PermanentRedirect".into(),
        body: None,
        content_type: None,
    };
    let scene = Scene::new(vec![rule("HeadBucket", None, redirect)]);
    let ran = scene.upload(&[]).expect_code(1);
    assert!(
        ran.stderr.contains("another region than us-east-1"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--region"), "{}", ran.stderr);
    assert_eq!(scene.requests("PutObject"), 0);
}

#[test]
fn an_older_object_of_the_same_content_is_no_proof_of_a_new_upload() {
    let scene = Scene::new(Vec::new());
    scene.upload(&["--metadata", "color=red"]).expect_code(0);
    let never = rule("CompleteMultipartUpload", None, FaultAction::Html200);
    scene
        .server
        .handle()
        .set_fault_plan(FaultPlan { rules: vec![never] });
    let ran = scene.upload(&["--metadata", "color=blue"]).expect_code(3);
    assert_eq!(ran.summary()["totals"]["failed"], 1);
    scene.assert_nothing_open();
    let head = scene.server.oracle(&scene.bucket).head("large");
    assert_eq!(
        head.metadata()
            .expect("metadata")
            .get("color")
            .map(String::as_str),
        Some("red")
    );
}

#[test]
fn waiting_for_our_own_bandwidth_limit_is_no_stall() {
    use s3haul::config::{Config, FixedCredentials, Secret};
    use s3haul::pipeline::{Silent, UploadRequest, upload};
    let scene = Scene::new(Vec::new());
    let mut config = Config::default();
    config.store.endpoint_url = Some(scene.server.url.clone());
    config.store.credentials = Some(FixedCredentials {
        access_key: "test".into(),
        secret_key: Secret::new("test-secret"),
    });
    config.transfer.bandwidth = Some("5MiB/s".parse().expect("rate"));
    // The last of the slices waits for two seconds.
    config.transfer.retry.stall_limit = std::time::Duration::from_millis(300);
    let target = format!("s3://{}/", scene.bucket).parse().expect("target");
    let request = UploadRequest::new(scene.tree.path(), target, config);
    let summary = upload(&request, &Default::default(), &mut Silent).expect("runs");
    assert_eq!(
        (summary.totals.done, summary.totals.retries),
        (4, 0),
        "{:?}",
        summary.failures
    );
}
