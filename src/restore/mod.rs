//! The way back: what is stored below a prefix becomes files below a directory.
//!
//! All that is there is listed first, and room for it looked for. Then it comes through the pipeline, by the strategies and
//! engines of uploads: each object into a temporary file that gets its name when it is whole and proven.

mod spool;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::config::{BucketPolicy, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{Failure, FailureKind};
use crate::pipeline::{
    Effect, Fetch, Fetches, Home, Monitor, StateSettings, Stored, UploadRequest, Work, find_server,
    look_at_bucket, open_store, run_work, unless_stopped,
};
use crate::report::RunSummary;
use crate::source::key::path_of;
use crate::source::{Filter, S3Url};
use crate::store::{Connector, ListedObject, StoreErrorKind, explain, first_contact};
use crate::transfer::{Overwrite, Place};
use crate::units::ByteSize;

use self::spool::{Spool, Spooled};

/// What to bring back, and where to.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// A prefix, or one object.
    pub source: S3Url,
    /// A directory, made if it is missing; for one object it may be the file.
    pub dest: PathBuf,
    /// What is left out.
    pub filter: Arc<Filter>,
    /// What happens to files that are there and are something else.
    pub overwrite: Overwrite,
    /// Whether anything is done, or only told.
    pub effect: Effect,
    /// How.
    pub config: Config,
    /// Where it is written down what was begun; none when a killed run is not to be continued.
    pub state: Option<StateSettings>,
    /// When nothing new is begun any more.
    pub deadline: Option<Instant>,
}

/// Below which keys it is, and where that goes.
struct Ground {
    /// What keys begin with.
    prefix: String,
    /// The one object that is meant, if it is one.
    single: Option<String>,
    root: PathBuf,
    /// The name of the one file.
    name: Option<PathBuf>,
}

/// What was found to be done.
struct Found {
    spool: Spool,
    objects: u64,
    /// Bytes that have no room in `root` yet.
    wanted_bytes: u64,
}

/// Brings everything below the source down. Returns when each object is a file or has its reason why not.
///
/// Nothing is written outside of the destination, and no link is followed on the way to a file. Files that are the same
/// already are not read again from the server. Cancelling `cancel` stops it in order; parts of large objects stay for the
/// next run if there is a state.
///
/// # Errors
/// [`ErrorKind::NothingStored`] when nothing is there; the bucket, the server or the destination cannot be used, or has no
/// room. What fails for one object is in the summary.
pub fn restore(
    request: &RestoreRequest,
    cancel: &CancellationToken,
    monitor: &mut dyn Monitor,
) -> Result<RunSummary> {
    request.config.validate()?;
    let connector = find_server(&request.config, cancel)?;
    let bucket = (request.source.bucket.as_str(), BucketPolicy::MustExist);
    look_at_bucket(&connector, request.config.transfer.retry, bucket, cancel)?;
    let mut ground = ground(request, &connector, cancel)?;
    let found = find(request, &connector, &ground, cancel)?;
    if found.objects == 0 {
        let message = format!("nothing is stored at {}", request.source);
        return Err(Error::new(ErrorKind::NothingStored, message)
            .with_hint(format!("s3haul ls s3://{}/ shows what is", request.source.bucket)));
    }
    if request.effect == Effect::Apply {
        make_room(&ground.root, found.wanted_bytes)?;
        ground.root = fs::canonicalize(&ground.root).map_err(|error| unusable(&ground.root, error))?;
    }
    let state = request.state.as_ref().filter(|_| request.effect == Effect::Apply);
    let place = (connector.endpoint(), &request.source);
    let home = open_books(state, (&place.0, place.1), &ground.root, cancel)?;
    let upload = UploadRequest {
        resume: home.as_ref().map(Home::resume),
        deadline: request.deadline,
        ..UploadRequest::of_work(request.source.clone(), request.config.clone())
    };
    let fetches = fetches(found.spool, ground, request.overwrite)?;
    run_work(
        Work::Fetches(fetches),
        request.effect,
        &connector,
        &upload,
        cancel,
        monitor,
    )
}

fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(
        ErrorKind::Output,
        format!("'{}' cannot be written", path.display()),
    )
    .with_source(error)
    .with_hint("name a directory that can be written")
}

/// A prefix, unless exactly one object has the name.
fn ground(request: &RestoreRequest, connector: &Connector, cancel: &CancellationToken) -> Result<Ground> {
    let (source, dest) = (&request.source, &request.dest);
    let of_prefix = || Ground {
        prefix: source.prefix(),
        single: None,
        root: dest.clone(),
        name: None,
    };
    if source.key.is_empty() || source.key.ends_with('/') {
        return Ok(of_prefix());
    }
    let retry = first_contact(request.config.transfer.retry);
    let (host, store) = open_store(connector, retry, (&source.bucket, 1))?;
    let is_object = unless_stopped(cancel, async {
        match store.head_object(&source.key).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == StoreErrorKind::NoSuchKey => Ok(false),
            Err(error) => Err(explain(&error, &source.bucket, connector)),
        }
    });
    if !host.runtime.block_on(is_object)? {
        return Ok(of_prefix());
    }
    let prefix = source.key.rfind('/').map_or("", |slash| &source.key[..=slash]);
    let goes_into = dest.is_dir() || dest.as_os_str().as_encoded_bytes().ends_with(b"/");
    let name = dest.file_name().filter(|_| !goes_into).map(PathBuf::from);
    let root = match &name {
        None => dest.clone(),
        Some(_) => match dest.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        },
    };
    Ok(Ground {
        prefix: prefix.to_owned(),
        single: Some(source.key.clone()),
        root,
        name,
    })
}

