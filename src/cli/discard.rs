//! `s3haul serve --discard`: a null sink in the foreground, until Ctrl-C.

use std::time::Duration;

use clap::Args;

use super::choices::duration;
use super::exit_code::ExitCode;
use super::output_args::OutputArgs;
use super::serve::print_environment;
use super::{printer, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::server::{DiscardConfig, DiscardServer};
use crate::units::Rate;

/// Any key will do: the null sink looks at no signature.
const ANY_KEY: &str = "discard";

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Null sink")]
pub(super) struct DiscardArgs {
    /// Keep nothing: read requests, throw the bodies away, answer as S3 would
    ///
    /// For seeing what a client costs and how it takes latency, slow connections and overload; it proves nothing about
    /// content. Any credentials and any bucket will do; listings are empty and HEAD finds no object, so upload with
    /// --verify none. GET /-/counters returns as JSON what was counted (connections, requests by operation, peak in
    /// flight, bytes), POST /-/reset starts anew. --data is not used.
    #[arg(long)]
    discard: bool,

    /// Time from the end of a request to its answer, such as 20ms
    #[arg(long, value_name = "TIME", requires = "discard", value_parser = duration)]
    latency: Option<Duration>,

    /// Fastest that each connection takes bodies, such as 20MiB/s
    #[arg(long, value_name = "RATE", requires = "discard")]
    bandwidth_per_connection: Option<Rate>,

    /// Answer 503 SlowDown to requests above N in flight
    #[arg(long, value_name = "N", requires = "discard", value_parser = clap::value_parser!(u64).range(1..))]
    reject_above: Option<u64>,

    /// Threads of the null sink
    #[arg(long, value_name = "N", requires = "discard", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
}

impl DiscardArgs {
    pub(super) fn wanted(&self) -> bool {
        self.discard
    }

    pub(super) fn run(&self, port: u16, output: &OutputArgs) -> Result<ExitCode> {
        let config = DiscardConfig {
            port,
            threads: usize::from(self.threads),
            latency: self.latency.unwrap_or_default(),
            bandwidth_per_connection: self.bandwidth_per_connection.map(|rate| rate.0.bytes().max(1)),
            reject_above: self.reject_above,
        };
        let cancel = signals::cancel_on_signals();
        let server = DiscardServer::start(&config).map_err(|error| {
            Error::new(ErrorKind::Configuration, "the null sink cannot start").with_source(error)
        })?;
        print_environment(&server.endpoint_url(), ANY_KEY, ANY_KEY);
        if !output.quiet {
            printer::note(
                "throwing everything away until Ctrl-C; upload with --verify none, for nothing is here to be found",
            );
        }
        futures::executor::block_on(cancel.cancelled());
        if output.verbose > 0 {
            printer::note(&serde_json::to_string_pretty(&server.counters()).unwrap_or_default());
        }
        server.shutdown();
        Ok(signals::received().unwrap_or(ExitCode::Done))
    }
}
