//! One request to somebody who wants to hear that a run begins or ends.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};

use super::body::RequestBody;
use super::connection::{Address, Dialer};
use super::{Tls, failed};
use crate::store::{StoreError, StoreErrorKind, StoreResult};

/// Posts `text` to `url` and waits for the answer, at most `limit`. Not tried again.
///
/// # Errors
/// The address cannot be used, nobody answers in time, or the answer is no success.
pub async fn ping(url: &str, text: String, limit: Duration) -> StoreResult<()> {
    let unusable = |message: &str| StoreError::new(StoreErrorKind::Refused, message);
    let uri: Uri = url.parse().map_err(|_| unusable("the address cannot be used"))?;
    let address = Address::of(&uri)
        .filter(|_| matches!(uri.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| unusable("the address names no server; write it as http://host/path"))?;
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let host = authority.rsplit('@').next().unwrap_or_default().to_owned();
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .header(header::USER_AGENT, concat!("s3haul/", env!("CARGO_PKG_VERSION")))
        .body(RequestBody::Whole(Bytes::from(text)))
        .map_err(|_| unusable("the address cannot be used"))?;
    let dialer = Dialer::new(Tls::new(None));
    let answer = async {
        let mut sender = dialer.dial(&address).await?;
        sender.send_request(request).await.map_err(|error| failed(&error))
    };
    let answer = tokio::time::timeout(limit, answer)
        .await
        .map_err(|_| StoreError::new(StoreErrorKind::Stalled, "no answer in time"))??;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    Err(unusable(&format!("the answer is {status}")))
}
