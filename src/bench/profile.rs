//! Profiles: what lies between client and server in a comparison.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::server::{Shape, Stall};

/// Rate of a link in bytes a second, unless a profile says otherwise: the relay takes a tenth of a core for it.
const LINK: f64 = 250e6;
/// Rate of one connection to S3 (Amazon S3 user guide, "Performance design patterns": 85 to 90 MB/s).
const S3_CONNECTION: f64 = 90e6;

/// A way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Nothing in between: what uploads cost in CPU time.
    Raw,
    /// The relay with nothing to do: to see what it takes itself.
    Relay,
    /// The same room: 2 ms.
    Lan,
    /// The same region: 25 ms, 90 MB/s a connection.
    Region,
    /// What S3's documentation says of small objects: 120 ms.
    S3Doc,
    /// Another continent: 150 ms, 10 MB/s a connection.
    Far,
    /// A link of 100 MB/s and a server that answers 3,500 requests a second.
    Capped,
    /// `region`, and one answer of a hundred comes 2 s late.
    Stall,
    /// 65 ms: what one HEAD took in the articles of the presets.
    Article,
}

impl Profile {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 9] = [
        Self::Raw,
        Self::Relay,
        Self::Lan,
        Self::Region,
        Self::S3Doc,
        Self::Far,
        Self::Capped,
        Self::Stall,
        Self::Article,
    ];

    /// The name as typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Relay => "relay",
            Self::Lan => "lan",
            Self::Region => "region",
            Self::S3Doc => "s3-doc",
            Self::Far => "far",
            Self::Capped => "capped",
            Self::Stall => "stall",
            Self::Article => "article",
        }
    }

    /// What the relay does; none without a relay.
    pub fn shape(self) -> Option<Shape> {
        let shaped = |latency, connect, per_connection, link| {
            Some(Shape {
                latency,
                connect,
                per_connection,
                link: Some(link),
                ..Shape::default()
            })
        };
        let region = shaped(0.025, 0.050, Some(S3_CONNECTION), LINK);
        match self {
            Self::Raw => None,
            Self::Relay => Some(Shape::default()),
            Self::Lan => shaped(0.002, 0.002, None, LINK),
            Self::Region => region,
            Self::S3Doc => shaped(0.120, 0.120, Some(S3_CONNECTION), LINK),
            Self::Far => shaped(0.150, 0.450, Some(10e6), LINK),
            Self::Capped => Some(Shape {
                request_rate: Some(3_500.0),
                ..shaped(0.025, 0.050, None, 100e6)?
            }),
            Self::Stall => Some(Shape {
                stall: Some(Stall {
                    every: 100,
                    seconds: 2.0,
                }),
                ..region?
            }),
            Self::Article => shaped(0.065, 0.065, None, LINK),
        }
    }

    /// True when time passes on the way: a contest of concurrency and not of CPU time.
    pub fn is_shaped(self) -> bool {
        !matches!(self, Self::Raw | Self::Relay)
    }

    /// What it is, in one line.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Raw => "loopback, nothing in between",
            Self::Relay => "loopback through the relay, no delay: what the relay itself takes",
            Self::Lan => "2 ms, link 250 MB/s",
            Self::Region => "25 ms, 50 ms to connect, 90 MB/s a connection, link 250 MB/s",
            Self::S3Doc => "120 ms, 90 MB/s a connection, link 250 MB/s",
            Self::Far => "150 ms, 450 ms to connect, 10 MB/s a connection, link 250 MB/s",
            Self::Capped => "25 ms, link 100 MB/s, 3,500 requests a second",
            Self::Stall => "as region, and one answer of a hundred 2 s late",
            Self::Article => "65 ms, as in the articles of the presets, link 250 MB/s",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|profile| profile.name() == text);
        known.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|profile| profile.name()).collect();
            format!("there is no profile '{text}'; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for profile in Profile::ALL {
            assert_eq!(profile.name().parse(), Ok(profile));
            assert_eq!(profile.shape().is_none(), profile == Profile::Raw);
        }
        assert!("moon".parse::<Profile>().expect_err("unknown").contains("region"));
    }
}
