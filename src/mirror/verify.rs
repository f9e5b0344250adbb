//! Whether what is stored is what a directory is: the join of both, each pair looked at, nothing changed on either side.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::compare::{Question, Rules};
use super::{Deletion, Tally, Way, go_through, source, tell_gone};
use crate::config::Config;
use crate::error::Result;
use crate::pipeline::{Effect, Monitor, UploadRequest, find_server};
use crate::report::RunSummary;
use crate::source::{Filter, S3Url};

/// What to compare with what.
#[derive(Clone, Debug)]
pub struct VerifyRequest {
    /// A directory.
    pub source: PathBuf,
    /// Bucket and prefix.
    pub target: S3Url,
    /// What is left out; what is stored of it is not extra.
    pub filter: Arc<Filter>,
    /// How.
    pub config: Config,
    /// Of so many of 100 objects, by chance, the content is read whatever their checksums say.
    pub read_percent: f64,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
}

/// What came of it. Each difference was told: files as planned uploads, objects without a file as planned deletions.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Of the looks at what is in both places.
    pub run: RunSummary,
    /// Of everything.
    pub tally: Tally,
    /// Objects without a file.
    pub extra: u64,
    /// Source, listing and looks came to their end.
    pub is_complete: bool,
}

/// Compares every file with its object. Where a checksum of the whole object is stored, the file is read and the object is
/// not; where there is none, both are.
///
/// Cancelling `cancel` stops it in order; what was not looked at is counted as cancelled.
///
/// # Errors
/// As [`super::mirror`], but for those of a state: nothing that is remembered is believed.
pub fn verify(
    request: &VerifyRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<Verification> {
    request.config.validate()?;
    let (root, _) = source(&request.source, &request.target)?;
    let upload = UploadRequest {
        filter: request.filter.clone(),
        deadline: request.deadline,
        ..UploadRequest::new(&request.source, request.target.clone(), request.config.clone())
    };
    let way = Way {
        rules: Rules {
            question: Question::Differs {
                read_percent: request.read_percent,
            },
            deletes_excluded: false,
            follows_links: request.config.transfer.follow_symlinks,
        },
        effect: Effect::Plan,
        known: Box::new(std::iter::empty()),
        connector: find_server(&request.config, cancel)?,
    };
    let (run, compared) = go_through(root, way, &upload, cancel, monitor)?;
    let extra = match tell_gone(compared.gone, monitor)? {
        Deletion::Planned { objects, .. } => objects,
        _ => 0,
    };
    Ok(Verification {
        run,
        tally: compared.tally,
        extra,
        is_complete: compared.is_complete,
    })
}
