//! Examines a server before anything depends on it: what s3haul needs of it and what it can make use of, each proven
//! with objects of its own, which are removed at the end.
//!
//! Called by the command line, and by library users before they install a job. What was proven becomes the profile of
//! the server ([`ServerProfile`]), which is kept by whoever wants later runs to follow it.

mod basics;
mod checksums;
mod conditions;
mod names;
mod parts;
mod place;
mod server_side;
mod trial;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::place::{Place, clean_up};
use self::trial::Trial;
use crate::config::{BucketPolicy, ChecksumAlgorithm, Config};
use crate::error::Result;
use crate::pipeline::{find_server, open_store, unless_stopped};
use crate::source::S3Url;
use crate::store::{
    Connector, ObjectStore, ServerKind, ServerProfile, StoreError, StoreErrorKind, check_bucket,
    first_contact,
};

/// A check that is in hand when somebody stops the examination gets this long to come to its end: a request that is
/// dropped may have its effect later, when nobody removes what it made.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that the examination has at most: its checks come one after the other.
const CONNECTIONS: usize = 1;

/// What to examine.
#[derive(Clone, Debug)]
pub struct ExamineRequest {
    /// Bucket and prefix; all objects of the examination lie below it.
    pub target: S3Url,
    /// How requests are made, and which checksum runs will send.
    pub config: Config,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It does what is expected.
    Works,
    /// It does something that must not be.
    Fails {
        /// What happened.
        why: String,
        /// The next step, when we know it.
        hint: Option<String>,
    },
    /// It cannot do this; s3haul does without.
    Unsupported {
        /// What happened.
        why: String,
    },
    /// It was not tried.
    Skipped {
        /// Why not.
        why: String,
    },
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about.
    pub name: String,
    /// Uploads cannot do without.
    pub is_needed: bool,
    /// What it came to.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
}

impl Check {
    /// True when uploads will not work because of this.
    pub fn is_fatal(&self) -> bool {
        self.is_needed && matches!(self.verdict, Verdict::Fails { .. })
    }
}

/// Something of the examination that could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// Key of an object, or of a multipart upload.
    pub key: String,
    /// Of the upload; none of an object.
    pub upload_id: Option<String>,
    /// Why it is there still.
    pub why: String,
}

/// What an examination came to.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Every check, in order.
    pub checks: Vec<Check>,
    /// What was proven; none when the examination did not come to its end.
    pub profile: Option<ServerProfile>,
    /// What the server is by its name.
    pub kind: ServerKind,
    /// What is there still of what the examination has made.
    pub left: Vec<Left>,
    /// Somebody stopped it.
    pub is_stopped: bool,
}

impl Examination {
    /// What the check of this name came to.
    pub fn verdict_on(&self, name: &str) -> Option<&Verdict> {
        let check = self.checks.iter().find(|check| check.name == name)?;
        Some(&check.verdict)
    }

    /// True when everything that uploads need was looked at, and works.
    pub fn is_good(&self) -> bool {
        self.profile.is_some() && !self.checks.iter().any(Check::is_fatal)
    }
}

/// What an examination works with, and what it has found so far.
struct Examiner<'a> {
    /// Tries again what is worth it.
    store: Arc<dyn ObjectStore>,
    /// Tries nothing again and believes every answer: for what is wrong on purpose.
    blunt: Arc<dyn ObjectStore>,
    connector: &'a Connector,
    config: &'a Config,
    bucket: &'a str,
    place: Place,
    /// Checksum that the server takes.
    algorithm: ChecksumAlgorithm,
    proven: ServerProfile,
    server_time: Option<SystemTime>,
    can_list: bool,
}

