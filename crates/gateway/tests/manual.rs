//! The manual says what the program says.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- made by: tandem docs ";
const END: &str = "<!-- end -->";

fn printed(part: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem")).args(["docs", part]).output().expect("tandem runs");
    assert!(output.status.success(), "tandem docs {part}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_table_of_the_manual_is_what_the_program_prints() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPERATING.md");
    let manual = fs::read_to_string(manual).expect("docs/OPERATING.md");
    let parts: Vec<&str> = manual.split(BEGIN).skip(1).collect();
    for part in &parts {
        let (name, rest) = part.split_once(" -->\n").expect("a mark names its part");
        let (table, _) = rest.split_once(END).expect("a part has an end");
        assert_eq!(table.trim_end(), printed(name).trim_end(), "`{name}` is out of date: run `make manual`");
    }
    for name in ["metrics", "drop-reasons", "fields", "exit-codes", "changeable", "http"] {
        assert!(parts.iter().any(|part| part.starts_with(name)), "the manual has no part `{name}`");
    }
}
