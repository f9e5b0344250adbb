//! Which snapshots are kept: a pure decision.

use std::collections::HashSet;

use jiff::Zoned;

use super::layout::SnapshotId;

/// How many snapshots are kept: the last ones, and the last one each of so many days, weeks, months and years that have one.
/// Weeks are those of ISO 8601.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// The last ones.
    pub last: u32,
    /// One a day.
    pub daily: u32,
    /// One a week.
    pub weekly: u32,
    /// One a month.
    pub monthly: u32,
    /// One a year.
    pub yearly: u32,
}

/// The number of the period that a time is in.
type Period = fn(&Zoned) -> i64;

fn day(time: &Zoned) -> i64 {
    let date = time.date();
    i64::from(date.year()) * 1_000 + i64::from(date.day_of_year())
}

fn week(time: &Zoned) -> i64 {
    let week = time.date().iso_week_date();
    i64::from(week.year()) * 100 + i64::from(week.week())
}

fn month(time: &Zoned) -> i64 {
    i64::from(time.year()) * 100 + i64::from(time.month())
}

fn year(time: &Zoned) -> i64 {
    i64::from(time.year())
}

impl Keep {
    /// Whether nothing at all would be kept.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Those of `snapshots`, from the first to the last, that are kept at `now`; days begin as its zone has it. A snapshot of the future is
    /// kept and takes nobody's place: whoever made it had a wrong clock, or wants others to go.
    pub fn of(&self, snapshots: &[SnapshotId], now: &Zoned) -> HashSet<SnapshotId> {
        let (future, past): (Vec<_>, Vec<_>) =
            snapshots.iter().partition(|id| id.is_of_future(now.timestamp()));
        let mut kept: HashSet<SnapshotId> = future.into_iter().cloned().collect();
        kept.extend(past.iter().rev().take(self.last as usize).copied().cloned());
        let rules: [(u32, Period); 4] = [
            (self.daily, day),
            (self.weekly, week),
            (self.monthly, month),
            (self.yearly, year),
        ];
        for (count, period_of) in rules {
            let mut periods = HashSet::new();
            for id in past.iter().rev() {
                let period = period_of(&id.time().to_zoned(now.time_zone().clone()));
                if periods.len() == count as usize {
                    break;
                }
                if periods.insert(period) {
                    kept.insert((*id).clone());
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use jiff::tz::TimeZone;
    use jiff::{SignedDuration, Timestamp};

    fn utc(text: &str) -> Zoned {
        text.parse::<Timestamp>().expect("a time").to_zoned(TimeZone::UTC)
    }

    fn at(text: &str) -> SnapshotId {
        SnapshotId::at(text.parse().expect("a time"))
    }

    /// The days and hours of those that are kept.
    fn kept(keep: Keep, times: &[&str], now: &str) -> Vec<String> {
        let ids: Vec<SnapshotId> = times.iter().map(|time| at(time)).collect();
        let kept = keep.of(&ids, &utc(now));
        let text = |id: &SnapshotId| id.to_string()[..11].to_owned();
        ids.iter().filter(|id| kept.contains(id)).map(text).collect()
    }

    const TIMES: [&str; 8] = [
        "2024-12-30T02:00:00Z",
        "2025-12-28T02:00:00Z",
        "2025-12-29T02:00:00Z",
        "2026-01-01T02:00:00Z",
        "2026-01-01T14:00:00Z",
        "2026-01-05T02:00:00Z",
        "2026-02-01T02:00:00Z",
        "2026-02-02T02:00:00Z",
    ];
    const NOW: &str = "2026-02-02T12:00:00Z";

    #[test]
    fn the_last_of_each_period_is_kept() {
        let none = Keep::default();
        assert!(kept(none, &TIMES, NOW).is_empty());
        let last = Keep { last: 2, ..none };
        assert_eq!(kept(last, &TIMES, NOW), ["20260201T02", "20260202T02"]);
        let daily = Keep { daily: 4, ..none };
        assert_eq!(
            kept(daily, &TIMES, NOW),
            ["20260101T14", "20260105T02", "20260201T02", "20260202T02"]
        );
        let weekly = Keep { weekly: 4, ..none };
        assert_eq!(
            kept(weekly, &TIMES, NOW),
            ["20260101T14", "20260105T02", "20260201T02", "20260202T02"],
            "the first of January is of the week that began in December"
        );
        let monthly = Keep { monthly: 3, ..none };
        assert_eq!(
            kept(monthly, &TIMES, NOW),
            ["20251229T02", "20260105T02", "20260202T02"]
        );
        let yearly = Keep { yearly: 9, ..none };
        assert_eq!(
            kept(yearly, &TIMES, NOW),
            ["20241230T02", "20251229T02", "20260202T02"]
        );
        let all = Keep {
            last: 1,
            yearly: 1,
            ..none
        };
        assert_eq!(
            kept(all, &TIMES, NOW),
            ["20260202T02"],
            "one may be kept for two reasons"
        );
    }

    #[test]
    fn snapshots_of_the_future_do_not_push_others_out() {
        let times = [
            "2026-02-01T02:00:00Z",
            "2026-02-02T02:00:00Z",
            "2031-01-01T00:00:00Z",
            "2032-01-01T00:00:00Z",
        ];
        let keep = Keep {
            last: 1,
            ..Keep::default()
        };
        assert_eq!(
            kept(keep, &times, NOW),
            ["20260202T02", "20310101T00", "20320101T00"]
        );
    }

    #[test]
    fn days_begin_where_people_are() {
        let ids = [at("2026-01-01T23:30:00Z"), at("2026-01-02T00:30:00Z")];
        let keep = Keep {
            daily: 9,
            ..Keep::default()
        };
        let now = utc("2026-01-02T12:00:00Z");
        assert_eq!(keep.of(&ids, &now).len(), 2);
        let east = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(keep.of(&ids, &now.with_time_zone(east)).len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn the_last_snapshot_is_always_kept(
            hours in proptest::collection::btree_set(0_i64..100_000, 1..60),
            daily in 0_u32..9, weekly in 0_u32..9, monthly in 0_u32..9, yearly in 0_u32..9, last in 0_u32..9
        ) {
            let start: Timestamp = "2015-01-01T00:00:00Z".parse().expect("a time");
            let ids: Vec<SnapshotId> = hours
                .iter()
                .map(|hours| SnapshotId::at(start + SignedDuration::from_hours(*hours)))
                .collect();
            let keep = Keep { last, daily, weekly, monthly, yearly };
            let now = ids.last().expect("one").time().to_zoned(TimeZone::UTC);
            let kept = keep.of(&ids, &now);
            let most = last + daily + weekly + monthly + yearly;
            proptest::prop_assert!(kept.len() <= most as usize);
            proptest::prop_assert_eq!(kept.contains(ids.last().expect("one")), !keep.is_nothing());
            // Who forgets twice forgets nothing more.
            let left: Vec<SnapshotId> = ids.iter().filter(|id| kept.contains(id)).cloned().collect();
            proptest::prop_assert_eq!(keep.of(&left, &now), kept);
        }
    }
}
