//! `backup daemon`: what was missed, a reload, an end in order; and no secret anywhere.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::backup_job::Job;
use crate::env::Kind;
use crate::scene::{delay, spawn, wait_until};

fn tell(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("told");
}

/// What systemd would hear next.
fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1_000];
    let length = socket.recv(&mut buffer).expect("somebody tells something");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Where it is noted what the last run came to.
fn note(job: &Job) -> std::path::PathBuf {
    let state = job.place.path().join("state/s3haul");
    let notes = fs::read_dir(state)
        .expect("a state")
        .map(|entry| entry.expect("entry").path());
    let mut notes = notes.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    notes.next().expect("a note of the last run")
}

#[test]
fn a_daemon_makes_up_for_what_was_missed_reads_jobs_again_and_stops_in_order() {
    let job = Job::on(Kind::Embedded, "daemon");
    // Once a year: what it does now is what it has missed.
    job.says("schedule = \"0 0 1 1 *\"\nkeep-last = 1\n");
    job.scene.tree.file("src/a", "a");
    job.snapshot();
    job.snapshot();
    let noted = fs::read_to_string(note(&job)).expect("noted");
    let mut run: serde_json::Value = serde_json::from_str(&noted).expect("JSON");
    run["begun"] = "2024-06-01T00:00:00Z".into();
    fs::write(note(&job), run.to_string()).expect("written");
    let path = job.place.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let mut command = job.command(&["backup", "daemon"]);
    let mut daemon = spawn(command.env("NOTIFY_SOCKET", &path));
    assert!(heard(&socket).contains("READY=1"));
    assert!(heard(&socket).contains("running tree"));
    assert!(heard(&socket).contains("waiting"));
    assert_eq!(job.snapshots().len(), 1, "once, and two were forgotten");
    // A file that is wrong changes nothing; one that is right does.
    job.says("schedule = \"61 * * * *\"\n");
    tell(&daemon, Signal::HUP);
    assert!(heard(&socket).contains("RELOADING=1"));
    assert!(heard(&socket).contains("READY=1"));
    job.says("schedule = \"* * * * *\"\n");
    tell(&daemon, Signal::HUP);
    assert!(heard(&socket).contains("RELOADING=1"));
    assert!(heard(&socket).contains("READY=1"));
    // The last run was in this minute or the one before; the next one is due within 60 s. In its middle it is told to stop.
    job.scene.set_faults(vec![delay("PutObject", 3_000)]);
    job.scene.tree.file("src/new", "new");
    socket
        .set_read_timeout(Some(Duration::from_secs(70)))
        .expect("set");
    assert!(heard(&socket).contains("running tree"));
    std::thread::sleep(Duration::from_millis(500));
    tell(&daemon, Signal::TERM);
    let since = Instant::now();
    assert_eq!(daemon.wait().expect("ended").code(), Some(0));
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "it did not wait for the server"
    );
    job.scene.set_faults(Vec::new());
    assert_eq!(job.snapshots().len(), 1);
    wait_until("the end of all uploads", || {
        job.scene
            .server
            .handle()
            .open_uploads()
            .expect("listing")
            .is_empty()
    });
}

#[test]
fn a_daemon_without_a_schedule_says_so() {
    let job = Job::on(Kind::Embedded, "idle");
    let ran = job.does(&["backup", "daemon"]).expect_code(2);
    assert!(ran.stderr.contains("no job has a schedule"), "{}", ran.stderr);
}

#[test]
fn no_secret_of_a_job_is_written_anywhere() {
    let job = Job::on(Kind::Embedded, "canary");
    let secret = job.scene.server.secret_key.clone();
    let canary = "canary-in-a-url-7391";
    job.says(&format!("ping-url = \"http://127.0.0.1:9/{canary}\"\n"));
    job.scene.tree.file("src/a", "a");
    let log = job.place.path().join("log");
    let mut texts = Vec::new();
    for words in [
        &["backup", "run", "tree"][..],
        &["backup", "verify", "tree", "--read", "100%"],
        &["backup", "status"],
        &["backup", "prune", "tree"],
        &["restore", "tree", "DEST"],
        &["backup", "run", "nobody"],
    ] {
        let dest = job.place.path().join("dest");
        let words: Vec<&str> = words
            .iter()
            .map(|word| {
                if *word == "DEST" {
                    dest.to_str().expect("UTF-8")
                } else {
                    word
                }
            })
            .collect();
        let mut command = job.command(&words);
        command
            .args(["-vv", "--log-file"])
            .arg(&log)
            .env("RUST_LOG", "trace");
        let ran = crate::env::run(&mut command);
        texts.push(ran.stdout + &ran.stderr);
    }
    texts.push(fs::read_to_string(&log).expect("a log"));
    let mut ways = vec![job.place.path().join("state")];
    while let Some(way) = ways.pop() {
        for entry in fs::read_dir(way).expect("readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                ways.push(path);
            } else {
                texts.push(String::from_utf8_lossy(&fs::read(path).expect("read")).into_owned());
            }
        }
    }
    let oracle = job.scene.oracle();
    for key in oracle.keys("b/") {
        let content = oracle.read(&key);
        let content = zstd::decode_all(&content[..]).unwrap_or(content);
        texts.push(String::from_utf8_lossy(&content).into_owned());
    }
    for text in &texts {
        assert!(!text.contains(&secret) && !text.contains(canary), "{text}");
    }
    let note = texts[0].contains("chmod 600");
    assert!(
        note,
        "others can read the file of jobs, and it may have a secret: {}",
        texts[0]
    );
}
