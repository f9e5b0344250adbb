//! What the relay itself adds to a request: the way through one that has nothing to do, beside the way past it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ground::{Ground, through};
use super::shaper::Shaper;
use super::stats::{Interval, bootstrap_median};
use crate::config::{Config, StoreSettings};
use crate::error::Result;
use crate::pipeline::connect;
use crate::server::Shape;
use crate::store::{Connector, ObjectStore, explain};
use crate::strategy::Host;

/// Pairs of requests.
const PAIRS: usize = 100;
/// Fewest of them, where a server takes its time.
const FEWEST_PAIRS: usize = 10;
/// Pairs before them, that open connections and wake processors up.
const WARM_PAIRS: usize = 5;
/// Time for all of them.
const LIMIT: Duration = Duration::from_secs(1);

/// A way to the bucket, with a connection of its own.
struct Way<'a> {
    bucket: &'a str,
    host: Arc<Host>,
    connector: Connector,
    store: Arc<dyn ObjectStore>,
}

impl<'a> Way<'a> {
    fn of(store: StoreSettings, bucket: &'a str) -> Result<Self> {
        let config = Config {
            store,
            ..Config::default()
        };
        let (host, connector, store) = connect(&config, bucket)?;
        Ok(Self {
            bucket,
            host,
            connector,
            store,
        })
    }

    /// Seconds that a HEAD of the bucket takes.
    fn request(&self) -> Result<f64> {
        let began = Instant::now();
        self.host
            .runtime
            .block_on(self.store.head_bucket())
            .map_err(|error| explain(&error, self.bucket, &self.connector))?;
        Ok(began.elapsed().as_secs_f64())
    }
}

impl Ground<'_> {
    /// Seconds that a relay without a shape adds to a request when nothing else goes on: the median over requests that
    /// take turns, one through it and one past it. None where there is no relay.
    ///
    /// # Errors
    /// The relay does not start, or the server does not answer.
    pub(super) fn toll(&self) -> Result<Option<Interval>> {
        let (Some(_), Some(address)) = (&self.shaper, self.server.address) else {
            return Ok(None);
        };
        let relay = Shaper::start(&self.plan.program, address, Shape::default(), &self.cancel)?;
        let through = Way::of(through(&self.server, &relay), &self.plan.bucket)?;
        let past = Way::of(self.server.settings.clone(), &self.plan.bucket)?;
        let began = Instant::now();
        let mut added = Vec::new();
        for pair in 0..WARM_PAIRS + PAIRS {
            let is_enough = added.len() >= FEWEST_PAIRS && began.elapsed() >= LIMIT;
            if is_enough || self.cancel.is_cancelled() {
                break;
            }
            // Whoever comes second finds processors awake: they take turns at that, too.
            let is_second = pair % 2 == 1;
            let (first, second) = match is_second {
                true => (past.request()?, through.request()?),
                false => (through.request()?, past.request()?),
            };
            if pair >= WARM_PAIRS {
                added.push(if is_second { second - first } else { first - second });
            }
        }
        Ok(bootstrap_median(&added, self.plan.seed))
    }
}
