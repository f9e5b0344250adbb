//! Runs that nobody watches: silent when all is well, telling when it is not, and over when their time is.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::env::{Kind, digests, random, run};
use crate::mirror::Mirror;
use crate::on_both_servers;
use crate::scene::{MIB, delay};

/// Answers each request with 200 and hands its first line and its body on.
fn listener() -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/ping/abc", listener.local_addr().expect("an address"));
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a copy"));
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).expect("a line");
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body");
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            let body = String::from_utf8(body).expect("text");
            let _ = sender.send((first.trim().to_owned(), body));
        }
    });
    (url, receiver)
}

/// `sync` as cron runs it: no flags for people, nothing but pipes.
fn nightly(mirror: &Mirror, flags: &[&str]) -> Command {
    let mut command = mirror.scene.server.s3haul();
    command
        .env("XDG_STATE_HOME", mirror.elsewhere())
        .arg("sync")
        .args(flags)
        .arg(mirror.scene.tree.path())
        .arg(mirror.scene.target("p/"));
    command
}

on_both_servers!(a_good_night_is_silent_and_a_bad_one_is_not);

fn a_good_night_is_silent_and_a_bad_one_is_not(kind: Kind) {
    let mirror = Mirror::on(kind, "night");
    mirror.scene.tree.many(20, 100);
    let place = tempfile::tempdir().expect("a directory");
    let (log, metrics) = (place.path().join("log"), place.path().join("s3haul.prom"));
    let (url, pings) = listener();
    let flags = [
        "--delete",
        "--log-file",
        log.to_str().expect("text"),
        "--metrics-file",
        metrics.to_str().expect("text"),
        "--ping-url",
        &url,
    ];
    for _ in 0..2 {
        let ran = run(&mut nightly(&mirror, &flags)).expect_code(0);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
        assert_eq!(pings.recv().expect("begins").0, "POST /ping/abc/start HTTP/1.1");
        let (end, text) = pings.recv().expect("ends");
        assert_eq!(end, "POST /ping/abc/0 HTTP/1.1");
        assert!(text.contains("p/"), "{text}");
    }
    let target = mirror.scene.target("p/");
    let figure = |name: &str| {
        let text = fs::read_to_string(&metrics).expect("written");
        let head = format!("{name}{{job=\"{target}\"");
        let line = text
            .lines()
            .find(|line| line.starts_with(&head))
            .map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next().map(str::to_owned))
    };
    assert_eq!(figure("s3haul_last_exit_code").as_deref(), Some("0"));
    let success = figure("s3haul_last_success_timestamp_seconds").expect("there was one");
    fs::remove_dir_all(mirror.scene.tree.path()).expect("removed");
    fs::create_dir(mirror.scene.tree.path()).expect("made");
    let ran = run(&mut nightly(&mirror, &flags)).expect_code(6);
    assert!(
        ran.stderr.contains("nothing is deleted: the source is empty"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("--allow-empty-source"), "{}", ran.stderr);
    assert!(ran.stderr.contains(log.to_str().expect("text")), "{}", ran.stderr);
    let _start = pings.recv().expect("begins");
    assert_eq!(pings.recv().expect("ends").0, "POST /ping/abc/6 HTTP/1.1");
    assert_eq!(figure("s3haul_last_exit_code").as_deref(), Some("6"));
    let kept = figure("s3haul_last_success_timestamp_seconds");
    assert_eq!(kept.as_ref(), Some(&success), "the last success is remembered");
    assert!(fs::read_to_string(&log).expect("written").contains("begins"));
    assert_eq!(mirror.stored().len(), 20);
}

#[test]
fn nobody_who_listens_to_pings_changes_a_run() {
    let mirror = Mirror::on(Kind::Embedded, "deaf");
    mirror.scene.tree.file("a", "a");
    for url in ["http://127.0.0.1:1/x", "not a url", "ftp://127.0.0.1/x"] {
        let ran = run(&mut nightly(&mirror, &["--ping-url", url])).expect_code(0);
        assert_eq!(ran.stderr, "", "{url}");
    }
    let unwritable = ["--metrics-file", "/nonexistent/s3haul.prom"];
    let ran = run(&mut nightly(&mirror, &unwritable)).expect_code(1);
    assert!(ran.stderr.contains("metrics file"), "{}", ran.stderr);
}

#[test]
fn a_run_whose_time_is_up_ends_and_the_next_one_goes_on() {
    let mirror = Mirror::on(Kind::Embedded, "hours");
    mirror.scene.tree.many(60, 1_000);
    mirror.scene.tree.file("large", random(30 * MIB));
    mirror.scene.tree.file("gone", "gone");
    mirror
        .sync(&["--exclude", "f*", "--exclude", "large"])
        .expect_code(0);
    fs::remove_file(mirror.scene.tree.path().join("gone")).expect("removed");
    mirror
        .scene
        .set_faults(vec![delay("PutObject", 150), delay("UploadPart", 400)]);
    let slow = [
        "--concurrency",
        "2",
        "--part-size",
        "5MiB",
        "--multipart-threshold",
        "6MiB",
    ];
    let limited = [&slow[..], &["--max-duration", "1s", "--delete"]].concat();
    let ran = mirror.sync(&limited).expect_code(5);
    let totals = ran.summary()["totals"].clone();
    assert_eq!(totals["failed"], 0);
    assert!(totals["cancelled"].as_u64() > Some(0), "{totals}");
    assert!(mirror.stored().contains_key("gone"), "nothing is deleted");
    assert_eq!(
        mirror.scene.oracle().open_uploads("p/large"),
        1,
        "it is left to the next run"
    );
    mirror.scene.set_faults(Vec::new());
    mirror.scene.server.handle().reset_counters();
    mirror
        .sync(&[&slow[..], &["--max-duration", "10m", "--delete"]].concat())
        .expect_code(0);
    assert_eq!(mirror.scene.requests("CreateMultipartUpload"), 0, "it goes on");
    assert_eq!(mirror.stored(), digests(mirror.scene.tree.path()));
    mirror.scene.assert_nothing_open();
}
