//! The invariants of `ARCHITECTURE.md` that are absences: what must not depend on what, and what must not be where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates each of our crates may use, development aside.
const DIRECTION: &[(&str, &[&str])] = &[
    ("longshore-domain", &[]),
    ("longshore-store", &["longshore-domain"]),
    ("longshore-engine", &["longshore-domain"]),
    ("longshore-mcp", &["longshore-domain", "longshore-engine"]),
    ("longshore", &["longshore-domain", "longshore-engine", "longshore-mcp", "longshore-store"]),
    ("longshore-testkit", &["longshore-domain", "longshore-store"]),
];

/// Files longer than this need a reason here.
const LINES_MAX: usize = 800;
const LONG_FILES: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources() -> Vec<(String, String)> {
    let mut folders = vec![root().join("crates")];
    let mut found = vec![];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("a source file")));
            }
        }
    }
    found.sort();
    found
}

fn is_test_or_tool(name: &str) -> bool {
    ["/tests/", "/benches/", "/examples/", "crates/testkit/", "/tests.rs"].iter().any(|part| name.contains(part))
}

#[test]
fn crates_depend_in_one_direction() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("metadata");
    let mut found = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
        let uses = package["dependencies"].as_array().expect("dependencies").iter();
        let mut ours: Vec<String> = uses
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("longshore"))
            .map(str::to_owned)
            .collect();
        ours.sort();
        found.insert(package["name"].as_str().expect("a name").to_owned(), ours);
    }
    let allowed: BTreeMap<String, Vec<String>> = DIRECTION
        .iter()
        .map(|(name, uses)| ((*name).to_owned(), uses.iter().map(|other| (*other).to_owned()).collect()))
        .collect();
    assert_eq!(found, allowed);
}

/// A fault that is planted on purpose is in no build that does not ask for it by name.
#[test]
fn what_is_planted_is_never_on_by_default() {
    let crates = std::fs::read_dir(root().join("crates")).expect("a folder of crates").flatten();
    let mut found = 0;
    for manifest in crates.map(|entry| entry.path().join("Cargo.toml")) {
        let text = std::fs::read_to_string(&manifest).expect("a manifest");
        for line in text.lines().filter(|line| line.contains("unfenced")) {
            assert!(line.starts_with("unfenced = ["), "{line}");
            found += 1;
        }
    }
    assert_eq!(found, 2, "the store has it, and the program passes it on");
}

#[test]
fn what_must_not_be_where() {
    let rules: &[(&str, &[&str])] = &[
        ("rusqlite", &["crates/store/"]),
        ("tokio_postgres", &["crates/store/"]),
        ("Command::new", &["crates/engine/src/process/", "crates/engine/src/shim/", "crates/app/src/daemon/"]),
        ("libc::fork", &["crates/engine/src/shim/"]),
        ("axum", &["crates/mcp/src/server/", "crates/app/"]),
        ("SystemTime::now", &["crates/engine/src/clock.rs", "crates/engine/src/shim/"]),
    ];
    let mut broken = vec![];
    for (name, text) in sources().iter().filter(|(name, _)| !is_test_or_tool(name)) {
        for (word, homes) in rules {
            let used = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            if used && !homes.iter().any(|home| name.starts_with(home)) {
                broken.push(format!("{name} uses {word}, which belongs to {homes:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_stay_short_enough_to_read() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(name, lines)| *lines > LINES_MAX && !LONG_FILES.iter().any(|(long, _)| long == name))
        .map(|(name, lines)| format!("{name} has {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn every_loose_end_is_tied() {
    let words = ["TODO", "FIXME", "XXX", "#[ignore"];
    let found: Vec<String> = sources()
        .iter()
        .filter(|(name, _)| !name.ends_with("testkit/tests/rules.rs"))
        .filter(|(_, text)| words.iter().any(|word| text.contains(word)))
        .map(|(name, _)| name.clone())
        .collect();
    assert!(found.is_empty(), "loose ends in {found:?}");
}
