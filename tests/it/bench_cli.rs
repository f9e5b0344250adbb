//! The bench's command line: what it refuses before it begins, and the files that it writes.

use std::path::Path;
use std::process::Command;

use crate::env::{Ran, Tree, binary, run};

/// `bench` against the embedded server, as a debug build may.
fn bench(flags: &[&str]) -> Command {
    let mut command = binary();
    command
        .args([
            "bench",
            "--allow-debug-build",
            "--endpoint-url",
            "embedded",
            "--progress",
            "none",
        ])
        .args(flags);
    command
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_started() {
    let empty = Tree::new();
    let empty = empty.path().to_str().expect("UTF-8");
    let cases: &[(&[&str], i32, &[&str])] = &[
        (
            &["--workload", "/no/such/place"],
            2,
            &["neither a workload", "nor a directory"],
        ),
        (
            &["--workload", empty, "--quick"],
            1,
            &["has no files", "name a directory with files"],
        ),
        (
            &["--strategies", "fibers"],
            2,
            &["no strategy 'fibers'", "thread-per-file"],
        ),
        (&["--strategies", "threads:4"], 2, &["only async"]),
        (&["--profile", "moon"], 2, &["no profile 'moon'", "region"]),
        (&["--preset", "Z9"], 2, &["no preset 'Z9'", "bench presets"]),
        (
            &["--strategies", "processes", "--clients", "shared"],
            2,
            &["no strategy can work", "processes cannot share a client"],
        ),
        (&["--max-time", "60s"], 2, &["--max-time is 1 min", "would fit"]),
        (&["--max-time", "3s"], 2, &["not even one block fits"]),
        (&["--max-time", "soon"], 2, &["90s, 5m or 1h30m"]),
        (
            &["--report", "/no/such/place/report.json"],
            1,
            &["'/no/such/place/report.json' cannot be written"],
        ),
        (&["--html", "/no/such/place/page.html"], 1, &["cannot be written"]),
        (&["--quick", "--blocks", "3"], 2, &["--quick", "--blocks"]),
        (
            &["--work-dir", "/no/such/place", "--quick"],
            1,
            &["no directory can be made in '/no/such/place'"],
        ),
    ];
    for (flags, code, words) in cases {
        let ran = run(&mut bench(flags));
        assert_eq!(ran.code, *code, "{flags:?}: {}", ran.stderr);
        for word in *words {
            assert!(
                ran.stderr.contains(word),
                "{flags:?} does not say '{word}': {}",
                ran.stderr
            );
        }
    }
}

#[test]
fn a_debug_build_is_refused_unless_somebody_insists() {
    let ran = run(binary().args(["bench", "--endpoint-url", "embedded"]));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("debug build") && ran.stderr.contains("--release"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_minio_that_is_not_there_is_said() {
    let ran = run(binary()
        .args(["bench", "--minio", "--allow-debug-build"])
        .env("PATH", "/nowhere"));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("no minio on PATH"), "{}", ran.stderr);
}

#[test]
fn presets_are_listed() {
    let ran = run(binary().args(["bench", "presets"])).expect_code(0);
    for id in [
        "A1",
        "A7",
        "B4",
        "C4",
        "D1",
        "E2",
        "cpu-seq",
        "seed-exact",
        "lazy",
        "slow1",
        "articles",
    ] {
        assert!(ran.stdout.contains(id), "{id}: {}", ran.stdout);
    }
}

/// A quick run over a few files, with everything that can be written.
fn written(directory: &Path) -> (Ran, serde_json::Value, String) {
    let tree = Tree::new();
    tree.many(30, 50);
    let at = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    let (report, page) = (at("report.json"), at("page.html"));
    let ran = run(bench(&[
        "--quick",
        "--strategies",
        "threads,async",
        "--concurrency",
        "4",
        "--profile",
        "raw",
        "--seed",
        "7",
    ])
    .args(["--report", &report, "--html", &page])
    .arg("--workload")
    .arg(tree.path()));
    let json = std::fs::read(&report).unwrap_or_else(|_| panic!("no report: {}", ran.stderr));
    let json = serde_json::from_slice(&json).expect("JSON");
    (ran, json, std::fs::read_to_string(page).expect("a page"))
}

#[test]
fn a_run_is_told_on_the_terminal_as_json_and_as_a_page_that_follows_from_the_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let (ran, json, page) = written(directory.path());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for words in [
        "embedded",
        "quick: direction only",
        "DEBUG BUILD",
        "threads x4 (again)",
        "noise band",
        "async x4",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert!(
        ran.stderr.contains("2 cells") && ran.stderr.contains("5 blocks"),
        "{}",
        ran.stderr
    );
    assert_eq!(json["seed"], 7);
    let report: s3haul::bench::report::Report = serde_json::from_value(json.clone()).expect("a report");
    assert!(
        page == s3haul::bench::page::page(&report),
        "every number of the page follows from the JSON"
    );
    let schema: serde_json::Value = serde_json::from_str(&s3haul::bench::report::schema()).expect("JSON");
    let problems: Vec<String> = jsonschema::validator_for(&schema)
        .expect("a schema")
        .iter_errors(&json)
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
    let mut wrong = json.clone();
    wrong["groups"][0]["cells"][0]["arms"][0]["cpu"]["server"] = "much".into();
    assert!(
        !jsonschema::is_valid(&schema, &wrong),
        "a schema that allows everything is none"
    );
    let report = directory.path().join("report.json");
    let same = run(binary().args(["bench", "compare"]).args([&report, &report])).expect_code(0);
    assert_eq!(
        same.stdout.matches("1.000 [1.000, 1.000]").count(),
        3,
        "{}",
        same.stdout
    );
    json_of_another_version_is_refused(&report, json);
}

fn json_of_another_version_is_refused(report: &Path, mut json: serde_json::Value) {
    json["v"] = 99.into();
    let newer = report.with_file_name("newer.json");
    std::fs::write(&newer, json.to_string()).expect("written");
    let ran = run(binary().args(["bench", "compare"]).arg(report).arg(&newer));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("version 99"), "{}", ran.stderr);
    json["v"] = 1.into();
    json["server"]["software"] = "another".into();
    std::fs::write(&newer, json.to_string()).expect("written");
    let ran = run(binary().args(["bench", "compare"]).arg(report).arg(&newer));
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("server builds differ") && ran.stderr.contains("--force"),
        "{}",
        ran.stderr
    );
    run(binary()
        .args(["bench", "compare", "--force"])
        .arg(report)
        .arg(&newer))
    .expect_code(0);
}

#[test]
fn the_schema_in_the_documents_is_the_one_of_the_program() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/bench-report.schema.json");
    let kept = std::fs::read_to_string(path).expect("docs/bench-report.schema.json");
    let ran = run(binary().args(["bench", "schema"])).expect_code(0);
    assert!(
        kept == ran.stdout,
        "s3haul bench schema > docs/bench-report.schema.json"
    );
}
