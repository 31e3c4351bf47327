//! The committed schema is that of the types.
#![allow(missing_docs, clippy::unwrap_used)]

use tandem_capacity::report::json_schema;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/capacity-report.schema.json");

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let made = json_schema();
    if std::env::var_os("TANDEM_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(COMMITTED, &made).unwrap();
    }
    let found = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        found == made,
        "docs/capacity-report.schema.json is out of date: run `TANDEM_BLESS=1 cargo test -p tandem-capacity --test schema`"
    );
}

#[test]
fn every_field_of_the_schema_is_described_and_nothing_else_is_allowed() {
    fn visit(path: &str, value: &serde_json::Value) {
        if let Some(properties) = value["properties"].as_object() {
            assert_eq!(value["additionalProperties"], false, "{path} lets anything in");
            for (name, property) in properties {
                assert!(property["description"].is_string(), "{path}.{name} has no description");
            }
        }
        for (name, definition) in value["$defs"].as_object().into_iter().flatten() {
            visit(name, definition);
        }
    }
    visit("report", &serde_json::from_str(&json_schema()).unwrap());
}
