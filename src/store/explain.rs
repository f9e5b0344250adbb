//! A store's answer as the error that ends a run: what, where, next step.

use super::{Connector, StoreError, StoreErrorKind};
use crate::error::{Error, ErrorKind};

const WRONG_PORT: &str = "check --endpoint-url; for MinIO it is the API port (9000), not the console (9001); \
                          a server that speaks TLS wants https://";
const WRONG_TRUST: &str = "its name and dates must fit; if its certificate is signed by your own authority, name that with \
                           --ca-file FILE.pem; \
                           if it speaks plain HTTP, write http://";

/// Says what `error` means for `bucket` and what to do about it.
pub fn explain(error: &StoreError, bucket: &str, connector: &Connector) -> Error {
    use StoreErrorKind as Kind;
    let place = connector.endpoint();
    let (kind, message) = match error.kind {
        Kind::NoSuchBucket => (
            ErrorKind::NoSuchBucket,
            format!("bucket '{bucket}' does not exist at {place}"),
        ),
        Kind::WrongRegion => (ErrorKind::Configuration, wrong_region(error, bucket, connector)),
        Kind::InvalidCredentials => (
            ErrorKind::Credentials,
            format!("the credentials are not accepted by {place}"),
        ),
        Kind::ExpiredCredentials => (
            ErrorKind::Credentials,
            format!("the credentials have expired for {place}"),
        ),
        Kind::NoCredentials => (ErrorKind::Credentials, "no credentials could be had".to_owned()),
        Kind::AccessDenied => (
            ErrorKind::Credentials,
            format!("access to bucket '{bucket}' at {place} is denied"),
        ),
        Kind::ClockSkew => (
            ErrorKind::Configuration,
            format!("the clocks of this machine and of {place} differ by more than 15 minutes"),
        ),
        Kind::Tls => (
            ErrorKind::Configuration,
            format!("no trusted connection to {place}"),
        ),
        Kind::NotCredible => (
            ErrorKind::Server,
            format!("{place} does not answer like an S3 server"),
        ),
        Kind::Unreachable | Kind::Connection | Kind::Stalled => {
            (ErrorKind::Unreachable, format!("{place} cannot be reached"))
        }
        Kind::Throttled | Kind::Transient => (
            ErrorKind::Server,
            format!("{place} is there but cannot answer now"),
        ),
        Kind::StorageFull => (ErrorKind::Server, format!("{place} has no space left")),
        _ => (
            ErrorKind::Server,
            format!("bucket '{bucket}' at {place} cannot be used"),
        ),
    };
    let explained = Error::new(kind, message).with_source(error.clone());
    match hint(error, bucket) {
        Some(hint) => explained.with_hint(hint),
        None => explained,
    }
}

fn wrong_region(error: &StoreError, bucket: &str, connector: &Connector) -> String {
    let (place, ours) = (connector.endpoint(), connector.region());
    match &error.region {
        Some(region) => format!("bucket '{bucket}' at {place} is in region {region}, not {ours}"),
        None => format!("bucket '{bucket}' at {place} is in another region than {ours}"),
    }
}

/// The next step.
fn hint(error: &StoreError, bucket: &str) -> Option<String> {
    use StoreErrorKind as Kind;
    Some(match error.kind {
        Kind::NoSuchBucket => format!("make it with --create-bucket or 's3haul mb s3://{bucket}'"),
        Kind::WrongRegion => format!("use --region {}", error.region.as_deref().unwrap_or("REGION")),
        Kind::InvalidCredentials => {
            "check access key and secret key, and that they belong to this server".to_owned()
        }
        Kind::ExpiredCredentials => "get new ones, for instance with 'aws sso login'".to_owned(),
        Kind::AccessDenied => "the credentials in use may not see this bucket; see --profile".to_owned(),
        Kind::ClockSkew => "set the clock, for instance with NTP".to_owned(),
        Kind::Tls => WRONG_TRUST.to_owned(),
        Kind::Unreachable | Kind::Connection | Kind::Stalled => {
            "check --endpoint-url and that the server runs".to_owned()
        }
        Kind::Throttled | Kind::Transient => {
            "try again later; if it stays so, look into the server's log".to_owned()
        }
        // Something answers, but not as an S3 server would.
        Kind::Refused | Kind::NotCredible | Kind::NoSuchKey => WRONG_PORT.to_owned(),
        _ => return None,
    })
}
