//! Uploads a directory: `cargo run --example upload_directory -- DIRECTORY s3://BUCKET/PREFIX/`.
//!
//! Endpoint and credentials come from the environment, as with the AWS tools.

#![expect(clippy::print_stdout, reason = "an example prints")]

use s3haul::config::Config;
use s3haul::pipeline::{Silent, UploadRequest, upload};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory, target] = arguments.as_slice() else {
        return Err("usage: upload_directory DIRECTORY s3://BUCKET/PREFIX/".into());
    };
    let request = UploadRequest::new(directory, target.parse()?, Config::default());
    let summary = upload(&request, &Default::default(), &mut Silent)?;
    println!("{} files, {} failed", summary.totals.done, summary.totals.failed);
    Ok(())
}
