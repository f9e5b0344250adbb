//! What a server's first answer is taken for, and the next step that is named: a busy server is no wrong port.

use s3haul::server::{FaultAction, FaultPlan, FaultRule};

use crate::env::{Server, Tree, binary, bucket, run};

#[test]
fn an_endpoint_that_answers_html_is_not_taken_for_s3() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().take(8) {
            let mut stream = stream.expect("connection");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let tree = Tree::new();
    let file = tree.file("file", "content");
    let mut command = binary();
    command
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .args(["cp", "--endpoint-url", &url]);
    let ran = run(command.arg(file).arg("s3://bucket/")).expect_code(1);
    assert!(
        ran.stderr.contains("does not answer like an S3 server"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_server_that_cannot_answer_now_is_not_taken_for_a_wrong_port() {
    let (server, tree, bucket) = (Server::embedded(), Tree::new(), bucket("busy"));
    let file = tree.file("file", "content");
    server.oracle(&bucket).make_bucket();
    for (status, code, says, next) in [
        (500, "InternalError", "cannot answer now", "try again later"),
        (503, "ServiceUnavailable", "cannot answer now", "try again later"),
        (503, "SlowDown", "cannot answer now", "try again later"),
        (400, "InvalidRequest", "cannot be used", "it is the API port"),
    ] {
        let action = FaultAction::Error {
            status,
            code: code.to_owned(),
            body: None,
            content_type: None,
        };
        let always = FaultRule {
            operation: None,
            key_contains: None,
            skip: 0,
            times: None,
            every: None,
            action,
        };
        server.handle().set_fault_plan(FaultPlan { rules: vec![always] });
        let target = format!("s3://{bucket}/");
        let uploaded = run(server
            .s3haul()
            .args(["cp", "--retries", "0"])
            .arg(&file)
            .arg(&target));
        let listed = run(server.s3haul().arg("ls").arg(&target));
        for ran in [uploaded, listed] {
            let ran = ran.expect_code(1);
            assert!(ran.stderr.contains(says), "{status} {code}: {}", ran.stderr);
            assert!(ran.stderr.contains(next), "{status} {code}: {}", ran.stderr);
        }
    }
}
