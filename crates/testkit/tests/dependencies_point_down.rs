//! The crates form layers, and imports point down only.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::process::Command;

/// Every crate of the workspace with its layer; an import must lead to a lower number.
const LAYERS: &[(&str, u8)] = &[
    // Pure: bytes, arithmetic and types.
    ("tandem-wire", 0),
    ("tandem-packet-io", 0),
    ("tandem-codec", 0),
    ("tandem-contract", 0),
    ("dpdk-sys", 0),
    // Pure, with a library behind them.
    ("tandem-opus", 1),
    ("tandem-srtp", 1),
    ("tandem-sdp", 1),
    ("tandem-sip", 1),
    ("tandem-stir", 1),
    ("tandem-config", 1),
    ("tandem-capacity", 1),
    ("tandem-aws-protocol", 1),
    // Machines: state that takes time as an argument. A switch has a registrar.
    ("tandem-registrar", 2),
    ("tandem-media", 2),
    ("tandem-call", 3),
    ("tandem-cluster", 3),
    // What control drives: the store of calls.
    ("tandem-replication", 3),
    // Shells: sockets, clocks, devices, files. They never import each other, but for the store, which control drives.
    ("tandem-store", 2),
    ("tandem-worker", 4),
    ("tandem-control", 4),
    ("dpdk", 4),
    ("tandem-loadgen", 4),
    ("tandem-aws", 4),
    // Wiring.
    ("tandem-gateway", 6),
    // Beside the house: test doubles and the demonstration, never shipped.
    ("tandem-testkit", 5),
    ("tandem-ec2-simulator", 5),
    ("tandem-demo", 7),
];

/// Crates whose manifests may name a crate of DPDK's.
const KNOWS_DPDK: &[&str] = &["dpdk", "dpdk-sys", "tandem-gateway"];

struct Edge {
    from: String,
    to: String,
}

fn workspace() -> (Vec<String>, Vec<Edge>) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: Vec<String> = packages.iter().map(|p| p["name"].as_str().expect("a name").to_owned()).collect();
    let mut edges = Vec::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = dependency["name"].as_str().expect("a name");
            // Test doubles may be taken by any test; they never reach a product.
            let in_tests_only = dependency["kind"] == "dev";
            if names.iter().any(|name| name == to) && !in_tests_only {
                edges.push(Edge { from: package["name"].as_str().expect("a name").to_owned(), to: to.to_owned() });
            }
        }
    }
    (names, edges)
}

#[test]
fn every_crate_has_a_layer() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let (names, _) = workspace();
    let homeless: Vec<_> = names.iter().filter(|name| !layers.contains_key(name.as_str())).collect();
    assert!(homeless.is_empty(), "give these crates a layer in this test: {homeless:?}");
}

#[test]
fn imports_point_down() {
    let layers: BTreeMap<_, _> = LAYERS.iter().copied().collect();
    let (_, edges) = workspace();
    assert!(!edges.is_empty(), "no edge was found: the test would prove nothing");
    let up: Vec<_> = edges
        .iter()
        .filter(|edge| layers[edge.from.as_str()] <= layers[edge.to.as_str()])
        .map(|edge| format!("{} -> {}", edge.from, edge.to))
        .collect();
    assert!(up.is_empty(), "these imports do not point down: {up:?}");
}

#[test]
fn dpdk_stays_behind_its_border() {
    let (_, edges) = workspace();
    let leaks: Vec<_> = edges
        .iter()
        .filter(|edge| edge.to.starts_with("dpdk") && !KNOWS_DPDK.contains(&edge.from.as_str()))
        .map(|edge| format!("{} -> {}", edge.from, edge.to))
        .collect();
    assert!(leaks.is_empty(), "DPDK types left their border: {leaks:?}");
}
