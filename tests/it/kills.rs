//! `kill -9` at random moments of `sync` and `restore`: what is stored or restored is always whole, and one run that is
//! left alone puts everything right. A few moments by default, 200 with `tests/run --long`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::env::{Kind, digests, run, sha256};
use crate::mirror::Mirror;
use crate::on_both_servers;
use crate::scene::{MIB, spawn};

on_both_servers!(
    a_mirror_that_is_killed_is_never_half_and_mends_itself,
    a_restore_that_is_killed_leaves_no_half_file_and_goes_on,
);

const SEED: u64 = 20_261_122;
const SMALL_PARTS: [&str; 6] = [
    "--part-size",
    "5MiB",
    "--multipart-threshold",
    "6MiB",
    "--concurrency",
    "4",
];

/// Moments to kill at on each of the two servers.
fn kills() -> usize {
    if std::env::var_os("S3HAUL_TEST_LONG").is_some() {
        50
    } else {
        6
    }
}

fn content(random: &mut fastrand::Rng, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    random.fill(&mut content);
    content
}

/// Changes some files of the tree, and notes every content that a file has had.
fn change(mirror: &Mirror, random: &mut fastrand::Rng, versions: &mut BTreeMap<String, BTreeSet<String>>) {
    for _ in 0..8 {
        let name = format!("d{}/f{}", random.u8(0..4), random.u8(0..10));
        let path = mirror.scene.tree.path().join(&name);
        if random.u8(0..5) == 0 && path.exists() {
            fs::remove_file(path).expect("removed");
            continue;
        }
        let bytes = if random.u8(0..8) == 0 {
            random.usize(6 * MIB..13 * MIB)
        } else {
            random.usize(0..20_000)
        };
        let content = content(random, bytes);
        versions.entry(name.clone()).or_default().insert(sha256(&content));
        mirror.scene.tree.file(&name, content);
    }
}

/// Runs `command` and kills it after a random time, unless it ends before.
fn kill_at_random(command: &mut Command, random: &mut fastrand::Rng) {
    let mut child = spawn(command);
    std::thread::sleep(Duration::from_micros(random.u64(1_000..250_000)));
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().expect("reaped");
}

fn a_mirror_that_is_killed_is_never_half_and_mends_itself(kind: Kind) {
    let mirror = Mirror::on(kind, "kills");
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut versions = BTreeMap::new();
    let flags = [
        &SMALL_PARTS[..],
        &["--delete", "--max-delete", "100%", "--allow-empty-source"],
    ]
    .concat();
    for round in 0..kills() {
        change(&mirror, &mut random, &mut versions);
        kill_at_random(&mut mirror.command(&flags), &mut random);
        for (name, digest) in mirror.stored() {
            assert!(
                versions[&name].contains(&digest),
                "round {round}: {name} was never that"
            );
        }
        if round % 3 == 2 {
            let ran = mirror.sync(&flags).expect_code(0);
            assert_eq!(
                ran.events("mirror")[0]["notes"],
                serde_json::json!([]),
                "round {round}"
            );
            assert_eq!(
                mirror.stored(),
                digests(mirror.scene.tree.path()),
                "round {round}"
            );
            for name in versions.keys() {
                let open = mirror.scene.oracle().open_uploads(&format!("p/{name}"));
                assert_eq!(open, 0, "round {round}: uploads of {name}");
            }
        }
    }
}

fn a_restore_that_is_killed_leaves_no_half_file_and_goes_on(kind: Kind) {
    let mirror = Mirror::on(kind, "restore-kills");
    let mut random = fastrand::Rng::with_seed(SEED + 1);
    let mut versions = BTreeMap::new();
    for _ in 0..6 {
        change(&mirror, &mut random, &mut versions);
    }
    mirror.scene.tree.file("large", content(&mut random, 40 * MIB));
    mirror.sync(&[]).expect_code(0);
    let expected = digests(mirror.scene.tree.path());
    let dest = mirror.elsewhere();
    let restore = || {
        let mut command = mirror.scene.server.s3haul();
        command.env("XDG_STATE_HOME", dest.with_extension("state"));
        command.arg("restore").arg(mirror.scene.target("p/")).arg(&dest);
        command.args(["--part-size", "5MiB", "--concurrency", "4"]);
        command
    };
    for round in 0..kills() {
        kill_at_random(&mut restore(), &mut random);
        let _ = fs::create_dir(&dest);
        for (name, digest) in digests(&dest) {
            if !name.contains(".s3haul-") {
                assert_eq!(Some(&digest), expected.get(&name), "round {round}: {name}");
            }
        }
        if round % 3 == 2 {
            run(&mut restore()).expect_code(0);
            assert_eq!(
                digests(&dest),
                expected,
                "round {round}: and nothing else is left"
            );
            fs::remove_dir_all(&dest).expect("removed");
        }
    }
}
