//! Faults that another try of the same request does not heal: what the run concludes, says and leaves behind.

use s3haul::server::FaultAction;

use crate::scene::{Scene, rule};

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
        let scene = Scene::with_faults(vec![everything]);
        let ran = scene.upload(&[]).expect_code(1);
        assert!(ran.stderr.contains("are not accepted"), "{code}: {}", ran.stderr);
        let requests: u64 = scene.server.handle().counters().requests.values().sum();
        assert!(requests <= 2, "{code}: {requests} requests");
    }
}

#[test]
fn a_bucket_in_another_region_is_said_with_the_flag_to_use() {
    let redirect = FaultAction::Error {
        status: 301,
        code: "PermanentRedirect".into(),
        body: None,
        content_type: None,
    };
    let scene = Scene::with_faults(vec![rule("HeadBucket", None, redirect)]);
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
fn a_full_server_stops_the_run_and_leaves_no_upload_open() {
    let full = FaultAction::Error {
        status: 507,
        code: "XMinioStorageFull".into(),
        body: None,
        content_type: None,
    };
    let scene = Scene::with_faults(vec![rule("UploadPart", None, full)]);
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
    let scene = Scene::with_faults(vec![rule("UploadPart", Some(1), gone)]);
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
        let scene = Scene::with_faults(vec![rule(operation, Some(1), FaultAction::DropResponse)]);
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
fn an_older_object_of_the_same_content_is_no_proof_of_a_new_upload() {
    let scene = Scene::with_faults(Vec::new());
    scene.upload(&["--metadata", "color=red"]).expect_code(0);
    let never = rule("CompleteMultipartUpload", None, FaultAction::Html200);
    scene.set_faults(vec![never]);
    let ran = scene.upload(&["--metadata", "color=blue"]).expect_code(3);
    assert_eq!(ran.summary()["totals"]["failed"], 1);
    scene.assert_nothing_open();
    let head = scene.oracle().head("large");
    assert_eq!(
        head.metadata()
            .expect("metadata")
            .get("color")
            .map(String::as_str),
        Some("red")
    );
}

#[test]
fn a_wrong_clock_is_corrected_by_the_servers() {
    let mut skewed = rule("", None, FaultAction::SkewedClock { seconds: 3_600 });
    skewed.operation = None;
    let scene = Scene::with_faults(vec![skewed]);
    let ran = scene.upload(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("clock differs"), "it is said: {}", ran.stderr);
    scene.assert_whole();
}
