//! The fault plan: which requests go wrong, and how.
//!
//! Called by: `gateway.rs` (choosing), `handle.rs` (setting), tests and `serve --fault-plan` (writing one).
//! Must not know: how a fault is carried out.

use super::classify::Target;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A list of rules; for each request the first rule that fires decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// In order of precedence. Rules behind the one that fires do not see the request.
    pub rules: Vec<FaultRule>,
}

/// Says which requests get a fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// S3 operation name such as `UploadPart`; none means any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Only keys that contain this text; none means any key, and requests without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_contains: Option<String>,
    /// How many matching requests are let through first.
    #[serde(default)]
    pub skip: u64,
    /// How many times the rule fires; none means for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// After `skip`, only each n-th matching request; none, 0 and 1 mean each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// What happens.
    pub action: FaultAction,
}

/// What happens to a request.
///
/// In JSON a plain name (`"slow_down"`) or one field (`{"delay": {"milliseconds": 50}}`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// 503 `SlowDown`; not executed.
    SlowDown,
    /// 503 with `MinIO`'s code `SlowDownWrite`; not executed.
    SlowDownWrite,
    /// 429 with `Retry-After`; not executed.
    TooManyRequests {
        /// Value of `Retry-After`, in seconds.
        retry_after_seconds: u64,
    },
    /// Any error; not executed.
    Error {
        /// HTTP status; an impossible one becomes 500.
        status: u16,
        /// S3 error code.
        code: String,
        /// Without it an S3 error document with that code; an empty text is an empty body.
        #[serde(default)]
        body: Option<String>,
        /// Content type of `body`; `application/xml` without it.
        #[serde(default)]
        content_type: Option<String>,
    },
    /// Waits before the request is read, then serves it normally.
    Delay {
        /// How long, in milliseconds.
        milliseconds: u64,
    },
    /// Reads part of the request body, then resets the connection; not executed.
    ResetAfter {
        /// How many bytes of the body are read.
        bytes: u64,
    },
    /// Reads the whole body and never answers; not executed.
    NeverAnswer,
    /// Reads part of the body, then neither reads nor answers; not executed. The connection stays
    /// open until the server stops, even when the client leaves, since nobody reads its end.
    StopReading {
        /// How many bytes of the body are read.
        after_bytes: u64,
    },
    /// Executed; the connection ends in the middle of the response body.
    CutResponse {
        /// How many bytes of the response body are sent.
        after_bytes: u64,
    },
    /// 200 with an `<Error>` document; not executed.
    #[serde(rename = "complete_error_in_200")]
    CompleteErrorIn200 {
        /// S3 error code.
        code: String,
    },
    /// Executed; answered with 200 and this body.
    #[serde(rename = "complete_garbage_in_200")]
    CompleteGarbageIn200 {
        /// The body.
        body: String,
    },
    /// Executed; the entity tag in the answer is another one, in the header and in XML.
    WrongEtag,
    /// Executed; the entity tag is missing from the answer, in the header and in XML.
    NoEtag,
    /// 200 with an HTML page; not executed.
    #[serde(rename = "html_200")]
    Html200,
    /// Executed; the connection ends without an answer.
    DropResponse,
    /// Executed; the answer never comes.
    WithholdResponse,
    /// One bit of the body's content is flipped before the request is executed. What notices first
    /// decides the error: the payload or chunk signature, or else the checksum.
    FlipBodyBit,
    /// Executed; one bit of the response's body is flipped on the way.
    FlipResponseBit,
    /// The server's clock is off: 403 `RequestTimeTooSkewed` unless the request's date fits it.
    SkewedClock {
        /// By how much, in seconds; positive is ahead.
        seconds: i64,
    },
}

/// A plan with its progress.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<ActiveRule>>);

#[derive(Debug)]
struct ActiveRule {
    rule: FaultRule,
    seen: u64,
    fired: u64,
}

impl Faults {
    /// Replaces the plan; all counts start anew.
    pub(super) fn set(&self, plan: FaultPlan) {
        *self.lock() = plan
            .rules
            .into_iter()
            .map(|rule| ActiveRule {
                rule,
                seen: 0,
                fired: 0,
            })
            .collect();
    }

    /// The fault for this request, if any.
    pub(super) fn choose(&self, target: &Target) -> Option<FaultAction> {
        self.lock()
            .iter_mut()
            .find_map(|active| active.fires(target).then(|| active.rule.action.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<ActiveRule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ActiveRule {
    fn fires(&mut self, target: &Target) -> bool {
        let rule = &self.rule;
        let operation = rule.operation.as_deref().is_none_or(|name| name == target.kind);
        let key = rule
            .key_contains
            .as_deref()
            .is_none_or(|text| target.key.as_deref().is_some_and(|key| key.contains(text)));
        if !operation || !key {
            return false;
        }
        self.seen += 1;
        if self.seen <= rule.skip || rule.times.is_some_and(|times| self.fired >= times) {
            return false;
        }
        let fires = (self.seen - rule.skip).is_multiple_of(rule.every.unwrap_or(1).max(1));
        self.fired += u64::from(fires);
        fires
    }
}
