//! A store's answer as the error that ends a run: what, where, next step.

use super::{Connector, StoreError, StoreErrorKind};
use crate::error::{Error, ErrorKind};

/// Says what `error` means for `bucket` and what to do about it.
pub fn explain(error: &StoreError, bucket: &str, connector: &Connector) -> Error {
    use StoreErrorKind as Kind;
    let place = connector.endpoint();
    let of_bucket = format!("bucket '{bucket}' at {place}");
    let (kind, message, hint) = match error.kind {
        Kind::NoSuchBucket => (
            ErrorKind::NoSuchBucket,
            format!("bucket '{bucket}' does not exist at {place}"),
            Some(format!(
                "make it with --create-bucket or 's3haul mb s3://{bucket}'"
            )),
        ),
        Kind::WrongRegion => {
            let region = error.region.as_deref();
            let message = match region {
                Some(region) => format!("{of_bucket} is in region {region}, not {}", connector.region()),
                None => format!("{of_bucket} is in another region than {}", connector.region()),
            };
            (
                ErrorKind::Configuration,
                message,
                Some(format!("use --region {}", region.unwrap_or("REGION"))),
            )
        }
        Kind::InvalidCredentials => (
            ErrorKind::Credentials,
            format!("the credentials are not accepted by {place}"),
            Some("check access key and secret key, and that they belong to this server".to_owned()),
        ),
        Kind::ExpiredCredentials => (
            ErrorKind::Credentials,
            format!("the credentials have expired for {place}"),
            Some("get new ones, for instance with 'aws sso login'".to_owned()),
        ),
        Kind::NoCredentials => (
            ErrorKind::Credentials,
            "no credentials could be had".to_owned(),
            None,
        ),
        Kind::AccessDenied => (
            ErrorKind::Credentials,
            format!("access to {of_bucket} is denied"),
            Some("the credentials in use may not see this bucket; see --profile".to_owned()),
        ),
        Kind::ClockSkew => (
            ErrorKind::Configuration,
            format!("the clocks of this machine and of {place} differ by more than 15 minutes"),
            Some("set the clock, for instance with NTP".to_owned()),
        ),
        Kind::Tls => (
            ErrorKind::Configuration,
            format!("no trusted connection to {place}"),
            Some(
                "if its certificate is signed by your own authority, name that with --ca-file FILE.pem; \
                 if it speaks plain HTTP, write http://"
                    .to_owned(),
            ),
        ),
        Kind::NotCredible => (
            ErrorKind::Server,
            format!("{place} does not answer like an S3 server"),
            Some(
                "check --endpoint-url; for MinIO it is the API port (9000), not the console (9001)"
                    .to_owned(),
            ),
        ),
        Kind::Unreachable | Kind::Connection | Kind::Stalled => (
            ErrorKind::Unreachable,
            format!("{place} cannot be reached"),
            Some("check --endpoint-url and that the server runs".to_owned()),
        ),
        Kind::StorageFull => (ErrorKind::Server, format!("{place} has no space left"), None),
        _ => (
            ErrorKind::Server,
            format!("{of_bucket} cannot be used"),
            Some(
                "check --endpoint-url; for MinIO it is the API port (9000), not the console (9001)"
                    .to_owned(),
            ),
        ),
    };
    let explained = Error::new(kind, message).with_source(error.clone());
    match hint {
        Some(hint) => explained.with_hint(hint),
        None => explained,
    }
}
