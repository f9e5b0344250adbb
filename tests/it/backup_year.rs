//! A year of nights under a clock that the test sets: runs, retention, prunes.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use s3haul::backup::{BackupRequest, Keep, Repository, backup, forget};
use s3haul::config::BucketPolicy;
use s3haul::pipeline::{Effect, Silent, StateSettings};
use s3haul::schedule::{Slot, Timetable};
use tokio_util::sync::CancellationToken;

use crate::env::Kind;
use crate::scene::{Scene, config};

#[test]
fn a_year_of_nights_runs_once_each_and_keeps_what_it_should() {
    let scene = Scene::on(Kind::Embedded, "year");
    let state = StateSettings {
        base: scene.tree.path().join("state"),
        patience: std::time::Duration::ZERO,
    };
    let target: s3haul::source::S3Url = scene.target("b/").parse().expect("a target");
    let (config, cancel) = (config(&scene.server), CancellationToken::new());
    let keep = Keep {
        last: 0,
        daily: 7,
        weekly: 5,
        monthly: 12,
        yearly: 2,
    };
    let zone = TimeZone::get("Europe/Berlin").expect("a zone");
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let end: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
    let schedule = "30 2 * * *".parse().expect("a schedule");
    let slot = |last: Option<Timestamp>, now| {
        let when = (schedule, std::time::Duration::ZERO);
        Slot::new("year", when, zone.clone(), last, now)
    };
    let mut timetable = Timetable {
        slots: vec![slot(None, start)],
    };
    let (mut now, mut runs, mut missed) = (start, Vec::new(), 0);
    while let Some(next) = timetable.next().filter(|next| *next < end) {
        now = now.max(next);
        // The machine was off for four nights in April.
        let april = now.to_zoned(zone.clone()).date();
        if april == jiff::civil::date(2026, 4, 10) {
            now += SignedDuration::from_hours(4 * 24);
            missed += 4;
        }
        while timetable.take_due(now).is_some() {
            scene.tree.file("src/changes", format!("{now}"));
            scene.tree.file("src/of this week", format!("{}", runs.len() / 7));
            let request = BackupRequest {
                job: "year".to_owned(),
                sources: vec![scene.tree.path().join("src")],
                target: target.clone(),
                filter: Arc::default(),
                own_outputs: Vec::new(),
                bucket_policy: BucketPolicy::MustExist,
                config: config.clone(),
                state: state.clone(),
                allows_empty_source: false,
                deadline: None,
                now,
            };
            let summary = backup(&request, &cancel, &mut Silent).expect("a run");
            assert!(summary.snapshot.is_some());
            runs.push(now);
            let repository =
                Repository::open(&config, &target, BucketPolicy::MustExist, &cancel).expect("open");
            let here = now.to_zoned(zone.clone());
            forget(&repository, &keep, (Effect::Apply, &here), &state, &cancel).expect("forgotten");
        }
    }
    assert_eq!(
        runs.len(),
        365 - missed,
        "one a night, and one for those that were missed"
    );
    let days: BTreeSet<_> = runs.iter().map(|run| run.to_zoned(zone.clone()).date()).collect();
    assert_eq!(days.len(), runs.len(), "none is doubled");
    let repository = Repository::open(&config, &target, BucketPolicy::MustExist, &cancel).expect("open");
    let kept = repository.snapshots().expect("listed");
    // Seven days; of five weeks those that are older; of twelve months the eleven before; one year.
    let expected = keep.of(
        &runs
            .iter()
            .map(|run| s3haul::backup::SnapshotId::at(*run))
            .collect::<Vec<_>>(),
        &now.to_zoned(zone.clone()),
    );
    assert_eq!(
        kept.len(),
        expected.len(),
        "each night's choice is that of all nights together"
    );
    // Seven days, of which two are the last of their weeks; the Sundays of three weeks before; the last days of eleven months
    // before. That of the year is among the days.
    assert_eq!(kept.len(), 7 + 3 + 11);
    for snapshot in &kept {
        repository.manifest(snapshot).expect("whole");
    }
}
