//! One contract suite for the store, over every server and every engine: what `ObjectStore` promises, asked of it directly.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use s3haul::config::{ChecksumAlgorithm, Config, Engine};
use s3haul::identity::FileIdentity;
use s3haul::pipeline::connect;
use s3haul::store::{
    Body, Checksum, CompleteUpload, CompletedPart, Connector, CreateUpload, FileRange, Gate, GetObject,
    ObjectProperties, ObjectStore, Payload, PutObject, StoreErrorKind, UploadPart,
};
use s3haul::strategy::Host;

use crate::env::{Kind, Oracle, Server, Tree, bucket, random, sha256};
use crate::on_both_servers_with_both_engines;
use crate::scene::{MIB, config};

on_both_servers_with_both_engines!(
    an_object_is_stored_with_its_checksum_and_read_back,
    a_file_that_changes_while_it_is_sent_is_not_stored,
    what_cannot_be_read_is_our_own_trouble,
    a_conditional_write_has_one_winner,
    a_multipart_upload_becomes_visible_at_once_and_whole,
    ranges_of_a_file_are_sent_as_they_are,
    a_wrong_part_or_whole_checksum_is_refused,
    an_aborted_upload_is_gone_and_may_be_aborted_again,
    a_completed_upload_cannot_be_completed_again,
    what_is_missing_is_said_by_kind,
);

/// A store for a bucket of its own.
pub(crate) struct Scene {
    host: Arc<Host>,
    pub(crate) store: Arc<dyn ObjectStore>,
    oracle: Oracle,
    pub(crate) server: Server,
    bucket: String,
}

fn without_retries(server: &Server, engine: Engine) -> Config {
    let mut config = config(server);
    config.store.engine = engine;
    config.transfer.retry.retries = 0;
    config
}

impl Scene {
    pub(crate) fn new(kind: Kind, engine: Engine) -> Self {
        let scene = Self::without_bucket(kind, engine);
        scene.run(scene.store.create_bucket()).expect("bucket");
        scene
    }

    fn without_bucket(kind: Kind, engine: Engine) -> Self {
        let server = Server::start(kind);
        let config = without_retries(&server, engine);
        let bucket = bucket("contract");
        let (host, _, store) = connect(&config, &bucket).expect("connects");
        Self {
            host,
            store,
            oracle: server.oracle(&bucket),
            server,
            bucket,
        }
    }

    /// From now on all bodies pass `gate`.
    fn open_again(&mut self, engine: Engine, gate: Arc<dyn Gate>) {
        let config = without_retries(&self.server, engine);
        let resolving = Connector::resolve(&config.store, &config.transfer, Some(gate));
        let connector = self.run(resolving).expect("resolves");
        let _on_host = self.host.runtime.enter();
        self.store = connector.open(&self.bucket, 1);
    }

    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.host.runtime.block_on(future)
    }

    pub(crate) fn put(
        &self,
        key: &str,
        content: &[u8],
        condition: bool,
    ) -> Result<s3haul::store::Stored, StoreErrorKind> {
        self.run(self.store.put_object(&put(key, content, condition)))
            .map_err(|error| error.kind)
    }

    /// What is said of an object that is not there.
    fn missing(&self, key: &str) -> StoreErrorKind {
        let head = self.store.head_object(key);
        self.run(head).expect_err("nothing there").kind
    }

    fn read(&self, key: &str) -> Vec<u8> {
        let mut content = Vec::new();
        let mut sink = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        let request = GetObject::whole(key);
        self.run(self.store.get_object(&request, &mut sink))
            .expect("object");
        content
    }

    fn begin(&self, key: &str) -> String {
        let request = CreateUpload {
            key: key.into(),
            algorithm: ChecksumAlgorithm::Crc64Nvme,
            properties: ObjectProperties {
                content_type: "text/plain".into(),
                ..ObjectProperties::default()
            },
        };
        self.run(self.store.create_multipart_upload(&request))
            .expect("begins")
    }

    fn part(&self, key: &str, upload_id: &str, number: u32, content: &[u8]) -> CompletedPart {
        let request = part(key, upload_id, number, content);
        let stored = self.run(self.store.upload_part(&request)).expect("part");
        let sums = request.payload.sums().expect("in memory");
        assert_eq!(sums.checksum, crc(content));
        CompletedPart {
            number,
            etag: stored.etag,
            checksum: sums.checksum.clone(),
        }
    }
}

