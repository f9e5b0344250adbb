//! What no single flag can check on its own: every cross-field rule stands here and nowhere else.

use super::{Config, RunSettings, StoreSettings, StrategyKind, TransferSettings, impossible};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{MAX_PART_BYTES, MIN_PART_BYTES};

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

impl Config {
    /// Checks what no single flag can check on its own.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] with the flags named as they are typed.
    pub fn validate(&self) -> Result<()> {
        self.transfer.validate()?;
        self.transfer.validate_batches(&self.run)?;
        self.store.validate()?;
        self.run.validate()
    }
}

impl TransferSettings {
    fn validate(&self) -> Result<()> {
        let part = self.part_size;
        if !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&part.bytes()) {
            return Err(
                usage(format!("'--part-size {part}' is not between 5 MiB and 5 GiB"))
                    .with_hint("S3 takes parts of 5 MiB to 5 GiB; the default is 16MiB"),
            );
        }
        if self.multipart_threshold.bytes() > MAX_PART_BYTES {
            return Err(usage(format!(
                "'--multipart-threshold {}' is above 5 GiB, the most that one PUT can hold",
                self.multipart_threshold
            )));
        }
        for (flag, size) in [
            ("--part-size", part),
            ("--multipart-threshold", self.multipart_threshold),
        ] {
            if size > self.memory {
                return Err(usage(format!(
                    "'--memory {}' is smaller than '{flag} {size}': one part would not fit into the budget",
                    self.memory
                ))
                .with_hint(format!("raise --memory to at least {size}, or lower {flag}")));
            }
        }
        if self.bandwidth.is_some_and(|rate| rate.0.bytes() == 0) {
            return Err(usage("'--bwlimit 0' would never send a byte".to_owned())
                .with_hint("leave the flag out for no limit"));
        }
        self.attributes.validate()
    }
}

impl StoreSettings {
    /// Whether the endpoint, if one is set, is an address.
    pub(crate) fn validate(&self) -> Result<()> {
        self.endpoint_url.as_deref().map_or(Ok(()), check_endpoint)
    }
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    // Before anything else: the other messages show the endpoint, and none may show a password.
    if let Some((_, place)) = endpoint.rsplit_once('@') {
        let place = place.split(['?', '#']).next().unwrap_or(place);
        return Err(
            usage(format!("the endpoint at '{place}' has a user name or password in front"))
                .with_hint(
                    "leave out what stands before '@'; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                     from --profile",
                ),
        );
    }
    // What stands there may be a signature, so it is not shown either.
    if let Some(end) = endpoint.find(['?', '#']) {
        let address = &endpoint[..end];
        return Err(
            usage(format!("endpoint '{address}' is followed by a query or fragment"))
                .with_hint(format!("requests would lose it; write {address}")),
        );
    }
    let uri: http::Uri = endpoint.parse().map_err(|error| {
        usage(format!("endpoint '{endpoint}' is not an address"))
            .with_source(error)
            .with_hint("write it like http://127.0.0.1:9000")
    })?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(usage(format!(
            "endpoint '{endpoint}' has no http:// or https:// in front"
        ))
        .with_hint(format!(
            "did you mean http://{} ?",
            endpoint.rsplit("://").next().unwrap_or(endpoint)
        )));
    }
    check_port(endpoint, &uri)
}

/// The HTTP crate takes any text for a port; the first request would fail with words that do not name it.
fn check_port(endpoint: &str, uri: &http::Uri) -> Result<()> {
    let (authority, host) = (
        uri.authority().map_or("", |a| a.as_str()),
        uri.host().unwrap_or(""),
    );
    let Some(port) = authority.strip_prefix(host).filter(|rest| !rest.is_empty()) else {
        return Ok(());
    };
    let port = port.trim_start_matches(':');
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err(usage(format!("endpoint '{endpoint}' has the port '{port}'"))
            .with_hint("a port is a number from 1 to 65535; MinIO's is 9000")),
    }
}

