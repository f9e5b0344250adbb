//! Files that nobody looked at before they were opened, because a sample of them was small.

use std::collections::BTreeSet;
use std::fs;

use crate::env::{digests, random, run};
use crate::scene::{MIB, SMALL_PARTS, Scene, delay};
use crate::strategies::STRATEGIES;

/// More than the sample.
const SMALL_FILES: usize = 100;

/// Small files in one directory, a large one in another that is walked later.
fn scene() -> Scene {
    let scene = Scene::new("presumed");
    for number in 0..SMALL_FILES {
        scene.tree.file(&format!("small/f{number}"), random(100));
    }
    scene.tree.file("then/large", random(21 * MIB));
    scene
}

/// Uploads the two directories in this order.
fn flags(strategy: &str, scene: &Scene, prefix: &str) -> Vec<String> {
    let path = |name: &str| scene.tree.path().join(name).display().to_string();
    let mut words: Vec<String> = [
        "cp",
        "--output",
        "json",
        "--concurrency",
        "4",
        "--strategy",
        strategy,
    ]
    .iter()
    .chain(&SMALL_PARTS)
    .map(ToString::to_string)
    .collect();
    words.extend([path("small"), path("then"), scene.target(prefix)]);
    words
}

#[test]
fn a_large_one_goes_up_in_parts_and_the_sums_are_exact() {
    let scene = scene();
    let bytes = (SMALL_FILES * 100 + 21 * MIB) as u64;
    for strategy in STRATEGIES {
        let prefix = format!("{strategy}/");
        let ran = run(scene.server.s3haul().args(flags(strategy, &scene, &prefix))).expect_code(0);
        let totals = &ran.summary()["totals"];
        assert_eq!(
            (&totals["bytes_discovered"], &totals["bytes_done"]),
            (&bytes.into(), &bytes.into()),
            "{strategy}"
        );
        assert_eq!(
            scene.oracle().digests(&prefix),
            digests(scene.tree.path()),
            "{strategy}"
        );
    }
    assert_eq!(scene.requests("UploadPart"), 5 * STRATEGIES.len() as u64);
    scene.assert_nothing_open();
}

#[test]
fn all_workers_take_part_in_a_large_one() {
    for strategy in ["threads", "async", "processes", "hybrid"] {
        let scene = scene();
        scene.set_faults(vec![delay("UploadPart", 300)]);
        run(scene.server.s3haul().args(flags(strategy, &scene, ""))).expect_code(0);
        let log = scene.server.handle().request_log();
        let parts = log.iter().filter(|entry| entry.kind == "UploadPart");
        let connections: BTreeSet<u64> = parts.map(|entry| entry.connection).collect();
        assert_eq!(connections.len(), 4, "{strategy}");
    }
}

#[test]
fn one_that_cannot_be_read_is_told_and_counted_with_nothing() {
    let scene = scene();
    fs::remove_file(scene.tree.path().join("then/large")).expect("removed");
    let list = scene.tree.file("list", "small/f0\nthen/gone\n");
    let ran = run(scene.server.s3haul().args(flags("async", &scene, ""))).expect_code(0);
    let totals = &ran.summary()["totals"];
    assert_eq!(totals["bytes_discovered"], 100 * SMALL_FILES, "{totals}");
    let listed = ["--files-from", list.to_str().expect("text")];
    let ran = run(&mut scene.cp("again/", &listed)).expect_code(3);
    assert_eq!(ran.summary()["totals"]["bytes_discovered"], 100);
}
