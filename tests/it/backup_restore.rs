//! Snapshots that come back: by hand, over what is there, from hostile manifests, after kills.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::backup_job::{Job, tree};
use crate::env::{Kind, random, run, sha256};
use crate::scene::spawn;

/// A manifest of these lines, with its last one.
fn manifest(id: &str, lines: &[String], totals: (u64, u64, u64)) -> Vec<u8> {
    let mut text = format!(
        "{{\"s3haul\":\"backup manifest\",\"version\":1,\"job\":\"tree\",\"id\":\"{id}\",\"host\":\"h\",\"sources\":[\"/x\"]}}\n"
    );
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    let hash = sha256(text.as_bytes());
    let (entries, files, bytes) = totals;
    text.push_str(&format!(
        "{{\"end\":{{\"entries\":{entries},\"files\":{files},\"bytes\":{bytes},\"errors\":0}},\"sha256\":\"{hash}\"}}\n"
    ));
    zstd::encode_all(text.as_bytes(), 1).expect("compressed")
}

fn put(job: &Job, key: &str, content: Vec<u8>) {
    let oracle = job.scene.oracle();
    let put = oracle.client.put_object().bucket(&oracle.bucket).key(key);
    oracle.block_on(put.body(content.into()).send()).expect("stored");
}

/// A line of a file with the content of `content`, which is stored.
fn file(job: &Job, path: &str, content: &str, more: &str) -> String {
    let hash = sha256(content.as_bytes());
    let key = format!("data/{}/{hash}", &hash[..2]);
    put(job, &format!("b/{key}"), content.as_bytes().to_vec());
    let size = content.len();
    format!(
        "{{\"path\":{},\"type\":\"file\",\"mode\":\"6777\",\"mtime\":\"1.5\",\"size\":{size},\"sha256\":\"{hash}\",\"key\":\"{key}\"{more}}}",
        serde_json::to_string(path).expect("text")
    )
}

const ID: &str = "20260101T000000Z-0123abcd";

#[test]
fn a_hostile_manifest_is_refused_or_stays_below_the_destination() {
    let job = Job::on(Kind::Embedded, "hostile");
    let key = format!("b/snapshots/{ID}.jsonl.zst");
    let outside = job.place.path().join("outside");
    let restore = |code: i32| {
        let dest = job.place.path().join(format!("dest-{}", fastrand::u64(..)));
        let ran = job
            .does(&["restore", "tree", dest.to_str().expect("UTF-8")])
            .expect_code(code);
        (dest, ran)
    };
    let link = |path: &str, target: &std::path::Path| {
        format!(
            "{{\"path\":\"{path}\",\"type\":\"symlink\",\"target\":\"{}\"}}",
            target.display()
        )
    };
    let one = |line: String| (vec![line], (1, 1, 1));
    // Each is no manifest.
    let huge = "x".repeat(100_000);
    let wrong_hash = file(&job, "t/a", "1", "").replace("data/", "data/x");
    let cycle = file(&job, "t/a", "1", ",\"link_of\":\"t/b\"");
    for (lines, totals) in [
        one(file(&job, &format!("t/{huge}"), "1", "")),
        one(wrong_hash),
        one(cycle),
        (
            vec![file(&job, "t/a", "1", ""), file(&job, "t/a", "1", "")],
            (2, 2, 2),
        ),
        (vec![file(&job, "t/a", "1", "")], (2, 2, 2)),
        (vec!["{\"path\":\"t/a\",\"type\":\"file\"}".to_owned()], (1, 1, 0)),
    ] {
        put(&job, &key, manifest(ID, &lines, totals));
        let (dest, ran) = restore(1);
        assert!(ran.stderr.contains("cannot be used"), "{}", ran.stderr);
        assert!(!dest.exists());
    }
    put(&job, &key, manifest("20260101T000000Z-ffffffff", &[], (0, 0, 0)));
    assert!(restore(1).1.stderr.contains("that of snapshot"));
    let future = manifest(ID, &[], (0, 0, 0));
    let text = String::from_utf8(zstd::decode_all(&future[..]).expect("zstd")).expect("text");
    let future = zstd::encode_all(text.replace("\"version\":1", "\"version\":2").as_bytes(), 1);
    put(&job, &key, future.expect("compressed"));
    assert!(restore(1).1.stderr.contains("version 2"));
    // A line that is endless when it is decompressed, from few bytes.
    let mut endless = zstd::Encoder::new(Vec::new(), 1).expect("zstd");
    for _ in 0..1_000 {
        endless.write_all(&vec![b'['; 1 << 20]).expect("written");
    }
    put(&job, &key, endless.finish().expect("compressed"));
    assert!(restore(1).1.stderr.contains("longer than any entry"));
    // Ways out, and rights.
    let lines = [
        file(&job, "../outside", "1", ""),
        file(&job, "t/../../outside", "1", ""),
        file(&job, "t/good", "1", ""),
        link("t/way", &outside),
        file(&job, "t/way/x", "1", ""),
    ];
    put(&job, &key, manifest(ID, &lines, (5, 4, 4)));
    let (dest, _) = restore(3);
    assert!(!outside.exists() && !job.place.path().join("x").exists());
    let good = fs::metadata(dest.join("t/good")).expect("restored");
    assert_eq!(good.mode() & 0o7777, 0o777, "nobody's rights come back");
    // Sizes are limits.
    let big = file(&job, "t/a", "1", "").replace("\"size\":1", "\"size\":1152921504606846976");
    put(&job, &key, manifest(ID, &[big], (1, 1, 1 << 60)));
    assert!(restore(1).1.stderr.contains("has room for"));
    let short = file(&job, "t/a", "123", "").replace("\"size\":3", "\"size\":2");
    put(&job, &key, manifest(ID, &[short], (1, 1, 2)));
    let (dest, _) = restore(3);
    assert_eq!(
        fs::read_dir(dest.join("t")).map_or(0, |entries| entries.count()),
        0
    );
}

