//! Whether what is gone from the source may be deleted: a pure decision, made before the first object is.

use std::fmt;
use std::str::FromStr;

use crate::units::grouped;

/// Most objects that one run may delete.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MaxDelete {
    /// A quarter of what is stored, or 10 objects if those are more.
    #[default]
    Usual,
    /// So many.
    Objects(u64),
    /// So many of 100 that are stored.
    Percent(f64),
}

/// Objects that may always be deleted where nobody says how many may.
const ALWAYS: u64 = 10;
/// Share that may be deleted where nobody says how many may.
const USUAL_PERCENT: f64 = 25.0;

impl FromStr for MaxDelete {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no limit; write it as 100 or as 10%");
        match text.strip_suffix('%') {
            None => text.parse().map(Self::Objects).map_err(|_| wrong()),
            Some(percent) => match percent.parse::<f64>() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
        }
    }
}

impl MaxDelete {
    /// Whether so many of those that are stored may go.
    pub(crate) fn allows(self, objects: u64, stored: u64) -> bool {
        let is_share = |percent: f64| objects as f64 * 100.0 <= percent * stored as f64;
        match self {
            Self::Usual => objects <= ALWAYS || is_share(USUAL_PERCENT),
            Self::Objects(most) => objects <= most,
            Self::Percent(percent) => is_share(percent),
        }
    }
}

impl fmt::Display for MaxDelete {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => write!(
                formatter,
                "{USUAL_PERCENT} % or {ALWAYS} objects, whichever is more"
            ),
            Self::Objects(most) => write!(formatter, "{} objects", grouped(*most)),
            Self::Percent(percent) => write!(formatter, "{percent} %"),
        }
    }
}

/// What may be deleted, and in spite of what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteRules {
    /// At most so many.
    pub max: MaxDelete,
    /// Also when the source has no file at all.
    pub allows_empty_source: bool,
    /// Also when the source is on another device than last time.
    pub allows_other_device: bool,
    /// Also what is excluded now.
    pub deletes_excluded: bool,
    /// Prefix, in the same bucket, where a copy goes before an object is deleted.
    pub backup_prefix: Option<String>,
}

/// What is known when everything has been compared and uploaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Entries of the source that could not be read, and files that could not be uploaded.
    pub(super) failures: u64,
    /// The source, the listing and the uploads came to their end.
    pub(super) is_complete: bool,
    /// Files in the source.
    pub(super) files: u64,
    /// Objects below the prefix, before the run.
    pub(super) stored: u64,
    /// Those of them that are gone from the source.
    pub(super) gone: u64,
    /// The source is on another device than last time.
    pub(super) is_on_other_device: bool,
}

/// Why nothing is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The run is not what a deletion could follow from: it did not see everything.
    Incomplete(String),
    /// A guard says no. The second text names the flag that allows it.
    Refused(String, String),
}

