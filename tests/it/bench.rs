//! The bench measures what it says, refuses what it should, and leaves nothing behind. Speed is never judged here.

use std::path::PathBuf;
use std::time::Duration;

use s3haul::bench::cell::Cell;
use s3haul::bench::compare::compare;
use s3haul::bench::plan::{GroupPlan, Plan};
use s3haul::bench::profile::Profile;
use s3haul::bench::report::{CellResult, Report, Role, Verdict};
use s3haul::bench::run::{Note, Watcher, run};
use s3haul::bench::servers::ServerChoice;
use s3haul::bench::workload::WorkloadSpec;
use s3haul::config::{ClientMode, FixedCredentials, Secret, StoreSettings, StrategyKind};
use s3haul::server::FaultAction;
use tokio_util::sync::CancellationToken;

use crate::scene::{Scene, delay, rule, wait_until};

/// Hears nothing.
struct Deaf;

impl Watcher for Deaf {
    fn notify(&mut self, _note: &Note) {}
}

/// Calls something when an arm of a block begins.
struct AtArm<F>(F);

impl<F: FnMut(usize)> Watcher for AtArm<F> {
    fn notify(&mut self, note: &Note) {
        if let Note::Arm { block, .. } = note {
            (self.0)(*block);
        }
    }
}

/// A plan for a few files of the scene's tree: short arms, two blocks, a debug build.
fn plan(scene: &Scene, profile: Profile, cells: Vec<Cell>) -> Plan {
    let settings = StoreSettings {
        endpoint_url: Some(scene.server.url.clone()),
        region: Some("us-east-1".to_owned()),
        credentials: Some(FixedCredentials {
            access_key: scene.server.access_key.clone(),
            secret_key: Secret::new(scene.server.secret_key.clone()),
        }),
        ..StoreSettings::default()
    };
    let workload = WorkloadSpec::directory(scene.tree.path().to_owned()).whole();
    Plan {
        groups: vec![GroupPlan::new(workload, profile, cells)],
        server: ServerChoice::Endpoint(settings),
        bucket: scene.bucket.clone(),
        blocks: 2,
        quick: true,
        seed: 1,
        max_time: None,
        work_dir: None,
        program: PathBuf::from(env!("CARGO_BIN_EXE_s3haul")),
        keep: false,
        objects_csv: None,
        allows_debug: true,
        preset: None,
    }
}

fn scene(topic: &str, files: usize) -> Scene {
    let scene = Scene::new(topic);
    scene.tree.many(files, 100);
    scene
}

fn measured(plan: &Plan) -> Report {
    run(plan, &CancellationToken::new(), &mut Deaf).expect("a report")
}

fn cell<'a>(report: &'a Report, label: &str) -> &'a CellResult {
    let found = report.groups[0]
        .cells
        .iter()
        .find(|cell| cell.label == label && cell.role != Role::Twin);
    found.unwrap_or_else(|| panic!("{label}"))
}