#[test]
fn what_is_there_is_judged_by_its_content_and_gets_its_looks_back() {
    let job = Job::on(Kind::Embedded, "over");
    for name in ["a", "b", "c"] {
        job.scene.tree.file(&format!("src/{name}"), name);
    }
    let root = job.scene.tree.path().join("src");
    fs::hard_link(root.join("a"), root.join("d")).expect("linked");
    symlink("a", root.join("l")).expect("link");
    let id = job.snapshot();
    let dest = job.restore("tree");
    let there = dest.join("src");
    // The same size and time, another content; other permissions; a link that leads elsewhere; a name of its own.
    let time = fs::metadata(there.join("b"))
        .expect("there")
        .modified()
        .expect("a time");
    fs::write(there.join("b"), "B").expect("written");
    fs::File::options()
        .write(true)
        .open(there.join("b"))
        .and_then(|file| file.set_modified(time))
        .expect("set");
    fs::set_permissions(there.join("c"), fs::Permissions::from_mode(0o600)).expect("set");
    fs::remove_file(there.join("l")).expect("removed");
    symlink("elsewhere", there.join("l")).expect("link");
    fs::remove_file(there.join("d")).expect("removed");
    fs::write(there.join("d"), "D").expect("written");
    let words = ["restore", &format!("tree@{id}"), dest.to_str().expect("UTF-8")];
    let refused = job.does(&words).expect_code(3);
    assert_eq!(refused.summary()["totals"]["failed"], 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("--overwrite always"),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read(there.join("d")).expect("there"), b"D");
    job.does(&[&words[..], &["--overwrite", "always"]].concat())
        .expect_code(0);
    assert_eq!(tree(&there), tree(&root));
    // Part of it, of which the first name is no part.
    let part = job.place.path().join("part");
    job.does(&[
        "restore",
        "tree",
        part.to_str().expect("UTF-8"),
        "--exclude",
        "*",
        "--include",
        "d",
    ])
    .expect_code(0);
    assert_eq!(fs::read(part.join("src/d")).expect("restored"), b"a");
    assert_eq!(
        fs::read_dir(part.join("src")).expect("there").count(),
        1,
        "and nothing else"
    );
    // Into what is backed up, whichever way.
    for wrong in [
        root.clone(),
        root.join("new/deep"),
        job.scene.tree.path().to_owned(),
    ] {
        let ran = job
            .does(&["restore", "tree", wrong.to_str().expect("UTF-8")])
            .expect_code(2);
        assert!(ran.stderr.contains("backs up"), "{}", ran.stderr);
    }
    let dry = job.place.path().join("dry");
    job.does(&["restore", "tree", dry.to_str().expect("UTF-8"), "--dry-run"])
        .expect_code(0);
    assert!(!dry.exists());
}

