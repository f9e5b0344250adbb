//! The store's listings and deletions, over every server and every engine.

use s3haul::config::Engine;
use s3haul::store::{ListRequest, StoreErrorKind};

use crate::env::Kind;
use crate::on_both_servers_with_both_engines;
use crate::store_contract::{Scene, put};

on_both_servers_with_both_engines!(
    listings_page_and_decode_and_stop_at_slashes,
    a_listing_begins_behind_a_key_and_is_as_short_as_asked,
    a_deleted_object_is_gone_and_may_be_deleted_again,
);

fn below(prefix: &str) -> ListRequest<'_> {
    ListRequest {
        prefix,
        recursive: true,
        ..ListRequest::default()
    }
}

fn listings_page_and_decode_and_stop_at_slashes(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    let requests: Vec<_> = (0..1_005)
        .map(|number| put(&format!("many/{number:04}"), b"x", false))
        .collect();
    scene.run(async {
        for chunk in requests.chunks(50) {
            futures::future::try_join_all(chunk.iter().map(|request| scene.store.put_object(request)))
                .await
                .expect("puts");
        }
    });
    for key in ["top", "odd/a b+c%2F", "odd/\u{1F680} \u{e9}"] {
        scene.put(key, b"x", false).expect("put");
    }
    let first = scene
        .run(scene.store.list_objects(&below("many/")))
        .expect("page");
    assert_eq!(first.objects.len(), 1_000);
    let second = scene
        .run(scene.store.list_objects(&ListRequest {
            continuation: first.continuation.as_deref(),
            ..below("many/")
        }))
        .expect("page");
    assert_eq!((second.objects.len(), second.continuation), (5, None));
    let keys: Vec<_> = first
        .objects
        .iter()
        .chain(&second.objects)
        .map(|object| object.key.clone())
        .collect();
    assert!(keys.is_sorted() && keys[0] == "many/0000" && keys[1_004] == "many/1004");
    let odd = scene.run(scene.store.list_objects(&below("odd/"))).expect("page");
    let odd: Vec<_> = odd.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(odd, ["odd/a b+c%2F", "odd/\u{1F680} \u{e9}"]);
    let top = scene
        .run(scene.store.list_objects(&ListRequest::default()))
        .expect("page");
    assert_eq!(top.common_prefixes, ["many/", "odd/"]);
    assert_eq!(top.objects.len(), 1);
}

fn a_listing_begins_behind_a_key_and_is_as_short_as_asked(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    for key in ["a", "b/1", "b/2", "b/3", "c"] {
        scene.put(key, b"x", false).expect("put");
    }
    let keys = |request: ListRequest<'_>| -> Vec<String> {
        let page = scene.run(scene.store.list_objects(&request)).expect("page");
        page.objects.into_iter().map(|object| object.key).collect()
    };
    let after = |key| ListRequest {
        start_after: Some(key),
        ..below("")
    };
    assert_eq!(keys(after("b/1")), ["b/2", "b/3", "c"]);
    assert_eq!(keys(after("b/")), ["b/1", "b/2", "b/3", "c"]);
    let short = ListRequest {
        max_keys: Some(2),
        ..after("b/")
    };
    assert_eq!(keys(short), ["b/1", "b/2"]);
}

fn a_deleted_object_is_gone_and_may_be_deleted_again(kind: Kind, engine: Engine) {
    let scene = Scene::new(kind, engine);
    scene.put("k", b"x", false).expect("put");
    for _ in 0..2 {
        scene.run(scene.store.delete_object("k")).expect("no error");
    }
    let error = scene.run(scene.store.head_object("k")).expect_err("no object");
    assert_eq!(error.kind, StoreErrorKind::NoSuchKey, "{error}");
}
