//! Signals: an interrupted run stops soon, takes its uploads back and says by its exit code what stopped it.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::env::{Ran, random};
use crate::scene::{MIB, SMALL_PARTS, Scene, delay, spawn};

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    kill_process(pid, signal).expect("the process is there");
}

#[test]
fn an_interrupt_stops_the_run_aborts_uploads_and_says_130() {
    for (strategy, wanted, code) in [
        ("async", Signal::INT, 130),
        ("threads", Signal::TERM, 143),
        ("processes", Signal::INT, 130),
        ("hybrid", Signal::TERM, 143),
        ("chunked", Signal::INT, 130),
    ] {
        let scene = Scene::new("int");
        scene.tree.file("large", random(40 * MIB));
        scene.tree.many(50, 100);
        scene.set_faults(vec![delay("UploadPart", 300)]);
        let flags = ["--concurrency", "3", "--strategy", strategy];
        let child = spawn(&mut scene.cp_in_small_parts(&flags));
        scene.wait_for_request("UploadPart");
        let started = Instant::now();
        signal(&child, wanted);
        let ran: Ran = child.wait_with_output().expect("ends").into();
        assert!(
            started.elapsed() < Duration::from_secs(8),
            "{strategy}: {:?}",
            started.elapsed()
        );
        assert_eq!(ran.code, code, "{strategy}: {}", ran.stderr);
        let totals = ran.summary()["totals"].clone();
        let sum: u64 = ["done", "skipped", "failed", "cancelled"]
            .iter()
            .map(|name| totals[name].as_u64().unwrap())
            .sum();
        assert_eq!(totals["discovered"].as_u64(), Some(sum), "{strategy}: {totals}");
        scene.wait_until_nothing_is_open();
    }
}

#[test]
fn a_second_interrupt_ends_at_once() {
    let scene = Scene::new("int2");
    scene.tree.file("large", random(12 * MIB));
    // The abort never comes back, so the orderly stop would take its time.
    scene.set_faults(vec![
        delay("UploadPart", 500),
        delay("AbortMultipartUpload", 60_000),
    ]);
    let mut command = scene.server.s3haul();
    command.arg("cp").args(SMALL_PARTS);
    let child = spawn(command.arg(scene.tree.path()).arg(scene.target("")));
    scene.wait_for_request("UploadPart");
    signal(&child, Signal::INT);
    scene.wait_for_request("AbortMultipartUpload");
    signal(&child, Signal::INT);
    let started = Instant::now();
    let ran: Ran = child.wait_with_output().expect("ends").into();
    assert_eq!(ran.code, 130);
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn an_endless_stream_can_be_interrupted() {
    let scene = Scene::new("endless");
    let mut command = scene.server.s3haul();
    command
        .args(["cp", "--part-size", "5MiB", "-", &scene.target("k")])
        .stdin(Stdio::piped());
    let mut child = spawn(&mut command);
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(&random(6 * MIB)).expect("takes input");
    scene.wait_for_request("UploadPart");
    signal(&child, Signal::INT);
    let ran: Ran = child.wait_with_output().expect("ends").into();
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    scene.wait_until_nothing_is_open();
}