#[test]
fn a_part_comes_back_with_the_directories_that_lead_to_it() {
    let job = Job::on(Kind::Embedded, "part");
    for name in ["src/secret/keys/one", "src/secret/two", "src/other/three"] {
        job.scene.tree.file(name, name);
    }
    let root = job.scene.tree.path();
    for (directory, mode) in [("src/secret", 0o700), ("src/secret/keys", 0o750)] {
        fs::set_permissions(root.join(directory), fs::Permissions::from_mode(mode)).expect("set");
    }
    let times =
        fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let secret = fs::File::open(root.join("src/secret")).expect("there");
    secret.set_times(times).expect("set");
    job.run().expect_code(0);
    let part = job.place.path().join("part");
    let restore = |pattern: &str| {
        job.does(&[
            "restore",
            "tree",
            part.to_str().expect("UTF-8"),
            "--include",
            pattern,
        ])
    };
    let nothing = restore("keys/one").expect_code(10);
    assert!(nothing.stderr.contains("name of a source"), "{}", nothing.stderr);
    assert!(!part.exists());
    let file = job.place.path().join("file");
    fs::write(&file, "x").expect("written");
    let onto = job
        .does(&["restore", "tree", file.to_str().expect("UTF-8")])
        .expect_code(1);
    assert!(onto.stderr.contains("cannot be written"), "{}", onto.stderr);
    restore("src/secret/keys/").expect_code(0);
    let mut wanted = tree(root);
    wanted.retain(|path, _| !path.ends_with(b"/two") && !path.windows(5).any(|piece| piece == b"other"));
    assert_eq!(tree(&part), wanted);
}

#[test]
fn names_of_one_file_stay_so_although_its_first_name_is_left_out() {
    let job = Job::on(Kind::Embedded, "names");
    let root = job.scene.tree.path();
    job.scene.tree.file("src/a", "content");
    for name in ["b", "c"] {
        fs::hard_link(root.join("src/a"), root.join("src").join(name)).expect("linked");
    }
    job.run().expect_code(0);
    let part = job.place.path().join("part");
    job.does(&["restore", "tree", part.to_str().expect("UTF-8"), "--exclude", "a"])
        .expect_code(0);
    let node = |name: &str| {
        let metadata = fs::metadata(part.join("src").join(name)).expect("there");
        (metadata.ino(), metadata.nlink())
    };
    assert_eq!(node("b"), node("c"));
    assert_eq!(node("b").1, 2);
    assert_eq!(fs::read(part.join("src/c")).expect("there"), b"content");
}