fn crc(content: &[u8]) -> Checksum {
    use base64::Engine as _;
    let value = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, content);
    let value = base64::engine::general_purpose::STANDARD.encode(value.to_be_bytes());
    Checksum {
        algorithm: ChecksumAlgorithm::Crc64Nvme,
        value,
    }
}

pub(crate) fn put(key: &str, content: &[u8], if_none_match: bool) -> PutObject {
    PutObject {
        key: key.into(),
        payload: payload(content.to_vec().into()),
        properties: ObjectProperties {
            content_type: "text/plain".into(),
            ..ObjectProperties::default()
        },
        if_none_match,
    }
}

fn part(key: &str, upload_id: &str, number: u32, content: &[u8]) -> UploadPart {
    UploadPart {
        key: key.into(),
        upload_id: upload_id.into(),
        number,
        payload: payload(content.to_vec().into()),
    }
}

fn payload(body: Body) -> Payload {
    Payload::new(body, ChecksumAlgorithm::Crc64Nvme)
}

fn complete(key: &str, upload_id: &str, parts: Vec<CompletedPart>, whole: &[u8]) -> CompleteUpload {
    CompleteUpload {
        key: key.into(),
        upload_id: upload_id.into(),
        parts,
        checksum: crc(whole),
        size_bytes: whole.len() as u64,
        strict_etag: true,
        if_none_match: false,
    }
}

fn an_object_is_stored_with_its_checksum_and_read_back(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    for bytes in [0, 1, 70_000, 3 * MIB] {
        let content = random(bytes);
        let stored = scene.put("k", &content, false).expect("stored");
        let head = scene.run(scene.store.head_object("k")).expect("head");
        assert_eq!(
            (head.size_bytes, head.etag.as_str()),
            (bytes as u64, stored.etag.as_str())
        );
        assert_eq!(head.whole_checksum().cloned(), Some(crc(&content)));
        assert_eq!(stored.checksum, Some(crc(&content)), "echoed");
        assert_eq!(sha256(&scene.read("k")), sha256(&content));
    }
}

/// Lets everything pass, and writes into a file when the second slice does.
#[derive(Debug)]
struct Meddler {
    path: PathBuf,
    passed: AtomicUsize,
}

#[async_trait::async_trait]
impl Gate for Meddler {
    async fn pass(&self, _bytes: usize) {
        if self.passed.fetch_add(1, Ordering::Relaxed) == 1 {
            std::thread::sleep(Duration::from_millis(20));
            std::fs::write(&self.path, random(3 * MIB)).expect("write");
        }
    }
}

/// Looked at before the last slice goes out: what the server has had until then is not an object.
fn a_file_that_changes_while_it_is_sent_is_not_stored(kind: Kind, engine: Engine) {
    let tree = Tree::new();
    let path = tree.file("content", random(3 * MIB));
    let passed = AtomicUsize::new(0);
    let gate = Arc::new(Meddler {
        path: path.clone(),
        passed,
    });
    let mut scene = Scene::new(kind, engine);
    scene.open_again(engine, gate.clone());
    let request = |key| {
        let file = std::fs::File::open(&path).expect("readable");
        let identity = Some(FileIdentity::of(&file).expect("stat"));
        PutObject {
            payload: payload(Body::from(FileRange {
                file,
                offset: 0,
                length: 3 * MIB as u64,
                identity,
            })),
            ..put(key, b"", false)
        }
    };
    let torn = request("k");
    let error = scene.run(scene.store.put_object(&torn)).expect_err("it changed");
    assert_eq!(error.kind, StoreErrorKind::LocalChange, "{error}");
    let slices = gate.passed.load(Ordering::Relaxed);
    assert!(
        slices > 2,
        "{slices}: it changed while it was sent, and not before"
    );
    assert_eq!(scene.missing("k"), StoreErrorKind::NoSuchKey);
    let whole = request("k");
    scene.run(scene.store.put_object(&whole)).expect("unchanged now");
}

