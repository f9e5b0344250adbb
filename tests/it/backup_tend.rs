//! `backup forget`, `prune`, `verify`, `status`, `diff` and `schedule`, as people use them.

use std::fs;
use std::path::Path;

use crate::backup_job::{Job, tree};
use crate::env::{Kind, random};
use crate::on_both_servers;
use crate::scene::{delay, spawn};

on_both_servers!(
    what_is_forgotten_can_be_pruned_and_the_rest_is_whole,
    verify_finds_exactly_what_is_lost_or_damaged,
    a_prune_and_a_backup_keep_out_of_each_others_way,
);

/// A job with a snapshot for each of these contents of one file.
fn with_nights(kind: Kind, topic: &str, nights: &[&str]) -> (Job, Vec<String>) {
    let job = Job::on(kind, topic);
    job.scene.tree.file("src/stays", "stays");
    let mut ids = Vec::new();
    for night in nights {
        job.scene.tree.file("src/changes", *night);
        ids.push(job.snapshot());
    }
    (job, ids)
}

fn what_is_forgotten_can_be_pruned_and_the_rest_is_whole(kind: Kind) {
    let (job, ids) = with_nights(kind, "forget", &["one", "two", "three", "four"]);
    job.does(&["backup", "forget", "tree"]).expect_code(2);
    let planned = job
        .does(&["backup", "forget", "tree", "--keep-last", "2", "--dry-run"])
        .expect_code(0);
    let outcomes = |ran: &crate::env::Ran| -> Vec<String> {
        let outcome = |event: &serde_json::Value| event["outcome"].as_str().expect("a word").to_owned();
        ran.events("forget").iter().map(outcome).collect()
    };
    assert_eq!(
        outcomes(&planned),
        ["kept", "kept", "would forget", "would forget"]
    );
    assert_eq!(job.snapshots(), ids, "nothing is done");
    job.says("keep-last = 2\n");
    let forgot = job.does(&["backup", "forget", "tree"]).expect_code(0);
    assert_eq!(outcomes(&forgot), ["kept", "kept", "forgot", "forgot"]);
    assert_eq!(job.snapshots(), ids[2..]);
    assert_eq!(job.contents().len(), 5, "contents stay until a prune");
    let young = job.does(&["backup", "prune", "tree"]).expect_code(0);
    assert_eq!(young.events("prune")[0]["unnamed"]["contents"], 2);
    assert_eq!(young.events("prune")[0]["deleted"]["contents"], 0, "too young");
    let dry = job
        .does(&["backup", "prune", "tree", "--grace", "0s", "--dry-run"])
        .expect_code(0);
    assert_eq!(dry.events("prune")[0]["to_go"]["contents"], 2);
    assert_eq!(job.contents().len(), 5);
    let refused = job
        .does(&["backup", "prune", "tree", "--grace", "0s", "--max-delete", "1"])
        .expect_code(6);
    assert!(refused.stderr.contains("--max-delete 2"), "{}", refused.stderr);
    job.does(&["backup", "prune", "tree", "--grace", "0s"])
        .expect_code(0);
    assert_eq!(job.contents().len(), 3);
    job.does(&["backup", "verify", "tree", "--read", "100%"])
        .expect_code(0);
    assert_eq!(
        tree(&job.restore("tree").join("src")),
        tree(&job.scene.tree.path().join("src"))
    );
    let all = job.scene.oracle().keys("b/");
    let untidy = |key: &&String| !key.starts_with("b/data/") && !key.starts_with("b/snapshots/");
    assert_eq!(
        all.iter().find(untidy),
        None,
        "nothing says any more that something goes on"
    );
    // Whoever forgets all of them has said nothing about contents yet.
    for id in job.snapshots() {
        let key = format!("b/snapshots/{id}.jsonl.zst");
        remove(&job, &key);
    }
    job.does(&["backup", "prune", "tree", "--grace", "0s"])
        .expect_code(6);
    assert_eq!(job.contents().len(), 3);
    job.does(&["backup", "prune", "tree", "--grace", "0s", "--allow-no-snapshots"])
        .expect_code(0);
    assert!(job.contents().is_empty());
}

fn remove(job: &Job, key: &str) {
    let oracle = job.scene.oracle();
    let gone = oracle.client.delete_object().bucket(&oracle.bucket).key(key);
    oracle.block_on(gone.send()).expect("deleted");
}

