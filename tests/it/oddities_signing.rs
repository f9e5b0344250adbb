//! What both engines say on the wire: who asks, what is signed, and the headers that decide what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use s3haul::config::Engine;

use crate::env::{Tree, random};
use crate::odd_request::Seen;
use crate::odd_server::{OddServer, Oddity};
use crate::oddities::{assert_whole, cp, run, tree};
use crate::scene::{MIB, SMALL_PARTS};
use crate::with_both_engines;

with_both_engines!(
    keys_that_the_server_calls_expired_are_replaced,
    keys_that_are_about_to_expire_are_replaced_before,
    bodies_are_signed_when_they_are_to_be,
    a_checksum_goes_before_the_body_where_none_is_taken_behind_it,
);

/// Makes `command` take its credentials from a program that gives new ones each time, good for `seconds`.
fn rotating(command: &mut Command, home: &Tree, seconds: u32) {
    let directory = home.path().display();
    let program = home.file(
        "credentials.sh",
        format!(
            r#"count=$(( $(cat {directory}/count 2>/dev/null || echo 0) + 1 ))
echo $count > {directory}/count
printf '{{"Version":1,"AccessKeyId":"KEY%d","SecretAccessKey":"secret","SessionToken":"token%d","Expiration":"%s"}}' \
  $count $count "$(date -u -d '+{seconds} seconds' +%Y-%m-%dT%H:%M:%SZ)"
"#
        ),
    );
    let config = format!("[default]\ncredential_process = sh {}\n", program.display());
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONFIG_FILE", home.file("config", config));
}

/// Uploads for some seconds with credentials from a program, and returns the access keys that the server saw.
fn upload_rotating(server: &OddServer, engine: Engine, seconds: u32) -> BTreeSet<String> {
    let (tree, home) = (tree(), Tree::new());
    tree.many(40, 100_000);
    let flags = [&SMALL_PARTS[..], &["--concurrency", "4", "--bwlimit", "2MiB/s"]].concat();
    let mut command = cp(&server.url(), engine, &flags, &tree);
    rotating(&mut command, &home, seconds);
    assert_whole(server, &tree, run(&mut command));
    let seen = server.seen();
    for request in &seen {
        let key = request.access_key().expect("all are signed");
        let token = request.header("x-amz-security-token").expect("all have one");
        assert_eq!(key.replace("KEY", "token"), token, "{request:?}");
    }
    seen.iter().filter_map(Seen::access_key).collect()
}

fn keys_that_the_server_calls_expired_are_replaced(engine: Engine) {
    // At once, when it has just been fetched, and later.
    for after in [0, 3_000] {
        let server = OddServer::start(Oddity::ExpiresFirstKey {
            requests: 5,
            after: Duration::from_millis(after),
        });
        let keys = upload_rotating(&server, engine, 3_600);
        assert!(keys.len() > 1, "{after}: {keys:?}");
    }
}

fn keys_that_are_about_to_expire_are_replaced_before(engine: Engine) {
    let server = OddServer::start(Oddity::None);
    // Credentials are replaced a minute before their end.
    let keys = upload_rotating(&server, engine, 62);
    assert!(keys.len() > 1, "{keys:?}");
}

fn bodies_are_signed_when_they_are_to_be(engine: Engine) {
    const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
    const TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    for name in ["odd", "s3haul, oddly"] {
        for wish in ["auto", "never", "always"] {
            let (server, tree) = (OddServer::named(Oddity::None, name), tree());
            let flags = [&SMALL_PARTS[..], &["--payload-signing", wish]].concat();
            let ran = run(&mut cp(&server.url(), engine, &flags, &tree));
            assert_whole(&server, &tree, ran);
            let puts: Vec<Seen> = server.seen().into_iter().filter(Seen::is_put).collect();
            assert_eq!(puts.len(), 12 + 3);
            for put in puts {
                let is_part = put.parameter("partNumber").is_some();
                // Our own requests to servers that are known carry the checksum of a part behind it.
                let has_trailer = is_part && name != "odd" && engine == Engine::Direct;
                let expected = match wish {
                    "always" => put.body_sha256.as_str(),
                    _ if has_trailer => TRAILER,
                    _ => UNSIGNED,
                };
                let found = put.header("x-amz-content-sha256");
                assert_eq!(found, Some(expected), "{name}, {wish}: {put:?}");
            }
        }
    }
}

