//! Bad input: one clear error that says what, where and the next step; the right exit code; nothing half-written.

use std::process::{Command, Stdio};

use crate::env::{Ran, Server, Tree, binary, bucket, run};

/// Runs `cp` of a one-file tree with these arguments; `{}` stands for a bucket that exists.
pub(crate) fn cp(arguments: &[&str]) -> (Ran, Server, String) {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("bad"));
    tree.file("file", "content");
    server.oracle(&bucket).make_bucket();
    let arguments: Vec<String> = arguments
        .iter()
        .map(|text| {
            text.replace("{bucket}", &bucket)
                .replace("{tree}", tree.path().to_str().expect("UTF-8"))
        })
        .collect();
    let ran = run(server.s3haul().arg("cp").args(arguments));
    (ran, server, bucket)
}

#[test]
fn arguments_without_sense_are_usage_errors_that_name_them() {
    for (arguments, says) in [
        (vec!["{tree}", "nowhere"], "is not an S3 address"),
        (vec!["{tree}", "s3://Bad_Name/"], "is not a bucket name"),
        (vec!["{tree}", "s3://{bucket}/../x/"], "'.' or '..'"),
        (vec!["s3://{bucket}/"], "no source is given"),
        (
            vec!["s3://{bucket}/a", "s3://{bucket}/b"],
            "sources are local files",
        ),
        (
            vec!["--part-size", "1KiB", "{tree}", "s3://{bucket}/"],
            "between 5 MiB and 5 GiB",
        ),
        (
            vec!["--part-size", "0", "{tree}", "s3://{bucket}/"],
            "the unit is missing",
        ),
        (
            vec!["--part-size=-5MiB", "{tree}", "s3://{bucket}/"],
            "not a size",
        ),
        (
            vec!["--part-size", "9999999PiB", "{tree}", "s3://{bucket}/"],
            "more than can be counted",
        ),
        (
            vec![
                "--multipart-threshold",
                "6GiB",
                "--memory",
                "8GiB",
                "{tree}",
                "s3://{bucket}/",
            ],
            "above 5 GiB",
        ),
        (
            vec!["--memory", "8MiB", "{tree}", "s3://{bucket}/"],
            "is smaller than '--part-size 16 MiB'",
        ),
        (
            vec!["--concurrency", "0", "{tree}", "s3://{bucket}/"],
            "would upload nothing",
        ),
        (
            vec!["--bwlimit", "0B", "{tree}", "s3://{bucket}/"],
            "would never send a byte",
        ),
        (vec!["--bwlimit", "fast", "{tree}", "s3://{bucket}/"], "--bwlimit"),
        (
            vec!["--strategy", "magic", "{tree}", "s3://{bucket}/"],
            "possible values",
        ),
        (
            vec![
                "--strategy",
                "processes",
                "--client",
                "shared",
                "{tree}",
                "s3://{bucket}/",
            ],
            "has its own memory",
        ),
        (
            vec![
                "--strategy",
                "threads",
                "--event-loops",
                "2",
                "{tree}",
                "s3://{bucket}/",
            ],
            "'--strategy async' only",
        ),
        (
            vec!["--endpoint-url", "127.0.0.1:9000", "{tree}", "s3://{bucket}/"],
            "did you mean http://127.0.0.1:9000",
        ),
        (
            vec!["--metadata", "novalue", "{tree}", "s3://{bucket}/"],
            "NAME=VALUE",
        ),
        (
            vec!["--metadata", "a=\u{fc}", "{tree}", "s3://{bucket}/"],
            "printable ASCII",
        ),
        (
            vec!["--exclude", "a[", "{tree}", "s3://{bucket}/"],
            "'a[' is not a pattern",
        ),
        (vec!["-", "{tree}", "s3://{bucket}/"], "must be the only source"),
    ] {
        let (ran, server, _) = cp(&arguments);
        let ran = ran.expect_code(2);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error:"), "{arguments:?}: {}", ran.stderr);
        assert_eq!(
            server.handle().counters().requests.get("PutObject"),
            None,
            "{arguments:?}"
        );
    }
}