fn put(job: &Job, key: &str, content: Vec<u8>) {
    let oracle = job.scene.oracle();
    let put = oracle.client.put_object().bucket(&oracle.bucket).key(key);
    oracle.block_on(put.body(content.into()).send()).expect("stored");
}

fn verify_finds_exactly_what_is_lost_or_damaged(kind: Kind) {
    let job = Job::on(kind, "damage");
    for number in 0..40 {
        job.scene
            .tree
            .file(&format!("src/{number:02}"), format!("content {number}"));
    }
    let first = job.snapshot();
    job.scene.tree.file("src/new", "new");
    job.snapshot();
    job.does(&["backup", "verify", "tree", "--read", "100%"])
        .expect_code(0);
    let hash = |content: &str| crate::env::sha256(content.as_bytes());
    let key = |content: &str| format!("b/data/{}/{}", &hash(content)[..2], hash(content));
    remove(&job, &key("content 3"));
    put(&job, &key("content 7"), b"content".to_vec());
    put(&job, &key("content 9"), b"contenT 9".to_vec());
    let found = |flags: &[&str]| -> Vec<(String, String)> {
        let words = [&["backup", "verify", "tree"], flags].concat();
        let ran = job.does(&words).expect_code(4);
        let of = |event: &serde_json::Value| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (text("key"), text("why"))
        };
        ran.events("difference").iter().map(of).collect()
    };
    let expect = |contents: &[&str]| {
        let mut keys: Vec<String> = contents.iter().map(|content| key(content)).collect();
        keys.sort();
        keys
    };
    let keys =
        |found: Vec<(String, String)>| -> Vec<String> { found.into_iter().map(|(key, _)| key).collect() };
    assert_eq!(keys(found(&[])), expect(&["content 3", "content 7"]));
    assert_eq!(
        keys(found(&["--read", "100%"])),
        expect(&["content 3", "content 7", "content 9"])
    );
    // A fifth a day finds what only reading finds within five days, and once.
    let days = (0..5).filter(|day| {
        let seed = format!("{day}");
        keys(found(&["--read", "20%", "--seed", &seed])).contains(&key("content 9"))
    });
    assert_eq!(days.count(), 1);
    let ran = job
        .does(&["backup", "verify", "tree", "--read", "100%"])
        .expect_code(4);
    let files = &ran.events("difference")[0]["files"];
    assert_eq!(
        files.as_array().expect("files").len(),
        2,
        "one in each snapshot: {files}"
    );
    // A manifest that was changed is no manifest.
    let manifest = format!("b/snapshots/{first}.jsonl.zst");
    let mut bytes = job.scene.oracle().read(&manifest);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    put(&job, &manifest, bytes);
    let ran = job.does(&["backup", "verify", "tree"]).expect_code(4);
    assert_eq!(ran.events("verify")[0]["damaged_snapshots"], 1);
    job.does(&["backup", "verify", &format!("tree@{first}")])
        .expect_code(4);
    job.does(&["restore", &format!("tree@{first}"), "/nowhere/x"])
        .expect_code(1);
    job.does(&["backup", "prune", "tree", "--grace", "0s"])
        .expect_code(1);
    assert!(
        job.contents().len() >= 39,
        "nothing is pruned by what cannot be read"
    );
}

fn a_prune_and_a_backup_keep_out_of_each_others_way(kind: Kind) {
    let (job, ids) = with_nights(kind, "ways", &["one"]);
    // Another machine: it has a state of its own, and so no lock in common.
    let other = job.place.path().join("other state");
    let elsewhere = |words: &[&str]| {
        let mut command = job.command(words);
        command.env("XDG_STATE_HOME", &other);
        crate::env::run(&mut command)
    };
    // A run elsewhere that began and has no snapshot yet.
    put(
        &job,
        "b/running/20260101T000000Z-0123abcd-0011223344556677",
        Vec::new(),
    );
    let ran = job.does(&["backup", "prune", "tree"]).expect_code(11);
    assert!(ran.stderr.contains("has begun and not ended"), "{}", ran.stderr);
    // Some times are told in whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    job.does(&["backup", "prune", "tree", "--grace", "1s"])
        .expect_code(0);
    assert!(
        job.scene.oracle().keys("b/running/").is_empty(),
        "it was too old to count"
    );
    // A prune elsewhere that goes on.
    put(&job, "b/pruning/0011223344556677", Vec::new());
    let ran = job.run().expect_code(11);
    assert!(ran.stderr.contains("a prune"), "{}", ran.stderr);
    remove(&job, "b/pruning/0011223344556677");
    // What a run that was killed here left is known to be over here.
    job.run().expect_code(0);
    elsewhere(&["backup", "run", "tree"]).expect_code(0);
    elsewhere(&["backup", "prune", "tree"]).expect_code(0);
    assert_eq!(job.snapshots().len(), ids.len() + 2);
    // What says of a run that it goes on is gone with its snapshot.
    put(
        &job,
        &format!("b/running/{}-0011223344556677", ids[0]),
        Vec::new(),
    );
    job.does(&["backup", "forget", "tree", "--keep-last", "1"])
        .expect_code(0);
    elsewhere(&["backup", "prune", "tree"]).expect_code(0);
}

