//! Sizes, rates and names as people type and read them.
//!
//! The only place that knows 1,024 from 1,000. Used by the configuration, the command line and the
//! reports; knows nothing of any of them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A text of anybody's as a terminal may show it: no letter of it moves the cursor, breaks the line or turns it around.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| {
        !letter.is_control() && !matches!(letter, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}')
    };
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if is_plain(letter) {
            escaped.push(letter);
        } else {
            escaped.extend(letter.escape_default());
        }
    }
    Cow::Owned(escaped)
}

/// 1,024 bytes.
pub const KIB: u64 = 1024;
/// 1,024 KiB.
pub const MIB: u64 = 1024 * KIB;
/// 1,024 MiB.
pub const GIB: u64 = 1024 * MIB;
/// 1,024 GiB.
pub const TIB: u64 = 1024 * GIB;

/// A number of bytes that parses from and prints with a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The bytes as a plain number.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// `count` times 1 MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count * MIB)
    }
}

/// Units in falling order; the first that divides evenly (or is the largest not above the value) prints.
const BINARY_UNITS: [(&str, u64); 5] = [
    ("PiB", 1024 * TIB),
    ("TiB", TIB),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((unit, factor)) = BINARY_UNITS.iter().find(|(_, factor)| self.0 >= *factor) else {
            return formatter.pad(&format!("{} B", self.0));
        };
        if self.0.is_multiple_of(*factor) {
            return formatter.pad(&format!("{} {unit}", self.0 / factor));
        }
        // One decimal is enough to read; the exact number is in the JSON report.
        formatter.pad(&format!("{:.1} {unit}", self.0 as f64 / *factor as f64))
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSizeError {
    /// No digits where the number belongs.
    #[error("a size is a number with a unit, such as 16MiB")]
    NotANumber,
    /// A number without a unit: too easily taken for another one.
    #[error("the unit is missing; write for instance {0}MiB or {0}B")]
    NoUnit(String),
    /// A unit nobody knows.
    #[error("unknown unit '{0}'; use B, KiB, MiB, GiB, TiB or PiB (KB, MB, ... are powers of 1,000)")]
    UnknownUnit(String),
    /// More bytes than can be counted.
    #[error("more than can be counted (the limit is 16 EiB)")]
    TooLarge,
}

fn unit_factor(unit: &str) -> Option<u64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kib" => KIB,
        "m" | "mib" => MIB,
        "g" | "gib" => GIB,
        "t" | "tib" => TIB,
        "p" | "pib" => 1024 * TIB,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "pb" => 1_000_000_000_000_000,
        _ => return None,
    })
}

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits_end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let unit = unit.trim();
        let value: f64 = number.parse().map_err(|_| ParseSizeError::NotANumber)?;
        if unit.is_empty() {
            return Err(ParseSizeError::NoUnit(number.to_owned()));
        }
        let factor = unit_factor(unit).ok_or_else(|| ParseSizeError::UnknownUnit(unit.to_owned()))?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole
                .checked_mul(factor)
                .map(Self)
                .ok_or(ParseSizeError::TooLarge);
        }
        let bytes = value * factor as f64;
        if bytes >= u64::MAX as f64 {
            return Err(ParseSizeError::TooLarge);
        }
        Ok(Self(bytes.round() as u64))
    }
}

/// Bytes in a second, written `50MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub ByteSize);

impl FromStr for Rate {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().trim_end_matches("/s").parse().map(Self)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/s", self.0)
    }
}

/// The mean rate of `bytes` in `elapsed`; zero time gives a rate of zero rather than infinity.
pub fn mean_rate(bytes: u64, elapsed: Duration) -> Rate {
    let seconds = elapsed.as_secs_f64();
    if seconds <= 0.0 {
        return Rate(ByteSize(0));
    }
    Rate(ByteSize((bytes as f64 / seconds) as u64))
}

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration as people say it: `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`.
pub fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_secs() {
        0..10 => format!("{seconds:.2} s"),
        10..60 => format!("{seconds:.1} s"),
        60..3_600 => format!("{} min {:02} s", duration.as_secs() / 60, duration.as_secs() % 60),
        whole => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_with_units_and_print_back() {
        for (text, bytes, printed) in [
            ("16MiB", 16 * MIB, "16 MiB"),
            ("1.5GiB", 3 * GIB / 2, "1.5 GiB"),
            ("5 kb", 5_000, "4.9 KiB"),
            ("7B", 7, "7 B"),
            ("2K", 2 * KIB, "2 KiB"),
        ] {
            let size: ByteSize = text.parse().expect(text);
            assert_eq!(
                (size.bytes(), size.to_string().as_str()),
                (bytes, printed),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_without_sense_say_what_is_wrong() {
        use ParseSizeError::*;
        for (text, error) in [
            ("", NotANumber),
            ("-1MiB", NotANumber),
            ("0", NoUnit("0".into())),
            ("16", NoUnit("16".into())),
            ("16 bananas", UnknownUnit("bananas".into())),
            ("9999999PiB", TooLarge),
            ("99999999.5PiB", TooLarge),
            ("1.2.3MiB", NotANumber),
        ] {
            assert_eq!(text.parse::<ByteSize>(), Err(error), "{text}");
        }
    }

    #[test]
    fn rates_parse_with_or_without_per_second() {
        assert_eq!("50MiB/s".parse::<Rate>(), Ok(Rate(ByteSize::mib(50))));
        assert_eq!("50MiB".parse::<Rate>(), Ok(Rate(ByteSize::mib(50))));
    }

    #[test]
    fn numbers_and_durations_read_well() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(spoken(Duration::from_millis(420)), "0.42 s");
        assert_eq!(spoken(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(spoken(Duration::from_secs(7_380)), "2 h 03 min");
    }
}
