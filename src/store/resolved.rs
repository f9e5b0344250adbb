//! Endpoint, region, credentials, trust and clock: found once, shared by all stores of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::config::Region;
use aws_sdk_s3::config::endpoint::{DefaultResolver, Endpoint, Params, ResolveEndpoint as _};
use aws_smithy_async::time::TimeSource;
use aws_types::service_config::ServiceConfigKey;
use futures::FutureExt as _;

use crate::config::{PayloadSigning, StoreSettings};
use crate::error::{Error, ErrorKind, Result};
use crate::store::credentials::CachedCredentials;
use crate::store::http::{Pool, PooledClient, Tls};

/// Some credential providers ask servers, over connections of our own kind.
const CONNECTIONS_OF_PROVIDERS: usize = 4;
const FALLBACK_REGION: &str = "us-east-1";
/// A correction beyond this is worth a warning: over plain http anybody on the way can move our clock.
const REMARKABLE_SKEW_SECONDS: i64 = 300;

/// A clock that can be set to the server's.
#[derive(Clone, Debug, Default)]
pub(super) struct CorrectedClock {
    offset_seconds: Arc<AtomicI64>,
}

impl TimeSource for CorrectedClock {
    fn now(&self) -> SystemTime {
        let offset = self.offset_seconds.load(Ordering::Relaxed);
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 {
            SystemTime::now() - by
        } else {
            SystemTime::now() + by
        }
    }
}

/// What was found out about server and credentials.
#[derive(Debug)]
pub(in crate::store) struct Resolved {
    pub(super) endpoint_url: Option<String>,
    pub(super) is_aws: bool,
    pub(super) region: String,
    pub(super) credentials: Option<CachedCredentials>,
    pub(super) clock: CorrectedClock,
    pub(super) tls: Arc<Tls>,
}

impl Resolved {
    pub(in crate::store) async fn new(settings: &StoreSettings) -> Result<Self> {
        let tls = Tls::new(settings.ca_file.as_deref());
        let http_client = PooledClient {
            pool: Pool::new(tls.clone(), CONNECTIONS_OF_PROVIDERS, Arc::default()),
            path_style: false,
        };
        let providers = ProviderConfig::without_region().with_http_client(http_client.clone());
        let shared_config = load(settings, http_client).await;
        let endpoint_url = endpoint_url(settings, &shared_config);
        if let Some(url) = &endpoint_url {
            // The same check as for the flag, now for what the environment or the profile says.
            let found = StoreSettings {
                endpoint_url: Some(url.clone()),
                ..StoreSettings::default()
            };
            found.validate()?;
        }
        let is_aws = endpoint_url.as_deref().is_none_or(is_aws_host);
        let region = region(settings, is_aws, &providers).await;
        let is_https = endpoint_url
            .as_deref()
            .is_none_or(|url| url.starts_with("https:"));
        if is_https {
            // A garbage file is an error at once, and not with the first connection.
            tls.config()?;
        }
        let credentials = credentials(settings, is_aws, &region, &providers).await;
        if let Some(credentials) = &credentials {
            let found = credentials
                .get()
                .await
                .map_err(|error| no_credentials(settings, error))?;
            check_printable(&found)?;
        }
        Ok(Self {
            endpoint_url,
            is_aws,
            region,
            credentials,
            clock: CorrectedClock::default(),
            tls,
        })
    }

    /// Where requests for `bucket` go, by the SDK's own rules; none when they cannot say.
    pub(in crate::store) fn endpoint_of(&self, bucket: &str) -> Option<Endpoint> {
        let params = Params::builder()
            .bucket(bucket)
            .region(&self.region)
            .force_path_style(!self.is_aws)
            .set_endpoint(self.endpoint_url.clone())
            .build()
            .ok()?;
        DefaultResolver::new()
            .resolve_endpoint(&params)
            .now_or_never()?
            .ok()
    }

    /// Whether bodies are part of the signature. `auto`: only where nothing else protects them on the way.
    pub(in crate::store) fn signs_payload(&self, wish: PayloadSigning) -> bool {
        match wish {
            PayloadSigning::Always => true,
            PayloadSigning::Never => false,
            PayloadSigning::Auto => self.endpoint_url.as_deref().is_some_and(|url| {
                let uri = url.parse::<::http::Uri>().ok();
                uri.is_none_or(|uri| uri.scheme_str() == Some("http") && !is_loopback(&uri))
            }),
        }
    }

    /// The server's time, as far as it is known.
    pub(in crate::store) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(in crate::store) fn endpoint(&self) -> String {
        self.endpoint_url
            .clone()
            .unwrap_or_else(|| format!("Amazon S3 in {}", self.region))
    }