/// Examines the server at `request`'s target. Every check is told to `notify` when it is done. All objects and uploads
/// that the examination makes lie below a random prefix of their own and are removed at its end, also after a failure
/// and when `cancel` is cancelled; what cannot be removed is in [`Examination::left`]. What was known of the server
/// before is not believed. Blocking: call it from a plain thread.
///
/// # Errors
/// When nothing could be looked at: settings, credentials, a server that cannot be reached, no such bucket.
pub fn examine(
    request: &ExamineRequest,
    cancel: &CancellationToken,
    notify: &mut dyn FnMut(&Check),
) -> Result<Examination> {
    let mut config = request.config.clone();
    config.store.server_profile = None;
    let (connector, bucket) = (find_server(&config, cancel)?, request.target.bucket.as_str());
    let patience = first_contact(config.transfer.retry);
    let (host, store) = open_store(&connector, patience, (bucket, CONNECTIONS))?;
    let blunt = {
        let _on_host = host.runtime.enter();
        connector.open(bucket, CONNECTIONS)
    };
    let looking = check_bucket(store.as_ref(), &connector, bucket, BucketPolicy::MustExist);
    host.runtime.block_on(unless_stopped(cancel, looking))?;
    let mut examiner = Examiner {
        store,
        blunt,
        connector: &connector,
        config: &config,
        bucket,
        place: Place::below(&request.target.prefix()),
        algorithm: config.transfer.checksum,
        proven: ServerProfile::new(&connector.endpoint(), bucket),
        server_time: None,
        can_list: false,
    };
    Ok(host.runtime.block_on(async {
        let checks = examiner.all(cancel, notify).await;
        let left = clean_up(examiner.store.as_ref(), &examiner.place).await;
        examiner.conclude(checks, left)
    }))
}

/// Why the checks that are left cannot be made.
enum Stop {
    Cancelled,
    Because(String),
}

impl Examiner<'_> {
    async fn all(
        &mut self,
        cancel: &CancellationToken,
        notify: &mut dyn FnMut(&Check),
    ) -> (Vec<Check>, Option<Stop>) {
        let mut checks = Vec::new();
        let mut stop: Option<Stop> = None;
        for trial in Trial::all() {
            let check = match &stop {
                Some(Stop::Cancelled) => break,
                Some(Stop::Because(why)) => trial.skipped(self, why),
                None => {
                    let outcome = tokio::select! {
                        biased;
                        outcome = trial.run(self) => outcome,
                        () = out_of_patience(cancel) => {
                            stop = Some(Stop::Cancelled);
                            continue;
                        }
                    };
                    stop = self.stop_after(trial, &outcome, cancel);
                    trial.check(self, outcome)
                }
            };
            notify(&check);
            checks.push(check);
        }
        (checks, stop)
    }

    fn stop_after(
        &self,
        trial: Trial,
        outcome: &std::result::Result<Found, StoreError>,
        cancel: &CancellationToken,
    ) -> Option<Stop> {
        if cancel.is_cancelled() {
            return Some(Stop::Cancelled);
        }
        match outcome {
            Err(error) if error.is_fatal() => Some(Stop::Because(error.message.clone())),
            Err(_) if trial == Trial::Write => Some(Stop::Because("nothing can be written".to_owned())),
            Ok(Found {
                verdict: Verdict::Fails { .. },
                ..
            }) if trial == Trial::Write => Some(Stop::Because("nothing can be written".to_owned())),
            _ => None,
        }
    }

    fn conclude(self, (checks, stop): (Vec<Check>, Option<Stop>), left: Vec<Left>) -> Examination {
        let examined = self.server_time.unwrap_or_else(SystemTime::now);
        let name = self.connector.server_name().map(str::to_owned);
        let profile = self.proven.of(name, examined);
        Examination {
            checks,
            profile: stop.is_none().then_some(profile),
            kind: self.connector.server(),
            left,
            is_stopped: matches!(stop, Some(Stop::Cancelled)),
        }
    }
}

async fn out_of_patience(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(PATIENCE).await;
}

/// What a check has found, before it has a name.
struct Found {
    verdict: Verdict,
    detail: String,
}

impl Found {
    fn works(detail: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Works,
            detail: detail.into(),
        }
    }

    fn fails(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fails {
                why: why.into(),
                hint: None,
            },
            detail: String::new(),
        }
    }

    fn unsupported(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Unsupported { why: why.into() },
            detail: String::new(),
        }
    }

    fn skipped(why: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Skipped { why: why.into() },
            detail: String::new(),
        }
    }

    fn with_hint(self, text: impl Into<String>) -> Self {
        let verdict = match self.verdict {
            Verdict::Fails { why, .. } => Verdict::Fails {
                why,
                hint: Some(text.into()),
            },
            verdict => verdict,
        };
        Self { verdict, ..self }
    }
}

/// True when the server has said no for good, and not that it could not be asked.
fn is_refusal(error: &StoreError) -> bool {
    use StoreErrorKind as Kind;
    matches!(
        error.kind,
        Kind::Refused | Kind::BadDigest | Kind::InvalidPart | Kind::PreconditionFailed | Kind::NoSuchKey
    )
}
