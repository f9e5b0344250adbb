//! Whether a file goes up, and why: a pure decision from what is known of it.
//!
//! What is exact and costs nothing decides: size, modification time, change time and inode, as they were when the stored
//! object was made. What is not known that way has to be looked at: by its content, or by what the object carries. When
//! the object was stored says nothing: a file may be older than that and still be another one.

use super::state::{Known, Stamp};
use crate::event::UploadReason;
use crate::store::{Checksum, ListedObject};
use crate::transfer::Look;

/// What counts as a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChangeRule {
    /// Times, size and inode, and content where those cannot tell.
    #[default]
    Times,
    /// Content, always.
    Checksum,
    /// Size and nothing else.
    SizeOnly,
    /// Everything goes up again.
    IgnoreTimes,
    /// What is there stays as it is.
    IgnoreExisting,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Unchanged,
    Upload(UploadReason),
    /// It goes up for this reason unless a look shows that it is what is stored.
    Look(UploadReason, Look),
}

/// Decides on a file of this `stamp`. `known` is what is remembered of the object at its key, `stored` what is there.
pub(super) fn decide(
    rule: ChangeRule,
    stamp: &Stamp,
    known: Option<&Known>,
    stored: Option<&ListedObject>,
) -> Decision {
    let Some(stored) = stored else {
        return Decision::Upload(UploadReason::New);
    };
    match rule {
        ChangeRule::IgnoreExisting => return Decision::Unchanged,
        ChangeRule::IgnoreTimes => return Decision::Upload(UploadReason::Forced),
        _ if stamp.size_bytes != stored.size_bytes => return Decision::Upload(UploadReason::Size),
        ChangeRule::SizeOnly => return Decision::Unchanged,
        ChangeRule::Times | ChangeRule::Checksum => {}
    }
    // Somebody else's object: its content counts, not what it says of a file.
    let is_ours = known.is_none_or(|known| known.etag == stored.etag);
    // What is remembered counts for the object it was remembered of.
    let known =
        known.filter(|known| known.etag == stored.etag && known.stamp.size_bytes == stored.size_bytes);
    let by_content = |known: &Known, reason| {
        Decision::Look(
            reason,
            match known.checksum.as_deref().and_then(Checksum::from_text) {
                Some(checksum) => Look::Content {
                    checksum,
                    etag: known.etag.clone(),
                },
                None => Look::Head { time_counts: false },
            },
        )
    };
    match (rule, known) {
        (ChangeRule::Checksum, Some(known)) => by_content(known, UploadReason::Content),
        (ChangeRule::Checksum, None) => {
            Decision::Look(UploadReason::Content, Look::Head { time_counts: false })
        }
        (_, None) if !is_ours => Decision::Look(UploadReason::Content, Look::Head { time_counts: false }),
        (_, None) => Decision::Look(UploadReason::Mtime, Look::Head { time_counts: true }),
        (_, Some(known)) if known.stamp.modified != stamp.modified => Decision::Upload(UploadReason::Mtime),
        (_, Some(known)) if known.stamp.inode != stamp.inode => by_content(known, UploadReason::Inode),
        (_, Some(known)) if known.stamp.changed != stamp.changed => by_content(known, UploadReason::Ctime),
        (_, Some(known)) if known.is_racy => by_content(known, UploadReason::Content),
        (_, Some(_)) => Decision::Unchanged,
    }
}

/// What has to be done to prove that a file of this `stamp` is what is `stored`; `reads`: by reading the object.
pub(super) fn prove(stamp: &Stamp, stored: Option<&ListedObject>, reads: bool) -> Decision {
    match stored {
        None => Decision::Upload(UploadReason::New),
        Some(stored) if stored.size_bytes != stamp.size_bytes => Decision::Upload(UploadReason::Size),
        Some(_) => Decision::Look(UploadReason::Content, Look::Proof { reads }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        size_bytes: 10,
        modified: 1_000,
        changed: 2_000,
        inode: 3,
    };

    fn known() -> Known {
        Known {
            stamp: STAMP,
            is_racy: false,
            etag: "e".to_owned(),
            checksum: Some("crc64nvme:AAAA".to_owned()),
        }
    }

    fn stored() -> ListedObject {
        ListedObject {
            key: "k".to_owned(),
            size_bytes: 10,
            last_modified: None,
            etag: "e".to_owned(),
        }
    }

    fn content(reason: UploadReason) -> Decision {
        let checksum = Checksum::from_text("crc64nvme:AAAA").expect("one");
        let etag = "e".to_owned();
        Decision::Look(reason, Look::Content { checksum, etag })
    }

    fn head(reason: UploadReason, time_counts: bool) -> Decision {
        Decision::Look(reason, Look::Head { time_counts })
    }

    #[test]
    fn what_is_exactly_as_it_was_is_unchanged_and_costs_nothing() {
        let rule = ChangeRule::Times;
        assert_eq!(
            decide(rule, &STAMP, Some(&known()), Some(&stored())),
            Decision::Unchanged
        );
        assert_eq!(
            decide(rule, &STAMP, Some(&known()), None),
            Decision::Upload(UploadReason::New),
            "what is remembered and not there is not there"
        );
    }

    #[test]
    fn every_difference_has_its_reason() {
        use UploadReason as Reason;
        let older = Stamp {
            modified: 999,
            ..STAMP
        };
        let longer = Stamp {
            size_bytes: 11,
            ..STAMP
        };
        let replaced = Stamp { inode: 4, ..STAMP };
        let touched = Stamp {
            changed: 2_001,
            ..STAMP
        };
        for (stamp, decision) in [
            (older, Decision::Upload(Reason::Mtime)),
            (longer, Decision::Upload(Reason::Size)),
            (replaced, content(Reason::Inode)),
            (touched, content(Reason::Ctime)),
        ] {
            assert_eq!(
                decide(ChangeRule::Times, &stamp, Some(&known()), Some(&stored())),
                decision
            );
        }
        let racy = Known {
            is_racy: true,
            ..known()
        };
        let of_another = Known {
            etag: "f".to_owned(),
            ..known()
        };
        let unsummed = Known {
            is_racy: true,
            checksum: None,
            ..known()
        };
        for (known, decision) in [
            (Some(racy), content(Reason::Content)),
            (Some(of_another), head(Reason::Content, false)),
            (Some(unsummed), head(Reason::Content, false)),
            (None, head(Reason::Mtime, true)),
        ] {
            assert_eq!(
                decide(ChangeRule::Times, &STAMP, known.as_ref(), Some(&stored())),
                decision
            );
        }
    }

    #[test]
    fn other_rules_look_at_less_or_at_more() {
        let older = Stamp {
            modified: 999,
            ..STAMP
        };
        let longer = Stamp {
            size_bytes: 11,
            ..STAMP
        };
        for (rule, stamp, decision) in [
            (ChangeRule::SizeOnly, older, Decision::Unchanged),
            (ChangeRule::SizeOnly, longer, Decision::Upload(UploadReason::Size)),
            (
                ChangeRule::IgnoreTimes,
                STAMP,
                Decision::Upload(UploadReason::Forced),
            ),
            (ChangeRule::IgnoreExisting, longer, Decision::Unchanged),
            (ChangeRule::Checksum, older, content(UploadReason::Content)),
            (ChangeRule::Checksum, longer, Decision::Upload(UploadReason::Size)),
        ] {
            assert_eq!(
                decide(rule, &stamp, Some(&known()), Some(&stored())),
                decision,
                "{rule:?}"
            );
            let new = decide(rule, &stamp, None, None);
            assert_eq!(new, Decision::Upload(UploadReason::New));
        }
    }
}
