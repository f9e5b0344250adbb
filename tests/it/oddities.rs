//! Both engines upload to servers whose HTTP is odd: connections that end early, answers that come in odd shapes.
//!
//! What must hold is always the same: every object arrives byte by byte, and the run ends.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use s3haul::config::Engine;

use crate::env::{Ran, Tree, binary, digests, engine_name, random};
use crate::odd_server::{OddServer, Oddity};
use crate::scene::{MIB, SMALL_PARTS, wait_until};
use crate::with_both_engines;

/// No run of these needs seconds; one that needs this long hangs.
const LONGEST: Duration = Duration::from_secs(120);

with_both_engines!(
    connections_that_end_after_every_answer,
    connections_that_end_between_requests,
    requests_that_cross_with_the_end_of_their_connection,
    a_yes_before_the_body_was_read,
    a_yes_that_is_a_lie,
    a_no_before_the_body_was_read,
    answers_in_chunks,
    answers_byte_by_byte,
    long_heads,
    heads_beyond_all_measure,
    answers_in_the_old_protocol,
    a_continue_that_nobody_asked_for,
);

/// Twelve small files and one of three parts.
pub(crate) fn tree() -> Tree {
    let tree = Tree::new();
    tree.many(12, 2_000);
    tree.file("large", random(11 * MIB));
    tree
}

/// Flags that send every file in one request.
const WHOLE: [&str; 6] = [
    "--multipart-threshold",
    "64MiB",
    "--part-size",
    "64MiB",
    "--concurrency",
    "4",
];

/// `cp` of the tree to a server at `url`.
pub(crate) fn cp(url: &str, engine: Engine, flags: &[&str], tree: &Tree) -> Command {
    let mut command = binary();
    command
        .env("AWS_ACCESS_KEY_ID", "odd")
        .env("AWS_SECRET_ACCESS_KEY", "odd-secret")
        .args(["cp", "--output", "json", "--endpoint-url", url])
        .args(["--engine", engine_name(engine)])
        .args(flags)
        .arg(tree.path())
        .arg("s3://bucket/");
    command
}

/// Runs to the end, which must come.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Ran {
    let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().expect("the binary runs");
    let (stdout, stderr) = (
        child.stdout.take().expect("piped"),
        child.stderr.take().expect("piped"),
    );
    let read = |mut pipe: Box<dyn std::io::Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).expect("UTF-8");
            text
        })
    };
    let (stdout, stderr) = (read(Box::new(stdout)), read(Box::new(stderr)));
    let deadline = Instant::now() + LONGEST;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            break Some(status);
        }
        if Instant::now() > deadline {
            child.kill().expect("a child");
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (stdout.join().expect("read"), stderr.join().expect("read"));
    let status = status.unwrap_or_else(|| panic!("it hangs; stdout:\n{stdout}\nstderr:\n{stderr}"));
    Ran {
        code: status.code().unwrap_or(-1),
        stdout,
        stderr,
    }
}

/// Everything arrived, was acknowledged, and nothing is left open.
#[track_caller]
pub(crate) fn assert_whole(server: &OddServer, tree: &Tree, ran: Ran) -> Ran {
    let ran = ran.expect_code(0);
    let totals = &ran.summary()["totals"];
    let expected = digests(tree.path());
    assert_eq!(totals["done"], expected.len(), "{totals}");
    assert_eq!(totals["failed"], 0, "{totals}");
    assert_eq!(server.digests(), expected);
    assert_eq!(server.open_uploads(), 0);
    ran
}

/// Uploads a whole tree to a server of this oddity.
#[track_caller]
fn uploads_to(oddity: &Oddity, engine: Engine, flags: &[&str]) -> (OddServer, Ran) {
    let (server, tree) = (OddServer::start(oddity.clone()), tree());
    let flags = [&SMALL_PARTS, flags].concat();
    let ran = run(&mut cp(&server.url(), engine, &flags, &tree));
    let ran = assert_whole(&server, &tree, ran);
    (server, ran)
}

#[test]
fn the_server_itself_is_even_if_it_is_not_odd() {
    let (server, ran) = uploads_to(&Oddity::None, Engine::Direct, &["--concurrency", "4"]);
    assert_eq!(ran.summary()["totals"]["retries"], 0);
    assert_connections_are_kept(&server);
}

/// The end of every answer was seen. How many connections it takes is decided by the load of the machine too.
#[track_caller]
fn assert_connections_are_kept(server: &OddServer) {
    let (connections, requests) = (server.connections(), server.seen().len());
    assert!(
        connections <= requests / 2,
        "{connections} for {requests} requests"
    );
}

fn connections_that_end_after_every_answer(engine: Engine) {
    for says_so in [false, true] {
        let oddity = Oddity::ClosesAfterAnswers { says_so };
        let (server, _) = uploads_to(&oddity, engine, &["--concurrency", "4"]);
        let answered = server.seen().len();
        assert!(server.connections() >= answered, "{says_so}: {answered} answers");
    }
}

fn connections_that_end_between_requests(engine: Engine) {
    let server = OddServer::start(Oddity::ClosesIdle(Duration::from_millis(20)));
    let tree = tree();
    // Each waits for the limit before its request: longer than the server's patience.
    tree.many(20, 200_000);
    let flags = [&SMALL_PARTS[..], &["--concurrency", "1", "--bwlimit", "4MiB/s"]].concat();
    let ran = run(&mut cp(&server.url(), engine, &flags, &tree));
    assert_whole(&server, &tree, ran);
    assert!(server.connections() > 1, "none was closed");
}

