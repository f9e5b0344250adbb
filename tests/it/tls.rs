//! TLS: whom the binary trusts, whom it does not, and what it says then.

use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::CertificateParams;

use crate::env::{Kind, Ran, digests, run};
use crate::on_both_servers;
use crate::scene::{SMALL_PARTS, Scene};
use crate::tls_front::{Authority, TlsFront, certificate_for};

on_both_servers!(an_authority_that_is_named_is_trusted_by_every_kind_of_worker);

const ADDRESS: &str = "127.0.0.1";

/// Runs a command that knows the server under this address only.
fn by_way_of(url: &str, command: &mut Command) -> Ran {
    run(command
        .args(["--endpoint-url", url])
        .env_remove("S3HAUL_ENDPOINT_URL"))
}

fn an_authority_that_is_named_is_trusted_by_every_kind_of_worker(kind: Kind) {
    let (scene, authority) = (Scene::on(kind, "tls"), Authority::new());
    scene.fill();
    let front = TlsFront::start(&scene.server.url, &authority, &certificate_for(ADDRESS));
    // Each worker process makes its own clients, and so has to be told whom to trust.
    for strategy in ["async", "threads", "processes", "hybrid"] {
        let (before, prefix) = (front.handshakes(), format!("{strategy}/"));
        let mut command = scene.cp(&prefix, &SMALL_PARTS);
        command.args(["--ca-file", &authority.file(), "--strategy", strategy]);
        let ran = by_way_of(&front.url(), &mut command).expect_code(0);
        assert_eq!(ran.summary()["totals"]["retries"], 0, "{strategy}");
        assert!(front.handshakes() > before, "{strategy}: nothing came over TLS");
        assert_eq!(
            scene.oracle().digests(&prefix),
            digests(scene.tree.path()),
            "{strategy}"
        );
        let large = format!("{prefix}large");
        assert_eq!(scene.oracle().open_uploads(&large), 0, "{strategy}");
    }
}

#[test]
fn the_environment_may_name_the_authority() {
    let (scene, authority) = (Scene::with_faults(Vec::new()), Authority::new());
    let front = TlsFront::start(&scene.server.url, &authority, &certificate_for(ADDRESS));
    for variable in ["S3HAUL_CA_FILE", "AWS_CA_BUNDLE"] {
        let prefix = format!("{variable}/");
        let mut command = scene.cp(&prefix, &SMALL_PARTS);
        by_way_of(&front.url(), command.env(variable, authority.file())).expect_code(0);
        assert_eq!(
            scene.oracle().digests(&prefix),
            digests(scene.tree.path()),
            "{variable}"
        );
    }
}

/// What a run said that ended at the first contact.
struct Refused {
    error: String,
    hint: String,
}

/// `cp` that has to be refused: one error, one hint, and the server has not heard of it.
#[track_caller]
fn refused(scene: &Scene, url: &str, flags: &[&str]) -> Refused {
    let ran = by_way_of(url, &mut scene.cp_in_small_parts(flags)).expect_code(1);
    let only = |label: &str| {
        let mut lines = ran.stderr.lines().filter_map(|line| line.strip_prefix(label));
        let line = lines.next().unwrap_or_else(|| panic!("{label} {}", ran.stderr));
        assert_eq!(lines.next(), None, "{}", ran.stderr);
        line.to_owned()
    };
    let (error, hint) = (only("error: "), only("hint: "));
    assert!(error.contains(url), "the address is said: {error}");
    assert_eq!(ran.events("error").len(), 1, "{}", ran.stdout);
    let requests = scene.server.handle().counters().requests;
    assert!(requests.is_empty(), "{requests:?}");
    Refused { error, hint }
}

/// What becomes of a server with this certificate from `authority`.
#[track_caller]
fn refused_for(authority: &Authority, certificate: &CertificateParams, flags: &[&str]) -> Refused {
    let scene = Scene::with_faults(Vec::new());
    let front = TlsFront::start(&scene.server.url, authority, certificate);
    let refused = refused(&scene, &front.url(), flags);
    assert_eq!(front.handshakes(), 0, "nothing is said to a stranger");
    assert!(
        refused.error.contains("no trusted connection"),
        "{}",
        refused.error
    );
    assert_eq!(
        front.connections(),
        1,
        "another try would bring the same certificate"
    );
    refused
}

#[test]
fn an_unknown_authority_is_refused_and_the_hint_names_the_flag() {
    let refused = refused_for(&Authority::new(), &certificate_for(ADDRESS), &[]);
    assert!(refused.hint.contains("--ca-file"), "{}", refused.hint);
}

#[test]
fn another_authority_of_the_same_name_vouches_for_nobody() {
    let (authority, other) = (Authority::new(), Authority::new());
    let flags = ["--ca-file", &other.file()];
    let refused = refused_for(&authority, &certificate_for(ADDRESS), &flags);
    assert!(refused.hint.contains("--ca-file"), "{}", refused.hint);
}

#[test]
fn a_certificate_for_another_host_is_refused_by_name() {
    let authority = Authority::new();
    let flags = ["--ca-file", &authority.file()];
    let refused = refused_for(&authority, &certificate_for("other.example"), &flags);
    for name in [ADDRESS, "other.example"] {
        let quoted = format!("\"{name}\"");
        assert!(refused.error.contains(&quoted), "{}", refused.error);
    }
}

#[test]
fn an_expired_certificate_is_refused_as_such() {
    let authority = Authority::new();
    let mut certificate = certificate_for(ADDRESS);
    certificate.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let refused = refused_for(&authority, &certificate, &["--ca-file", &authority.file()]);
    assert!(refused.error.contains("expired"), "{}", refused.error);
}

#[test]
fn https_to_a_plain_port_is_refused_at_once_and_the_hint_names_http() {
    let (scene, authority) = (Scene::with_faults(Vec::new()), Authority::new());
    let url = scene.server.url.replace("http://", "https://");
    let named = ["--ca-file", &authority.file()];
    for flags in [&[][..], &named] {
        let refused = refused(&scene, &url, flags);
        assert!(refused.hint.contains("write http://"), "{}", refused.hint);
        let connections = scene.server.handle().counters().connections_accepted;
        assert_eq!(connections, 1, "another try would bring the same answer");
        scene.server.handle().reset_counters();
    }
}

#[test]
fn plain_http_to_a_tls_port_is_refused_within_seconds() {
    let (scene, authority) = (Scene::with_faults(Vec::new()), Authority::new());
    let front = TlsFront::start(&scene.server.url, &authority, &certificate_for(ADDRESS));
    let url = front.url().replace("https://", "http://");
    let started = Instant::now();
    let refused = refused(&scene, &url, &[]);
    let elapsed = started.elapsed();
    assert_eq!(front.handshakes(), 0);
    assert!(refused.hint.contains("--endpoint-url"), "{}", refused.hint);
    // It looks like a connection that breaks, so the first contact tries for four seconds and one pause more.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
}
