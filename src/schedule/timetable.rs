//! Which jobs are due: a state machine that is told the time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::Schedule;

/// A clock that was ahead by more was wrong when it told the time of the last run.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// A job and when it runs.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Name of the job.
    pub job: String,
    schedule: Schedule,
    /// Each time is put off by up to so much.
    jitter: Duration,
    zone: TimeZone,
    /// What was due up to here has been run, or has been missed and made up for.
    settled: Timestamp,
    /// When it is due next; none when there is no such time.
    due: Option<Timestamp>,
}

impl Slot {
    /// A job that last ran at that time, or never. What it has missed since then it makes up for once; one that never ran
    /// waits for its time.
    pub fn new(
        job: impl Into<String>,
        (schedule, jitter): (Schedule, Duration),
        zone: TimeZone,
        last_run: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let mut slot = Self {
            job: job.into(),
            schedule,
            jitter,
            zone,
            settled: last_run.unwrap_or(now),
            due: None,
        };
        slot.plan(now);
        slot
    }

    /// When it runs next; none when there is no such time.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// Looks for the next time. A clock that is put back does not repeat what has been; one that was far ahead is forgotten.
    fn plan(&mut self, now: Timestamp) {
        if self.settled.duration_since(now) > AHEAD {
            self.settled = now;
        }
        let next = self
            .schedule
            .next_after(&self.settled.to_zoned(self.zone.clone()));
        self.due = next.map(|next| next.timestamp() + self.delay(next.timestamp()));
    }

    /// By how much the run of that time is put off: the same whenever it is asked for.
    fn delay(&self, time: Timestamp) -> SignedDuration {
        let mut hasher = DefaultHasher::new();
        (&self.job, time.as_second()).hash(&mut hasher);
        let seconds = hasher.finish() % (self.jitter.as_secs() + 1);
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0))
    }

    /// Whether it is due. All that has been missed up to now is settled by that.
    fn take(&mut self, now: Timestamp) -> bool {
        let is_far_ahead = self.settled.duration_since(now) > AHEAD;
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.settled = now.max(self.settled);
        }
        if is_due || is_far_ahead {
            self.plan(now);
        }
        is_due
    }
}

/// All jobs.
#[derive(Clone, Debug, Default)]
pub struct Timetable {
    /// In the order in which they run when they are due together.
    pub slots: Vec<Slot>,
}

impl Timetable {
    /// A job that is due at `now`, if one is. What has passed of its times is settled by that, however many they are; whoever
    /// takes one after the other, each when it runs, makes none of them run twice in a row.
    pub fn take_due(&mut self, now: Timestamp) -> Option<String> {
        self.slots
            .iter_mut()
            .find_map(|slot| slot.take(now).then(|| slot.job.clone()))
    }

