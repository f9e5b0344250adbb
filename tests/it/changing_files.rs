//! Files that change while they are read: whole or not at all, never torn.

use std::fs;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::env::{Ran, run};
use crate::scene::{MIB, Scene, delay, spawn};

#[test]
fn a_file_that_changes_never_becomes_a_torn_object() {
    for (size, limit) in [(2 * MIB, "16MiB"), (12 * MIB, "5MiB")] {
        let scene = Scene::new("torn");
        let path = scene.tree.file("busy", vec![b'a'; size]);
        scene.tree.file("calm", "calm");
        scene.set_faults(vec![delay("UploadPart", 150)]);
        let stop = AtomicBool::new(false);
        let ran = std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut letter = b'a';
                while !stop.load(Ordering::Relaxed) {
                    letter = if letter == b'z' { b'a' } else { letter + 1 };
                    // In place, same size: only the times of the file tell.
                    let mut file = fs::OpenOptions::new().write(true).open(&path).expect("open");
                    file.write_all(&vec![letter; size]).expect("write");
                }
            });
            let sizes = ["--part-size", "5MiB", "--multipart-threshold", limit];
            let ran = run(&mut scene.cp("", &sizes));
            stop.store(true, Ordering::Relaxed);
            ran
        });
        let oracle = scene.oracle();
        if ran.code == 3 {
            let error = &ran.events("error")[0];
            assert_eq!(error["failure"]["kind"], "changed", "{error}");
            assert!(!oracle.exists("busy"), "nothing torn is left under the key");
        } else {
            let content = oracle.read("busy");
            assert!(
                content.iter().all(|byte| *byte == content[0]),
                "a torn object is in the bucket"
            );
        }
        assert!(oracle.exists("calm"));
        scene.assert_nothing_open();
    }
}

/// A log that is written to all the time: slowly sent it would never be the same at the end.
#[test]
fn a_file_that_never_settles_is_read_at_once_on_the_second_try() {
    let scene = Scene::new("log");
    let path = scene.tree.file("log", vec![b'a'; 2 * MIB]);
    let stop = AtomicBool::new(false);
    let ran = std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).expect("open");
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(std::time::Duration::from_millis(100));
                file.write_all(b"b").expect("append");
            }
        });
        let ran = run(&mut scene.cp("", &["--bwlimit", "4MiB/s"]));
        stop.store(true, Ordering::Relaxed);
        ran
    });
    let ran = ran.expect_code(0);
    assert!(ran.events("file")[0]["attempts"].as_u64().unwrap() > 1);
    let content = scene.oracle().read("log");
    assert_eq!(content[..2 * MIB], vec![b'a'; 2 * MIB]);
    assert!(content[2 * MIB..].iter().all(|byte| *byte == b'b'));
}

#[test]
fn a_file_that_settles_is_uploaded_on_a_later_try() {
    let scene = Scene::new("settle");
    let path = scene.tree.file("log", vec![b'a'; 12 * MIB]);
    scene.set_faults(vec![delay("UploadPart", 200)]);
    let child = spawn(&mut scene.cp_in_small_parts(&[]));
    scene.wait_for_request("UploadPart");
    let mut file = fs::OpenOptions::new().append(true).open(&path).expect("open");
    file.write_all(&vec![b'b'; MIB]).expect("append");
    let ran = Ran::from(child.wait_with_output().expect("ends")).expect_code(0);
    assert!(ran.events("file")[0]["attempts"].as_u64().unwrap() > 1);
    scene.assert_whole();
}