/// Nothing stands in the way, or what does.
pub(super) fn judge(rules: &DeleteRules, facts: &Facts) -> Result<(), Withheld> {
    let gone = grouped(facts.gone);
    if facts.failures > 0 {
        let failures = grouped(facts.failures);
        return Err(Withheld::Incomplete(format!(
            "{failures} entries failed, so nothing is deleted ({gone} would have been)"
        )));
    }
    if !facts.is_complete {
        return Err(Withheld::Incomplete(
            "the run did not come to its end, so nothing is deleted".to_owned(),
        ));
    }
    if facts.gone == 0 {
        return Ok(());
    }
    let refused = |why: String, flag: &str| Err(Withheld::Refused(why, flag.to_owned()));
    if facts.files == 0 && !rules.allows_empty_source {
        return refused(
            format!("the source is empty; all {gone} objects would be deleted"),
            "--allow-empty-source if that is meant; if it is not, look whether its disk is mounted",
        );
    }
    if facts.is_on_other_device && !rules.allows_other_device {
        return refused(
            format!("the source is on another device than last time; {gone} objects would be deleted"),
            "--allow-other-device if that is meant; if it is not, look whether its disk is mounted",
        );
    }
    // Who says that the source is empty has said how many objects go.
    let is_meant = facts.files == 0 && rules.max == MaxDelete::Usual;
    if !is_meant && !rules.max.allows(facts.gone, facts.stored) {
        let (stored, max) = (grouped(facts.stored), rules.max);
        return refused(
            format!("{gone} of {stored} objects would be deleted, more than {max}"),
            &format!("--max-delete {} if that is meant", facts.gone),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 objects, of which 100 are gone from a source of 900 files; nothing went wrong.
    const GOOD: Facts = Facts {
        failures: 0,
        is_complete: true,
        files: 900,
        stored: 1_000,
        gone: 100,
        is_on_other_device: false,
    };

    fn refused(rules: &DeleteRules, facts: Facts) -> Option<String> {
        match judge(rules, &facts) {
            Ok(()) => None,
            Err(Withheld::Incomplete(why)) => Some(format!("incomplete: {why}")),
            Err(Withheld::Refused(_, flag)) => Some(flag),
        }
    }

    #[test]
    fn a_run_that_did_not_see_everything_deletes_nothing_whatever_is_allowed() {
        let all = DeleteRules {
            max: MaxDelete::Percent(100.0),
            allows_empty_source: true,
            allows_other_device: true,
            deletes_excluded: true,
            backup_prefix: None,
        };
        assert_eq!(refused(&all, GOOD), None);
        for facts in [
            Facts { failures: 1, ..GOOD },
            Facts {
                is_complete: false,
                ..GOOD
            },
        ] {
            assert!(refused(&all, facts).expect("withheld").starts_with("incomplete"));
        }
    }

    #[test]
    fn each_guard_names_the_flag_that_lifts_it() {
        let rules = DeleteRules::default();
        for (facts, flag) in [
            (
                Facts {
                    files: 0,
                    gone: 1_000,
                    ..GOOD
                },
                "--allow-empty-source",
            ),
            (
                Facts {
                    is_on_other_device: true,
                    ..GOOD
                },
                "--allow-other-device",
            ),
            (Facts { gone: 251, ..GOOD }, "--max-delete 251"),
        ] {
            assert!(refused(&rules, facts).expect("refused").starts_with(flag));
            let nothing = Facts { gone: 0, ..facts };
            assert_eq!(refused(&rules, nothing), None, "nothing would be deleted");
        }
        assert_eq!(refused(&rules, Facts { gone: 250, ..GOOD }), None, "a quarter");
        let emptied = Facts {
            files: 0,
            gone: 1_000,
            ..GOOD
        };
        let meant = DeleteRules {
            allows_empty_source: true,
            ..rules.clone()
        };
        assert_eq!(refused(&meant, emptied), None, "one flag is enough");
        let few = Facts {
            gone: 10,
            stored: 11,
            files: 1,
            ..GOOD
        };
        assert_eq!(refused(&rules, few), None, "ten are always allowed");
        assert!(
            refused(
                &rules,
                Facts {
                    gone: 11,
                    stored: 12,
                    ..few
                }
            )
            .is_some()
        );
    }

    #[test]
    fn limits_are_numbers_or_percentages() {
        for (text, limit) in [
            ("0", MaxDelete::Objects(0)),
            ("100", MaxDelete::Objects(100)),
            ("0%", MaxDelete::Percent(0.0)),
            ("12.5%", MaxDelete::Percent(12.5)),
            ("100%", MaxDelete::Percent(100.0)),
        ] {
            assert_eq!(text.parse(), Ok(limit));
        }
        for text in ["", "%", "-1", "101%", "NaN%", "ten", "1e3", "5 %x"] {
            assert!(text.parse::<MaxDelete>().is_err(), "{text}");
        }
        assert!(MaxDelete::Objects(5).allows(5, 5) && !MaxDelete::Objects(5).allows(6, 1_000_000));
        assert!(MaxDelete::Percent(10.0).allows(1, 10) && !MaxDelete::Percent(10.0).allows(2, 10));
        assert!(!MaxDelete::Objects(0).allows(1, 10), "zero is zero");
    }
}