/// Lists all that is there. What has no file of its size yet needs room.
fn find(
    request: &RestoreRequest,
    connector: &Connector,
    ground: &Ground,
    cancel: &CancellationToken,
) -> Result<Found> {
    let source = &request.source;
    let keys = (
        source.bucket.as_str(),
        ground.single.as_deref().unwrap_or(&ground.prefix),
    );
    let unwritable = |error: io::Error| {
        Error::new(
            ErrorKind::Configuration,
            "what is to be restored cannot be written down",
        )
        .with_source(error)
    };
    let mut found = Found {
        spool: Spool::new().map_err(unwritable)?,
        objects: 0,
        wanted_bytes: 0,
    };
    let is_over = || {
        request
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    };
    let server = (connector, request.config.transfer.retry);
    for object in Stored::new(server, keys, cancel) {
        let ListedObject {
            key,
            size_bytes,
            etag,
            ..
        } = object?;
        if is_over() {
            let message = "the time was up before all that is stored was listed";
            return Err(
                Error::new(ErrorKind::OutOfTime, message).with_hint("nothing was restored; allow more time")
            );
        }
        if ground.single.as_ref().is_some_and(|single| *single != key) || is_marker(&key, size_bytes) {
            continue;
        }
        let Some(relative) = path_of(&key, &ground.prefix) else {
            continue;
        };
        if !request.filter.wants(&relative) {
            continue;
        }
        found.objects += 1;
        found.wanted_bytes += wanted_bytes(request, ground, &relative, (&key, size_bytes, &etag));
        let spooled = Spooled {
            key,
            size_bytes,
            etag,
        };
        found.spool.add(&spooled).map_err(unwritable)?;
    }
    Ok(found)
}

/// Bytes of an object that have no room yet: none where a file of its size is, less where an earlier run has been.
fn wanted_bytes(
    request: &RestoreRequest,
    ground: &Ground,
    relative: &Path,
    (key, size_bytes, etag): (&str, u64, &str),
) -> u64 {
    let relative = ground.name.as_deref().unwrap_or(relative);
    let there = fs::symlink_metadata(ground.root.join(relative));
    if there.is_ok_and(|there| there.is_file() && there.len() == size_bytes) {
        return 0;
    }
    let place = Place::new(&ground.root, relative, request.overwrite, Some(etag));
    size_bytes.saturating_sub(place.map_or(0, |place| place.brought_bytes(key)))
}

/// Whether an object only says that there is a directory: consoles make such.
fn is_marker(key: &str, size_bytes: u64) -> bool {
    size_bytes == 0 && key.ends_with('/')
}

/// Looks whether `wanted_bytes` fit into the file system of the directory, and makes it.
pub(crate) fn make_room(root: &Path, wanted_bytes: u64) -> Result<()> {
    let unusable = |error: io::Error| unusable(root, error);
    let above = root.ancestors().find(|path| path.exists());
    let there = above.unwrap_or(Path::new("."));
    if !there.is_dir() {
        return Err(unusable(io::ErrorKind::NotADirectory.into()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(there, access).map_err(|errno| unusable(errno.into()))?;
    let space = rustix::fs::statvfs(there).map_err(|errno| unusable(errno.into()))?;
    let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
    if wanted_bytes > free_bytes {
        let (wanted, free) = (ByteSize(wanted_bytes), ByteSize(free_bytes));
        let message = format!(
            "'{}' has room for {free}, and {wanted} are needed",
            root.display()
        );
        return Err(Error::new(ErrorKind::Output, message)
            .with_hint("make room, name another directory, or leave something out with --exclude; temporary files of a restore that was killed (.s3haul-*.part) take room, too"));
    }
    fs::create_dir_all(root).map_err(unusable)
}

/// The books of what comes from `source` to `root`; none where none are wanted, or they cannot be kept.
pub(crate) fn open_books(
    state: Option<&StateSettings>,
    (endpoint, source): (&str, &S3Url),
    root: &Path,
    cancel: &CancellationToken,
) -> Result<Option<Home>> {
    let Some(state) = state else {
        return Ok(None);
    };
    let purpose = format!("restore to {}", root.display());
    match Home::open(state, &purpose, (endpoint, source), cancel) {
        Err(error) if error.kind() == ErrorKind::Configuration => {
            tracing::warn!(%error, "should this run be killed, the next one begins large objects anew");
            Ok(None)
        }
        home => home.map(Some),
    }
}

fn fetches(spool: Spool, ground: Ground, overwrite: Overwrite) -> Result<Fetches> {
    let unreadable = |error: io::Error| {
        Error::new(ErrorKind::Internal, "what is to be restored cannot be read back").with_source(error)
    };
    let objects = spool.read().map_err(unreadable)?;
    Ok(Box::new(objects.map(move |object| match object {
        Ok(object) => fetch(object, &ground, overwrite),
        Err(error) => Fetch {
            key: String::new(),
            size_bytes: 0,
            place: Err((
                ground.root.clone(),
                Failure::new(FailureKind::Unreadable, error.to_string()),
            )),
        },
    })))
}

fn fetch(object: Spooled, ground: &Ground, overwrite: Overwrite) -> Fetch {
    let Spooled {
        key,
        size_bytes,
        etag,
    } = object;
    let relative = match &ground.name {
        Some(name) => name.clone(),
        None => path_of(&key, &ground.prefix).unwrap_or_default(),
    };
    let place = Place::new(&ground.root, &relative, overwrite, Some(&etag)).ok_or_else(|| {
        let message = "the key names no file that could be below the destination";
        (
            PathBuf::from(&key),
            Failure::new(FailureKind::KeyRefused, message),
        )
    });
    Fetch {
        key,
        size_bytes,
        place,
    }
}
