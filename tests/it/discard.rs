//! The null sink: what it answers, what it counts, how it slows down, and how a run behaves before it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use s3haul::server::{DiscardConfig, DiscardHandle, DiscardServer};

use crate::env::{Tree, binary, random, run};
use crate::scene::{MIB, SMALL_PARTS};

fn sink(config: DiscardConfig) -> DiscardHandle {
    DiscardServer::start(&config).expect("the null sink starts")
}

fn cp(sink: &DiscardHandle, tree: &Tree, flags: &[&str]) -> Command {
    let mut command = binary();
    command
        .env("AWS_ACCESS_KEY_ID", "any")
        .env("AWS_SECRET_ACCESS_KEY", "any")
        .args(["cp", "--output", "json", "--verify", "none", "--endpoint-url"])
        .arg(sink.endpoint_url())
        .args(flags)
        .arg(tree.path())
        .arg("s3://any/");
    command
}

fn requests(sink: &DiscardHandle, operation: &str) -> u64 {
    sink.counters().requests.get(operation).copied().unwrap_or(0)
}

/// What the server sends for `request` until it closes the connection.
fn exchange(sink: &DiscardHandle, request: &str) -> String {
    let mut stream = TcpStream::connect(sink.address()).expect("connects");
    stream.write_all(request.as_bytes()).expect("sends");
    stream.shutdown(Shutdown::Write).expect("shuts down");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

#[test]
fn uploads_are_counted_exactly_and_connections_are_used_again() {
    let (sink, tree) = (sink(DiscardConfig::default()), Tree::new());
    tree.many(200, 3_000);
    tree.file("large", random(11 * MIB));
    for (engine, rounds) in [("direct", 1), ("sdk", 2)] {
        let flags = [&SMALL_PARTS[..], &["--engine", engine, "--concurrency", "4"]].concat();
        run(&mut cp(&sink, &tree, &flags)).expect_code(0);
        assert_eq!(requests(&sink, "PutObject"), 200 * rounds, "{engine}");
        assert_eq!(requests(&sink, "CreateMultipartUpload"), rounds);
        assert_eq!(requests(&sink, "UploadPart"), 3 * rounds);
        assert_eq!(requests(&sink, "CompleteMultipartUpload"), rounds);
        assert_eq!(requests(&sink, "HeadObject"), 0);
    }
    let counters = sink.counters();
    assert!(counters.connections_accepted <= 8, "{counters:?}");
    assert!(counters.body_bytes_received >= 2 * (200 * 3_000 + 11 * MIB as u64));
    assert_eq!(counters.requests_in_flight, 0);
    sink.reset_counters();
    assert!(sink.counters().requests.is_empty());
}

#[test]
fn a_run_settles_below_what_the_server_takes_and_loses_nothing() {
    let (limit, tree) = (16, Tree::new());
    tree.many(3_000, 100);
    let sink = sink(DiscardConfig {
        latency: Duration::from_millis(20),
        reject_above: Some(limit),
        threads: 2,
        ..DiscardConfig::default()
    });
    let ran = run(&mut cp(&sink, &tree, &[])).expect_code(0);
    let summary = ran.summary();
    assert_eq!(summary["totals"]["done"], 3_000);
    let counters = sink.counters();
    assert_eq!(counters.requests["PutObject"], 3_000 + counters.requests_refused);
    assert!(counters.requests_refused > 0, "{counters:?}");
    let window = summary["workers"]["window"].as_array().expect("the course");
    let sizes = window.iter().map(|change| change["size"].as_u64().expect("size"));
    let mut from_settled_on = sizes.skip_while(|size| *size > limit);
    assert!(from_settled_on.next().is_some(), "it settles: {window:?}");
    // It looks now and then whether more is possible by now, by a small step.
    assert!(
        from_settled_on.all(|size| size <= limit + limit / 8),
        "{window:?}"
    );
}

#[test]
fn latency_and_bandwidth_are_lower_bounds() {
    let tree = Tree::new();
    tree.many(20, MIB / 16);
    let slow = sink(DiscardConfig {
        latency: Duration::from_millis(30),
        bandwidth_per_connection: Some(2 * MIB as u64),
        ..DiscardConfig::default()
    });
    let begun = Instant::now();
    run(&mut cp(&slow, &tree, &["--concurrency", "4"])).expect_code(0);
    // Five requests a connection, each 1/32 s of sending and 30 ms of waiting.
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn its_own_pages_count_nothing_themselves() {
    let sink = sink(DiscardConfig::default());
    exchange(&sink, "PUT /b/k HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi");
    let counters = exchange(&sink, "GET /-/counters HTTP/1.1\r\n\r\n");
    assert!(counters.contains("\"PutObject\":1"), "{counters}");
    assert!(counters.contains("\"body_bytes_received\":2"), "{counters}");
    let reset = exchange(&sink, "POST /-/reset HTTP/1.1\r\n\r\n");
    assert!(reset.contains("\"requests\":{}"), "{reset}");
}

#[test]
fn requests_that_it_cannot_serve_are_answered() {
    let sink = sink(DiscardConfig::default());
    for (request, status) in [
        (
            "PUT /b/k HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "411",
        ),
        ("GET /b/k HTTP/1.1\r\n\r\n", "404"),
        ("HEAD /b/k HTTP/1.1\r\n\r\n", "404"),
        ("PUT /b/k?acl HTTP/1.1\r\ncontent-length: 0\r\n\r\n", "501"),
        ("PUT /b/k HTTP/1.0\r\ncontent-length: 1\r\n\r\nx", "200"),
    ] {
        let answer = exchange(&sink, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    assert_eq!(exchange(&sink, "this is no HTTP\r\n\r\n"), "");
    let waits = exchange(
        &sink,
        "PUT /b/k HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
    );
    assert!(
        waits.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"),
        "{waits}"
    );
}

#[test]
fn the_command_says_how_to_reach_it_and_ends_when_asked() {
    let mut child = binary()
        .args([
            "serve",
            "--discard",
            "--port",
            "0",
            "--threads",
            "2",
            "--latency",
            "1ms",
        ])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    let mut line = [0_u8; 64];
    let stdout = child.stdout.as_mut().expect("piped");
    let read = stdout.read(&mut line).expect("output");
    let text = String::from_utf8_lossy(&line[..read]);
    assert!(
        text.starts_with("export AWS_ENDPOINT_URL=http://127.0.0.1:"),
        "{text}"
    );
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signals");
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    for flags in [&["--latency", "soon"][..], &["--reject-above", "0"]] {
        let ran = run(binary().args(["serve", "--discard"]).args(flags));
        ran.expect_code(2);
    }
}
