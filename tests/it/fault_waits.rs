//! How long a run waits for a server with faults: not too short, not for ever, and all workers together.

use std::time::Duration;

use s3haul::pipeline::{Silent, UploadRequest, upload};
use s3haul::server::FaultAction;

use crate::scene::{Scene, config, rule};

#[test]
fn no_request_comes_sooner_than_the_server_asked_for() {
    let scene = Scene::with_faults(vec![rule(
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
fn a_storm_slows_everybody_down_and_then_all_succeed() {
    let storm = rule("PutObject", Some(40), FaultAction::SlowDown);
    let scene = Scene::with_faults(vec![storm]);
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
    let scene = Scene::with_faults(vec![fifth]);
    scene.tree.many(100, 100);
    let ran = scene.upload(&["--concurrency", "8"]).expect_code(0);
    let retries = ran.summary()["totals"]["retries"].as_u64().expect("a number");
    assert!((1..200).contains(&retries), "{retries}");
}

#[test]
fn an_answer_that_never_comes_ends_with_the_attempt() {
    // The limits are a library user's to set; the command line keeps its minutes.
    for (operation, action) in [
        ("PutObject", FaultAction::NeverAnswer),
        ("UploadPart", FaultAction::NeverAnswer),
        ("UploadPart", FaultAction::StopReading { after_bytes: 100_000 }),
        ("CompleteMultipartUpload", FaultAction::NeverAnswer),
    ] {
        let scene = Scene::with_faults(vec![rule(operation, Some(1), action)]);
        let mut config = config(&scene.server);
        config.transfer.part_size = "5MiB".parse().expect("size");
        config.transfer.multipart_threshold = "5MiB".parse().expect("size");
        config.transfer.retry.stall_limit = Duration::from_millis(600);
        config.transfer.retry.answer_limit = Duration::from_millis(600);
        config.transfer.retry.complete_limit = Duration::from_millis(600);
        config.transfer.retry.slowest_link = "1GiB".parse().expect("rate");
        let target = scene.target("").parse().expect("target");
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
fn waiting_for_our_own_bandwidth_limit_is_no_stall() {
    let scene = Scene::with_faults(Vec::new());
    let mut config = config(&scene.server);
    config.transfer.bandwidth = Some("5MiB/s".parse().expect("rate"));
    // The last of the slices waits for two seconds.
    config.transfer.retry.stall_limit = Duration::from_millis(300);
    let target = scene.target("").parse().expect("target");
    let request = UploadRequest::new(scene.tree.path(), target, config);
    let summary = upload(&request, &Default::default(), &mut Silent).expect("runs");
    assert_eq!(
        (summary.totals.done, summary.totals.retries),
        (4, 0),
        "{:?}",
        summary.failures
    );
}
