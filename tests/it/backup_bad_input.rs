//! What is wrong about jobs is said: what, where, and what to do.

use std::fs;

use crate::backup_job::Job;
use crate::env::Kind;
use crate::scene::{delay, spawn};

/// Writes a whole file of jobs and runs; what it said, and its exit code is this.
fn said(job: &Job, text: &str, words: &[&str], code: i32) -> String {
    fs::write(job.place.path().join("jobs.toml"), text).expect("written");
    let ran = job.does(words).expect_code(code);
    assert!(ran.stderr.contains("error: "), "{}", ran.stderr);
    ran.stderr
}

#[test]
fn a_file_of_jobs_is_refused_with_the_place_of_what_is_wrong() {
    let job = Job::on(Kind::Embedded, "jobs");
    let tree = "[jobs.tree]\nsources = [\"/tmp\"]\n";
    let run = &["backup", "run", "tree"][..];
    let huge = format!("# {}\n", "x".repeat(2 << 20));
    for (text, says) in [
        (
            format!("{tree}target = \"s3://bucket/p/\"\ncolour = 1\n"),
            "jobs.toml:4:1: 'colour'",
        ),
        (
            format!("{tree}target = \"s3://bucket/p/\"\nretries = \"x\"\n"),
            "jobs.toml:4:11:",
        ),
        (
            format!("{tree}target = \"s3://bucket/p/\"\nschedule = \"61 * * * *\"\n"),
            "at letter 1: '61' is no minute",
        ),
        (format!("{tree}target = \"s3://bucket\"\n"), "has no prefix"),
        (format!("{tree}target = \"s3://b/../x\"\n"), "jobs.toml:3:10:"),
        ("[jobs.\"a/b\"]\n".to_owned(), "'a/b' is no name of a job"),
        ("[jobs.-x]\n".to_owned(), "'-x' is no name of a job"),
        (
            format!("{tree}target = \"s3://bucket/p/\"\nkeep-daily = \"7\"\n"),
            "jobs.toml:4:14: 'keep-daily' is a number",
        ),
        (
            format!("{tree}target = \"s3://bucket/p/\"\nkeep-daily = [7]\n"),
            "'keep-daily' is one value",
        ),
        (
            format!("{tree}target = \"s3://bucket/p/\"\nstate-dir = \"here\"\n"),
            "jobs.toml:4:13: state directory 'here' is not an absolute path",
        ),
        (
            format!(
                "{tree}target = \"s3://bucket/p/\"\n[jobs.b]\nsources = [\"/tmp\"]\ntarget = \"s3://bucket/p\"\n"
            ),
            "has the target of job 'tree'",
        ),
        ("jobs = 1\n".to_owned(), "jobs are tables"),
        ("[jobs.tree\n".to_owned(), "jobs.toml:1:"),
        (huge, "larger than any file of jobs"),
    ] {
        let stderr = said(&job, &text, run, 1);
        assert!(stderr.contains(says), "{says}: {stderr}");
    }
    fs::remove_file(job.place.path().join("jobs.toml")).expect("removed");
    let stderr = job.does(run).expect_code(1).stderr;
    assert!(stderr.contains("--config"), "{stderr}");
}

#[test]
fn what_is_not_there_is_named() {
    let job = Job::on(Kind::Embedded, "absent");
    job.scene.tree.file("src/a", "a");
    let unknown = job.does(&["backup", "run", "nobody"]).expect_code(2);
    assert!(
        unknown.stderr.contains("the jobs are: tree"),
        "{}",
        unknown.stderr
    );
    for words in [
        &["restore", "tree@latest", "/nowhere/x"][..],
        &["backup", "ls", "tree"],
        &["backup", "verify", "tree"],
        &["backup", "diff", "tree@latest"],
    ] {
        let ran = job.does(words).expect_code(10);
        assert!(ran.stderr.contains("there is no snapshot yet"), "{}", ran.stderr);
    }
    job.snapshot();
    let ran = job.does(&["backup", "ls", "tree@ffff"]).expect_code(10);
    assert!(ran.stderr.contains("'ffff'"), "{}", ran.stderr);
    job.does(&["backup", "ls", "tree@ü"]).expect_code(2);
    job.does(&["backup", "ls", "tree", "src/none"]).expect_code(10);
    job.says("require-file = \"/nowhere/.mounted\"\n");
    let ran = job.does(&["backup", "run", "tree"]).expect_code(6);
    assert!(ran.stderr.contains("mounted"), "{}", ran.stderr);
    job.says("");
    fs::remove_dir_all(job.scene.tree.path().join("src")).expect("removed");
    let ran = job.does(&["backup", "run", "tree"]).expect_code(1);
    assert!(ran.stderr.contains("does not exist"), "{}", ran.stderr);
    assert_eq!(
        job.snapshots().len(),
        1,
        "a source that is gone makes no snapshot"
    );
}

