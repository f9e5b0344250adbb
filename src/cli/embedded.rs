//! `--endpoint-url embedded`: the embedded server for the life of one command.

use std::path::{Path, PathBuf};

use super::args::StoreArgs;
use crate::config::{FixedCredentials, Secret, StoreSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::server::{EmbeddedServer, ServerConfig, ServerError, ServerHandle};

/// What users type instead of an address.
pub(super) const EMBEDDED: &str = "embedded";

/// Where the embedded server keeps its data unless told otherwise.
pub(super) fn default_data() -> Result<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    base.map(|base| base.join("s3haul").join("embedded"))
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

/// The settings that the flags stand for, and the server that they made us start. Keep it until the command is done.
pub(super) fn settings(args: &StoreArgs) -> Result<(StoreSettings, Option<ServerHandle>)> {
    let mut settings = args.settings();
    if settings.endpoint_url.as_deref() != Some(EMBEDDED) {
        return Ok((settings, None));
    }
    let directory = match &args.embedded_data {
        Some(directory) => directory.clone(),
        None => default_data()?,
    };
    let secret = random_secret();
    let server = start(&directory, 0, "s3haul", &secret)?;
    settings.endpoint_url = Some(server.endpoint_url());
    settings.credentials = Some(FixedCredentials {
        access_key: "s3haul".to_owned(),
        secret_key: Secret::new(secret),
    });
    Ok((settings, Some(server)))
}