/// The first code is that of MinIO before May 2023, which takes what announces the trailer for the body's hash.
fn a_checksum_goes_before_the_body_where_none_is_taken_behind_it(engine: Engine) {
    for code in ["XAmzContentSHA256Mismatch", "NotImplemented"] {
        let server = OddServer::named(Oddity::KnowsNoTrailers(code), "s3haul, oddly");
        let tree = tree();
        tree.file("middle", random(2 * MIB));
        let flags = [&SMALL_PARTS[..], &["--concurrency", "1"]].concat();
        assert_whole(&server, &tree, run(&mut cp(&server.url(), engine, &flags, &tree)));
        let asked = server
            .seen()
            .iter()
            .filter(|seen| seen.header("x-amz-trailer").is_some())
            .count();
        // Once is enough to know.
        assert_eq!(asked, usize::from(engine == Engine::Direct), "{code}");
    }
}

/// Headers that tell of the request and not of the object.
const OF_THE_REQUEST: [&str; 9] = [
    "authorization",
    "user-agent",
    "x-amz-user-agent",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "x-amz-date",
    "host",
    "accept",
    "accept-encoding",
];

/// The headers of every PUT and of every beginning of an upload, by what it is for.
fn deciding(server: &OddServer) -> BTreeMap<(String, String), BTreeSet<(String, String)>> {
    let begins = |seen: &Seen| seen.is_put() || seen.parameter("uploads").is_some();
    let requests = server.seen().into_iter().filter(begins);
    let parted = requests.map(|seen| {
        let what = format!(
            "{} part {:?}",
            seen.method,
            seen.parameter("partNumber").unwrap_or_default()
        );
        // The SDK gives every body a type; a part is stored without one.
        let is_part = seen.parameter("partNumber").is_some();
        let decides = |name: &str| {
            let of_the_part = is_part && name == "content-type";
            !of_the_part && !OF_THE_REQUEST.contains(&name)
        };
        let headers = seen.headers.iter().filter(|(name, _)| decides(name));
        ((seen.key().to_owned(), what), headers.cloned().collect())
    });
    parted.collect()
}

#[test]
fn both_engines_store_with_the_same_headers() {
    let tree = Tree::new();
    for name in [
        "page.html",
        "picture.jpg",
        "archive.tar.gz",
        "style.css.br",
        "plain",
    ] {
        tree.file(name, random(3_000));
    }
    tree.file("empty", "");
    tree.file("large.bin", random(6 * MIB));
    let attributes = [
        "--metadata",
        "Colour=dark  blue, \"quoted\"",
        "--metadata",
        "empty=",
        "--tags",
        "a b=c&d/é",
        "--tags",
        "x=",
        "--storage-class",
        "REDUCED_REDUNDANCY",
        "--sse",
        "AES256",
    ];
    let with_type = ["--content-type", "text/plain; charset=\"utf-8\""];
    for flags in [&[][..], &attributes, &with_type, &["--if-none-match"]] {
        for algorithm in ["crc64nvme", "crc32c", "crc32", "sha256"] {
            let flags = [&SMALL_PARTS[..], &["--checksum-algorithm", algorithm], flags].concat();
            let [direct, sdk] = [Engine::Direct, Engine::Sdk].map(|engine| {
                let server = OddServer::start(Oddity::None);
                assert_whole(&server, &tree, run(&mut cp(&server.url(), engine, &flags, &tree)));
                deciding(&server)
            });
            assert_eq!(direct.len(), 6 + 1 + 2, "{flags:?}");
            for (what, headers) in &direct {
                assert_eq!(Some(headers), sdk.get(what), "{what:?} with {flags:?}");
            }
        }
    }
}