#[test]
fn sources_that_cannot_be_used_are_said_before_anything_is_sent() {
    let tree = Tree::new();
    std::os::unix::fs::symlink("nowhere", tree.path().join("dangling")).expect("link");
    let pipe = tree.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("fifo");
    tree.file("one/same", "1");
    tree.file("two/same", "2");
    let path = |name: &str| tree.path().join(name).to_str().expect("UTF-8").to_owned();
    for (sources, code, says) in [
        (vec![path("missing")], 1, "does not exist"),
        (vec![path("dangling")], 1, "dangling symbolic link"),
        (vec![path("pipe")], 1, "is a named pipe"),
        (vec![path("one/same"), path("two/same")], 2, "would both become"),
        (vec!["/".to_owned(), path("one")], 1, "has no name of its own"),
    ] {
        let mut arguments: Vec<&str> = sources.iter().map(String::as_str).collect();
        arguments.push("s3://{bucket}/p/");
        let (ran, server, _) = cp(&arguments);
        let ran = ran.expect_code(code);
        assert!(ran.stderr.contains(says), "{sources:?}: {}", ran.stderr);
        assert!(
            server
                .handle()
                .counters()
                .requests
                .keys()
                .all(|kind| kind == "CreateBucket"),
            "{sources:?}"
        );
    }
}

#[test]
fn an_empty_directory_is_no_error_and_says_so() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("empty"));
    server.oracle(&bucket).make_bucket();
    let ran = run(server
        .s3haul()
        .arg("cp")
        .arg(tree.path())
        .arg(format!("s3://{bucket}/")))
    .expect_code(0);
    assert!(ran.stdout.contains("nothing to upload"), "{}", ran.stdout);
}

#[test]
fn wrong_servers_and_identities_are_told_apart() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("who"));
    let file = tree.file("file", "content");
    server.oracle(&bucket).make_bucket();
    let target = format!("s3://{bucket}/");
    let cp = |change: &dyn Fn(&mut Command)| {
        let mut command = server.s3haul();
        command.arg("cp");
        change(&mut command);
        run(command.arg(&file).arg(&target))
    };
    let no_keys = |command: &mut Command| {
        _ = command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
    };
    let ran = cp(&no_keys).expect_code(1);
    assert!(
        ran.stderr.contains("no credentials were found") && ran.stderr.contains("--profile"),
        "{}",
        ran.stderr
    );
    let ran = cp(&|command| _ = command.env("AWS_SECRET_ACCESS_KEY", "wrong")).expect_code(1);
    assert!(
        ran.stderr.contains("SignatureDoesNotMatch") && ran.stderr.contains("check access key"),
        "{}",
        ran.stderr
    );
    let ran = cp(&|command| _ = command.env("AWS_ACCESS_KEY_ID", "nobody")).expect_code(1);
    assert!(ran.stderr.contains("InvalidAccessKeyId"), "{}", ran.stderr);
    let ran = cp(&|command| {
        _ = command
            .args(["--profile", "missing"])
            .env_remove("AWS_ACCESS_KEY_ID")
    })
    .expect_code(1);
    assert!(ran.stderr.contains("profile 'missing'"), "{}", ran.stderr);
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("port")
        .local_addr()
        .expect("bound")
        .port();
    let ran = cp(&|command| _ = command.args(["--endpoint-url", &format!("http://127.0.0.1:{closed}")]))
        .expect_code(1);
    assert!(
        ran.stderr.contains("cannot be reached") && ran.stderr.contains("refused"),
        "{}",
        ran.stderr
    );
    let https = server.url.replace("http:", "https:");
    let ran = cp(&|command| _ = command.args(["--endpoint-url", &https])).expect_code(1);
    assert!(ran.stderr.contains("--ca-file"), "{}", ran.stderr);
}

#[test]
fn certificate_files_that_are_none_are_errors_and_not_panics() {
    let tree = Tree::new();
    let file = tree.file("file", "content");
    for (content, says) in [
        ("garbage", "holds no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
            "is not valid PEM",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "that is no certificate",
        ),
    ] {
        let pem = tree.file("ca.pem", content);
        let mut command = binary();
        command
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b");
        command
            .args(["cp", "--endpoint-url", "https://127.0.0.1:1", "--ca-file"])
            .arg(pem);
        let ran = run(command.arg(&file).arg("s3://bucket/")).expect_code(1);
        assert!(ran.stderr.contains(says), "{content:?}: {}", ran.stderr);
    }
}

