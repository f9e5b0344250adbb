//! What people and programs see: help, plan, report, JSON, completions, the embedded endpoint, the demo.

use std::fs;

use crate::env::{Server, Tree, binary, bucket, random, run};

#[test]
fn the_help_is_as_recorded() {
    for command in ["", "cp", "doctor", "ls", "mb", "serve", "bench", "demo"] {
        let mut arguments: Vec<&str> = Vec::new();
        if !command.is_empty() {
            arguments.push(command);
        }
        arguments.push("--help");
        let help = run(binary().env("COLUMNS", "100").args(&arguments))
            .expect_code(0)
            .stdout;
        let name = if command.is_empty() {
            "help".to_owned()
        } else {
            format!("help-{command}")
        };
        insta::assert_snapshot!(name, help);
    }
}

#[test]
fn every_default_is_in_the_help() {
    let help = run(binary().args(["cp", "--help"])).expect_code(0).stdout;
    for default in [
        "[default: 16MiB]",
        "[default: 64MiB]",
        "[default: auto]",
        "[default: 10]",
        "[default: crc64nvme]",
    ] {
        assert!(help.contains(default), "{default}");
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_sends_nothing() {
    let tree = Tree::new();
    tree.file("small.txt", "small");
    fs::File::create(tree.path().join("huge"))
        .and_then(|file| file.set_len(60 << 30))
        .expect("sparse file");
    std::os::unix::fs::symlink("small.txt", tree.path().join("link")).expect("link");
    let mut command = binary();
    command
        .args(["cp", "-n", "--part-size", "5MiB"])
        .arg(tree.path())
        .arg("s3://bucket/p/");
    let ran = run(&mut command).expect_code(0);
    let root = tree.path().display();
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            format!("skip {root}/link (symbolic link, not followed)"),
            format!("upload {root}/huge to s3://bucket/p/huge (requested, 60 GiB, 8778 parts)"),
            format!("upload {root}/small.txt to s3://bucket/p/small.txt (requested, 5 B, 1 PUT)"),
        ]
    );
}

#[test]
fn the_report_holds_the_run_without_secrets() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("report"));
    tree.many(20, 100);
    server.oracle(&bucket).make_bucket();
    let report = tree.path().with_extension("json");
    let target = format!("s3://{bucket}/");
    run(server
        .s3haul()
        .args(["cp", "-vvv", "--report"])
        .arg(&report)
        .arg(tree.path())
        .arg(&target))
    .expect_code(0);
    let text = fs::read_to_string(&report).expect("the report");
    fs::remove_file(&report).expect("ours");
    assert!(!text.contains(&server.secret_key), "no secret in the report");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["run"]["totals"]["done"], 20);
    let time = &value["run"]["service_time"];
    assert!(
        time["p50"].as_f64() <= time["p99"].as_f64() && time["p50"].as_f64() > Some(0.0),
        "{time}"
    );
    assert_eq!(value["config"]["transfer"]["part_size"], 16 << 20);
}

#[test]
fn secrets_appear_nowhere() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("secret"));
    tree.many(10, 100);
    server.oracle(&bucket).make_bucket();
    let log = tree.path().with_extension("log");
    for strategy in ["async", "processes"] {
        let mut command = server.s3haul();
        command
            .args([
                "cp",
                "-vvvv",
                "--output",
                "json",
                "--strategy",
                strategy,
                "--log-file",
            ])
            .arg(&log);
        let ran = run(command
            .env("RUST_LOG", "trace")
            .arg(tree.path())
            .arg(format!("s3://{bucket}/")))
        .expect_code(0);
        let logged = fs::read_to_string(&log).expect("log");
        for text in [&ran.stdout, &ran.stderr, &logged] {
            assert!(
                !text.contains(&server.secret_key),
                "{strategy}: the secret key is printed"
            );
        }
    }
    fs::remove_file(log).expect("ours");
}

#[test]
fn every_line_of_json_has_its_envelope() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("json"));
    tree.many(3, 10);
    server.oracle(&bucket).make_bucket();
    let ran = run(server
        .s3haul()
        .args(["cp", "--output", "json"])
        .arg(tree.path())
        .arg(format!("s3://{bucket}/")));
    let ran = ran.expect_code(0);
    for line in ran.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["v"], 1, "{line}");
        assert!(event["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{line}");
    }
    let names: Vec<_> = ran
        .stdout
        .lines()
        .map(|line| {
            line.split("\"event\":\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
        })
        .collect();
    assert_eq!(names, ["start", "file", "file", "file", "summary"]);
    assert_eq!(ran.summary()["exit_code"], 0);
    let failed = run(server
        .s3haul()
        .args(["cp", "--output", "json"])
        .arg(tree.path())
        .arg("s3://not-there/"))
    .expect_code(10);
    assert_eq!(failed.events("error")[0]["exit_code"], 10);
}