    /// When the next one is; none when there is none.
    pub fn next(&self) -> Option<Timestamp> {
        self.slots.iter().filter_map(Slot::due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn slot(schedule: &str, jitter: Duration, last_run: Option<&str>, now: &str) -> Slot {
        let schedule = schedule.parse().expect("a schedule");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        Slot::new("job", (schedule, jitter), zone, last_run.map(at), at(now))
    }

    fn table(slot: Slot) -> Timetable {
        Timetable { slots: vec![slot] }
    }

    #[test]
    fn a_day_of_minutes_has_each_of_them_once() {
        let start = at("2026-11-22T00:00:00Z");
        let mut table = table(slot("* * * * *", Duration::ZERO, None, "2026-11-22T00:00:00Z"));
        let mut runs = Vec::new();
        // Somebody looks every seven seconds.
        for look in 0..=24 * 3_600 / 7 {
            let now = start + SignedDuration::from_secs(look * 7);
            runs.extend(table.take_due(now).map(|_| now));
        }
        assert_eq!(runs.len(), 24 * 60 - 1, "midnight has passed before");
        assert!(
            runs.iter().all(|run| run.as_second() % 60 < 7),
            "none is late by more than a look"
        );
    }

    #[test]
    fn a_year_of_nights_has_one_run_each_though_clocks_change() {
        for schedule in ["15 2 * * *", "30 2 * * *", "0 3 * * *"] {
            let mut now = at("2026-01-01T00:00:00Z");
            let end = at("2027-01-01T00:00:00Z");
            let mut table = table(slot(schedule, Duration::ZERO, None, "2026-01-01T00:00:00Z"));
            let mut days = Vec::new();
            while let Some(next) = table.next().filter(|next| *next < end) {
                now = next.max(now);
                assert!(table.take_due(now).is_some(), "{schedule} at {now}");
                assert_eq!(table.take_due(now), None, "{schedule} at {now}");
                days.push(
                    now.to_zoned(TimeZone::get("Europe/Berlin").expect("a zone"))
                        .date(),
                );
            }
            assert_eq!(days.len(), 365, "{schedule}");
            days.dedup();
            assert_eq!(days.len(), 365, "{schedule}: no day has two");
        }
    }

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        let last = Some("2026-11-18T01:15:20Z");
        let mut table = table(slot("15 2 * * *", Duration::ZERO, last, "2026-11-22T12:00:00Z"));
        assert_eq!(table.take_due(at("2026-11-22T12:00:00Z")).as_deref(), Some("job"));
        assert_eq!(table.take_due(at("2026-11-22T12:00:01Z")), None, "not four times");
        assert_eq!(table.next(), Some(at("2026-11-23T01:15:00Z")));
        let never = slot("15 2 * * *", Duration::ZERO, None, "2026-11-22T12:00:00Z");
        assert_eq!(
            never.due(),
            Some(at("2026-11-23T01:15:00Z")),
            "nothing was missed"
        );
    }

    #[test]
    fn a_clock_that_is_put_back_repeats_nothing() {
        let mut table = table(slot("15 2 * * *", Duration::ZERO, None, "2026-11-22T00:00:00Z"));
        assert!(table.take_due(at("2026-11-22T01:15:03Z")).is_some());
        let mut runs = 0;
        for minutes in 0..27 * 60 {
            let now = at("2026-11-21T23:15:00Z") + SignedDuration::from_mins(minutes);
            runs += u32::from(table.take_due(now).is_some());
        }
        assert_eq!(runs, 1, "that of the next day");
    }

    #[test]
    fn a_clock_that_was_years_ahead_stops_nobody() {
        let last = Some("2036-01-01T00:00:00Z");
        let slot = slot("15 2 * * *", Duration::ZERO, last, "2026-11-22T00:00:00Z");
        assert_eq!(slot.due(), Some(at("2026-11-22T01:15:00Z")));
        let mut table = table(slot);
        assert!(table.take_due(at("2036-01-01T12:00:00Z")).is_some());
        assert_eq!(table.take_due(at("2026-11-22T00:30:00Z")), None);
        assert!(
            table.take_due(at("2026-11-22T01:15:00Z")).is_some(),
            "the right clock is back"
        );
    }

    #[test]
    fn jitter_puts_off_by_less_than_it_says_and_differs_from_day_to_day() {
        let jitter = Duration::from_mins(30);
        let mut table = table(slot("15 12 * * *", jitter, None, "2026-01-01T00:00:00Z"));
        let mut delays = Vec::new();
        for _ in 0..100 {
            let next = table.next().expect("another");
            assert!(table.take_due(next).is_some());
            // Past a quarter past some hour: summer time moves the hour only.
            delays.push((next.as_second() - 15 * 60).rem_euclid(3_600));
        }
        assert!(
            delays.iter().all(|delay| (0..=1_800).contains(delay)),
            "{delays:?}"
        );
        delays.sort_unstable();
        delays.dedup();
        assert!(delays.len() > 50, "{delays:?}");
    }
}
