//! In which order servers are tried (RFC 2782).

use core::net::SocketAddr;

use super::Choice;
use crate::Transport;

/// The choices by priority, and those of one priority drawn at random in proportion to weight. `draw` gives random numbers.
pub fn in_order(choices: &[Choice], mut draw: impl FnMut() -> u64) -> Vec<&Choice> {
    // Those without weight come first, and so have the small chance that RFC 2782 leaves them.
    let mut waiting: Vec<&Choice> = choices.iter().collect();
    waiting.sort_by_key(|choice| (choice.priority, choice.weight > 0));
    let mut ordered = Vec::with_capacity(waiting.len());
    while let Some(first) = waiting.first() {
        let class = waiting.iter().take_while(|choice| choice.priority == first.priority).count();
        let sum: u64 = waiting[..class].iter().map(|choice| u64::from(choice.weight)).sum();
        let drawn = draw() % (sum + 1);
        let mut running = 0;
        let taken = waiting[..class].iter().position(|choice| {
            running += u64::from(choice.weight);
            running >= drawn
        });
        ordered.push(waiting.remove(taken.unwrap_or(0)));
    }
    ordered
}

/// Where to try, one after the other. A host's addresses take turns in being the first.
pub fn targets(choices: &[Choice], mut draw: impl FnMut() -> u64) -> Vec<(Transport, SocketAddr)> {
    let ordered = in_order(choices, &mut draw);
    let of_host = |choice: &Choice| {
        let mut addresses = choice.addresses.clone();
        let turn = draw() as usize % addresses.len().max(1);
        addresses.rotate_left(turn);
        addresses.into_iter().map(|address| (choice.transport, address)).collect::<Vec<_>>()
    };
    ordered.into_iter().flat_map(of_host).collect()
}