/// Codes of what makes a cell invalid.
fn refusals(cell: &CellResult) -> Vec<&str> {
    match &cell.verdict {
        Verdict::Invalid { findings } => findings.iter().map(|finding| finding.code.as_str()).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_strategy_is_measured_verified_and_cleaned_up_after() {
    let scene = scene("bench", 40);
    let oracle = scene.oracle();
    let theirs = oracle.client.put_object().bucket(&scene.bucket).key("theirs");
    oracle.block_on(theirs.send()).expect("stored");
    let cells = vec![
        Cell::new(StrategyKind::Threads, 4),
        Cell::new(StrategyKind::Sequential, 4),
        Cell::new(StrategyKind::Async, 4).on_loops(1),
        Cell::new(StrategyKind::Chunked, 4),
        Cell::new(StrategyKind::ThreadPerFile, 4).with_client(ClientMode::PerUpload),
        Cell::new(StrategyKind::Processes, 2),
        Cell::new(StrategyKind::Hybrid, 4).in_processes(2),
        Cell::automatic(),
    ];
    let report = measured(&plan(&scene, Profile::Raw, cells.clone()));
    assert!(!report.is_invalid() && !report.partial, "{report:#?}");
    let group = &report.groups[0];
    assert_eq!(group.cells.len(), cells.len() + 1, "and the baseline once more");
    for cell in &group.cells {
        assert_eq!(cell.arms.len(), 2, "{}", cell.label);
        let figures = cell.figures.as_ref().expect("figures");
        assert_eq!((cell.objects_per_job, cell.bytes_per_job), (40, 4_000));
        assert!(figures.makespan.estimate > 0.0 && figures.client_cpu_per_object > 0.0);
        assert!(
            cell.latencies.service.count >= 80 && cell.latencies.connect.count > 0,
            "{}",
            cell.label
        );
        for arm in &cell.arms {
            assert!(arm.peak_rss_bytes > 1 << 20 && arm.mean_in_flight > 0.0);
            assert!(
                arm.mean_in_flight <= arm.peak_in_flight as f64 * 1.05,
                "{}: {arm:?}",
                cell.label
            );
        }
    }
    assert_eq!(cell(&report, "sequential").arms[0].peak_in_flight, 1);
    assert_eq!(cell(&report, "threads x4").arms[0].workers, 4);
    assert_eq!(cell(&report, "thread-per-file x4 per-upload").arms[0].workers, 40);
    assert!(cell(&report, "thread-per-file x4 per-upload").arms[0].connections >= 40);
    assert_eq!(
        oracle.keys(""),
        ["theirs"],
        "what was uploaded is gone, and nothing else"
    );
    let orders: std::collections::BTreeSet<usize> = group
        .cells
        .iter()
        .flat_map(|cell| cell.arms.iter().map(|arm| arm.order))
        .collect();
    assert_eq!(
        orders,
        (1..=2 * (cells.len() + 1)).collect(),
        "each place in the run once"
    );
}

#[test]
fn the_relay_counts_and_its_latency_binds() {
    let scene = scene("bench-relay", 60);
    let cells = vec![
        Cell::new(StrategyKind::Threads, 4),
        Cell::new(StrategyKind::Async, 4),
    ];
    let report = measured(&plan(&scene, Profile::Region, cells));
    assert!(!report.is_invalid(), "{report:#?}");
    let achieved = report.groups[0].profile.achieved.expect("a relay");
    assert!(achieved.latency_mean >= 0.025, "{achieved:?}");
    for cell in &report.groups[0].cells {
        let arm = &cell.arms[0];
        assert!(arm.bytes_at_relay > arm.bytes && arm.answers >= 60, "{arm:?}");
        assert!((4..=5).contains(&arm.connections), "{arm:?}");
        assert!(
            arm.makespans[0] >= 60.0 * 0.025 / 4.0,
            "no less than latency allows"
        );
        let model = cell.model.expect("a model");
        assert!(
            model.makespan >= 60.0 * 0.025 / 4.0 && model.reached > 0.0,
            "{model:?}"
        );
    }
}

#[test]
fn a_retried_request_a_lost_object_and_a_failed_one_are_refused_each_by_its_name() {
    let refused = |action: FaultAction, times: u64| {
        let scene = scene("bench-refused", 30);
        let plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Threads, 4)]);
        let mut faults = Some(vec![rule("PutObject", Some(times), action)]);
        // In a block, where it counts.
        let mut at_arm = AtArm(|block| {
            if block == 2
                && let Some(faults) = faults.take()
            {
                scene.set_faults(faults);
            }
        });
        let report = run(&plan, &CancellationToken::new(), &mut at_arm).expect("a report");
        assert!(report.is_invalid());
        let cells = &report.groups[0].cells;
        let codes: Vec<String> = cells.iter().flat_map(refusals).map(str::to_owned).collect();
        assert!(cells.iter().any(|cell| cell.ratio.is_none()));
        codes
    };
    assert_eq!(refused(FaultAction::SlowDown, 1), ["retries"]);
    let denied = FaultAction::Error {
        status: 400,
        code: "InvalidRequest".to_owned(),
        body: None,
        content_type: None,
    };
    assert!(refused(denied, 1).contains(&"failed-objects".to_owned()));
}

#[test]
fn an_object_that_is_gone_before_it_is_verified_is_missed() {
    let scene = scene("bench-gone", 30);
    scene.set_faults(vec![delay("PutObject", 30)]);
    let plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Threads, 4)]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        // Somebody deletes whatever they find first.
        scope.spawn(|| {
            let oracle = scene.oracle();
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let keys = oracle.keys("s3haul-bench-");
                if let Some(key) = keys.iter().find(|key| key.contains("raw-001-")) {
                    let delete = oracle.client.delete_object().bucket(&scene.bucket).key(key);
                    oracle.block_on(delete.send()).expect("deleted");
                }
            }
        });
        let report = run(&plan, &CancellationToken::new(), &mut Deaf);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        report
    });
    let report = report.expect("a report");
    let codes: Vec<&str> = report.groups[0].cells.iter().flat_map(refusals).collect();
    assert!(codes.contains(&"not-verified"), "{codes:?}");
}

