//! The profile of a server: what an examination has proven of it, kept in a file for each endpoint and bucket.
//!
//! A convenience and never the truth: one that is damaged, of another version or old does not count, without a word,
//! and the server is asked as if nothing were known.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::capabilities::{Capabilities, Proven};
use crate::config::{ChecksumAlgorithm, ProfilePlace};
use crate::naming::unique_name;

/// Version of the form.
const VERSION: u32 = 1;
/// Servers are updated, and buckets get other rules.
const COUNTS_FOR: Duration = Duration::from_hours(90 * 24);
/// Clocks differ; what comes from further ahead is no date.
const AHEAD: Duration = Duration::from_hours(24);
/// No profile is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// What an examination has proven of a server and a bucket. What is false was not proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProfile {
    version: u32,
    /// Address of the server.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// What the server calls itself; none when it gives no name.
    pub server: Option<String>,
    /// When it was examined, by the server's clock, as RFC 3339.
    pub examined: String,
    /// Checksums with which it refuses what does not match them.
    pub verified_checksums: Vec<ChecksumAlgorithm>,
    /// See [`Capabilities::honours_conditions`].
    pub honours_conditions: bool,
    /// See [`Capabilities::md5_etags`].
    pub md5_etags: bool,
    /// See [`Capabilities::composed_etags`].
    pub composed_etags: bool,
    /// See [`Capabilities::reads_trailers`].
    pub reads_trailers: bool,
    /// See [`Capabilities::extracts_archives`].
    pub extracts_archives: Option<bool>,
}

impl ServerProfile {
    /// One in which nothing is proven yet.
    pub fn new(endpoint: &str, bucket: &str) -> Self {
        Self {
            version: VERSION,
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            server: None,
            examined: String::new(),
            verified_checksums: Vec::new(),
            honours_conditions: false,
            md5_etags: false,
            composed_etags: false,
            reads_trailers: false,
            extracts_archives: None,
        }
    }

    /// The same of a server that gave this name, examined then.
    #[must_use]
    pub fn of(self, server: Option<String>, examined: SystemTime) -> Self {
        let examined = jiff::Timestamp::try_from(examined).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            server,
            examined: examined.to_string(),
            ..self
        }
    }

    /// What follows for a run that sends checksums of `algorithm`.
    pub fn capabilities(&self, algorithm: ChecksumAlgorithm) -> Capabilities {
        Capabilities {
            verifies_checksums: self.verified_checksums.contains(&algorithm),
            honours_conditions: self.honours_conditions,
            md5_etags: self.md5_etags,
            composed_etags: self.composed_etags,
            reads_trailers: self.reads_trailers,
            extracts_archives: self.extracts_archives,
        }
    }

    pub(super) fn proven(&self, algorithm: ChecksumAlgorithm) -> Proven {
        Proven {
            server: self.server.clone(),
            capabilities: self.capabilities(algorithm),
        }
    }

    /// The profile of the server at `endpoint`, if there is one that counts `now`.
    pub fn load(place: &ProfilePlace, endpoint: &str, now: SystemTime) -> Option<Self> {
        let mut bytes = Vec::new();
        let file = File::open(path_of(place, endpoint)).ok()?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        let profile: Self = serde_json::from_slice(&bytes).ok()?;
        let is_of = profile.endpoint == endpoint && profile.bucket == place.bucket;
        let examined: jiff::Timestamp = profile.examined.parse().ok()?;
        let counts = match now.duration_since(examined.into()) {
            Ok(age) => age <= COUNTS_FOR,
            Err(ahead) => ahead.duration() <= AHEAD,
        };
        (profile.version == VERSION && is_of && counts).then_some(profile)
    }

    /// Writes it down in place of the one that was there, for this user's eyes only, and says where.
    ///
    /// # Errors
    /// Whatever the file system says; what was there is there still.
    pub fn keep(&self, place: &ProfilePlace) -> io::Result<PathBuf> {
        let path = path_of(place, &self.endpoint);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place.directory)?;
        // Of mode 0600, as all of these are.
        let mut file = tempfile::NamedTempFile::new_in(&place.directory)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }
}

fn path_of(place: &ProfilePlace, endpoint: &str) -> PathBuf {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    let readable = format!("{host}-{}", place.bucket);
    let name = unique_name(&readable, &[endpoint, &place.bucket]);
    place.directory.join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const ENDPOINT: &str = "http://127.0.0.1:9000";

    fn place(directory: &std::path::Path, bucket: &str) -> ProfilePlace {
        ProfilePlace {
            directory: directory.join("servers"),
            bucket: bucket.to_owned(),
        }
    }

    fn profile(now: SystemTime) -> ServerProfile {
        ServerProfile {
            verified_checksums: vec![ChecksumAlgorithm::Crc32],
            honours_conditions: true,
            extracts_archives: Some(false),
            ..ServerProfile::new(ENDPOINT, "photos").of(Some("odd".into()), now)
        }
    }

    #[test]
    fn a_profile_comes_back_for_its_endpoint_and_bucket_only() {
        let base = tempfile::tempdir().expect("a directory");
        let (here, now) = (place(base.path(), "photos"), SystemTime::now());
        assert_eq!(ServerProfile::load(&here, ENDPOINT, now), None);
        let kept = profile(now);
        let path = kept.keep(&here).expect("kept");
        kept.keep(&here).expect("kept again");
        assert_eq!(ServerProfile::load(&here, ENDPOINT, now), Some(kept));
        let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&here.directory)), (0o600, 0o700));
        assert_eq!(fs::read_dir(&here.directory).expect("a directory").count(), 1);
        assert_eq!(ServerProfile::load(&here, "http://other:9000", now), None);
        assert_eq!(
            ServerProfile::load(&place(base.path(), "films"), ENDPOINT, now),
            None
        );
    }

    #[test]
    fn what_is_old_damaged_or_of_another_form_does_not_count() {
        let base = tempfile::tempdir().expect("a directory");
        let (here, now) = (place(base.path(), "photos"), SystemTime::now());
        let path = profile(now).keep(&here).expect("kept");
        let loads = |at: SystemTime| ServerProfile::load(&here, ENDPOINT, at).is_some();
        let day = Duration::from_hours(24);
        assert!(loads(now) && loads(now + 89 * day) && !loads(now + 91 * day));
        assert!(loads(now - day / 2) && !loads(now - 2 * day), "from the future");
        let text = fs::read_to_string(&path).expect("text");
        for other in [
            text.replace("\"version\": 1", "\"version\": 2"),
            text.replace("9000", "9001"),
            text.replace("photos", "films"),
            text[..text.len() / 2].to_owned(),
            text.replace("true", "\"yes\""),
            String::new(),
            "null".to_owned(),
        ] {
            assert_ne!(other, text);
            fs::write(&path, &other).expect("written");
            assert!(!loads(now), "{other}");
        }
        fs::write(&path, text).expect("written");
        assert!(loads(now), "and it is what it was");
    }

    #[test]
    fn checksums_count_for_the_algorithm_that_was_tried() {
        let profile = profile(SystemTime::now());
        let crc32 = profile.capabilities(ChecksumAlgorithm::Crc32);
        assert!(crc32.verifies_checksums && crc32.honours_conditions && !crc32.md5_etags);
        assert!(!profile.capabilities(ChecksumAlgorithm::Sha256).verifies_checksums);
    }
}