impl RunSettings {
    fn validate(&self) -> Result<()> {
        match self.concurrency {
            Some(0) => return Err(usage("'--concurrency 0' would upload nothing".to_owned())),
            Some(number) if number > 10_000 => {
                return Err(usage(format!("'--concurrency {number}' is above 10,000")));
            }
            _ => {}
        }
        if let (Some(strategy), Some(client)) = (self.strategy, self.client)
            && let Some(reason) = impossible(strategy, client)
        {
            return Err(usage(format!(
                "'--client {}' cannot be used with '--strategy {}': {reason}",
                client.name(),
                strategy.name()
            ))
            .with_hint("use --client per-worker"));
        }
        if self.event_loops == Some(0) {
            return Err(usage("'--event-loops 0' would upload nothing".to_owned()));
        }
        if self.event_loops.is_some() && !matches!(self.strategy, None | Some(StrategyKind::Async)) {
            return Err(usage(
                "'--event-loops' goes with '--strategy async' only".to_owned(),
            ));
        }
        if self.processes == Some(0) {
            return Err(usage("'--processes 0' would upload nothing".to_owned()));
        }
        if self.processes.is_some() && self.strategy != Some(StrategyKind::Hybrid) {
            return Err(
                usage("'--processes' goes with '--strategy hybrid' only".to_owned())
                    .with_hint("'--strategy processes' starts as many as --concurrency says"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientMode;
    use crate::units::ByteSize;

    fn message(config: &Config) -> String {
        config.validate().expect_err("must be refused").to_string()
    }

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().expect("defaults");
    }

    #[test]
    fn a_budget_below_one_part_is_refused_with_both_flags_named() {
        let mut config = Config::default();
        config.transfer.memory = ByteSize::mib(8);
        assert_eq!(
            message(&config),
            "'--memory 8 MiB' is smaller than '--part-size 16 MiB': one part would not fit into the budget"
        );
    }

    #[test]
    fn an_endpoint_without_scheme_is_refused() {
        for endpoint in ["127.0.0.1:9000", "localhost:9000", "ftp://x", "http://", "minio"] {
            let mut config = Config::default();
            config.store.endpoint_url = Some(endpoint.into());
            assert!(message(&config).contains(endpoint), "{endpoint}");
        }
    }

    #[test]
    fn an_endpoint_with_more_than_an_address_is_refused_without_showing_it() {
        for (endpoint, says) in [
            ("http://user:sesame@host:9000", "the endpoint at 'host:9000'"),
            ("user:sesame@host", "the endpoint at 'host'"),
            (
                "http://user:ses/ame@sesame@host?x=sesame",
                "the endpoint at 'host'",
            ),
            (
                "http://host/path?sesame=1",
                "endpoint 'http://host/path' is followed",
            ),
            ("http://host#sesame", "endpoint 'http://host' is followed"),
        ] {
            let mut config = Config::default();
            config.store.endpoint_url = Some(endpoint.into());
            let error = config.validate().expect_err("must be refused");
            let told = format!("{error} {}", error.hint().unwrap_or_default());
            assert!(told.contains(says), "{endpoint}: {told}");
            assert!(!told.contains("sesame"), "{endpoint}: {told}");
        }
    }

    #[test]
    fn a_port_is_a_number_that_tcp_knows() {
        for (endpoint, is_good) in [
            ("http://host:65535", true),
            ("http://[::1]:9000/path", true),
            ("http://[::1]", true),
            ("http://host:65536", false),
            ("http://host:0", false),
            ("http://host:", false),
            ("http://host:http", false),
            ("http://[::1]:-1", false),
        ] {
            let mut config = Config::default();
            config.store.endpoint_url = Some(endpoint.into());
            assert_eq!(config.validate().is_ok(), is_good, "{endpoint}");
        }
    }

    #[test]
    fn one_client_for_many_processes_is_refused_with_the_reason() {
        let mut config = Config::default();
        config.run.strategy = Some(StrategyKind::Processes);
        config.run.client = Some(ClientMode::Shared);
        assert_eq!(
            message(&config),
            "'--client shared' cannot be used with '--strategy processes': each process has its own memory, \
             so a client cannot be shared among them"
        );
    }
}
