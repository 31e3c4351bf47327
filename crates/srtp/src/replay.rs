//! Which packet a 16-bit sequence number means, and whether it was here before (RFC 3711 §3.3.1, §3.3.2).

/// Packets behind the newest that may still come; anything older is refused.
const WINDOW: u64 = 128;

/// The newest index seen (0 before the first) and which of the [`WINDOW`] before it were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReplayWindow {
    newest: u64,
    /// Bit `n` is set when `newest - n` was accepted; 0 before the first packet.
    accepted: u128,
}

/// Why a packet's index is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexRefused {
    Replayed,
    TooOld,
}

impl ReplayWindow {
    /// Whether `index` may still be accepted.
    pub(crate) fn check(&self, index: u64) -> Result<(), IndexRefused> {
        if self.accepted == 0 || index > self.newest {
            return Ok(());
        }
        match self.newest - index {
            behind if behind >= WINDOW => Err(IndexRefused::TooOld),
            behind if self.accepted >> behind & 1 == 1 => Err(IndexRefused::Replayed),
            _ => Ok(()),
        }
    }

    /// Marks an authenticated index as here.
    pub(crate) fn accept(&mut self, index: u64) {
        if self.accepted == 0 {
            *self = Self { newest: index, accepted: 1 };
        } else if index > self.newest {
            let ahead = index - self.newest;
            self.accepted = if ahead < WINDOW { self.accepted << ahead } else { 0 } | 1;
            self.newest = index;
        } else if self.newest - index < WINDOW {
            self.accepted |= 1 << (self.newest - index);
        }
    }

    /// The 48-bit index that `sequence` most likely means: that next to the newest one (RFC 3711 §3.3.1).
    pub(crate) fn guess(&self, sequence: u16) -> u64 {
        nearest(self.newest, sequence)
    }

    /// Marks `index` and everything before it as here.
    pub(crate) fn accept_all_up_to(&mut self, index: u64) {
        *self = Self { newest: index, accepted: u128::MAX };
    }

    /// Takes everything again, and keeps only about where it was.
    pub(crate) fn forget(&mut self) {
        self.accepted = 0;
    }

    /// Whether any index was accepted.
    pub(crate) fn has_accepted(&self) -> bool {
        self.accepted != 0
    }

    pub(crate) fn newest(&self) -> Option<u64> {
        (self.accepted != 0).then_some(self.newest)
    }
}

/// Of the indices whose low 16 bits are `sequence`, the one nearest to `reference`.
pub(crate) fn nearest(reference: u64, sequence: u16) -> u64 {
    let distance = sequence.wrapping_sub(reference as u16) as i16;
    reference.checked_add_signed(distance.into()).unwrap_or(u64::from(sequence))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_index_is_accepted_once() {
        let mut window = ReplayWindow::default();
        for index in [5, 3, 9, 4, 200] {
            assert_eq!(window.check(index), Ok(()));
            window.accept(index);
            assert_eq!(window.check(index), Err(IndexRefused::Replayed));
        }
    }

    #[test]
    fn what_left_the_window_is_too_old_and_the_last_inside_is_not() {
        let mut window = ReplayWindow::default();
        window.accept(1_000);
        assert_eq!(window.check(1_000 - WINDOW), Err(IndexRefused::TooOld));
        assert_eq!(window.check(1_001 - WINDOW), Ok(()));
    }

    #[test]
    fn the_index_goes_on_across_a_wrap_and_back() {
        let mut window = ReplayWindow::default();
        window.accept(65_535);
        assert_eq!(window.guess(0), 65_536);
        window.accept(65_536);
        assert_eq!(window.guess(65_534), 65_534);
    }

    #[test]
    fn before_the_first_wrap_a_high_number_is_not_negative() {
        let mut window = ReplayWindow::default();
        window.accept(3);
        assert_eq!(window.guess(65_535), 65_535);
    }

    proptest! {
        #[test]
        fn a_window_answers_like_a_set_of_all_that_came(indices in prop::collection::vec(0_u64..400, 1..200)) {
            let mut window = ReplayWindow::default();
            let mut seen = std::collections::BTreeSet::new();
            for index in indices {
                let newest = seen.last().copied().unwrap_or(0_u64);
                let expected = if seen.is_empty() || index > newest { Ok(()) }
                    else if newest - index >= WINDOW { Err(IndexRefused::TooOld) }
                    else if seen.contains(&index) { Err(IndexRefused::Replayed) }
                    else { Ok(()) };
                prop_assert_eq!(window.check(index), expected);
                if expected.is_ok() { window.accept(index); seen.insert(index); }
            }
        }

        #[test]
        fn a_number_within_half_a_cycle_is_guessed_right(newest in 40_000_u64..1 << 40, step in -32_767_i64..=32_767) {
            let index = newest.checked_add_signed(step).expect("in range");
            prop_assert_eq!(nearest(newest, index as u16), index);
        }
    }
}
