//! Objects that are read to their end although connections break on the way.

use std::io;

use s3haul::config::Engine;
use s3haul::server::{FaultAction, FaultPlan};
use s3haul::store::{GetObject, StoreErrorKind, StoreResult, Through, read_through};

use crate::env::{Kind, random};
use crate::scene::rule;
use crate::store_contract::Scene;
use crate::with_both_engines;

with_both_engines!(
    what_breaks_on_the_way_goes_on_where_it_broke,
    what_brings_nothing_ends,
);

const BYTES: usize = 300_000;

/// Reads `range` of `k`, of which so many bytes are wanted, while the server cuts so many answers behind 100,000 bytes.
fn read(
    scene: &Scene,
    range: Option<(u64, u64)>,
    length: usize,
    cuts: (u64, u64),
) -> (Vec<u8>, StoreResult<Through>) {
    let (times, after_bytes) = cuts;
    let cut = rule("GetObject", Some(times), FaultAction::CutResponse { after_bytes });
    scene
        .server
        .handle()
        .set_fault_plan(FaultPlan { rules: vec![cut] });
    let mut came = Vec::new();
    let mut sink = |bytes: &[u8]| {
        came.extend_from_slice(bytes);
        Ok(())
    };
    let wanted = GetObject {
        range,
        ..GetObject::whole("k")
    };
    let reading = read_through(scene.store.as_ref(), &wanted, length as u64, &mut sink);
    let outcome = scene.run(reading);
    (came, outcome)
}

fn what_breaks_on_the_way_goes_on_where_it_broke(engine: Engine) {
    let scene = Scene::new(Kind::Embedded, engine);
    let content = random(BYTES);
    scene.put("k", &content, false).expect("stored");
    for (times, is_in_pieces) in [(0, false), (1, true), (2, true)] {
        let (came, outcome) = read(&scene, None, BYTES, (times, 100_000));
        let through = outcome.expect("read");
        assert!(came == content, "{times} cuts");
        assert_eq!(through.bytes, BYTES as u64);
        assert_eq!(through.head.is_none(), is_in_pieces);
    }
    let (came, outcome) = read(&scene, Some((1_000, 250_000)), 250_000, (2, 100_000));
    assert_eq!(outcome.expect("read").bytes, 250_000);
    assert!(came == content[1_000..251_000]);
    scene.put("k", b"", false).expect("stored");
    let (_, outcome) = read(&scene, None, 0, (0, 0));
    let through = outcome.expect("read");
    assert_eq!(
        (through.bytes, through.head.expect("in one piece").size_bytes),
        (0, 0)
    );
}

fn what_brings_nothing_ends(engine: Engine) {
    let scene = Scene::new(Kind::Embedded, engine);
    scene.put("k", &random(BYTES), false).expect("stored");
    let requests = || {
        scene
            .server
            .handle()
            .counters()
            .requests
            .get("GetObject")
            .copied()
    };
    let (came, outcome) = read(&scene, None, BYTES, (1_000, 0));
    assert!(outcome.is_err() && came.is_empty());
    assert_eq!(requests(), Some(1), "there is no use in asking again");
    scene.server.handle().set_fault_plan(FaultPlan::default());
    let mut full = |_: &[u8]| Err(io::Error::other("the disk is full"));
    let wanted = GetObject::whole("k");
    let reading = read_through(scene.store.as_ref(), &wanted, BYTES as u64, &mut full);
    let error = scene.run(reading).expect_err("it cannot be written");
    assert_eq!(error.kind, StoreErrorKind::LocalWrite);
    assert_eq!(requests(), Some(2));
}
