//! What a run must not leave behind or take along: uploads whose name was lost, stopped children, its own files.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use s3haul::server::{FaultAction, FaultPlan, FaultRule};

use crate::env::{Ran, Server, Tree, bucket, digests, random, run};

const MIB: usize = 1024 * 1024;
const SMALL_PARTS: [&str; 7] = [
    "cp",
    "--output",
    "json",
    "--part-size",
    "5MiB",
    "--multipart-threshold",
    "5MiB",
];

fn fault(operation: &str, times: Option<u64>, action: FaultAction) -> FaultPlan {
    let rule = FaultRule {
        operation: Some(operation.into()),
        key_contains: None,
        skip: 0,
        times,
        every: None,
        action,
    };
    FaultPlan { rules: vec![rule] }
}

fn large_file(topic: &str) -> (Server, Tree, String) {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket(topic));
    tree.file("large", random(11 * MIB));
    server.oracle(&bucket).make_bucket();
    (server, tree, bucket)
}

fn cp(server: &Server, tree: &Tree, bucket: &str, extra: &[&str]) -> Command {
    let mut command = server.s3haul();
    command.args(SMALL_PARTS).args(extra);
    command.arg(tree.path()).arg(format!("s3://{bucket}/"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn requests(server: &Server, operation: &str) -> u64 {
    let counters = server.handle().counters();
    counters.requests.get(operation).copied().unwrap_or(0)
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("the process is there");
}

fn child_of(parent: &Child) -> i32 {
    let pid = parent.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("a process");
    let first = children.split_whitespace().next().expect("worker processes");
    first.parse().expect("a pid")
}

fn ended(child: Child) -> Ran {
    child.wait_with_output().expect("ends").into()
}

#[test]
fn an_upload_whose_name_was_lost_on_the_way_is_not_left_open() {
    let cut = FaultAction::CutResponse { after_bytes: 20 };
    let garbage = FaultAction::CompleteGarbageIn200 {
        body: "<html>".into(),
    };
    for (action, strategy, times, code) in [
        (FaultAction::DropResponse, "async", Some(2), 0),
        (FaultAction::DropResponse, "processes", Some(1), 0),
        (cut, "async", Some(1), 0),
        (garbage.clone(), "threads", Some(1), 0),
        (garbage, "async", None, 3),
    ] {
        let (server, tree, bucket) = large_file("lost");
        let plan = fault("CreateMultipartUpload", times, action.clone());
        server.handle().set_fault_plan(plan);
        let options = ["--strategy", strategy, "--concurrency", "2"];
        let ran = run(&mut cp(&server, &tree, &bucket, &options));
        assert_eq!(ran.code, code, "{action:?} {strategy}: {}", ran.stderr);
        assert!(
            requests(&server, "CreateMultipartUpload") > 1,
            "{action:?} {strategy}"
        );
        let open = server.handle().open_uploads().expect("listing");
        assert!(open.is_empty(), "{action:?} {strategy} {times:?}: {open:?}");
    }
}

#[test]
fn an_older_upload_of_somebody_else_stays_open() {
    let (server, tree, bucket) = large_file("old");
    let oracle = server.oracle(&bucket);
    let create = || {
        let call = oracle
            .client
            .create_multipart_upload()
            .bucket(&bucket)
            .key("large");
        oracle.block_on(call.send()).expect("begins");
    };
    create();
    std::thread::sleep(Duration::from_secs(4));
    let plan = fault("CreateMultipartUpload", Some(1), FaultAction::DropResponse);
    server.handle().set_fault_plan(plan);
    run(&mut cp(&server, &tree, &bucket, &[])).expect_code(0);
    assert_eq!(
        oracle.open_uploads("large"),
        1,
        "what is older than our request is not ours"
    );
}

#[test]
fn a_killed_child_takes_no_upload_into_its_grave() {
    let (server, tree, bucket) = large_file("grave");
    let plan = fault("CreateMultipartUpload", Some(1), FaultAction::WithholdResponse);
    server.handle().set_fault_plan(plan);
    let options = ["--strategy", "processes", "--concurrency", "1"];
    let parent = cp(&server, &tree, &bucket, &options).spawn().expect("runs");
    let begun = || !server.handle().open_uploads().expect("listing").is_empty();
    wait_until("an upload", begun);
    signal(child_of(&parent), Signal::KILL);
    let ran = ended(parent);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(!begun(), "the upload is aborted by the parent");
}

#[test]
fn an_interrupted_run_aborts_the_upload_that_is_not_yet_named() {
    let (server, tree, bucket) = large_file("unnamed");
    let plan = fault("CreateMultipartUpload", Some(1), FaultAction::WithholdResponse);
    server.handle().set_fault_plan(plan);
    let running = cp(&server, &tree, &bucket, &[]).spawn().expect("runs");
    let begun = || !server.handle().open_uploads().expect("listing").is_empty();
    wait_until("an upload", begun);
    signal(i32::try_from(running.id()).expect("a pid"), Signal::INT);
    assert_eq!(ended(running).code, 130);
    assert!(!begun(), "the upload is aborted at the end");
}

#[test]
fn a_part_that_is_not_what_the_server_said_starts_the_file_over() {
    let (server, tree, bucket) = large_file("wrong-part");
    let plan = fault("UploadPart", Some(1), FaultAction::WrongEtag);
    server.handle().set_fault_plan(plan);
    run(&mut cp(&server, &tree, &bucket, &[])).expect_code(0);
    assert_eq!(server.oracle(&bucket).digests(""), digests(tree.path()));
    let open = server.handle().open_uploads().expect("listing");
    assert!(open.is_empty(), "{open:?}");
}

/// A child that is stopped and never continued: nobody waits for it for ever.
#[test]
fn a_child_that_says_nothing_is_given_up() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("silent"));
    tree.many(40, 100);
    server.oracle(&bucket).make_bucket();
    let delay = FaultAction::Delay { milliseconds: 100 };
    server.handle().set_fault_plan(fault("PutObject", None, delay));
    let options = ["--strategy", "processes", "--concurrency", "2"];
    let parent = cp(&server, &tree, &bucket, &options).spawn().expect("runs");
    wait_until("some files", || requests(&server, "PutObject") > 4);
    signal(child_of(&parent), Signal::STOP);
    let ran = ended(parent);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let totals = &ran.summary()["totals"];
    assert_eq!((&totals["done"], &totals["failed"]), (&39.into(), &1.into()));
}

/// One limit for the whole run, however many processes share it and however unevenly.
#[test]
fn the_bandwidth_limit_is_met_and_not_exceeded_by_all_processes_together() {
    for strategy in ["async", "processes", "hybrid"] {
        let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("limit"));
        tree.file("one", random(MIB));
        tree.file("two", random(MIB));
        server.oracle(&bucket).make_bucket();
        let options = [
            "--strategy",
            strategy,
            "--concurrency",
            "16",
            "--bwlimit",
            "512KiB/s",
        ];
        let ran = run(&mut cp(&server, &tree, &bucket, &options)).expect_code(0);
        let seconds = ran.summary()["elapsed"].as_f64().expect("seconds");
        // The first piece (a file of 1 MiB goes in slices of 256 KiB) passes at once.
        assert!(seconds >= 3.4, "{strategy}: {seconds} s for 2 MiB at 512 KiB/s");
        assert!(
            seconds < 12.0,
            "{strategy}: {seconds} s; idle processes keep no share"
        );
    }
}

