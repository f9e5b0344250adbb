//! When jobs run: schedules as crontabs have them, and the timetable of a process that keeps them.
//!
//! Times are those of a time zone. Where its clocks change, croner's rule holds, which is that of Vixie's cron: a fixed time
//! that is skipped comes when the clock has gone on, one that is repeated comes once; schedules with a `*`, a range, a list or
//! a step in minutes or hours follow the time that passes.

mod timetable;

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;

pub use timetable::{Slot, Timetable};

/// No schedule that anybody needs is longer.
const MOST_BYTES: usize = 256;
/// The fields in their order.
const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];

/// Five fields: minute, hour, day of the month, month, day of the week; or `@hourly`, `@daily`, `@weekly`, `@monthly`,
/// `@yearly`.
#[derive(Clone, Debug)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

/// Why something is no schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    /// Where, in bytes from the start.
    pub position: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at letter {}: {}", self.position + 1, self.what)
    }
}

impl std::error::Error for ScheduleError {}

fn wrong(position: usize, what: impl Into<String>) -> ScheduleError {
    ScheduleError {
        position,
        what: what.into(),
    }
}

fn parse(text: &str) -> Result<Cron, String> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    parser.parse(text).map_err(|error| error.to_string())
}

/// The fields of `text`, each with its place.
fn fields(text: &str) -> Vec<(usize, &str)> {
    let start = text.as_ptr() as usize;
    text.split_ascii_whitespace()
        .map(|field| (field.as_ptr() as usize - start, field))
        .collect()
}

/// Names that a field may have in it, in any case.
fn names_of(number: usize) -> &'static [&'static str] {
    match number {
        3 => &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
        4 => &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
        _ => &[],
    }
}

/// What croner takes beyond a crontab (`L`, `#`, `W`, ...) is refused: cron and systemd would run at other times, or not.
fn check_letters(place: usize, number: usize, field: &str) -> Result<(), ScheduleError> {
    let no = |at: usize, what: &str| {
        let what = format!(
            "'{}' is nothing that a {} has in it",
            what.escape_debug(),
            FIELDS[number]
        );
        Err(wrong(place + at, what))
    };
    let mut at = 0;
    for piece in field.split_inclusive(|letter: char| !letter.is_ascii_alphabetic()) {
        let name = piece.trim_end_matches(|letter: char| !letter.is_ascii_alphabetic());
        let is_known = names_of(number)
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name));
        if !name.is_empty() && !is_known {
            return no(at, name);
        }
        for (inside, letter) in piece[name.len()..].char_indices() {
            if !(letter.is_ascii_digit() || ",-*/".contains(letter)) {
                return no(at + name.len() + inside, &letter.to_string());
            }
        }
        at += piece.len();
    }
    Ok(())
}

