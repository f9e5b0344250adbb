//! A job of backups, as tests use it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::env::{Kind, Ran, run, sha256};
use crate::scene::Scene;

/// A tree, a job for it, and places beside it.
pub(crate) struct Job {
    pub(crate) scene: Scene,
    pub(crate) place: tempfile::TempDir,
}

impl Job {
    pub(crate) fn on(kind: Kind, topic: &str) -> Self {
        Self::in_scene(Scene::on(kind, topic))
    }

    /// None when there is to be no MinIO.
    pub(crate) fn on_minio(topic: &str) -> Option<Self> {
        Scene::on_minio(topic).map(Self::in_scene)
    }

    fn in_scene(scene: Scene) -> Self {
        let job = Self {
            scene,
            place: tempfile::tempdir().expect("a directory"),
        };
        job.says("");
        job
    }

    /// Writes the file of jobs, with more lines for the one.
    pub(crate) fn says(&self, more: &str) {
        let text = format!(
            "[jobs.tree]\nsources = [{:?}]\ntarget = \"{}\"\n{more}",
            self.scene.tree.path().join("src"),
            self.scene.target("b/")
        );
        fs::write(self.place.path().join("jobs.toml"), text).expect("written");
    }

    pub(crate) fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = self.scene.server.s3haul();
        command
            .env("XDG_STATE_HOME", self.place.path().join("state"))
            .env("S3HAUL_CONFIG", self.place.path().join("jobs.toml"))
            .args(["--output", "json"])
            .args(words);
        command
    }

    pub(crate) fn does(&self, words: &[&str]) -> Ran {
        run(&mut self.command(words))
    }

    pub(crate) fn run(&self) -> Ran {
        self.does(&["backup", "run", "tree"])
    }

    /// Restores into a new place, and says where that is.
    pub(crate) fn restore(&self, which: &str) -> PathBuf {
        let dest = self.place.path().join(format!("dest-{}", fastrand::u64(..)));
        self.does(&["restore", which, dest.to_str().expect("UTF-8")])
            .expect_code(0);
        dest
    }

    /// Runs, and says which snapshot came of it.
    pub(crate) fn snapshot(&self) -> String {
        let ran = self.run().expect_code(0);
        let said = ran.events("backup").remove(0);
        said["snapshot"].as_str().expect("a snapshot").to_owned()
    }

    /// The snapshots that are listed.
    pub(crate) fn snapshots(&self) -> Vec<String> {
        let ran = self.does(&["backup", "list", "tree"]).expect_code(0);
        let id = |event: &serde_json::Value| event["id"].as_str().expect("an id").to_owned();
        ran.events("snapshot").iter().map(id).collect()
    }

    pub(crate) fn contents(&self) -> Vec<String> {
        self.scene.oracle().keys("b/data/")
    }
}

/// What is in a directory: kind, permissions, time, content or target, by path.
pub(crate) fn tree(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut ways = vec![root.to_owned()];
    while let Some(way) = ways.pop() {
        for entry in fs::read_dir(way).expect("readable") {
            let path = entry.expect("entry").path();
            let metadata = fs::symlink_metadata(&path).expect("there");
            let name = path
                .strip_prefix(root)
                .expect("below")
                .as_os_str()
                .as_bytes()
                .to_vec();
            let time = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
            let described = if metadata.is_dir() {
                ways.push(path);
                format!("directory {:o} {time}", metadata.mode() & 0o777)
            } else if metadata.is_symlink() {
                format!("link {time} {}", fs::read_link(&path).expect("a link").display())
            } else {
                let content = sha256(&fs::read(&path).expect("readable"));
                format!(
                    "file {:o} {time} {content} {}",
                    metadata.mode() & 0o777,
                    metadata.nlink()
                )
            };
            found.insert(name, described);
        }
    }
    found
}