#[test]
fn what_the_run_writes_itself_is_not_uploaded() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("own"));
    tree.file("data", "x");
    server.oracle(&bucket).make_bucket();
    let (report, log) = (tree.path().join("report.json"), tree.path().join("run.log"));
    let output = fs::File::create(tree.path().join("out.jsonl")).expect("file");
    let mut command = cp(&server, &tree, &bucket, &[]);
    command.arg("--report").arg(&report).arg("--log-file").arg(&log);
    run_to(command.stdout(output));
    assert_eq!(server.oracle(&bucket).keys(""), ["data"]);
    let log = fs::read_to_string(&log).expect("a log");
    assert!(log.contains("uploaded") && log.contains("data"), "{log}");
    let report = fs::read_to_string(&report).expect("a report");
    assert!(report.contains("own-output"), "{report}");
}

/// Runs to the end with standard output where the caller put it.
fn run_to(command: &mut Command) {
    let status = command.spawn().expect("runs").wait().expect("ends");
    assert!(status.success(), "{status}");
}

#[test]
fn an_embedded_server_inside_the_source_is_refused() {
    let tree = Tree::new();
    tree.file("data", "x");
    let mut command = crate::env::binary();
    command.args(["cp", "--endpoint-url", "embedded", "--embedded-data"]);
    let ran = run(command
        .arg(tree.path().join("store"))
        .arg(tree.path())
        .arg("s3://bucket/"))
    .expect_code(2);
    assert!(ran.stderr.contains("inside the source"), "{}", ran.stderr);
    assert!(!tree.path().join("store").exists(), "nothing was made");
}

#[test]
fn a_list_from_a_pipe_that_nobody_writes_can_be_interrupted() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("fifo"));
    tree.file("data", "x");
    server.oracle(&bucket).make_bucket();
    let pipe = tempfile::tempdir().expect("directory");
    let pipe = pipe.path().join("list");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .expect("a pipe");
    let command = || {
        let mut command = cp(&server, &tree, &bucket, &[]);
        command.arg("--files-from").arg(&pipe);
        command.spawn().expect("runs")
    };
    let waiting = command();
    wait_until("the first contact", || requests(&server, "HeadBucket") > 0);
    signal(i32::try_from(waiting.id()).expect("a pid"), Signal::INT);
    assert_eq!(ended(waiting).code, 130);
    let reading = command();
    let mut writer = fs::OpenOptions::new().write(true).open(&pipe).expect("a reader");
    writer.write_all(b"data\n").expect("written");
    drop(writer);
    let ran = ended(reading);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(server.oracle(&bucket).keys(""), ["data"]);
}