    pub(in crate::store) fn region(&self) -> &str {
        &self.region
    }

    /// Takes over the server's clock.
    pub(in crate::store) fn correct_clock(&self, server_time: Option<SystemTime>) {
        let Some(server_time) = server_time else { return };
        let offset = match server_time.duration_since(SystemTime::now()) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX),
            Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap_or(i64::MAX),
        };
        let before = self.clock.offset_seconds.swap(offset, Ordering::Relaxed);
        if before != offset && offset.abs() > REMARKABLE_SKEW_SECONDS {
            tracing::warn!(
                seconds = offset,
                "this machine's clock differs from the server's; requests are signed with the server's time"
            );
        }
    }

    pub(in crate::store) async fn forget_credentials(&self, began: Instant) {
        if let Some(credentials) = &self.credentials {
            credentials.expire(began).await;
        }
    }
}

/// Profile and environment, without credentials and without asking the instance metadata for a region.
async fn load(settings: &StoreSettings, http_client: PooledClient) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .no_credentials()
        .http_client(http_client)
        .region(Region::from_static(FALLBACK_REGION));
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    loader.load().await
}

fn endpoint_url(settings: &StoreSettings, shared_config: &SdkConfig) -> Option<String> {
    let for_s3 = || {
        let key = ServiceConfigKey::builder()
            .service_id("S3")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build()
            .expect("all three fields are set");
        shared_config.service_config()?.load_config(key)
    };
    let found = settings
        .endpoint_url
        .clone()
        .or_else(for_s3)
        .or_else(|| shared_config.endpoint_url().map(str::to_owned))
        .or_else(|| std::env::var("S3_ENDPOINT_URL").ok());
    found.filter(|url| !url.is_empty())
}

/// True for addresses that never leave this machine.
fn is_loopback(uri: &::http::Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let number = host.trim_start_matches('[').trim_end_matches(']');
    let address = number.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn is_aws_host(url: &str) -> bool {
    let host = url
        .parse::<::http::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned));
    host.is_some_and(|host| host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
}

async fn region(settings: &StoreSettings, is_aws: bool, providers: &ProviderConfig) -> String {
    if let Some(region) = &settings.region {
        return region.clone();
    }
    let mut profile_region = ProfileFileRegionProvider::builder().configure(providers);
    if let Some(profile) = &settings.profile {
        profile_region = profile_region.profile_name(profile);
    }
    let chain = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile_region.build());
    let chain = if is_aws {
        // Only a machine of Amazon's knows its region by asking.
        chain.or_else(ImdsRegionProvider::builder().configure(providers).build())
    } else {
        chain
    };
    let found = chain.region().await;
    found.map_or_else(|| FALLBACK_REGION.to_owned(), |region| region.to_string())
}

async fn credentials(
    settings: &StoreSettings,
    is_aws: bool,
    region: &str,
    providers: &ProviderConfig,
) -> Option<CachedCredentials> {
    if settings.anonymous {
        return None;
    }
    let provider = if let Some(fixed) = &settings.credentials {
        SharedCredentialsProvider::new(Credentials::new(
            fixed.access_key.clone(),
            fixed.secret_key.expose(),
            None,
            None,
            "s3haul",
        ))
    } else if is_aws {
        let region = Region::new(region.to_owned());
        let mut chain = DefaultCredentialsChain::builder()
            .configure(providers.clone())
            .region(region);
        if let Some(profile) = &settings.profile {
            chain = chain.profile_name(profile);
        }
        SharedCredentialsProvider::new(chain.build().await)
    } else {
        CachedCredentials::without_instance_metadata(settings.profile.as_deref(), providers)
    };
    Some(CachedCredentials::new(provider))
}

/// Credentials travel in headers; one with a line break, as from a file with other line ends, cannot.
fn check_printable(credentials: &Credentials) -> Result<()> {
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if printable(credentials.access_key_id()) && credentials.session_token().is_none_or(printable) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Credentials,
        "the access key or session token holds a space or control character",
    )
    .with_hint("look for a line break at its end"))
}

fn no_credentials(
    settings: &StoreSettings,
    error: aws_credential_types::provider::error::CredentialsError,
) -> Error {
    let message = match &settings.profile {
        Some(profile) => format!("no credentials could be had from profile '{profile}'"),
        None => "no credentials were found".to_owned(),
    };
    Error::new(ErrorKind::Credentials, message).with_source(error).with_hint(
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use --profile, or --no-sign-request for a public bucket",
    )
}
