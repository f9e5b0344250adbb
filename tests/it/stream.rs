//! `cp -`: standard input of unknown length.

use std::io::Write as _;
use std::process::Stdio;

use crate::env::{Kind, Ran, Server, bucket, random, run, sha256};
use crate::on_both_servers;

const MIB: usize = 1024 * 1024;

on_both_servers!(streams_of_any_length_arrive,);

fn pipe(server: &Server, content: &[u8], arguments: &[&str]) -> Ran {
    let mut child = server
        .s3haul()
        .arg("cp")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    // A child that refuses closes the pipe early.
    let _ = stdin.write_all(content);
    drop(stdin);
    child.wait_with_output().expect("ends").into()
}

fn streams_of_any_length_arrive(kind: Kind) {
    let (server, bucket) = (Server::start(kind), bucket("stdin"));
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    for bytes in [0, 5, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 23 * MIB] {
        let content = random(bytes);
        let target = format!("s3://{bucket}/s{bytes}");
        for strategy in ["async", "threads"] {
            pipe(
                &server,
                &content,
                &["--part-size", "5MiB", "--strategy", strategy, "-", &target],
            )
            .expect_code(0);
            assert_eq!(
                sha256(&oracle.read(&format!("s{bytes}"))),
                sha256(&content),
                "{bytes} by {strategy}"
            );
        }
    }
}

#[test]
fn a_stream_whose_parts_do_not_fit_into_the_budget_waits_on_disk() {
    let (server, bucket) = (Server::embedded(), bucket("spool"));
    server.oracle(&bucket).make_bucket();
    let content = random(40 * MIB);
    let target = format!("s3://{bucket}/s");
    let flags = [
        "--output",
        "json",
        "--memory",
        "16MiB",
        "--part-size",
        "16MiB",
        "-",
        &target,
    ];
    let summary = pipe(&server, &content, &flags).expect_code(0).summary();
    assert_eq!(sha256(&server.oracle(&bucket).read("s")), sha256(&content));
    assert_eq!(summary["totals"]["bytes_done"], 40 * MIB as u64);
}

#[test]
fn a_stream_needs_a_key_and_a_process_of_its_own() {
    let (server, bucket) = (Server::embedded(), bucket("nokey"));
    let target = format!("s3://{bucket}/prefix/");
    let ran = run(server.s3haul().args(["cp", "-", &target])).expect_code(2);
    assert!(ran.stderr.contains("names no key"), "{}", ran.stderr);
    let ran = run(server
        .s3haul()
        .args(["cp", "--strategy", "processes", "-", &format!("s3://{bucket}/k")]))
    .expect_code(2);
    assert!(ran.stderr.contains("in this process's memory"), "{}", ran.stderr);
}