/// Days of the month and of the week together mean either of them, but where one begins with a star, programs differ.
fn check_days((place, days): (usize, &str), (_, weekdays): (usize, &str)) -> Result<(), ScheduleError> {
    let is_open = |field: &str| field.starts_with('*') && field != "*";
    let is_said = |field: &str| field != "*";
    if is_said(days) && is_said(weekdays) && (is_open(days) || is_open(weekdays)) {
        let what =
            "'*/' in one of the days beside the other: programs differ in what it means; name the days";
        return Err(wrong(place, what));
    }
    Ok(())
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > MOST_BYTES {
            return Err(wrong(MOST_BYTES, "it is longer than any schedule"));
        }
        let found = fields(text);
        let is_nickname = matches!(found[..], [(_, nickname)] if nickname.starts_with('@'));
        if !is_nickname {
            if found.len() != FIELDS.len() {
                let place = found.get(FIELDS.len()).map_or(text.len(), |(place, _)| *place);
                let what = format!(
                    "a schedule has five fields ({}), and here are {}",
                    FIELDS.join(", "),
                    found.len()
                );
                return Err(wrong(place, what));
            }
            for (number, (place, field)) in found.iter().enumerate() {
                check_letters(*place, number, field)?;
                // Each on its own, so that what is wrong has a place.
                let mut alone = ["*"; FIELDS.len()];
                alone[number] = field;
                parse(&alone.join(" "))
                    .map_err(|_| wrong(*place, format!("'{field}' is no {}", FIELDS[number])))?;
            }
            check_days(found[2], found[4])?;
        }
        let cron = parse(text).map_err(|error| wrong(0, error))?;
        let schedule = Self {
            text: text.trim().to_owned(),
            cron,
        };
        let some_day = jiff::civil::date(2024, 1, 1).to_zoned(jiff::tz::TimeZone::UTC);
        if some_day.is_ok_and(|day| schedule.next_after(&day).is_none()) {
            return Err(wrong(0, "such a day never comes"));
        }
        Ok(schedule)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Schedule {
    /// The first time after `time`, in its time zone; none when there is none within what calendars are made for.
    pub fn next_after(&self, time: &Zoned) -> Option<Zoned> {
        self.cron.find_next_occurrence(time, false).ok()
    }

    /// The same as values of systemd's `OnCalendar=`: two where a day of the month and a day of the week are named, for a
    /// crontab means either of them and systemd both.
    pub fn on_calendar(&self) -> Vec<String> {
        let pattern = &self.cron.pattern;
        let list = |values: Vec<u16>, all: usize| {
            if values.len() >= all {
                return "*".to_owned();
            }
            let values: Vec<String> = values.iter().map(|value| format!("{value:02}")).collect();
            values.join(",")
        };
        let time = format!(
            "{}:{}:00",
            list(pattern.hours.values(), 24),
            list(pattern.minutes.values(), 60)
        );
        let months = list(pattern.months.values(), 12);
        let days = list(pattern.days.values(), 31);
        let mut names: Vec<&str> = Vec::new();
        let week = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        for value in pattern.days_of_week.values() {
            let name = week[usize::from(value) % week.len()];
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let weekdays = names.join(",");
        let by_day = format!("*-{months}-{days} {time}");
        let by_weekday = format!("{weekdays} *-{months}-* {time}");
        match (pattern.is_dom_wildcard(), pattern.is_dow_wildcard()) {
            (_, true) => vec![by_day],
            (true, false) => vec![by_weekday],
            (false, false) => vec![by_day, by_weekday],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Zoned {
        text.parse().expect("a time with its zone")
    }

    /// The next times after `start`.
    fn times(schedule: &str, start: &str, count: usize) -> Vec<String> {
        let schedule: Schedule = schedule.parse().expect("a schedule");
        let mut time = at(start);
        let next = || {
            time = schedule.next_after(&time).expect("another");
            time.strftime("%m-%d %H:%M%:z").to_string()
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        let commas = ",".repeat(10_000);
        for (text, position, says) in [
            ("61 * * * *", 0, "'61' is no minute"),
            ("0 24 * * *", 2, "'24' is no hour"),
            ("0  2 0 * *", 5, "'0' is no day of the month"),
            ("0 2 * 13 *", 6, "'13' is no month"),
            ("0 2 * * 9", 8, "'9' is no day of the week"),
            ("0 2 * * mox", 8, "'mox' is nothing that a day of the week"),
            ("5-1x * * * *", 3, "'x' is nothing"),
            ("0 4 * * 5L", 9, "'L' is nothing"),
            ("0 4 * * friL", 8, "'friL' is nothing"),
            ("0 4 L * *", 4, "'L' is nothing"),
            ("0 4 1 * 5#2", 9, "'#' is nothing"),
            ("0 4 */2 * mon", 4, "programs differ"),
            ("* * 31 2 *", 0, "never comes"),
            ("", 0, "five fields"),
            ("* * * *", 7, "five fields"),
            ("0 2 * * * 2030", 10, "five fields"),
            ("@noon", 0, ""),
            ("٣ * * * *", 0, "is nothing"),
            ("*/0 * * * *", 0, "'*/0' is no minute"),
            (&commas, 256, "longer"),
        ] {
            let error = text.parse::<Schedule>().expect_err(text);
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.what.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn times_come_as_crontabs_say() {
        assert_eq!(
            times("15 2 * * *", "2026-11-22T02:15:00+00:00[UTC]", 2),
            ["11-23 02:15+00:00", "11-24 02:15+00:00"]
        );
        assert_eq!(
            times("0 0 13 * fri", "2026-11-22T00:00:00+00:00[UTC]", 3),
            ["11-27 00:00+00:00", "12-04 00:00+00:00", "12-11 00:00+00:00"],
            "either of them"
        );
        assert_eq!(
            times("@monthly", "2026-11-22T00:00:00+00:00[UTC]", 1),
            ["12-01 00:00+00:00"]
        );
    }

    #[test]
    fn a_fixed_time_comes_once_when_clocks_change() {
        let before_summer = "2026-03-28T12:00:00+01:00[Europe/Berlin]";
        assert_eq!(
            times("30 2 * * *", before_summer, 2),
            ["03-29 03:00+02:00", "03-30 02:30+02:00"],
            "half past two does not come on that day"
        );
        let before_winter = "2026-10-24T12:00:00+02:00[Europe/Berlin]";
        assert_eq!(
            times("30 2 * * *", before_winter, 2),
            ["10-25 02:30+02:00", "10-26 02:30+01:00"],
            "it comes twice on that day"
        );
    }

    #[test]
    fn what_follows_the_time_that_passes_does_so_when_clocks_change() {
        assert_eq!(
            times("*/30 * * * *", "2026-03-29T01:15:00+01:00[Europe/Berlin]", 3),
            ["03-29 01:30+01:00", "03-29 03:00+02:00", "03-29 03:30+02:00"]
        );
        assert_eq!(
            times("*/30 * * * *", "2026-10-25T02:15:00+02:00[Europe/Berlin]", 4),
            [
                "10-25 02:30+02:00",
                "10-25 02:00+01:00",
                "10-25 02:30+01:00",
                "10-25 03:00+01:00"
            ]
        );
    }

    #[test]
    fn systemd_hears_the_same_times() {
        let of = |text: &str| text.parse::<Schedule>().expect("a schedule").on_calendar();
        assert_eq!(of("15 2 * * *"), ["*-*-* 02:15:00"]);
        assert_eq!(of("*/20 * * * *"), ["*-*-* *:00,20,40:00"]);
        assert_eq!(of("0 4 * * mon-wed"), ["Mon,Tue,Wed *-*-* 04:00:00"]);
        assert_eq!(of("0 4 * * 7"), ["Sun *-*-* 04:00:00"]);
        assert_eq!(of("0 4 1 6 sun"), ["*-06-01 04:00:00", "Sun *-06-* 04:00:00"]);
        assert_eq!(of("@weekly"), ["Sun *-*-* 00:00:00"]);
        assert_eq!(
            of("0 4 1 * 0-6"),
            ["*-*-01 04:00:00", "Sun,Mon,Tue,Wed,Thu,Fri,Sat *-*-* 04:00:00"],
            "every day, as a crontab means it"
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_typed_has_times_that_rise_or_is_refused(
            pieces in proptest::collection::vec(
                proptest::sample::select(vec!["*", "/", ",", "-", "0", "1", "5", "23", "31", "59", "61", "feb", "fri", "L", " ", "@daily", "é"]),
                1..14)
        ) {
            let text = pieces.concat();
            if let Ok(schedule) = text.parse::<Schedule>() {
                proptest::prop_assert!(!schedule.on_calendar().is_empty());
                let mut time = at("2026-03-28T23:59:59+01:00[Europe/Berlin]");
                for _ in 0..5 {
                    let next = schedule.next_after(&time).expect("another");
                    proptest::prop_assert!(next > time, "{}: {} behind {}", schedule, next, time);
                    time = next;
                }
            }
        }
    }
}
