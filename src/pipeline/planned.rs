//! `cp --dry-run`: what an upload would do, without a server.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::UploadRequest;
use super::feed::{Entries, Source, Wanted, Work, shape_of};
use super::input::own_outputs;
use crate::config::TransferSettings;
use crate::error::Result;
use crate::event::{Failure, SkipReason, UploadReason};
use crate::identity::FileIdentity;
use crate::plan::Shape;
use crate::source::{Found, SourceFile};
use crate::strategy::Choice;

/// What a dry run says of one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Path as found.
    pub path: PathBuf,
    /// What would happen.
    pub action: PlannedAction,
}

/// See [`PlannedFile`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedAction {
    /// It would be uploaded.
    Upload {
        /// Key.
        key: String,
        /// The key is an encoding of the name.
        encoded: bool,
        /// Why.
        reason: UploadReason,
        /// Bytes.
        size_bytes: u64,
        /// Parts; 0 for a single PUT.
        parts: u32,
    },
    /// It would be left out.
    Skip(SkipReason),
    /// It could not be uploaded.
    Fail(Failure),
}

/// Everything that [`super::upload`] would do, in the order of the walk, without asking the server.
///
/// # Errors
/// The same as `upload`, as far as they do not need the server.
pub fn plan(request: &UploadRequest) -> Result<impl Iterator<Item = PlannedFile> + use<>> {
    request.config.validate()?;
    let source = Source::open(request, &CancellationToken::new())?;
    source.check(&Choice::new(&request.config))?;
    let (transfer, own) = (source.transfer, own_outputs(request));
    let entries = match source.work {
        Work::Entries(entries) => entries,
        Work::Fetches(_) => Box::new(std::iter::empty()),
        Work::Stdin { key } => {
            let stream = SourceFile {
                path: PathBuf::from("-"),
                key,
                encoded: false,
                seen: Some(Box::new(FileIdentity::NONE)),
            };
            Box::new(std::iter::once(Wanted::from(Found::File(stream)))) as Entries
        }
    };
    Ok(entries.filter_map(move |wanted| planned(wanted.found, &transfer, &own)))
}

/// What becomes of an entry; nothing of a directory.
fn planned(found: Found, settings: &TransferSettings, own: &[(u64, u64)]) -> Option<PlannedFile> {
    Some(match found {
        Found::Directory { .. } => return None,
        Found::Skipped { path, reason } => PlannedFile {
            path,
            action: PlannedAction::Skip(reason),
        },
        Found::Failed { path, failure, .. } => PlannedFile {
            path,
            action: PlannedAction::Fail(failure),
        },
        Found::File(file) => planned_file(file, settings, own),
    })
}

fn planned_file(mut file: SourceFile, settings: &TransferSettings, own: &[(u64, u64)]) -> PlannedFile {
    let identity = match file.look(settings.follow_symlinks) {
        Ok(identity) => identity,
        Err(error) => {
            return PlannedFile {
                path: file.path,
                action: PlannedAction::Fail(Failure::of_reading(&error)),
            };
        }
    };
    let size_bytes = identity.size_bytes;
    let action = match shape_of(size_bytes, settings) {
        _ if own.contains(&identity.node()) => PlannedAction::Skip(SkipReason::OwnOutput),
        Err(failure) => PlannedAction::Fail(failure),
        Ok(shape) => PlannedAction::Upload {
            key: file.key,
            encoded: file.encoded,
            reason: UploadReason::Requested,
            size_bytes,
            parts: match shape {
                Shape::Single => 0,
                Shape::Multipart(plan) => plan.count(),
            },
        },
    };
    PlannedFile {
        path: file.path,
        action,
    }
}