#[test]
fn an_unreadable_file_fails_alone() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("perm"));
    tree.file("good", "good");
    let bad = tree.file("bad", "bad");
    tree.file("closed/inside", "inside");
    server.oracle(&bucket).make_bucket();
    let close = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o0)).expect("chmod");
    };
    close(&bad);
    close(&tree.path().join("closed"));
    let mut command = server.s3haul();
    command
        .args(["cp", "--output", "json"])
        .arg(tree.path())
        .arg(format!("s3://{bucket}/"));
    let root = rustix::process::geteuid().is_root();
    if root {
        // Root may read anything, so the binary runs as nobody, who must be able to reach the tree.
        use std::os::unix::fs::PermissionsExt as _;
        use std::os::unix::process::CommandExt as _;
        std::fs::set_permissions(tree.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        command.uid(65_534).gid(65_534);
    }
    let ran: Ran = match command.stdout(Stdio::piped()).stderr(Stdio::piped()).output() {
        Ok(output) => output.into(),
        // The build directory itself may be closed to nobody; then a copy of the binary is run.
        Err(_) => {
            let copy = tempfile::Builder::new()
                .prefix("s3haul-copy")
                .tempfile_in("/tmp")
                .expect("copy");
            std::fs::copy(env!("CARGO_BIN_EXE_s3haul"), copy.path()).expect("copy");
            use std::os::unix::fs::PermissionsExt as _;
            use std::os::unix::process::CommandExt as _;
            std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
            let path = copy.into_temp_path();
            let mut again = Command::new(&path);
            again.args(command.get_args()).uid(65_534).gid(65_534);
            for (name, value) in command.get_envs() {
                if let Some(value) = value {
                    again.env(name, value);
                }
            }
            again.output().expect("runs").into()
        }
    };
    let ran = ran.expect_code(3);
    assert_eq!(server.oracle(&bucket).keys(""), ["good"]);
    let errors = ran.events("error");
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors
            .iter()
            .all(|error| error["failure"]["kind"] == "unreadable"),
        "{errors:?}"
    );
}

#[test]
fn a_report_that_cannot_be_written_is_said_at_the_start() {
    let (ran, server, _) = cp(&["--report", "/nonexistent/report.json", "{tree}", "s3://{bucket}/"]);
    let ran = ran.expect_code(1);
    assert!(
        ran.stderr
            .contains("report '/nonexistent/report.json' cannot be written"),
        "{}",
        ran.stderr
    );
    assert_eq!(server.handle().counters().requests.get("PutObject"), None);
    let (ran, _, _) = cp(&["--log-file", "/nonexistent/log", "{tree}", "s3://{bucket}/"]);
    assert!(ran.expect_code(1).stderr.contains("log file '/nonexistent/log'"));
}

#[test]
fn a_report_on_a_full_disk_is_an_error_and_leaves_nothing() {
    let (ran, server, bucket) = cp(&["--report", "/dev/full", "{tree}", "s3://{bucket}/"]);
    let ran = ran.expect_code(1);
    assert!(ran.stderr.contains("No space left"), "{}", ran.stderr);
    assert!(server.oracle(&bucket).exists("file"), "the upload stands");
}

#[test]
fn instance_metadata_is_never_asked_for_an_endpoint_that_is_not_aws() {
    let metadata = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = format!("http://{}", metadata.local_addr().expect("bound"));
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("imds"));
    let file = tree.file("file", "content");
    server.oracle(&bucket).make_bucket();
    let target = format!("s3://{bucket}/");
    let mut without_keys = server.s3haul();
    without_keys
        .env_remove("AWS_ACCESS_KEY_ID")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address);
    run(without_keys.arg("cp").arg(&file).arg(&target)).expect_code(1);
    let mut with_keys = server.s3haul();
    with_keys.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &address);
    run(with_keys.arg("cp").arg(&file).arg(&target)).expect_code(0);
    metadata.set_nonblocking(true).expect("socket");
    let nobody = metadata
        .accept()
        .expect_err("somebody asked the instance metadata");
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}