#[test]
fn a_killed_worker_makes_an_arm_invalid() {
    let scene = scene("bench-killed", 200);
    scene.set_faults(vec![delay("PutObject", 20)]);
    let plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Processes, 2)]);
    let over = std::sync::atomic::AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                kill_a_worker();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let report = run(&plan, &CancellationToken::new(), &mut AtArm(|_| {}));
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        report
    });
    let report = report.expect("a report");
    let codes: Vec<&str> = report.groups[0].cells.iter().flat_map(refusals).collect();
    assert!(codes.contains(&"not-joined"), "{codes:?}");
}

/// Kills a worker process of one of our own arms, if there is one.
fn kill_a_worker() {
    use procfs::process::all_processes;
    let own = std::process::id();
    let parent = |pid: i32| {
        procfs::process::Process::new(pid)
            .and_then(|process| process.stat())
            .map(|stat| stat.ppid)
    };
    let runs_as = |pid: i32, word: &str| {
        let line = procfs::process::Process::new(pid).and_then(|process| process.cmdline());
        line.is_ok_and(|line| line.get(1).is_some_and(|second| second == word))
    };
    for process in all_processes().expect("/proc").flatten() {
        let is_worker = runs_as(process.pid(), "__worker");
        let arm = parent(process.pid()).unwrap_or(0);
        let is_worker = is_worker && runs_as(arm, "__bench");
        if is_worker && parent(arm).is_ok_and(|bench| u32::try_from(bench) == Ok(own)) {
            let pid = rustix::process::Pid::from_raw(process.pid()).expect("a pid");
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            return;
        }
    }
}

#[test]
fn what_was_measured_before_it_was_stopped_is_kept_and_marked() {
    let scene = scene("bench-stopped", 30);
    let plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Threads, 4)]);
    let cancel = CancellationToken::new();
    let mut at_arm = AtArm(|block| {
        if block == 2 {
            cancel.cancel();
        }
    });
    let report = run(&plan, &cancel, &mut at_arm).expect("what was measured");
    assert!(report.partial);
    assert_eq!(report.groups[0].cells[0].arms.len(), 1);
    assert!(
        scene.oracle().keys("s3haul-bench-").is_empty(),
        "nothing is left behind"
    );
}

#[test]
fn a_server_that_dies_in_the_middle_ends_the_run_with_what_was_measured() {
    let mut scene = scene("bench-dies", 30);
    let plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Threads, 4)]);
    let mut server = scene.server.embedded.take();
    let mut at_arm = AtArm(|block| {
        if block == 2
            && let Some(server) = server.take()
        {
            server.shutdown();
        }
    });
    let report = run(&plan, &CancellationToken::new(), &mut at_arm).expect("what was measured");
    assert!(report.partial && report.is_invalid());
}

/// 100 objects at 50 ms, ten at a time: half a second, and not less. How much more is for `benches/harness` to say.
#[test]
fn a_known_latency_is_found() {
    let scene = scene("bench-known", 100);
    scene.set_faults(vec![delay("PutObject", 50)]);
    let report = measured(&plan(
        &scene,
        Profile::Raw,
        vec![Cell::new(StrategyKind::Threads, 10)],
    ));
    assert!(!report.is_invalid(), "{report:#?}");
    let cell = &report.groups[0].cells[0];
    assert!(cell.figures.as_ref().expect("figures").makespan.low >= 0.5);
    assert!(cell.latencies.ack_wait.p50.expect("answers") >= 0.05);
    let in_flight = cell.figures.as_ref().expect("figures").mean_in_flight;
    assert!(in_flight > 5.0 && in_flight <= 10.0, "{in_flight}");
}

#[test]
fn lanes_are_as_long_as_the_work_and_no_worker_does_two_things_at_once() {
    let scene = scene("bench-lanes", 60);
    let mut plan = plan(
        &scene,
        Profile::Lan,
        vec![
            Cell::new(StrategyKind::Threads, 4),
            Cell::new(StrategyKind::Async, 4).on_loops(1),
            Cell::new(StrategyKind::Hybrid, 4).in_processes(2),
        ],
    );
    // What is looked at closely is no part of a quick run.
    plan.quick = false;
    plan.blocks = 1;
    let report = measured(&plan);
    for cell in &report.groups[0].cells {
        if cell.role == Role::Twin {
            assert!(cell.lanes.is_none());
            continue;
        }
        let lanes = cell.lanes.as_ref().unwrap_or_else(|| panic!("{}", cell.label));
        assert_eq!((lanes.workers, lanes.lanes.len()), (4, 4), "{}", cell.label);
        let objects: usize = lanes.lanes.iter().map(|lane| lane.spans.len()).sum();
        assert_eq!(objects, 60, "{}", cell.label);
        for lane in &lanes.lanes {
            let mut end = 0.0;
            for span in &lane.spans {
                assert!(
                    span.begin >= end - 1e-6,
                    "{}: {span:?} begins before {end}",
                    cell.label
                );
                assert!(span.on_cpu + span.waiting_for_cpu <= span.length + 1e-6);
                end = span.begin + span.length;
            }
            let busy: f64 = lane.spans.iter().map(|span| span.length).sum();
            assert!(
                busy >= 0.5 * lanes.wall,
                "{}: {busy} of {}",
                cell.label,
                lanes.wall
            );
            assert!(
                end <= lanes.wall * 1.02,
                "{}: {end} of {}",
                cell.label,
                lanes.wall
            );
        }
    }
}