#[test]
fn a_target_is_of_one_job_and_of_one_run_at_a_time() {
    let job = Job::on(Kind::Embedded, "one");
    job.scene.tree.file("src/a", "a");
    job.snapshot();
    let jobs = job.place.path().join("jobs.toml");
    let text = fs::read_to_string(&jobs).expect("jobs");
    let stderr = said(
        &job,
        &text.replace("jobs.tree", "jobs.other"),
        &["backup", "run", "other"],
        2,
    );
    assert!(stderr.contains("the snapshots of job 'tree'"), "{stderr}");
    fs::write(&jobs, text).expect("written");
    job.scene.tree.file("src/b", "b");
    job.scene.set_faults(vec![delay("PutObject", 1_500)]);
    let mut first = spawn(&mut job.command(&["backup", "run", "tree"]));
    std::thread::sleep(std::time::Duration::from_millis(500));
    let second = job.does(&["backup", "run", "tree"]).expect_code(11);
    assert!(second.stderr.contains("--wait-lock"), "{}", second.stderr);
    assert_eq!(first.wait().expect("ended").code(), Some(0));
    job.scene.set_faults(Vec::new());
    assert_eq!(job.snapshots().len(), 2);
}

#[test]
fn a_source_that_was_emptied_makes_no_snapshot_unless_that_is_meant() {
    let job = Job::on(Kind::Embedded, "emptied");
    let other = job.place.path().join("other");
    fs::create_dir(&other).expect("made");
    job.scene.tree.file("src/a", "a");
    let sources = |more: &str| {
        let text = format!(
            "[jobs.tree]\nsources = [{:?}, {other:?}]\ntarget = \"{}\"\n{more}",
            job.scene.tree.path().join("src"),
            job.scene.target("b/")
        );
        fs::write(job.place.path().join("jobs.toml"), text).expect("written");
    };
    sources("");
    job.snapshot();
    job.snapshot();
    // The other source had no file before either.
    fs::remove_file(job.scene.tree.path().join("src/a")).expect("removed");
    let ran = job.does(&["backup", "run", "tree"]).expect_code(6);
    assert!(
        ran.stderr.contains("had some in the last snapshot"),
        "{}",
        ran.stderr
    );
    assert_eq!(job.snapshots().len(), 2);
    sources("allow-empty-source = true\n");
    job.snapshot();
    sources("require-file = \".mounted\"\n");
    fs::write(other.join(".mounted"), "").expect("written");
    job.does(&["backup", "run", "tree"]).expect_code(6);
    fs::write(job.scene.tree.path().join("src/.mounted"), "").expect("written");
    job.snapshot();
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let job = Job::on(Kind::Embedded, "together");
    job.scene.tree.file("src/a", "a");
    job.does(&["backup", "run", "tree", "--forget"]).expect_code(2);
    job.snapshot();
    let ran = job.does(&["restore", "tree", "s3://bucket/x"]).expect_code(2);
    assert!(ran.stderr.contains("is none"), "{}", ran.stderr);
    fs::write(job.place.path().join("jobs.toml"), "").expect("written");
    for words in [
        &["backup", "status"][..],
        &["backup", "list"],
        &["backup", "daemon"],
    ] {
        let ran = job.does(words).expect_code(1);
        assert!(ran.stderr.contains("there is no job in"), "{}", ran.stderr);
    }
}
