//! Settings that no server could take: refused as usage errors before a request is made, with nothing secret shown.

use crate::bad_input::cp;
use crate::env::{Server, run};

/// Each of these flags before source and target is refused with exit code 2 and these words.
#[track_caller]
fn are_refused(cases: &[(&[&str], &str)]) {
    for (flags, says) in cases {
        let arguments = [*flags, &["{tree}", "s3://{bucket}/"]].concat();
        let (ran, server, _) = cp(&arguments);
        let ran = ran.expect_code(2);
        assert!(ran.stderr.contains(says), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error:"), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("\nhint: "), "{flags:?}: {}", ran.stderr);
        let requests = &server.handle().counters().requests;
        assert!(
            requests.keys().all(|kind| kind == "CreateBucket"),
            "{flags:?}: {requests:?}"
        );
    }
}

#[test]
fn endpoints_that_are_more_or_less_than_an_address_are_refused() {
    are_refused(&[
        (
            &["--endpoint-url", "http://127.0.0.1:65536"],
            "has the port '65536'",
        ),
        (&["--endpoint-url", "http://127.0.0.1:api"], "has the port 'api'"),
        (&["--endpoint-url", "http://127.0.0.1?x=y"], "query or fragment"),
        (&["--endpoint-url", "http://127.0.0.1/#top"], "query or fragment"),
    ]);
}

#[test]
fn a_password_in_the_endpoint_is_refused_and_not_shown_wherever_it_comes_from() {
    let secret = "http://user:sesame@127.0.0.1:9";
    let server = Server::embedded();
    for name in ["S3HAUL_ENDPOINT_URL", "AWS_ENDPOINT_URL", "S3_ENDPOINT_URL"] {
        for output in ["text", "json"] {
            let mut command = server.s3haul();
            command.env_remove("S3HAUL_ENDPOINT_URL").env(name, secret);
            let ran = run(command.args(["-vvv", "ls", "s3://bucket/", "--output", output])).expect_code(2);
            assert!(ran.stderr.contains("127.0.0.1:9"), "{name}: {}", ran.stderr);
            assert!(!ran.stderr.contains("sesame"), "{name}: {}", ran.stderr);
            assert!(!ran.stdout.contains("sesame"), "{name}: {}", ran.stdout);
        }
    }
}

#[test]
fn attributes_that_would_not_arrive_as_given_are_refused() {
    let (name, value) = (format!("{}=v", "n".repeat(129)), format!("n={}", "v".repeat(257)));
    let numbered: Vec<String> = (0..11).map(|number| format!("--tags=n{number}=v")).collect();
    let numbered: Vec<&str> = numbered.iter().map(String::as_str).collect();
    are_refused(&[
        (&["--metadata", "mtime=0"], "stores the modification time"),
        (&["--metadata", "MTime=0"], "stores the modification time"),
        (&["--metadata", "a b=c"], "not a name that a header can have"),
        (&["--metadata", "\u{fc}=c"], "not a name that a header can have"),
        (&["--metadata", "a=\u{fc}"], "percent-encode it: \u{fc} is %C3%BC"),
        (&["--metadata", "a=b\r\nc: d"], "'--metadata a' holds '\\r'"),
        (
            &["--content-type", "text/\u{fc}"],
            "the value of '--content-type'",
        ),
        (
            &["--content-type", "text/plain\n"],
            "the value of '--content-type'",
        ),
        (
            &["--storage-class", "K\u{e4}LT"],
            "the value of '--storage-class'",
        ),
        (&["--sse", "aes256"], "one of AES256, aws:kms, aws:kms:dsse"),
        (&["--tags", &name], "a name of 129 characters"),
        (&["--tags", &value], "a value of 257 characters"),
        (&numbered, "11 tags are given"),
    ]);
}

#[test]
fn patterns_without_a_name_are_refused() {
    are_refused(&[
        (&["--exclude", ""], "'--exclude ' names no file or directory"),
        (&["--exclude", "/"], "'--exclude /' names no file or directory"),
        (&["--include", ""], "'--include ' names no file or directory"),
        (&["--exclude", "a["], "'a[' is not a pattern"),
    ]);
}

#[test]
fn tags_may_be_in_any_language() {
    let (ran, server, bucket) = cp(&["--tags", "stra\u{df}e=gr\u{fc}n", "{tree}", "s3://{bucket}/"]);
    ran.expect_code(0);
    let oracle = server.oracle(&bucket);
    let tagging = oracle.block_on(
        oracle
            .client
            .get_object_tagging()
            .bucket(&bucket)
            .key("file")
            .send(),
    );
    let tags = tagging.expect("tags").tag_set;
    assert_eq!((tags[0].key(), tags[0].value()), ("stra\u{df}e", "gr\u{fc}n"));
}
