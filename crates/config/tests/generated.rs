//! What is made from the types equals what is committed.

use std::fs;
use std::path::PathBuf;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares, or writes when `TANDEM_BLESS=1` is set.
fn committed(path: &str, made: &str) {
    let file = repository().join(path);
    if std::env::var_os("TANDEM_BLESS").is_some_and(|value| value == "1") {
        fs::write(&file, made).expect("the repository can be written");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == made, "{path} is out of date: run `TANDEM_BLESS=1 cargo test -p tandem-config --test generated`");
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    committed("configs/tandem.schema.json", &tandem_config::json_schema());
}

#[test]
fn the_committed_reference_is_that_of_the_types() {
    committed("configs/reference.yaml", &tandem_config::reference_yaml());
}

#[test]
fn the_reference_is_a_valid_file() {
    if let Err(problems) = tandem_config::parse("reference.yaml", &tandem_config::reference_yaml()) {
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", text.join("\n"));
    }
}

#[test]
fn every_example_is_valid() {
    for name in [
        "carrier.yaml",
        "chime-voice-connector.yaml",
        "kamailio.yaml",
        "demo.yaml",
        "c5n-ena.yaml",
        "af-packet.yaml",
        "pair.yaml",
    ] {
        if let Err(error) = tandem_config::load(&repository().join("configs").join(name)) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_field_of_the_schema_is_described() {
    fn visit(path: &str, value: &serde_json::Value) {
        if let Some(properties) = value["properties"].as_object() {
            for (name, property) in properties {
                let described = property["description"].is_string() || property["$ref"].is_string();
                assert!(described, "{path}.{name} has no description");
            }
        }
        if let Some(definitions) = value["$defs"].as_object() {
            definitions.iter().for_each(|(name, definition)| visit(name, definition));
        }
    }
    visit("", &serde_json::from_str(&tandem_config::json_schema()).unwrap());
}