#[test]
fn a_report_compared_with_itself_is_one_everywhere_and_another_is_refused() {
    let scene = scene("bench-compare", 30);
    let cells = vec![
        Cell::new(StrategyKind::Threads, 4),
        Cell::new(StrategyKind::Sequential, 1),
    ];
    let report = measured(&plan(&scene, Profile::Raw, cells.clone()));
    let text = serde_json::to_vec(&report).expect("JSON");
    let read = s3haul::bench::compare::read(&text).expect("read again");
    assert_eq!(read, report);
    let same = compare(&report, &read);
    assert!(same.refusals.is_empty() && same.missing.is_empty());
    assert_eq!(same.rows.len(), 3);
    for row in &same.rows {
        let interval = row.ratio.interval;
        assert_eq!((interval.low, interval.estimate, interval.high), (1.0, 1.0, 1.0));
    }
    scene.tree.file("one-more", "x");
    let other = measured(&plan(&scene, Profile::Raw, cells));
    let refusals = compare(&report, &other).refusals;
    assert!(
        refusals
            .iter()
            .any(|refusal| refusal.contains("files are not the same")),
        "{refusals:?}"
    );
    let mut newer: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    newer["v"] = 2.into();
    let why = s3haul::bench::compare::read(newer.to_string().as_bytes()).expect_err("another version");
    assert!(why.contains("version 2"), "{why}");
}

/// Ten times as many names, and the same memory.
#[test]
fn memory_stays_flat_however_many_names_there_are() {
    let scene = scene("bench-lazy", 1);
    let peak = |names| {
        let mut plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Async, 4)]);
        plan.groups[0].workload = WorkloadSpec::lazy(names);
        plan.blocks = 1;
        let report = measured(&plan);
        assert!(!report.is_invalid(), "{report:#?}");
        let arm = &report.groups[0].cells[0].arms[0];
        assert!(
            arm.first_done < arm.walk_over,
            "the first upload does not wait for the walk"
        );
        arm.peak_rss_bytes as f64
    };
    let (few, many) = (peak(10_000), peak(100_000));
    assert!(many <= few * 1.10, "{few} and {many}");
}

#[test]
fn objects_are_listed_as_csv_each_once() {
    let scene = scene("bench-csv", 20);
    let directory = tempfile::tempdir().expect("a directory");
    let csv = directory.path().join("objects.csv");
    let mut plan = plan(&scene, Profile::Raw, vec![Cell::new(StrategyKind::Threads, 4)]);
    plan.objects_csv = Some(csv.clone());
    measured(&plan);
    let text = std::fs::read_to_string(csv).expect("written");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("workload,profile,cell,block,job,key,"));
    assert_eq!(lines.len(), 1 + 2 * 2 * 20, "two cells, two blocks");
    let fields = lines[0].split(',').count();
    assert!(lines.iter().all(|line| line.split(',').count() == fields));
}

#[test]
fn helpers_end_with_the_bench_also_when_it_is_killed() {
    let tree = crate::env::Tree::new();
    tree.many(20, 10);
    let scratch = tempfile::tempdir().expect("a directory");
    let mut command = crate::env::binary();
    command
        .args([
            "bench",
            "--allow-debug-build",
            "--endpoint-url",
            "embedded",
            "--profile",
            "region",
            "--strategies",
            "threads",
        ])
        .arg("--workload")
        .arg(tree.path())
        .arg("--work-dir")
        .arg(scratch.path());
    let mut child = crate::scene::spawn(&mut command);
    let helpers = |parent: u32| -> Vec<i32> {
        let all = procfs::process::all_processes().expect("/proc").flatten();
        let of_parent = all.filter(|process| {
            process
                .stat()
                .is_ok_and(|stat| u32::try_from(stat.ppid) == Ok(parent))
        });
        of_parent.map(|process| process.pid()).collect()
    };
    wait_until("server, relay and an arm", || helpers(child.id()).len() >= 3);
    let pids = helpers(child.id());
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let lives = |pid: i32| procfs::process::Process::new(pid).is_ok_and(|process| process.is_alive());
    wait_until("all helpers to end", || !pids.iter().any(|pid| lives(*pid)));
}
