//! The HTTP client below the SDK: one bounded pool a store, connections counted, answers looked at.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::pool::{
    Client as PoolClient, ConnectionEvent, ConnectionPool, DriverSpawner, Partition, PartitionId,
};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::Resolved;
use crate::error::{Error, ErrorKind, Result};
use crate::store::connector::{ServerKind, Shared};

/// Servers and balancers drop idle connections; ours go first, so that no request meets a dead one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client whose connections belong to the runtime this is called on.
pub(super) fn client(
    resolved: &Resolved,
    shared: &Arc<Shared>,
    max_connections: usize,
) -> Result<SharedHttpClient> {
    let unusable = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Configuration, "the HTTP client cannot be set up").with_source(error)
    };
    let partition = PartitionId::from_index(0);
    let spawner = DriverSpawner::tokio(tokio::runtime::Handle::current());
    let counter = shared.clone();
    let builder = ConnectionPool::builder()
        .partitions([Partition::new(partition, spawner)])
        .idle_timeout(IDLE_TIMEOUT)
        .max_connections_per_host(max_connections.max(1))
        .event_listener(move |event: &ConnectionEvent<'_>| {
            if matches!(event, ConnectionEvent::Opened(_)) {
                counter.connections_opened.fetch_add(1, Ordering::Relaxed);
            }
        });
    let pool = if resolved.is_https() {
        let builder = builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc));
        match &resolved.trust {
            Some(context) => builder.tls_context(context.clone()).build_https(),
            None => builder.build_https(),
        }
    } else {
        // No TLS set-up for plain http: it would cost 3 ms and 7 MiB a process.
        builder.build_http()
    };
    let pool = pool.map_err(|error| unusable(error.into()))?;
    let inner = PoolClient::from_partition(&pool, partition).map_err(|error| unusable(error.into()))?;
    Ok(SharedHttpClient::new(Inspecting {
        inner,
        shared: shared.clone(),
        path_style: !resolved.is_aws(),
    }))
}

/// A success with an HTML page is no S3 server's answer: a captive portal, a proxy, a web server.
#[derive(Debug, thiserror::Error)]
#[error("the answer is an HTML page, not S3")]
pub(super) struct HtmlAnswer;

#[derive(Debug)]
struct Inspecting {
    inner: PoolClient,
    shared: Arc<Shared>,
    path_style: bool,
}

impl HttpClient for Inspecting {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(InspectingConnector {
            inner: self.inner.http_connector(settings, components),
            shared: self.shared.clone(),
            path_style: self.path_style,
        })
    }
}

#[derive(Debug)]
struct InspectingConnector {
    inner: SharedHttpConnector,
    shared: Arc<Shared>,
    path_style: bool,
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

impl HttpConnector for InspectingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let of_object = concerns_an_object(request.method(), request.uri(), self.path_style);
        let answer = self.inner.call(request);
        let shared = self.shared.clone();
        HttpConnectorFuture::new(async move {
            let response: HttpResponse = answer.await?;
            if shared.server.get().is_none()
                && let Some(server) = response.headers().get("server")
            {
                // The first answer decides; who comes second finds the same.
                let _ = shared.server.set(ServerKind::from_header(server));
            }
            if response.status().is_success() && !of_object && is_html(&response) {
                return Err(ConnectorError::other(Box::new(HtmlAnswer), None));
            }
            Ok(response)
        })
    }
}

/// True when the answer calls itself an HTML page.
pub(super) fn is_html(response: &HttpResponse) -> bool {
    response
        .headers()
        .get("content-type")
        .is_some_and(|content_type| content_type.starts_with("text/html"))
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
