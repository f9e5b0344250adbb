//! `--endpoint-url embedded`: the embedded server for the life of one command.

use std::path::{Path, PathBuf};

use super::args::StoreArgs;
use super::base_directory::base_directory;
use crate::config::{FixedCredentials, Secret, StoreSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::server::{EmbeddedServer, ServerConfig, ServerError, ServerHandle};
use crate::source::Filter;

/// What users type instead of an address.
pub(super) const EMBEDDED: &str = "embedded";

/// Where the embedded server keeps its data unless told otherwise.
pub(super) fn default_data() -> Result<PathBuf> {
    base_directory("XDG_DATA_HOME", ".local/share")
        .map(|base| base.join("s3haul").join("embedded"))
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Configuration,
                "there is no home directory for the embedded server's data",
            )
            .with_hint("name a directory with --embedded-data DIR")
        })
}

/// Letters and digits that nobody guesses.
pub(super) fn random_secret() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(40).collect()
}

/// Starts a server; `port` 0 takes any that is free.
pub(super) fn start(directory: &Path, port: u16, access_key: &str, secret_key: &str) -> Result<ServerHandle> {
    let config = ServerConfig {
        data_directory: directory.to_owned(),
        port,
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
    };
    EmbeddedServer::start(config).map_err(|error| {
        let in_use = matches!(error, ServerError::InUse { .. });
        let explained = Error::new(ErrorKind::Configuration, "the embedded server cannot start").with_source(error);
        if in_use {
            explained.with_hint("another s3haul uses this directory; name its address with --endpoint-url, or another directory with --embedded-data")
        } else {
            explained
        }
    })
}

/// Where the data of `--endpoint-url embedded` is.
pub(super) fn data_directory(args: &StoreArgs) -> Result<PathBuf> {
    match &args.embedded_data {
        Some(directory) => Ok(directory.clone()),
        None => default_data(),
    }
}

/// A server that keeps its data inside what is uploaded to it would be fed its own growth.
pub(super) fn refuse_data_inside(args: &StoreArgs, sources: &[PathBuf], filter: &Filter) -> Result<()> {
    if args.endpoint_url.as_deref() != Some(EMBEDDED) {
        return Ok(());
    }
    let directory = data_directory(args)?;
    let Ok(data) = std::path::absolute(&directory).map(|path| path.canonicalize().unwrap_or(path)) else {
        return Ok(());
    };
    for source in sources {
        let inside = source.canonicalize().ok().and_then(|source| {
            let relative = data.strip_prefix(source).ok()?;
            let mut way: Vec<_> = relative.ancestors().collect();
            way.retain(|step| !step.as_os_str().is_empty());
            Some(way.into_iter().all(|step| filter.enters_directory(step)))
        });
        if inside == Some(true) {
            let message = format!(
                "the embedded server keeps its data in '{}', inside the source '{}'",
                directory.display(),
                source.display()
            );
            return Err(Error::new(ErrorKind::Usage, message).with_hint(
                "name another directory with --embedded-data DIR, or leave it out with --exclude",
            ));
        }
    }
    Ok(())
}

/// The settings that the flags stand for, and the server that they made us start. Keep it until the command is done.
pub(super) fn settings(args: &StoreArgs) -> Result<(StoreSettings, Option<ServerHandle>)> {
    let mut settings = args.settings();
    if settings.endpoint_url.as_deref() != Some(EMBEDDED) {
        return Ok((settings, None));
    }
    let directory = data_directory(args)?;
    let secret = random_secret();
    let server = start(&directory, 0, "s3haul", &secret)?;
    settings.endpoint_url = Some(server.endpoint_url());
    settings.credentials = Some(FixedCredentials {
        access_key: "s3haul".to_owned(),
        secret_key: Secret::new(secret),
    });
    Ok((settings, Some(server)))
}