#[test]
fn a_prune_beside_a_backup_that_is_killed_costs_nothing() {
    let (job, _) = with_nights(Kind::Embedded, "beside", &["one"]);
    for number in 0..40 {
        job.scene.tree.file(&format!("src/{number}"), random(3_000));
    }
    job.scene.set_faults(vec![delay("PutObject", 2_000)]);
    let mut run = spawn(&mut job.command(&["backup", "run", "tree"]));
    std::thread::sleep(std::time::Duration::from_millis(900));
    let locked = job
        .does(&["backup", "prune", "tree", "--grace", "0s"])
        .expect_code(11);
    assert!(locked.stderr.contains("another run"), "{}", locked.stderr);
    run.kill().expect("killed");
    run.wait().expect("reaped");
    job.scene.set_faults(Vec::new());
    job.does(&["backup", "prune", "tree", "--grace", "0s", "--max-delete", "100%"])
        .expect_code(0);
    job.run().expect_code(0);
    job.does(&["backup", "verify", "tree", "--read", "100%"])
        .expect_code(0);
}

#[test]
fn differences_are_told_entry_by_entry() {
    let job = Job::on(Kind::Embedded, "diff");
    for name in ["same", "changes", "goes", "d/becomes"] {
        job.scene.tree.file(&format!("src/{name}"), name);
    }
    let root = job.scene.tree.path().join("src");
    let first = job.snapshot();
    job.scene.tree.file("src/changes", "changed");
    job.scene.tree.file("src/comes", "x");
    fs::remove_file(root.join("goes")).expect("removed");
    fs::remove_file(root.join("d/becomes")).expect("removed");
    std::os::unix::fs::symlink("x", root.join("d/becomes")).expect("link");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(root.join("same"), mode).expect("set");
    job.snapshot();
    let ran = job
        .does(&["backup", "diff", &format!("tree@{first}"), "--output", "text"])
        .expect_code(0);
    let mut lines: Vec<&str> = ran.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "+ src/comes",
            "- src/goes",
            "M src/changes",
            "T src/d/becomes",
            "U src/",
            "U src/d/",
            "U src/same"
        ]
    );
    let none = job.does(&["backup", "diff", "tree@latest"]).expect_code(0);
    assert!(none.events("change").is_empty());
}

#[test]
fn a_status_says_when_and_how_much_and_whether_it_is_too_old() {
    let job = Job::on(Kind::Embedded, "status");
    job.says("schedule = \"15 2 * * *\"\nmax-age = \"26h\"\n");
    job.scene.tree.file("src/a", "12345");
    job.scene.tree.file("src/b", "12345");
    let ran = job.does(&["backup", "status"]).expect_code(1);
    assert_eq!(ran.events("status")[0]["is_late"], true, "it never ran");
    let id = job.snapshot();
    let ran = job.does(&["backup", "status", "tree"]).expect_code(0);
    let status = &ran.events("status")[0];
    assert_eq!(status["latest"], id.as_str());
    assert_eq!(
        (&status["stored"]["bytes"], &status["logical"]["bytes"]),
        (&5.into(), &10.into())
    );
    assert_eq!(status["last_run"]["exit_code"], 0);
    assert!(status["next_run"].is_string(), "{status}");
    job.says("schedule = \"15 2 * * *\"\nmax-age = \"1s\"\n");
    std::thread::sleep(std::time::Duration::from_millis(2_100));
    let late = job.does(&["backup", "status", "--output", "text"]).expect_code(1);
    assert!(late.stderr.contains("older than"), "{}", late.stderr);
    assert!(late.stdout.contains("last success"), "{}", late.stdout);
}

