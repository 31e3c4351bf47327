//! Whole clusters under a virtual clock: members, network, store and addresses that fail in every way that a seed can draw.
//!
//! `TANDEM_SIMULATIONS=200000 cargo test -p tandem-cluster --release --test simulation` runs so many; a failure names its
//! seed, and `TANDEM_SIMULATION_SEED=…` runs that one alone and tells what happened.
#![allow(missing_docs)]

mod enrolment;
mod faults;
mod world;

use world::{Shape, World};

/// Runs of an ordinary test of each shape.
const RUNS: u64 = 60;

fn runs(shape: Shape) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    if let Some(seed) = number("TANDEM_SIMULATION_SEED") {
        return World::new(shape, seed, true).run();
    }
    let mut held = 0;
    for seed in 0..number("TANDEM_SIMULATIONS").unwrap_or(RUNS) {
        let mut world = World::new(shape, seed, false);
        world.run();
        held += world.promotions();
    }
    assert!(held > 0, "nobody ever held a service: the runs prove nothing");
}

#[test]
fn a_pair_with_a_store_never_has_two_and_has_one_in_the_end() {
    runs(Shape::PairAndStore);
}

#[test]
fn three_members_without_a_store_never_have_two_and_have_one_in_the_end() {
    runs(Shape::Three);
}

#[test]
fn a_group_with_a_spare_never_has_two_and_has_one_in_the_end() {
    runs(Shape::Spare);
}

#[test]
fn a_pair_without_a_store_never_has_two_and_has_one_in_the_end() {
    runs(Shape::BarePair);
}

#[test]
fn members_that_come_and_go_never_are_two_and_there_is_one_in_the_end() {
    runs(Shape::Enrolled);
}