#[test]
fn a_listing_in_json_has_the_envelope_too() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("ls"));
    tree.file("sub/deep", "deep");
    tree.file("top", "top");
    server.oracle(&bucket).make_bucket();
    let target = format!("s3://{bucket}/");
    run(server.s3haul().arg("cp").arg(tree.path()).arg(&target)).expect_code(0);
    let ran = run(server.s3haul().args(["ls", "--output", "json", &target])).expect_code(0);
    for line in ran.stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["v"], 1, "{line}");
        assert!(event["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{line}");
    }
    let (prefixes, objects) = (ran.events("prefix"), ran.events("object"));
    assert_eq!(
        (prefixes.len(), objects.len(), ran.stdout.lines().count()),
        (1, 1, 2)
    );
    assert_eq!(prefixes[0]["prefix"], "sub/");
    assert_eq!(
        (&objects[0]["key"], &objects[0]["size_bytes"]),
        (&"top".into(), &3.into())
    );
    assert!(objects[0]["etag"].is_string() && objects[0]["last_modified"].is_string());
}

#[test]
fn quiet_says_nothing_when_all_is_well_and_errors_otherwise() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("quiet"));
    tree.many(3, 10);
    server.oracle(&bucket).make_bucket();
    let target = format!("s3://{bucket}/");
    let ran = run(server.s3haul().args(["cp", "-q"]).arg(tree.path()).arg(&target)).expect_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let list = tree.file("list", "missing\n");
    let ran = run(server
        .s3haul()
        .args(["cp", "-q", "--files-from"])
        .arg(list)
        .arg(tree.path())
        .arg(&target))
    .expect_code(3);
    assert!(
        ran.stderr.starts_with("error: ") && ran.stderr.contains("missing"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("pipe"));
    tree.many(200, 10);
    let oracle = server.oracle(&bucket);
    oracle.make_bucket();
    let mut command = server.s3haul();
    command
        .args(["cp", "--output", "json"])
        .arg(tree.path())
        .arg(format!("s3://{bucket}/"));
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert_eq!(oracle.keys("").len(), 200);
}

#[test]
fn the_embedded_endpoint_needs_no_server_and_keeps_its_data() {
    let (tree, data) = (Tree::new(), Tree::new());
    tree.file("a/b.txt", "kept");
    tree.file("large", random(17 << 20));
    let embedded = |command: &str| {
        let mut process = binary();
        process
            .arg(command)
            .args(["--endpoint-url", "embedded", "--embedded-data"])
            .arg(data.path());
        process
    };
    run(embedded("cp")
        .arg("--create-bucket")
        .arg(tree.path())
        .arg("s3://mine/p/"))
    .expect_code(0);
    let listed = run(embedded("ls").args(["-r", "s3://mine/"]))
        .expect_code(0)
        .stdout;
    assert!(
        listed.contains("p/a/b.txt") && listed.contains("p/large"),
        "{listed}"
    );
    let top = run(embedded("ls").arg("s3://mine/p/")).expect_code(0).stdout;
    assert!(top.contains("PRE p/a/"), "{top}");
    run(embedded("ls").arg("s3://other/")).expect_code(10);
}

#[test]
fn bandwidth_is_limited_over_the_whole_run() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("bw"));
    tree.file("large", random(6 << 20));
    server.oracle(&bucket).make_bucket();
    for strategy in ["async", "processes"] {
        let flags = [
            "cp",
            "--output",
            "json",
            "--bwlimit",
            "4MiB/s",
            "--concurrency",
            "2",
            "--strategy",
            strategy,
        ];
        let sizes = ["--part-size", "5MiB", "--multipart-threshold", "5MiB"];
        let ran = run(server
            .s3haul()
            .args(flags)
            .args(sizes)
            .arg(tree.path())
            .arg(format!("s3://{bucket}/")))
        .expect_code(0);
        let elapsed = ran.summary()["elapsed"].as_f64().expect("seconds");
        // 6 MiB at 4 MiB/s take 1.5 s; the last slices of each worker may be in the kernel's buffers.
        assert!(elapsed > 1.0, "{strategy}: {elapsed}");
    }
}

#[test]
fn completions_and_manual_are_generated() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(binary().args(["completions", shell])).expect_code(0).stdout;
        assert!(
            script.contains("s3haul") && !script.contains("__worker"),
            "{shell}"
        );
    }
    let manual = run(binary().arg("man")).expect_code(0).stdout;
    assert!(
        manual.contains(".TH s3haul") && manual.contains("Exit codes"),
        "{manual}"
    );
}

#[test]
fn the_demo_proves_every_combination() {
    let ran = run(binary().args(["demo", "--output", "json", "--quiet"])).expect_code(0);
    let rows: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        rows.len(),
        20,
        "7 strategies x 3 client modes, without processes x shared"
    );
    for row in &rows {
        assert_eq!(
            (&row["files"], &row["verified"]),
            (&309.into(), &309.into()),
            "{row}"
        );
        assert!(row["connections"].as_u64() > Some(0), "{row}");
    }
}

#[test]
fn the_library_example_runs() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("example"));
    tree.many(5, 100);
    server.oracle(&bucket).make_bucket();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_s3haul"))
        .with_file_name("examples")
        .join("upload_directory");
    let mut command = std::process::Command::new(program);
    command
        .env("AWS_ACCESS_KEY_ID", &server.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &server.secret_key);
    command
        .env("AWS_ENDPOINT_URL", &server.url)
        .arg(tree.path())
        .arg(format!("s3://{bucket}/e/"));
    let ran = run(&mut command).expect_code(0);
    assert!(ran.stdout.contains("5 files"), "{}", ran.stdout);
    assert_eq!(server.oracle(&bucket).keys("e/").len(), 5);
}
