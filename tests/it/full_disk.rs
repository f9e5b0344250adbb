//! Output that cannot be written is said and costs the exit code 0, but not what the command did.

use std::fs::File;
use std::process::Stdio;

use s3haul::server::{FaultAction, FaultPlan, FaultRule};

use crate::env::{Ran, Server, Tree, binary, bucket, run};

/// A file that takes no byte.
fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full")
        .into()
}

#[track_caller]
fn says_once(ran: &Ran, what: &str) {
    let told = format!("error: {what} cannot be written: No space left on device");
    assert_eq!(ran.stderr.matches(&told).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("No space").count(), 1, "{}", ran.stderr);
}

#[test]
fn standard_output_that_cannot_be_written_is_an_error() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("full"));
    tree.many(3, 10);
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let source = tree.path().to_str().expect("UTF-8");
    let target = format!("s3://{bucket}/");
    for (arguments, code) in [
        (vec!["cp", "--output", "json", source, &target], 1),
        (vec!["cp", source, &target], 1),
        (vec!["cp", "-n", source, &target], 1),
        (vec!["ls", "-r", &target], 1),
        (vec!["ls", "-r", "--output", "json", &target], 1),
        (vec!["completions", "bash"], 1),
        (vec!["man"], 1),
        (vec!["--help"], 1),
        (vec!["--version"], 1),
        (vec!["ls", "--output", "json", "s3://not-there/"], 10),
    ] {
        let ran: Ran = server
            .s3haul()
            .args(&arguments)
            .stdout(full())
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("the binary runs")
            .into();
        let ran = ran.expect_code(code);
        says_once(&ran, "standard output");
    }
    assert_eq!(oracle.keys("").len(), 3, "the upload stands");
    let quiet = server
        .s3haul()
        .args(["cp", "-q", source, &target])
        .stdout(full())
        .status();
    assert_eq!(
        quiet.expect("the binary runs").code(),
        Some(0),
        "nothing was to be written"
    );
}

#[test]
fn a_log_file_on_a_full_disk_is_an_error_and_the_upload_stands() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("log"));
    tree.many(3, 10);
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    // With `-vv` each retry is a line of the log, so each run has something to write.
    let every_second = FaultRule {
        operation: Some("PutObject".to_owned()),
        key_contains: None,
        skip: 0,
        times: None,
        every: Some(2),
        action: FaultAction::Error {
            status: 500,
            code: "InternalError".to_owned(),
            body: None,
            content_type: None,
        },
    };
    server.handle().set_fault_plan(FaultPlan {
        rules: vec![every_second],
    });
    let target = format!("s3://{bucket}/");
    let cp = |arguments: &[&str]| {
        let mut command = server.s3haul();
        command
            .args(["cp", "-vv", "--log-file", "/dev/full"])
            .args(arguments);
        run(command.arg(tree.path()).arg(&target))
    };
    let ran = cp(&[]).expect_code(1);
    says_once(&ran, "log file '/dev/full'");
    assert_eq!(oracle.keys("").len(), 3, "the upload stands");
    let ran = cp(&["--output", "json"]).expect_code(1);
    says_once(&ran, "log file '/dev/full'");
    assert_eq!(ran.events("error")[0]["exit_code"], 1);
    let list = tree.file("list", "missing\nd0/f00000\nd1/f00001\n");
    let ran = cp(&["--files-from", list.to_str().expect("UTF-8")]).expect_code(3);
    says_once(&ran, "log file '/dev/full'");
}

#[test]
fn the_usage_error_of_a_flag_is_no_output_error() {
    let ran = run(binary().args(["cp", "--no-such-flag"])).expect_code(2);
    assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    let ran = run(&mut binary()).expect_code(2);
    assert!(ran.stderr.contains("Usage: s3haul"), "{}", ran.stderr);
}