fn requests_that_cross_with_the_end_of_their_connection(engine: Engine) {
    let (_, ran) = uploads_to(&Oddity::ForgetsEveryThird, engine, &["--concurrency", "4"]);
    let retries = &ran.summary()["totals"]["retries"];
    assert!(retries.as_u64() > Some(0), "{retries}");
}

fn a_yes_before_the_body_was_read(engine: Engine) {
    // In one request also larger than what the kernels of both sides hold. Without a HEAD, the program ends with the
    // last yes; a server of a known name gets parts with their checksums behind them.
    for (flags, name) in [
        (&SMALL_PARTS[..], "odd"),
        (&SMALL_PARTS, "s3haul, oddly"),
        (&WHOLE, "odd"),
        (&WHOLE, "s3haul, oddly"),
    ] {
        let (server, tree) = (OddServer::named(Oddity::AnswersBeforeBodies, name), tree());
        tree.file("larger", random(24 * MIB));
        let flags = [flags, &["--verify", "none"]].concat();
        let ran = run(&mut cp(&server.url(), engine, &flags, &tree));
        wait_until("the promised", || server.digests().len() == 14);
        let ran = assert_whole(&server, &tree, ran);
        assert_eq!(ran.summary()["totals"]["retries"], 0, "{name} {flags:?}");
    }
}

fn a_yes_that_is_a_lie(engine: Engine) {
    let (server, tree) = (OddServer::start(Oddity::LiesOfBodies { over: 100_000 }), tree());
    let flags = [&WHOLE[..], &["--verify", "none"]].concat();
    let ran = run(&mut cp(&server.url(), engine, &flags, &tree)).expect_code(3);
    let totals = &ran.summary()["totals"];
    assert_eq!((&totals["done"], &totals["failed"]), (&12.into(), &1.into()));
    let failed = ran.events("error")[0]["failure"].to_string();
    assert!(failed.contains("before it had the whole body"), "{failed}");
}

fn a_no_before_the_body_was_read(engine: Engine) {
    for (flags, closes) in [(&WHOLE[..], true), (&WHOLE, false), (&SMALL_PARTS, true)] {
        let oddity = Oddity::DeniesBodies {
            over: 100_000,
            closes,
        };
        let (server, tree) = (OddServer::start(oddity), tree());
        let ran = run(&mut cp(&server.url(), engine, flags, &tree)).expect_code(3);
        let totals = &ran.summary()["totals"];
        assert_eq!((&totals["done"], &totals["failed"]), (&12.into(), &1.into()));
        let failed = ran.events("error")[0]["failure"].to_string();
        assert!(failed.contains("AccessDenied"), "{failed}");
        // The first answer is heard, although the server took no more of the body than of its bytes.
        assert_eq!(totals["retries"], 0, "{flags:?}, closes: {closes}");
        assert_eq!(server.digests().len(), 12);
        assert_eq!(server.open_uploads(), 0);
    }
}

fn answers_in_chunks(engine: Engine) {
    for bytes in [1, 7, 1_000] {
        let (server, ran) = uploads_to(&Oddity::Chunks(bytes), engine, &["--concurrency", "4"]);
        assert_eq!(ran.summary()["totals"]["retries"], 0);
        assert_connections_are_kept(&server);
    }
}

fn answers_byte_by_byte(engine: Engine) {
    let (server, ran) = uploads_to(&Oddity::ByteByByte, engine, &["--concurrency", "4"]);
    assert_eq!(ran.summary()["totals"]["retries"], 0);
    assert_connections_are_kept(&server);
}

fn long_heads(engine: Engine) {
    for (bytes, headers) in [(60 * 1024, 1), (60 * 1024, 80), (64 * 1024, 1), (64 * 1024, 80)] {
        let (_, ran) = uploads_to(&Oddity::LongHead { bytes, headers }, engine, &[]);
        assert_eq!(ran.summary()["totals"]["retries"], 0, "{bytes} in {headers}");
    }
}

fn heads_beyond_all_measure(engine: Engine) {
    for (bytes, headers) in [(MIB, 1), (MIB, 80), (64 * 1024, 1_000)] {
        let (server, tree) = (OddServer::start(Oddity::LongHead { bytes, headers }), tree());
        let flags = [&SMALL_PARTS[..], &["--retries", "1"]].concat();
        let ran = run(&mut cp(&server.url(), engine, &flags, &tree)).expect_code(3);
        let failures = ran.events("error");
        assert_eq!(failures.len(), 13);
        for failure in failures {
            assert!(failure["failure"].to_string().contains("too large"), "{failure}");
        }
    }
}

fn answers_in_the_old_protocol(engine: Engine) {
    for tells_length in [true, false] {
        let (server, ran) = uploads_to(&Oddity::Http10 { tells_length }, engine, &["--concurrency", "4"]);
        assert_eq!(ran.summary()["totals"]["retries"], 0, "{tells_length}");
        assert_eq!(server.connections(), server.seen().len(), "{tells_length}");
    }
}

fn a_continue_that_nobody_asked_for(engine: Engine) {
    let (server, ran) = uploads_to(&Oddity::ContinuesUnasked, engine, &["--concurrency", "4"]);
    assert_eq!(ran.summary()["totals"]["retries"], 0);
    let asked = server
        .seen()
        .into_iter()
        .find(|seen| seen.header("expect").is_some());
    assert!(asked.is_none(), "{asked:?}");
}
