//! The pool as an HTTP client for the SDK and for its credential providers.

use std::sync::Arc;

use aws_sdk_s3::config::RuntimeComponents;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::{HeaderValue, Request, Uri};

use super::{Address, Pool, RequestBody};
use crate::store::{StoreError, StoreErrorKind, StoreResult};

/// See the module.
#[derive(Clone)]
pub(in crate::store) struct PooledClient {
    pub(in crate::store) pool: Arc<Pool>,
    /// Addresses have the bucket in their path, not in their host.
    pub(in crate::store) path_style: bool,
}

impl std::fmt::Debug for PooledClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PooledClient")
    }
}

impl HttpClient for PooledClient {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for PooledClient {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let of_object = concerns_an_object(request.method(), request.uri(), self.path_style);
        let pool = self.pool.clone();
        HttpConnectorFuture::new(async move {
            let response = exchange(&pool, request)
                .await
                .map_err(|error| ConnectorError::other(Box::new(error), None))?;
            if response.status().is_success() && !of_object && is_html_answer(&response) {
                return Err(ConnectorError::other(Box::new(StoreError::html()), None));
            }
            Ok(response)
        })
    }
}

async fn exchange(pool: &Arc<Pool>, request: HttpRequest) -> StoreResult<HttpResponse> {
    let impossible = |error: &dyn std::fmt::Display| {
        StoreError::new(
            StoreErrorKind::Refused,
            format!("the request could not be made: {error}"),
        )
    };
    let request = request.try_into_http1x().map_err(|error| impossible(&error))?;
    let (mut parts, body) = request.into_parts();
    let address = Address::of(&parts.uri).ok_or_else(|| impossible(&"its address names no host"))?;
    if !parts.headers.contains_key(http::header::HOST)
        && let Some(authority) = parts.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(http::header::HOST, host);
    }
    // Servers want the path alone; only proxies get the whole address.
    let origin = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = origin.parse::<Uri>().map_err(|error| impossible(&error))?;
    let response = pool
        .send(
            &address,
            Request::from_parts(parts, RequestBody::Sdk(Box::new(body))),
        )
        .await?;
    response.map(SdkBody::from_body_1_x).try_into().map_err(
        |error: aws_smithy_runtime_api::http::HttpError| {
            StoreError::new(
                StoreErrorKind::NotCredible,
                format!("the answer cannot be understood: {error}"),
            )
        },
    )
}

/// True when the answer calls itself an HTML page.
pub(in crate::store) fn is_html_answer(response: &HttpResponse) -> bool {
    let content_type = response.headers().get("content-type");
    content_type.is_some_and(|content_type| content_type.starts_with("text/html"))
}

/// True when an HTML content type would be the stored object's own.
fn concerns_an_object(method: &str, uri: &str, path_style: bool) -> bool {
    if !matches!(method, "GET" | "HEAD") {
        return false;
    }
    let path = uri
        .split_once("://")
        .map_or(uri, |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    let path = path.split('?').next().unwrap_or("");
    if path_style {
        path.trim_end_matches('/').contains('/')
    } else {
        !path.is_empty()
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_an_object_may_answer_with_html() {
        let endpoint = "http://127.0.0.1:9000";
        for (method, path, of_object) in [
            ("GET", "/bucket/a/b.html?x-id=GetObject", true),
            ("HEAD", "/bucket/b.html", true),
            ("PUT", "/bucket/b.html?x-id=PutObject", false),
            ("HEAD", "/bucket", false),
            ("HEAD", "/bucket/", false),
            ("GET", "/bucket/?list-type=2", false),
        ] {
            assert_eq!(
                concerns_an_object(method, &format!("{endpoint}{path}"), true),
                of_object,
                "{method} {path}"
            );
        }
        assert!(concerns_an_object(
            "HEAD",
            "https://b.s3.amazonaws.com/x.html",
            false
        ));
        assert!(!concerns_an_object("HEAD", "https://b.s3.amazonaws.com/", false));
    }
}
