//! The layout rules, checked by reading the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Modules from the bottom up: each may import from those before it, and from itself.
const ORDER: [&str; 25] = [
    "units", "naming", "error", "identity", "usage", "timing", "event", "plan", "config", "source", "queue",
    "store", "transfer", "strategy", "report", "pipeline", "restore", "mirror", "backup", "doctor",
    "schedule", "server", "bench", "cli", "fuzzing",
];

fn sources() -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut directories = vec![Path::new(ROOT).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("src") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = fs::read_to_string(&path).expect("text");
                found.insert(path.strip_prefix(ROOT).expect("below the root").to_owned(), text);
            }
        }
    }
    found
}

fn module_of(path: &Path) -> String {
    let name = path.iter().nth(1).expect("below src").to_string_lossy();
    name.trim_end_matches(".rs").to_owned()
}

/// The text without comments, so that a word in prose is no import.
fn code(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn no_file_is_longer_than_400_lines() {
    for (path, text) in sources() {
        assert!(
            text.lines().count() <= 400,
            "{} has {} lines",
            path.display(),
            text.lines().count()
        );
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//! "),
            "{} begins without a module comment",
            path.display()
        );
    }
}

#[test]
fn what_belongs_to_one_place_stays_there() {
    for (path, text) in sources() {
        let (module, code) = (module_of(&path), code(&text));
        for (word, homes) in [
            ("aws_sdk_s3", &["store"][..]),
            ("aws_config", &["store"]),
            ("aws_smithy", &["store"]),
            ("clap::", &["cli"]),
            ("println!", &["cli"]),
            ("stdout()", &["cli"]),
            ("s3s::", &["server"]),
            ("redb::", &["server", "mirror"]),
        ] {
            assert!(
                homes.contains(&module.as_str()) || !code.contains(word),
                "{} knows {word}, which belongs to {homes:?}",
                path.display()
            );
        }
    }
}

#[test]
fn imports_point_one_way() {
    let rank = |name: &str| ORDER.iter().position(|module| *module == name);
    for (path, text) in sources() {
        let module = module_of(&path);
        let Some(own) = rank(&module) else {
            assert!(
                matches!(module.as_str(), "lib" | "main"),
                "{} stands in no layer",
                path.display()
            );
            continue;
        };
        for piece in code(&text).split("crate::").skip(1) {
            let name: String = piece
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if let Some(other) = rank(&name) {
                assert!(
                    other <= own,
                    "{} imports crate::{name}, which stands above it",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_architecture_names_every_source_file() {
    let map = fs::read_to_string(Path::new(ROOT).join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    for path in sources().keys() {
        let name = path.display().to_string();
        assert!(
            map.contains(&format!("`{name}`")),
            "ARCHITECTURE.md does not name `{name}`"
        );
    }
    for name in map
        .split('`')
        .filter(|text| text.starts_with("src/") && text.ends_with(".rs"))
    {
        assert!(
            Path::new(ROOT).join(name).exists(),
            "ARCHITECTURE.md names {name}, which is not there"
        );
    }
}

#[test]
fn the_house_is_complete() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "Cargo.lock",
        "deny.toml",
        "docker-compose.yml",
        "tests/run",
        ".ci/run",
        "examples/upload_directory.rs",
    ] {
        assert!(Path::new(ROOT).join(name).exists(), "{name} is missing");
    }
}

#[test]
fn the_readme_and_the_help_show_the_same_exit_codes() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).expect("README.md");
    let help = crate::env::run(crate::env::binary().arg("--help"))
        .expect_code(0)
        .stdout;
    let codes = help.split("Exit codes:").nth(1).expect("the help has the table");
    for line in codes.lines().filter(|line| !line.trim().is_empty()) {
        let (code, meaning) = line.trim().split_once(' ').expect("a code and its meaning");
        assert!(
            readme.contains(&format!("| {code} | {} |", meaning.trim())),
            "README lacks: {line}"
        );
    }
}
