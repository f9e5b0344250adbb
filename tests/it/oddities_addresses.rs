//! Both engines and the ways to a server: a name with several addresses, IPv6, a slow link.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use s3haul::config::Engine;

use crate::env::Tree;
use crate::odd_server::{OddServer, Oddity};
use crate::oddities::{assert_whole, cp, run, tree};
use crate::scene::SMALL_PARTS;
use crate::with_both_engines;

const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// All of 127.0.0.0/8 is this machine.
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SIXTH: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

with_both_engines!(
    connections_are_spread_over_all_addresses_of_a_name,
    dead_addresses_of_a_name_are_passed_by,
    an_address_of_ipv6,
    a_link_that_delays_everything,
);

/// Says so past the test harness, which keeps what a test prints to itself.
fn not_tested(why: &str) {
    let _ = writeln!(std::io::stderr(), "NOT TESTED: {why}");
}

/// False, loudly, on machines without IPv6.
fn has_ipv6() -> bool {
    let has = TcpListener::bind((SIXTH, 0)).is_ok();
    if !has {
        not_tested("this machine has no ::1");
    }
    has
}

/// A file that gives the name `several.test` these addresses.
fn names(addresses: &[IpAddr]) -> Tree {
    let lines: Vec<String> = addresses
        .iter()
        .map(|address| format!("{address} several.test\n"))
        .collect();
    let tree = Tree::new();
    tree.file("hosts", lines.concat());
    tree
}

/// The command in a mount namespace of its own, where `names` is in the place of `/etc/hosts`.
fn among(names: &Tree, command: &Command) -> Command {
    let mut wrapped = Command::new("unshare");
    wrapped
        .args(["-rm", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""])
        .arg(names.path().join("hosts"))
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// False, loudly, where no such namespace can be had; the unit tests of `store::http` need none.
fn can_rename() -> bool {
    let outcome = among(&names(&[FIRST]), &Command::new("true")).output();
    let can = outcome.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        not_tested(&format!("names cannot be given to addresses: {outcome:?}"));
    }
    can
}

/// Uploads to a name of `addresses` with listeners on `alive`, and returns which were called.
fn called_of(addresses: &[IpAddr], alive: &[IpAddr], engine: Engine) -> BTreeSet<IpAddr> {
    let server = OddServer::on(alive, Oddity::None, "odd").expect("a port of all");
    let (tree, names) = (tree(), names(addresses));
    let url = format!("http://several.test:{}", server.port());
    let flags = [&SMALL_PARTS[..], &["--concurrency", "6"]].concat();
    let ran = run(&mut among(&names, &cp(&url, engine, &flags, &tree)));
    let ran = assert_whole(&server, &tree, ran);
    assert_eq!(ran.summary()["totals"]["retries"], 0);
    server.seen().into_iter().map(|seen| seen.called).collect()
}

fn connections_are_spread_over_all_addresses_of_a_name(engine: Engine) {
    if !can_rename() {
        return;
    }
    assert_eq!(
        called_of(&[FIRST, SECOND], &[FIRST, SECOND], engine),
        [FIRST, SECOND].into()
    );
    if has_ipv6() {
        assert_eq!(
            called_of(&[FIRST, SIXTH], &[FIRST, SIXTH], engine),
            [FIRST, SIXTH].into()
        );
    }
}

fn dead_addresses_of_a_name_are_passed_by(engine: Engine) {
    if !can_rename() {
        return;
    }
    for alive in [FIRST, SECOND] {
        assert_eq!(called_of(&[FIRST, SECOND], &[alive], engine), [alive].into());
    }
    if has_ipv6() {
        assert_eq!(called_of(&[FIRST, SIXTH], &[FIRST], engine), [FIRST].into());
    }
}

fn an_address_of_ipv6(engine: Engine) {
    if !has_ipv6() {
        return;
    }
    let server = OddServer::on(&[SIXTH], Oddity::None, "odd").expect("a port of ::1");
    let tree = tree();
    let ran = run(&mut cp(&server.url(), engine, &SMALL_PARTS, &tree));
    assert_whole(&server, &tree, ran);
    let host = format!("[::1]:{}", server.port());
    for seen in server.seen() {
        assert_eq!(seen.header("host"), Some(host.as_str()), "{seen:?}");
    }
}

fn a_link_that_delays_everything(engine: Engine) {
    let (server, tree) = (OddServer::start(Oddity::None), tree());
    let url = delayed(server.port(), Duration::from_millis(50));
    let ran = run(&mut cp(&url, engine, &SMALL_PARTS, &tree));
    let ran = assert_whole(&server, &tree, ran);
    assert_eq!(ran.summary()["totals"]["retries"], 0);
}

/// The address of a link to `port` on which every byte is `delay` late, in both directions, and none overtakes another.
fn delayed(port: u16, delay: Duration) -> String {
    let listener = TcpListener::bind((FIRST, 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect((FIRST, port)).expect("the server listens");
            for (from, to) in [(&client, &server), (&server, &client)] {
                let (from, to) = (from.try_clone().expect("open"), to.try_clone().expect("open"));
                pass_on(from, to, delay);
            }
        }
    });
    url
}

/// One direction of a connection, until one of its sides goes.
fn pass_on(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let due = Instant::now() + delay;
            if sender.send((due, bytes[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
