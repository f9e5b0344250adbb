//! What changes nothing: `sync --dry-run` and `verify`; and what is kept of what goes: `--backup-dir`.

use std::collections::BTreeMap;
use std::fs;

use crate::env::{Kind, Ran, random, run};
use crate::mirror::Mirror;
use crate::on_both_servers;

on_both_servers!(
    a_dry_run_says_what_the_run_then_does,
    verify_finds_exactly_what_differs,
    verify_reads_what_nothing_else_proves,
    what_is_deleted_lies_in_the_backup_directory,
    a_dry_run_makes_no_bucket_and_keeps_what_is_remembered,
    what_only_says_that_there_is_a_directory_is_no_file,
);

/// Keys by action.
fn plan(ran: &Ran) -> BTreeMap<String, String> {
    let text = |event: &serde_json::Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    ran.events("plan")
        .iter()
        .map(|event| (text(event, "key"), text(event, "action")))
        .collect()
}

/// Kinds of difference by key, or by path where there is no key.
fn differences(ran: &Ran) -> BTreeMap<String, String> {
    ran.events("difference")
        .iter()
        .map(|event| {
            let key = event["key"].as_str().unwrap_or_default().to_owned();
            (key, event["kind"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn verify(mirror: &Mirror, flags: &[&str]) -> Ran {
    let mut command = mirror.scene.server.s3haul();
    command
        .args(["verify", "--output", "json"])
        .arg(mirror.scene.tree.path())
        .arg(mirror.scene.target("p/"))
        .args(flags);
    run(&mut command)
}

fn a_dry_run_says_what_the_run_then_does(kind: Kind) {
    let mirror = Mirror::on(kind, "dry");
    let tree = &mirror.scene.tree;
    for name in ["same", "changed", "touched", "gone", "dir/gone too"] {
        tree.file(name, name);
    }
    mirror.sync(&[]).expect_code(0);
    tree.file("changed", "other");
    tree.file("touched", "touched");
    tree.file("new", "new");
    fs::remove_file(tree.path().join("gone")).expect("removed");
    fs::remove_dir_all(tree.path().join("dir")).expect("removed");
    let before = mirror.stored();
    let planned = mirror.sync(&["--dry-run", "--delete"]).expect_code(0);
    assert_eq!(mirror.stored(), before, "nothing is changed");
    let expected = owned(&[
        ("p/changed", "upload"),
        ("p/touched", "upload"),
        ("p/new", "upload"),
        ("p/gone", "delete"),
        ("p/dir/gone too", "delete"),
    ]);
    assert_eq!(plan(&planned), expected);
    let again = mirror.sync(&["-n", "--delete"]).expect_code(0);
    assert_eq!(plan(&again), expected, "and nothing is remembered");
    let ran = mirror.sync(&["--delete"]).expect_code(0);
    assert_eq!(ran.summary()["totals"]["done"], 3);
    assert_eq!(ran.events("mirror")[0]["deletion"]["deleted"], 2);
    // A guard says no beforehand, too.
    for name in ["same", "changed", "touched", "new"] {
        fs::remove_file(tree.path().join(name)).expect("removed");
    }
    let refused = mirror.sync(&["-n", "--delete"]).expect_code(6);
    assert_eq!(plan(&refused), owned(&[]));
}

fn verify_finds_exactly_what_differs(kind: Kind) {
    let mirror = Mirror::on(kind, "verify");
    let tree = &mirror.scene.tree;
    let names = ["same", "longer", "other", "missing", "d/large"];
    for name in names {
        tree.file(name, random(20_000));
    }
    tree.file("d/large", random(12 * 1024 * 1024));
    mirror
        .sync(&["--part-size", "5MiB", "--multipart-threshold", "6MiB"])
        .expect_code(0);
    let same = verify(&mirror, &[]).expect_code(0);
    assert_eq!(same.events("verification")[0]["same"], 5);
    assert_eq!(same.events("difference").len(), 0);
    verify(&mirror, &["--read"]).expect_code(0);
    verify(&mirror, &["--read", "50%"]).expect_code(0);
    // The file keeps its size and its times: content alone tells.
    let path = tree.path().join("other");
    let modified = fs::metadata(&path).expect("there").modified().expect("a time");
    fs::write(&path, random(20_000)).expect("written");
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_modified(modified).expect("set");
    tree.file("longer", random(20_001));
    let oracle = mirror.scene.oracle();
    let key = |key: &str| (oracle.bucket.clone(), key.to_owned());
    let (bucket, missing) = key("p/missing");
    oracle
        .block_on(oracle.client.delete_object().bucket(bucket).key(missing).send())
        .expect("deleted");
    let (bucket, extra) = key("p/extra");
    oracle
        .block_on(
            oracle
                .client
                .put_object()
                .bucket(bucket)
                .key(extra)
                .body(vec![1].into())
                .send(),
        )
        .expect("stored");
    let expected = owned(&[
        ("p/longer", "different"),
        ("p/other", "different"),
        ("p/missing", "missing"),
        ("p/extra", "extra"),
    ]);
    let before = mirror.stored();
    for flags in [&[] as &[&str], &["--read"]] {
        let ran = verify(&mirror, flags).expect_code(4);
        assert_eq!(differences(&ran), expected);
        assert_eq!(ran.events("verification")[0]["same"], 2);
    }
    assert_eq!(mirror.stored(), before, "nothing is changed");
    let mut nothing = mirror.scene.server.s3haul();
    nothing
        .arg("check")
        .arg(tree.path())
        .arg(mirror.scene.target("nothing/"));
    run(&mut nothing).expect_code(10);
}

fn verify_reads_what_nothing_else_proves(kind: Kind) {
    let mirror = Mirror::on(kind, "unproven");
    let content = random(300_000);
    for name in ["md5", "parts"] {
        mirror.scene.tree.file(name, &content);
    }
    let oracle = mirror.scene.oracle();
    let bucket = oracle.bucket.clone();
    let put = oracle
        .client
        .put_object()
        .bucket(&bucket)
        .key("p/md5")
        .body(content.clone().into());
    oracle.block_on(put.send()).expect("stored");
    let begun = oracle
        .client
        .create_multipart_upload()
        .bucket(&bucket)
        .key("p/parts")
        .send();
    let id = oracle.block_on(begun).expect("begun").upload_id.expect("an id");
    let part = oracle
        .client
        .upload_part()
        .bucket(&bucket)
        .key("p/parts")
        .upload_id(&id)
        .part_number(1);
    let part = oracle
        .block_on(part.body(content.clone().into()).send())
        .expect("stored");
    let parts = aws_sdk_s3::types::CompletedMultipartUpload::builder().parts(
        aws_sdk_s3::types::CompletedPart::builder()
            .part_number(1)
            .set_e_tag(part.e_tag)
            .build(),
    );
    let complete = oracle
        .client
        .complete_multipart_upload()
        .bucket(&bucket)
        .key("p/parts")
        .upload_id(&id);
    oracle
        .block_on(complete.multipart_upload(parts.build()).send())
        .expect("complete");
    verify(&mirror, &[]).expect_code(0);
    let mut other = content;
    other[299_999] ^= 1;
    for name in ["md5", "parts"] {
        mirror.scene.tree.file(name, &other);
    }
    let ran = verify(&mirror, &[]).expect_code(4);
    assert_eq!(
        differences(&ran),
        owned(&[("p/md5", "different"), ("p/parts", "different")])
    );
}

fn what_is_deleted_lies_in_the_backup_directory(kind: Kind) {
    let mirror = Mirror::on(kind, "shelf");
    let tree = &mirror.scene.tree;
    let odd = "d \u{e9}/a+b%41 c";
    tree.file("stays", "stays");
    tree.file(odd, random(5_000));
    mirror.sync(&["--metadata", "a=b"]).expect_code(0);
    let stored = mirror.stored();
    fs::remove_dir_all(tree.path().join("d \u{e9}")).expect("removed");
    mirror.sync(&["--delete", "--backup-dir", "p/old"]).expect_code(2);
    assert_eq!(mirror.stored(), stored);
    mirror
        .sync(&["--delete", "--backup-dir", "old/today/"])
        .expect_code(0);
    assert_eq!(mirror.stored().len(), 1);
    let oracle = mirror.scene.oracle();
    let kept = oracle.digests("old/today/");
    let key = stored
        .keys()
        .find(|key| key.contains("a+b"))
        .expect("it was there");
    assert_eq!(kept.values().collect::<Vec<_>>(), [&stored[key]]);
    let head = oracle.head(&format!("old/today/{key}"));
    let metadata = head.metadata.expect("some");
    assert_eq!(metadata["a"], "b");
    assert!(metadata.contains_key("mtime"));
}

fn a_dry_run_makes_no_bucket_and_keeps_what_is_remembered(kind: Kind) {
    let mirror = Mirror::on(kind, "dry-state");
    let tree = &mirror.scene.tree;
    tree.file(" /inside", "inside");
    tree.file("a", "a");
    let mut nowhere = mirror.scene.server.s3haul();
    let missing = format!("s3://{}-missing/", mirror.scene.oracle().bucket);
    nowhere
        .args(["sync", "-n", "--create-bucket"])
        .arg(tree.path())
        .arg(&missing);
    run(&mut nowhere).expect_code(10);
    let mut ls = mirror.scene.server.s3haul();
    run(ls.arg("ls").arg(&missing)).expect_code(10);
    mirror.sync(&[]).expect_code(0);
    // Another source of the same target: told, and nothing is put aside for it.
    let other = tempfile::tempdir().expect("a directory");
    fs::write(other.path().join("a"), "a").expect("written");
    let planned = mirror.command(&["-n"]);
    let arguments: Vec<_> = planned.get_args().map(ToOwned::to_owned).collect();
    let mut elsewhere = mirror.scene.server.s3haul();
    for (name, value) in planned.get_envs() {
        elsewhere.env(name, value.unwrap_or_default());
    }
    for argument in arguments {
        let is_source = argument == tree.path().as_os_str();
        elsewhere.arg(if is_source {
            other.path().as_os_str().to_owned()
        } else {
            argument
        });
    }
    run(&mut elsewhere).expect_code(0);
    let ran = mirror.sync(&["--delete", "--exclude", "/ /"]).expect_code(0);
    assert_eq!(
        ran.events("mirror")[0]["notes"],
        serde_json::json!([]),
        "it is remembered"
    );
    // A directory of a blank name that is left out keeps what is stored of it.
    assert_eq!(ran.events("mirror")[0]["sheltered"], 1);
    assert_eq!(mirror.stored().len(), 2);
}

fn what_only_says_that_there_is_a_directory_is_no_file(kind: Kind) {
    let mirror = Mirror::on(kind, "signs");
    mirror.scene.tree.file("d/a", "a");
    mirror.sync(&[]).expect_code(0);
    let oracle = mirror.scene.oracle();
    for key in ["p/", "p/d/", "p/e/"] {
        let put = oracle.client.put_object().bucket(&oracle.bucket).key(key);
        oracle
            .block_on(put.body(Vec::new().into()).send())
            .expect("stored");
    }
    let ran = mirror.sync(&["--delete"]).expect_code(0);
    assert_eq!(ran.events("mirror")[0]["gone"], 0);
    verify(&mirror, &[]).expect_code(0);
    let mut restore = mirror.scene.server.s3haul();
    restore.env("XDG_STATE_HOME", mirror.elsewhere()).arg("restore");
    let dest = mirror.elsewhere().with_extension("dest");
    run(restore.arg(mirror.scene.target("p/")).arg(&dest)).expect_code(0);
    assert_eq!(fs::read_to_string(dest.join("d/a")).expect("restored"), "a");
}

#[test]
fn credentials_are_asked_for_once_and_what_is_excluded_stays_when_its_file_is_gone() {
    let mirror = Mirror::on(Kind::Embedded, "once");
    let tree = &mirror.scene.tree;
    for name in ["kept", "gone", "cache/gone", "d/x.tmp"] {
        tree.file(name, name);
    }
    let (server, place) = (&mirror.scene.server, mirror.elsewhere());
    fs::create_dir_all(&place).expect("made");
    let (asked, helper, config) = (place.join("asked"), place.join("helper"), place.join("config"));
    let keys = format!(
        "{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}",
        server.access_key, server.secret_key
    );
    fs::write(
        &helper,
        format!("echo once >> {}\necho '{keys}'\n", asked.display()),
    )
    .expect("written");
    let profile = format!("[default]\ncredential_process = sh {}\n", helper.display());
    fs::write(&config, profile).expect("written");
    let sync = |flags: &[&str]| {
        let mut command = mirror.command(flags);
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_CONFIG_FILE", &config);
        let ran = run(&mut command).expect_code(0);
        let times = fs::read_to_string(&asked).expect("asked").lines().count();
        fs::remove_file(&asked).expect("removed");
        assert_eq!(times, 1, "for listing, uploads and deletions");
        ran
    };
    sync(&[]);
    for name in ["gone", "cache/gone", "d/x.tmp"] {
        fs::remove_file(tree.path().join(name)).expect("removed");
    }
    let filter = ["--exclude", "cache/", "--exclude", "*.tmp"];
    sync(&[&["--delete"], &filter[..]].concat());
    let keys = |mirror: &Mirror| mirror.stored().into_keys().collect::<Vec<_>>();
    assert_eq!(keys(&mirror), ["cache/gone", "d/x.tmp", "kept"]);
    sync(&[&["--delete", "--delete-excluded"], &filter[..]].concat());
    assert_eq!(keys(&mirror), ["kept"]);
}

#[test]
fn what_lies_behind_a_link_that_is_left_out_stays() {
    let mirror = Mirror::on(Kind::Embedded, "behind");
    let tree = &mirror.scene.tree;
    for name in [
        "a.jpg",
        "photos/b.jpg",
        "photos/c.txt",
        "gone.jpg",
        "real/gone.jpg",
        "real/d.jpg",
    ] {
        tree.file(name, name);
    }
    let only = ["--exclude", "*", "--include", "*.jpg"];
    mirror.sync(&only).expect_code(0);
    let photos = tree.path().join("photos");
    fs::remove_dir_all(&photos).expect("removed");
    fs::create_dir_all(mirror.elsewhere()).expect("made");
    std::os::unix::fs::symlink(mirror.elsewhere(), &photos).expect("link");
    for name in ["gone.jpg", "real/gone.jpg"] {
        fs::remove_file(tree.path().join(name)).expect("removed");
    }
    for follows in [&["--follow-symlinks"] as &[&str], &[]] {
        mirror
            .sync(&[&only, follows, &["--delete"]].concat())
            .expect_code(0);
        let keys: Vec<String> = mirror.stored().into_keys().collect();
        assert_eq!(keys, ["a.jpg", "photos/b.jpg", "real/d.jpg"], "{follows:?}");
    }
}