/// A directory opens like a file, and cannot be read like one.
fn what_cannot_be_read_is_our_own_trouble(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let directory = Tree::new();
    let request = PutObject {
        payload: payload(Body::from(FileRange {
            file: std::fs::File::open(directory.path()).expect("opens"),
            offset: 0,
            length: 3 * MIB as u64,
            identity: None,
        })),
        ..put("k", b"", false)
    };
    let error = scene
        .run(scene.store.put_object(&request))
        .expect_err("a directory");
    assert_eq!(error.kind, StoreErrorKind::LocalRead, "{error}");
    assert_eq!(scene.missing("k"), StoreErrorKind::NoSuchKey);
}

fn a_conditional_write_has_one_winner(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    for round in 0..3 {
        let requests: Vec<_> = (0..16)
            .map(|writer| put(&format!("k{round}"), &[writer; 100], true))
            .collect();
        let writes = requests.iter().map(|request| scene.store.put_object(request));
        let outcomes = scene.run(futures::future::join_all(writes));
        let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(winners, 1, "round {round}");
        let losers = outcomes.into_iter().filter_map(Result::err);
        for loser in losers {
            // A server may also say that it cannot tell yet.
            assert!(
                matches!(
                    loser.kind,
                    StoreErrorKind::PreconditionFailed | StoreErrorKind::Transient
                ),
                "{loser}"
            );
        }
    }
}

fn a_multipart_upload_becomes_visible_at_once_and_whole(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let content = random(11 * MIB);
    let id = scene.begin("k");
    let mut parts = Vec::new();
    // Out of order, and one number twice: the last one counts.
    scene.part("k", &id, 2, &random(5 * MIB));
    for number in [3, 1, 2] {
        let start = (number as usize - 1) * 5 * MIB;
        parts.push(scene.part(
            "k",
            &id,
            number,
            &content[start..content.len().min(start + 5 * MIB)],
        ));
    }
    assert!(
        scene.run(scene.store.head_object("k")).is_err(),
        "not yet visible"
    );
    let open = scene
        .run(scene.store.list_multipart_uploads("k"))
        .expect("uploads");
    assert_eq!(open.len(), 1);
    parts.sort_by_key(|part| part.number);
    let request = complete("k", &id, parts, &content);
    let stored = scene
        .run(scene.store.complete_multipart_upload(&request))
        .expect("completes");
    assert_eq!(Some(stored.etag), request.composed_etag());
    assert_eq!(sha256(&scene.read("k")), sha256(&content));
    let head = scene.run(scene.store.head_object("k")).expect("head");
    assert_eq!(
        head.whole_checksum().cloned(),
        Some(crc(&content)),
        "of the whole object"
    );
    assert_eq!(
        scene
            .run(scene.store.list_multipart_uploads("k"))
            .expect("uploads"),
        []
    );
}

/// Parts of large files never are in memory as a whole, and may go in another form than bytes that are.
fn ranges_of_a_file_are_sent_as_they_are(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let content = random(11 * MIB + 1);
    let tree = Tree::new();
    let path = tree.file("content", &content);
    let range = |offset: usize, length: usize| {
        Body::from(FileRange {
            file: std::fs::File::open(&path).expect("readable"),
            offset: offset as u64,
            length: length as u64,
            identity: None,
        })
    };
    let whole = PutObject {
        payload: payload(range(1, 3 * MIB)),
        ..put("one", &content[1..=3 * MIB], false)
    };
    scene.run(scene.store.put_object(&whole)).expect("stored");
    assert_eq!(sha256(&scene.read("one")), sha256(&content[1..=3 * MIB]));
    let id = scene.begin("k");
    let mut parts = Vec::new();
    for (number, start) in [(1, 0), (2, 5 * MIB), (3, 10 * MIB)] {
        let piece = &content[start..content.len().min(start + 5 * MIB)];
        let request = UploadPart {
            payload: payload(range(start, piece.len())),
            ..part("k", &id, number, b"")
        };
        let stored = scene.run(scene.store.upload_part(&request)).expect("part");
        let sums = request.payload.sums().expect("known");
        assert_eq!(sums.checksum, crc(piece), "part {number}");
        assert_eq!(stored.checksum, Some(crc(piece)), "part {number}: echoed");
        parts.push(CompletedPart {
            number,
            etag: stored.etag,
            checksum: sums.checksum.clone(),
        });
    }
    let request = complete("k", &id, parts, &content);
    scene
        .run(scene.store.complete_multipart_upload(&request))
        .expect("completes");
    assert_eq!(sha256(&scene.read("k")), sha256(&content));
    let head = scene.run(scene.store.head_object("k")).expect("head");
    assert_eq!(
        head.whole_checksum().cloned(),
        Some(crc(&content)),
        "of the whole object"
    );
}

