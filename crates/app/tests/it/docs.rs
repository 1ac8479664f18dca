//! What is written in the manual and in the schema is what the program does.

use std::path::Path;

use longshore_domain::FaultCode;
use serde_json::Value;

use crate::harness::Home;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(DOCS).join(name)).unwrap_or_default()
}

#[test]
fn every_fault_has_a_section() {
    let manual = read("book/errors.md");
    for code in FaultCode::ALL {
        assert!(manual.contains(&format!("\n## {code}\n")), "docs/book/errors.md says nothing of {code}");
        let row = format!("HTTP {}, exit code {}", code.http_status(), code.exit_code());
        let section = manual.split(&format!("\n## {code}\n")).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        assert!(section.contains(&row), "docs/book/errors.md: {code} should say `{row}`");
        assert_eq!(section.contains("may succeed later"), code.retryable(), "{code}: retryable");
    }
}

#[test]
fn the_manual_has_the_table_of_exit_codes() {
    let home = Home::new();
    let table = home.run(&["exit-codes"]).ok().text();
    assert!(read("book/exit-codes.md").contains(table.trim_end()), "docs/book/exit-codes.md has another table");
}

#[test]
fn the_manual_has_every_command_and_setting() {
    let home = Home::new();
    let help = home.run(&["help"]).ok().text();
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let manual = read("book/cli.md");
    for name in commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()) {
        assert!(name == "help" || manual.contains(&format!("`longshore {name}")), "docs/book/cli.md: {name}");
    }
    let defaults = home.run(&["config", "default"]).ok().text();
    assert!(
        read("book/configuration.md").contains(defaults.trim_end()),
        "docs/book/configuration.md has other defaults"
    );
}

#[test]
fn the_description_of_the_interface_is_up_to_date() {
    let home = Home::new();
    home.daemon();
    let made: Value = home.ask_with("GET", "/openapi.json", &[], b"").json();
    let made = format!("{}\n", serde_json::to_string_pretty(&made).unwrap());
    if made != read("schema/openapi.json") {
        let path = Path::new(DOCS).join("schema/openapi.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, made).unwrap();
        panic!("docs/schema/openapi.json was out of date and has been written anew: review the difference");
    }
}