#[test]
fn a_person_with_curl_zstd_and_jq_gets_everything_back() {
    let job = Job::on(Kind::Embedded, "hand");
    job.scene.tree.file("src/plain", "plain");
    job.scene.tree.file("src/d/with spaces", random(5_000));
    symlink("plain", job.scene.tree.path().join("src/l")).expect("link");
    let id = job.snapshot();
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/backup-format.md");
    let text = fs::read_to_string(document).expect("the document");
    let script = text
        .split("```sh\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the document has a script");
    let dest = job.place.path().join("by hand");
    fs::create_dir(&dest).expect("made");
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(&dest)
        .env("ENDPOINT", &job.scene.server.url)
        .env("BUCKET", &job.scene.bucket)
        .env("PREFIX", "b/")
        .env("SNAPSHOT", &id)
        .env("AWS_ACCESS_KEY_ID", &job.scene.server.access_key)
        .env("AWS_SECRET_ACCESS_KEY", &job.scene.server.secret_key);
    run(&mut command).expect_code(0);
    let names = |root: &std::path::Path| {
        let mut found = tree(root);
        found.values_mut().for_each(|described| {
            // The script brings contents and links; modes and times are for whoever wants them.
            let words: Vec<&str> = described.split(' ').collect();
            *described = match words[0] {
                "file" => format!("file {}", words[3]),
                "link" => format!("link {}", words[2]),
                other => other.to_owned(),
            };
        });
        found
    };
    assert_eq!(
        names(&dest.join("src")),
        names(&job.scene.tree.path().join("src"))
    );
}

#[test]
fn whatever_is_killed_every_snapshot_that_is_listed_comes_back_whole() {
    // Moments differ from run to run anyhow: the machine is never the same twice.
    let seed = 20_261_122;
    let mut random_moments = fastrand::Rng::with_seed(seed);
    let job = Job::on(Kind::Embedded, "kills");
    job.says("part-size = \"5MiB\"\nmultipart-threshold = \"5MiB\"\n");
    let rounds = if std::env::var_os("S3HAUL_TEST_LONG").is_some() {
        100
    } else {
        12
    };
    let mut trees = std::collections::BTreeMap::new();
    let mut killed = 0;
    for round in 0..rounds {
        for number in 0..30 {
            let content = format!("{} {}", round / 3, number);
            job.scene.tree.file(&format!("src/{}", number % 20), content);
        }
        job.scene.tree.file("src/large", vec![round as u8; 6 << 20]);
        let words: &[&str] = match round % 3 {
            0 => &["backup", "run", "tree"],
            1 => &["backup", "forget", "tree", "--keep-last", "3"],
            _ => &["backup", "prune", "tree", "--grace", "0s", "--max-delete", "100%"],
        };
        let mut child = spawn(&mut job.command(words));
        std::thread::sleep(std::time::Duration::from_millis(random_moments.u64(5..160)));
        killed += u32::from(child.try_wait().expect("waited").is_none());
        child.kill().expect("killed");
        child.wait().expect("reaped");
        let id = job.snapshot();
        trees.insert(id, tree(&job.scene.tree.path().join("src")));
        for id in job.snapshots() {
            // Those of runs that were killed behind their last request have the tree of the run after them.
            let dest = job.restore(&format!("tree@{id}"));
            if let Some(expected) = trees.get(&id) {
                assert_eq!(tree(&dest.join("src")), *expected, "{id}");
            }
            fs::remove_dir_all(dest).expect("removed");
        }
    }
    assert!(killed > 0, "nothing was killed in its middle");
    job.does(&["backup", "verify", "tree", "--read", "100%"])
        .expect_code(0);
    job.scene.assert_nothing_open();
}

#[test]
fn what_changes_while_it_is_read_is_in_the_manifest_as_such() {
    let job = Job::on(Kind::Embedded, "changes");
    job.scene.tree.file("src/quiet", "quiet");
    let path = job.scene.tree.path().join("src/log");
    fs::write(&path, random(200 << 20)).expect("written");
    let mut run_of_it = spawn(&mut job.command(&["backup", "run", "tree"]));
    let mut log = fs::File::options().append(true).open(&path).expect("open");
    while run_of_it.try_wait().expect("waited").is_none() {
        log.write_all(b"another line\n").expect("written");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(run_of_it.wait().expect("ended").code(), Some(3));
    let listed = job.does(&["backup", "ls", "tree", "src/log"]).expect_code(0);
    assert!(
        listed.events("entry")[0]["error"].is_string(),
        "{}",
        listed.stdout
    );
    let restored = job.place.path().join("restored");
    job.does(&["restore", "tree", restored.to_str().expect("UTF-8")])
        .expect_code(3);
    assert_eq!(fs::read(restored.join("src/quiet")).expect("there"), b"quiet");
}