fn a_wrong_part_or_whole_checksum_is_refused(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let content = random(6 * MIB);
    let id = scene.begin("k");
    // The store computes what it sends, so the server's own check is asked for past it.
    let wrong = scene
        .oracle
        .client
        .upload_part()
        .bucket(&scene.oracle.bucket)
        .key("k")
        .upload_id(&id)
        .part_number(1)
        .checksum_crc64_nvme(crc(b"other").value)
        .body(content.clone().into());
    let error = scene.oracle.block_on(wrong.send()).expect_err("refused");
    assert_eq!(
        error.raw_response().map(|answer| answer.status().as_u16()),
        Some(400),
        "{error}"
    );
    let good = scene.part("k", &id, 1, &content);
    let wrong_whole = complete("k", &id, vec![good.clone()], b"other");
    assert!(
        scene
            .run(scene.store.complete_multipart_upload(&wrong_whole))
            .is_err(),
        "the whole checksum is compared"
    );
    let wrong_etag = CompletedPart {
        etag: "0".repeat(32),
        ..good
    };
    let wrong_part = complete("k", &id, vec![wrong_etag], &content);
    assert!(
        scene
            .run(scene.store.complete_multipart_upload(&wrong_part))
            .is_err(),
        "the part's ETag is compared"
    );
    assert!(
        scene.run(scene.store.head_object("k")).is_err(),
        "nothing is visible"
    );
    scene
        .run(scene.store.abort_multipart_upload("k", &id))
        .expect("aborts");
}

fn an_aborted_upload_is_gone_and_may_be_aborted_again(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let id = scene.begin("k");
    scene.part("k", &id, 1, b"x");
    for _ in 0..2 {
        scene
            .run(scene.store.abort_multipart_upload("k", &id))
            .expect("aborting is idempotent");
    }
    let error = scene
        .run(scene.store.upload_part(&part("k", &id, 1, b"x")))
        .expect_err("gone");
    assert_eq!(error.kind, StoreErrorKind::NoSuchUpload, "{error}");
}

fn a_completed_upload_cannot_be_completed_again(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let id = scene.begin("k");
    let only = scene.part("k", &id, 1, b"content");
    let request = complete("k", &id, vec![only], b"content");
    scene
        .run(scene.store.complete_multipart_upload(&request))
        .expect("completes");
    let error = scene
        .run(scene.store.complete_multipart_upload(&request))
        .expect_err("a second time");
    assert_eq!(error.kind, StoreErrorKind::NoSuchUpload, "{error}");
}

fn what_is_missing_is_said_by_kind(kind: Kind, engine: Engine) {
    let nowhere = Scene::without_bucket(kind, engine);
    let error = nowhere.run(nowhere.store.head_bucket()).expect_err("no bucket");
    assert_eq!(error.kind, StoreErrorKind::NoSuchBucket, "{error}");
    assert_eq!(nowhere.put("k", b"x", false), Err(StoreErrorKind::NoSuchBucket));
    let scene = Scene::new(kind, engine);
    scene
        .run(scene.store.create_bucket())
        .expect("our own bucket is no error");
    let error = scene
        .run(scene.store.head_object("nothing"))
        .expect_err("no object");
    assert_eq!(error.kind, StoreErrorKind::NoSuchKey, "{error}");
}
