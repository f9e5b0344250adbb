//! Credentials from the AWS provider chain, kept until they expire or are refused.
//!
//! All clients of a process share one cache, so that a helper program is asked once and not once a worker.
//! On an endpoint that is not AWS the chain has no instance metadata: it would cost seconds and could hand a
//! cloud identity to a foreign host.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

/// Fetched anew this long before they expire.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// See the module.
#[derive(Clone)]
pub(super) struct CachedCredentials {
    provider: SharedCredentialsProvider,
    current: Arc<tokio::sync::Mutex<Option<Fetched>>>,
}

struct Fetched {
    credentials: Arc<Credentials>,
    at: Instant,
}

impl fmt::Debug for CachedCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CachedCredentials")
    }
}

impl CachedCredentials {
    pub(super) fn new(provider: SharedCredentialsProvider) -> Self {
        Self {
            provider,
            current: Arc::default(),
        }
    }

    /// The chain for endpoints that are not AWS: environment, profile, web identity, container.
    pub(super) fn without_instance_metadata(
        profile: Option<&str>,
        providers: &ProviderConfig,
    ) -> SharedCredentialsProvider {
        let mut profile_file = ProfileFileCredentialsProvider::builder().configure(providers);
        if let Some(name) = profile {
            profile_file = profile_file.profile_name(name);
            // A profile that is named is meant: falling back would upload under another identity.
            return SharedCredentialsProvider::new(CredentialsProviderChain::first_try(
                "Profile",
                profile_file.build(),
            ));
        }
        SharedCredentialsProvider::new(
            CredentialsProviderChain::first_try("Environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("Profile", profile_file.build())
                .or_else(
                    "WebIdentityToken",
                    WebIdentityTokenCredentialsProvider::builder()
                        .configure(providers)
                        .build(),
                )
                .or_else(
                    "EcsContainer",
                    EcsCredentialsProvider::builder().configure(providers).build(),
                ),
        )
    }

    /// Good credentials, fetched if there are none.
    pub(super) async fn get(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let mut current = self.current.lock().await;
        if let Some(current) = current.as_ref().filter(|current| !is_stale(&current.credentials)) {
            return Ok(current.credentials.clone());
        }
        let fresh = Arc::new(self.provider.provide_credentials().await?);
        *current = Some(Fetched {
            credentials: fresh.clone(),
            at: Instant::now(),
        });
        Ok(fresh)
    }

    /// Forgets credentials that the server refused as expired in a request that began at `began`, unless somebody has
    /// replaced them since.
    pub(super) async fn expire(&self, began: Instant) {
        let mut current = self.current.lock().await;
        current.take_if(|current| current.at <= began);
    }
}

fn is_stale(credentials: &Credentials) -> bool {
    credentials
        .expiry()
        .is_some_and(|expiry| expiry <= SystemTime::now() + EXPIRY_MARGIN)
}

impl ProvideCredentials for CachedCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { Ok(Credentials::clone(&*self.get().await?)) })
    }
}