#[test]
fn a_schedule_becomes_a_crontab_line_and_units_of_systemd() {
    let job = Job::on(Kind::Embedded, "units");
    job.does(&["backup", "schedule", "tree"]).expect_code(2);
    job.says("schedule = \"15 2 * * mon-fri\"\nkeep-daily = 7\njitter = \"10m\"\n");
    let ran = job.does(&["backup", "schedule", "tree"]).expect_code(0);
    for part in [
        "15 2 * * mon-fri ",
        "backup run tree --config ",
        " --forget",
        "OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:15:00",
        "Persistent=true",
        "RandomizedDelaySec=600s",
        "OnFailure=",
        "s3haul-backup-tree.timer",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    let home = job.place.path().join("home");
    let install = |words: &[&str]| {
        let mut command = job.command(&[&["backup", "schedule", "tree", "--install"], words].concat());
        command.env("XDG_CONFIG_HOME", &home);
        crate::env::run(&mut command)
    };
    let asked = install(&[]).expect_code(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    assert!(!home.join("systemd").exists(), "nobody said yes");
    if !rustix_is_root() {
        install(&["--yes"]).expect_code(0);
        assert!(Path::new(&home.join("systemd/user/s3haul-backup-tree.timer")).exists());
    }
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn credentials_without_the_right_to_delete_are_enough_for_a_run() {
    let Some(job) = Job::on_minio("policy") else {
        return;
    };
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("the README");
    let policy = readme
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the README has a policy");
    let policy = policy
        .replace("backups/home/", &format!("{}/b/", job.scene.bucket))
        .replace("s3:::backups\"", &format!("s3:::{}\"", job.scene.bucket));
    assert!(!policy.contains("backups"), "{policy}");
    let credentials = with_policy(&job, &policy);
    let does = |words: &[&str]| {
        let mut command = job.command(words);
        command.envs(credentials.iter().map(|(name, value)| (*name, value.as_str())));
        crate::env::run(&mut command)
    };
    job.says("keep-last = 1\npart-size = \"5MiB\"\nmultipart-threshold = \"5MiB\"\n");
    job.scene.tree.file("src/a", "a");
    job.scene.tree.file("src/large", random(12 << 20));
    does(&["backup", "run", "tree"]).expect_code(0);
    job.scene.tree.file("src/a", "b");
    does(&["backup", "run", "tree"]).expect_code(0);
    does(&["backup", "verify", "tree", "--read", "100%"]).expect_code(0);
    does(&["backup", "status"]).expect_code(0);
    let refused = does(&["backup", "forget", "tree"]).expect_code(3);
    assert!(refused.stderr.contains("AccessDenied"), "{}", refused.stderr);
    assert_eq!(job.snapshots().len(), 2);
    // A run has ended, and says so, though it may not remove what said that it went on.
    job.does(&["backup", "prune", "tree"]).expect_code(0);
    let dest = job.place.path().join("dest");
    does(&["restore", "tree", dest.to_str().expect("UTF-8")]).expect_code(0);
    // Who may delete does the rest.
    job.does(&["backup", "forget", "tree"]).expect_code(0);
    assert_eq!(job.snapshots().len(), 1);
}

/// Credentials of an hour that may do what `policy` says, from MinIO's security token service.
fn with_policy(job: &Job, policy: &str) -> Vec<(&'static str, String)> {
    let server = &job.scene.server;
    let ran = crate::env::run(
        std::process::Command::new("curl")
            .args(["-sSf", "--aws-sigv4", "aws:amz:us-east-1:sts", "--user"])
            .arg(format!("{}:{}", server.access_key, server.secret_key))
            .args(["-d", "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600"])
            .args(["--data-urlencode", &format!("Policy={policy}")])
            .arg(format!("{}/", server.url.trim_end_matches('/'))),
    )
    .expect_code(0);
    let field = |name: &str| {
        let value = ran.stdout.split(&format!("<{name}>")).nth(1);
        let value = value.and_then(|rest| rest.split('<').next());
        value.expect("the answer has it").to_owned()
    };
    vec![
        ("AWS_ACCESS_KEY_ID", field("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", field("SecretAccessKey")),
        ("AWS_SESSION_TOKEN", field("SessionToken")),
    ]
}

#[test]
fn a_run_that_a_prune_has_given_up_sends_again_what_that_has_removed() {
    let job = Job::on(Kind::Embedded, "overtaken");
    for number in 0..30 {
        job.scene
            .tree
            .file(&format!("src/{number}"), format!("content {number}"));
    }
    // All contents arrive; then the machine sleeps, just before it looks whether somebody has given it up.
    job.scene.set_faults(vec![delay("HeadObject", 3_000)]);
    let mut run = spawn(&mut job.command(&["backup", "run", "tree"]));
    crate::scene::wait_until("all contents", || job.contents().len() == 30);
    let lease = job.scene.oracle().keys("b/running/").remove(0);
    remove(&job, &lease);
    for key in &job.contents()[..10] {
        remove(&job, key);
    }
    assert_eq!(run.wait().expect("ended").code(), Some(0));
    job.scene.set_faults(Vec::new());
    job.does(&["backup", "verify", "tree", "--read", "100%"])
        .expect_code(0);
    assert_eq!(job.contents().len(), 30);
}

#[test]
fn a_status_believes_the_bucket_and_not_what_was_noted_of_it() {
    let (job, ids) = with_nights(Kind::Embedded, "gone", &["one"]);
    job.says("max-age = \"26h\"\n");
    job.does(&["backup", "status"]).expect_code(0);
    let manifest = format!("b/snapshots/{}.jsonl.zst", ids[0]);
    let whole = job.scene.oracle().read(&manifest);
    put(&job, &manifest, whole[..whole.len() / 2].to_vec());
    let ran = job.does(&["backup", "status", "--output", "text"]).expect_code(1);
    assert!(ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    // One of the future is neither the latest nor a success.
    remove(&job, &manifest);
    put(&job, "b/snapshots/20990101T000000Z-0123abcd.jsonl.zst", whole);
    let ran = job.does(&["backup", "status"]).expect_code(1);
    assert_eq!(ran.events("status")[0]["is_late"], true);
    job.does(&["restore", "tree", "/nowhere/x"]).expect_code(10);
}

#[test]
fn bad_nights_do_not_push_out_the_last_good_one() {
    let (job, ids) = with_nights(Kind::Embedded, "bad", &["one", "two"]);
    // Two that lack a file, and one that cannot be read.
    let fault = s3haul::server::FaultRule {
        key_contains: Some("b/data/".to_owned()),
        ..crate::scene::rule(
            "PutObject",
            None,
            s3haul::server::FaultAction::Error {
                status: 400,
                code: "InvalidRequest".to_owned(),
                body: None,
                content_type: None,
            },
        )
    };
    job.scene.set_faults(vec![fault]);
    for night in ["three", "four"] {
        job.scene.tree.file("src/changes", night);
        job.run().expect_code(3);
    }
    job.scene.set_faults(Vec::new());
    let damaged = "20260601T000000Z-0123abcd".replace("20260601", "20261122");
    put(
        &job,
        &format!("b/snapshots/{damaged}.jsonl.zst"),
        b"garbage".to_vec(),
    );
    let ran = job.does(&["backup", "forget", "tree", "--keep-last", "1"]);
    let left = job.snapshots();
    assert!(left.contains(&ids[1]), "{left:?}: {}", ran.stderr);
    assert!(!left.contains(&ids[0]));
    job.does(&[
        "restore",
        &format!("tree@{}", ids[1]),
        job.place.path().join("x").to_str().expect("UTF-8"),
    ])
    .expect_code(0);
}

#[test]
fn what_is_stored_with_another_size_is_said_by_the_run_that_needs_it() {
    let job = Job::on(Kind::Embedded, "short");
    job.scene.tree.file("src/a", "content");
    let hash = crate::env::sha256(b"content");
    let key = format!("b/data/{}/{hash}", &hash[..2]);
    put(&job, &key, b"cont".to_vec());
    let ran = job.run().expect_code(3);
    assert!(
        ran.stderr.contains(&key) && ran.stderr.contains("removed"),
        "{}",
        ran.stderr
    );
    assert_eq!(job.scene.oracle().read(&key), b"cont", "nothing is overwritten");
    remove(&job, &key);
    job.run().expect_code(0);
}
