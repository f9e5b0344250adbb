//! Numbers as people read them: three significant digits and a unit; a dash for what is no number.

use std::time::Duration;

use crate::bench::stats::Interval;
use crate::units::{GIB, KIB, MIB, TIB, grouped, spoken};

/// What stands where there is no number.
pub(super) const NOTHING: &str = "–";
/// A space at which no line ends: between a number and its unit.
pub(super) const GLUE: char = '\u{a0}';
/// Below this, nothing that we measure can be told from nothing.
const SMALLEST: f64 = 1e-9;
/// From here on, digits are more than anyone reads.
const LARGEST: f64 = 1e15;
/// Ratios nearer to one than this need a third decimal to be seen at all.
const NEAR_ONE: f64 = 0.0295;

/// Three significant digits, thousands in groups.
pub(super) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    if value.abs() < SMALLEST {
        return "0".to_owned();
    }
    if value.abs() >= LARGEST {
        return format!("{value:.2e}");
    }
    let digits = |value: f64| 2 - value.abs().log10().floor() as i32;
    let step = 10_f64.powi(digits(value));
    let rounded = (value * step).round() / step;
    // 999.6 has one digit more once it is rounded.
    let decimals = digits(rounded * (1.0 + SMALLEST));
    if decimals > 0 {
        return format!("{rounded:.places$}", places = decimals as usize);
    }
    let sign = if rounded < 0.0 { "-" } else { "" };
    format!("{sign}{}", grouped(rounded.abs().round() as u64))
}

/// A ratio: two decimals, three where it is close to one.
pub(super) fn ratio(value: f64) -> String {
    if !(0.1..10.0).contains(&value) {
        return significant(value);
    }
    let places = if (value - 1.0).abs() < NEAR_ONE { 3 } else { 2 };
    format!("{value:.places$}")
}

/// An interval of ratios, as `0.58 to 0.64`.
pub(super) fn ratio_range(interval: &Interval) -> String {
    format!("{} to {}", ratio(interval.low), ratio(interval.high))
}

/// An interval of ratios with its confidence, as `95 % interval 0.58 to 0.64`.
pub(super) fn interval(interval: &Interval) -> String {
    format!("95{GLUE}% interval {}", ratio_range(interval))
}

/// Seconds with the unit that suits them.
pub(super) fn seconds(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    match value.abs() {
        SMALLEST..0.000_999_5 => format!("{}{GLUE}µs", significant(value * 1e6)),
        0.000_999_5..0.9995 => format!("{}{GLUE}ms", significant(value * 1e3)),
        ..100.0 => format!("{}{GLUE}s", significant(value)),
        // Nothing that is measured takes longer than what a u64 of seconds holds.
        long => Duration::try_from_secs_f64(long).map_or_else(
            |_| NOTHING.to_owned(),
            |long| spoken(long).replace(' ', &GLUE.to_string()),
        ),
    }
}

/// Seconds of which there may be none.
pub(super) fn maybe_seconds(value: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), seconds)
}

/// A tick's text without zeros behind its point: `50 ms` and not `50.0 ms`.
pub(super) fn short(text: &str) -> String {
    let end = text.find(GLUE).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if !number.contains('.') {
        return text.to_owned();
    }
    format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// Bytes with the unit that suits them.
pub(super) fn bytes(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    let units = [(TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
    match units.iter().find(|(factor, _)| value >= *factor as f64) {
        Some((factor, unit)) => format!("{}{GLUE}{unit}", significant(value / *factor as f64)),
        None => format!("{value:.0}{GLUE}B"),
    }
}

/// Bytes as a number of MiB, for columns that name the unit in their head.
pub(super) fn mebibytes(value: f64) -> String {
    significant(value / MIB as f64)
}

/// A share, in percent.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    if (0.05..9.95).contains(&value) {
        return format!("{value:.1}{GLUE}%");
    }
    format!("{value:.0}{GLUE}%")
}

/// A count with its word: `1 arm`, `12 arms`.
pub(super) fn count(number: usize, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(number as u64))
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        for (value, text) in [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (999.6, "1,000"),
            (1_234_567.0, "1,230,000"),
            (-12.34, "-12.3"),
            (f64::NAN, NOTHING),
            (f64::INFINITY, NOTHING),
            (1e300, "1.00e300"),
            (1e-300, "0"),
        ] {
            assert_eq!(significant(value), text, "{value}");
        }
    }

    #[test]
    fn ratios_near_one_show_that_they_are_not_one() {
        assert_eq!(ratio(0.6123), "0.61");
        assert_eq!(ratio(1.0034), "1.003");
        assert_eq!(ratio(0.97), "0.97");
        assert_eq!(ratio(12.345), "12.3");
        assert_eq!(ratio(f64::NAN), NOTHING);
    }

    #[test]
    fn units_suit_their_numbers() {
        assert_eq!(seconds(0.000_012_34), "12.3\u{a0}µs");
        assert_eq!(seconds(0.027_14), "27.1\u{a0}ms");
        assert_eq!(seconds(3.456), "3.46\u{a0}s");
        assert_eq!(seconds(245.0), "4\u{a0}min\u{a0}05\u{a0}s");
        assert_eq!(seconds(0.0), "0\u{a0}s");
        assert_eq!(seconds(f64::MAX), NOTHING);
        assert_eq!(bytes(12.3 * MIB as f64), "12.3\u{a0}MiB");
        assert_eq!(bytes(7.0), "7\u{a0}B");
        assert_eq!(percent(0.614), "61\u{a0}%");
        assert_eq!(percent(0.042), "4.2\u{a0}%");
        assert_eq!(percent(0.0), "0\u{a0}%");
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
