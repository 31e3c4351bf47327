//! Putting a stream into order before it is decoded: a codec's state cannot go back.
//!
//! A packet that follows the one before goes on at once. One that skips a number is held until the missing ones have come,
//! until more packets are held than the window is wide, or until it has waited for as long as so many packets last; then the
//! gap is given up, and whatever of it comes later is too late. A source that starts anew lets everything before it go.

use arrayvec::ArrayVec;
use tandem_contract::{DropReason, LegConfig, Nanos};
use tandem_packet_io::PacketBuf;

use crate::egress::Egress;
use crate::engine::Engine;
use crate::port_table::StreamIndex;
use crate::reception::Verdict;
use crate::rtp_path::Arrival;

/// Packets that wait in one window at most, and the one that makes it give up.
const CAPACITY: usize = LegConfig::MAX_REORDER_PACKETS as usize + 1;
/// Packets that wait in all windows together. Beyond that gaps are given up at once, so that a bad network does not take the
/// device's buffers away.
const MAX_HELD: u16 = 2048;

/// Which window a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowIndex(u32);

/// One stream's window, a cache line. What waits in it is on the [`Windows`]' shelf.
#[repr(align(64))]
struct Window {
    /// In the order of their numbers.
    held: ArrayVec<Held, CAPACITY>,
    /// The sequence number that goes on at once; `None` before the first packet.
    next: Option<u16>,
    /// How many packets may wait, and for how long.
    width: u8,
    patience_ms: u16,
    /// So many of the first go on whatever is missing between them.
    flushed: u8,
    /// It is in the list of those that wait.
    is_listed: bool,
}

/// A packet that waits.
#[derive(Clone, Copy)]
struct Held {
    sequence: u16,
    /// Its place on the shelf.
    place: u16,
}

/// The packet itself.
struct Shelved<T> {
    since: Nanos,
    /// Nothing before it belongs to it.
    starts: bool,
    item: T,
}

impl Window {
    const fn new() -> Self {
        Self { held: ArrayVec::new_const(), next: None, width: 0, patience_ms: 0, flushed: 0, is_listed: false }
    }

    /// Sets how many packets may wait, and how long one lasts.
    fn configure(&mut self, width: u8, ptime_ms: u8) {
        self.width = width.min(LegConfig::MAX_REORDER_PACKETS);
        self.patience_ms = u16::from(self.width) * u16::from(ptime_ms);
    }

    /// What lies between a packet and the one before, where it can go on at once; `None` where it has to wait.
    #[inline]
    fn pass(&mut self, sequence: u16, starts: bool) -> Option<Verdict> {
        let starts = starts || self.next.is_none();
        if !self.held.is_empty() || !(starts || self.ahead(sequence) == 0) {
            return None;
        }
        self.next = Some(sequence.wrapping_add(1));
        Some(if starts { Verdict::Started } else { Verdict::Next { skipped: 0 } })
    }

    /// Where among those that wait a packet belongs; `None` when its time has passed.
    fn place_of(&self, sequence: u16) -> Option<usize> {
        let ahead = self.ahead(sequence);
        let at = self.held.partition_point(|held| self.ahead(held.sequence) < ahead);
        let is_there = self.held.get(at).is_some_and(|held| held.sequence == sequence);
        (ahead <= u16::MAX / 2 && !is_there).then_some(at)
    }

    /// Lets all that is held go on.
    fn flush(&mut self) {
        self.flushed = self.held.len() as u8;
    }

    /// How far a number is behind the one that goes on at once.
    fn ahead(&self, sequence: u16) -> u16 {
        sequence.wrapping_sub(self.next.unwrap_or(sequence))
    }
}

/// The windows of all streams that are decoded.
pub(crate) struct Windows<T> {
    windows: Box<[Window]>,
    free: Vec<WindowIndex>,
    /// What waits in any of them, and the places that are free. There is one more than may be held: whoever takes it does not
    /// wait.
    shelf: Box<[Option<Shelved<T>>]>,
    places: Vec<u16>,
    /// Streams whose windows hold something, or did lately.
    waiting: Vec<StreamIndex>,
}

impl<T> Windows<T> {
    pub(crate) fn new(capacity: u32) -> Self {
        Self::with_shelf(capacity, MAX_HELD)
    }

    fn with_shelf(capacity: u32, most_held: u16) -> Self {
        Self {
            windows: (0..capacity).map(|_| Window::new()).collect(),
            free: (0..capacity).map(WindowIndex).collect(),
            shelf: (0..=most_held).map(|_| None).collect(),
            places: (0..=most_held).collect(),
            waiting: Vec::with_capacity(capacity as usize),
        }
    }

    /// A window that is as new; `None` when all are taken.
    pub(crate) fn take(&mut self) -> Option<WindowIndex> {
        self.free.pop()
    }

    /// Sets how many packets may wait in a window, and how long one lasts.
    pub(crate) fn configure(&mut self, index: WindowIndex, width: u8, ptime_ms: u8) {
        self.windows[index.0 as usize].configure(width, ptime_ms);
    }

    /// Takes a stream's window back, which is empty.
    pub(crate) fn give_back(&mut self, index: WindowIndex, stream: StreamIndex) {
        let window = &mut self.windows[index.0 as usize];
        debug_assert!(window.held.is_empty());
        if window.is_listed {
            self.waiting.retain(|waiting| *waiting != stream);
        }
        *window = Window::new();
        self.free.push(index);
    }

    /// Takes a packet in that has to wait, or gives it back when its time has passed. `starts`: nothing before it belongs to
    /// it. [`Windows::release`] is asked after each packet.
    fn offer(&mut self, now: Nanos, index: WindowIndex, sequence: u16, starts: bool, item: T) -> Result<(), T> {
        let window = &mut self.windows[index.0 as usize];
        let starts = starts || window.next.is_none();
        let at = if starts { Some(window.held.len()) } else { window.place_of(sequence) };
        let Some((at, place)) = at.and_then(|at| Some((at, self.places.pop()?))) else { return Err(item) };
        if starts {
            window.flush();
        }
        window.held.insert(at, Held { sequence, place });
        self.shelf[usize::from(place)] = Some(Shelved { since: now, starts, item });
        Ok(())
    }

    /// The next packet whose time has come, and what lies between it and the one before: how many were given up, or a start.
    fn release(&mut self, now: Nanos, index: WindowIndex) -> Option<(T, Verdict)> {
        let window = &mut self.windows[index.0 as usize];
        let first = *window.held.first()?;
        let is_patient = !self.places.is_empty();
        let patience_ns = u64::from(window.patience_ms) * 1_000_000;
        let shelved = |held: &Held| self.shelf[usize::from(held.place)].as_ref();
        let is_overdue = |held: &Held| shelved(held).is_some_and(|it| now.since(it.since) >= patience_ns);
        let starts = shelved(&first).is_some_and(|it| it.starts);
        let goes_on = starts
            || window.ahead(first.sequence) == 0
            || window.flushed > 0
            || !is_patient
            || window.held.len() > usize::from(window.width)
            || window.held.iter().any(is_overdue);
        if !goes_on {
            return None;
        }
        window.held.remove(0);
        let skipped = window.ahead(first.sequence);
        window.flushed = window.flushed.saturating_sub(1);
        window.next = Some(first.sequence.wrapping_add(1));
        let item = self.shelf[usize::from(first.place)].take()?.item;
        self.places.push(first.place);
        Some((item, if starts { Verdict::Started } else { Verdict::Next { skipped } }))
    }

    /// Reads a little of a window, so that the cache misses of a burst overlap.
    #[inline]
    pub(crate) fn touch(&self, index: WindowIndex) -> u64 {
        self.windows[index.0 as usize].patience_ms.into()
    }
}

const _: () = assert!(size_of::<Window>() == 64, "the window of a stream that is decoded is a cache line");

impl<B: PacketBuf> Engine<B> {
    /// Lets a packet wait for those before it, or go on, and with it what has waited for it.
    #[inline]
    pub(crate) fn put_in_order<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        sequence: u16,
        starts: bool,
        arrival: Arrival<B>,
        egress: &mut E,
    ) -> Result<(), DropReason> {
        // Every stream that needs one was given one when it was configured.
        let window = self.rare[index.at()].window.ok_or(DropReason::NotNegotiated)?;
        if let Some(verdict) = self.windows.windows[window.0 as usize].pass(sequence, starts) {
            return self.on_ordered(now, index, arrival, verdict, egress);
        }
        self.windows.offer(now, window, sequence, starts, arrival).map_err(|_| DropReason::TooLate)?;
        self.release(now, index, window, egress);
        Ok(())
    }

    /// Lets everything go on whose time has come.
    fn release<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, window: WindowIndex, egress: &mut E) {
        while let Some((arrival, verdict)) = self.windows.release(now, window) {
            if let Err(reason) = self.on_ordered(now, index, arrival, verdict, egress) {
                self.drop_datagram(index, reason);
            }
        }
        let window = &mut self.windows.windows[window.0 as usize];
        if !window.held.is_empty() && !window.is_listed {
            window.is_listed = true;
            self.windows.waiting.push(index);
        }
    }

    /// Gives up the gaps that were waited for long enough.
    #[inline]
    pub(crate) fn release_overdue<E: Egress<Buf = B>>(&mut self, now: Nanos, egress: &mut E) {
        let mut at = 0;
        while let Some(index) = self.windows.waiting.get(at).copied() {
            at += 1;
            let Some(window) = self.rare[index.at()].window else { continue };
            self.release(now, index, window, egress);
            if self.windows.windows[window.0 as usize].held.is_empty() {
                at -= 1;
                self.windows.windows[window.0 as usize].is_listed = false;
                self.windows.waiting.swap_remove(at);
            }
        }
    }

    /// Lets everything go on that a stream's window holds.
    pub(crate) fn flush_window<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, egress: &mut E) {
        let Some(window) = self.rare[index.at()].window else { return };
        self.windows.windows[window.0 as usize].flush();
        self.release(now, index, window, egress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONLY: WindowIndex = WindowIndex(0);

    fn window(width: u8) -> Windows<u16> {
        let mut windows = Windows::new(1);
        assert_eq!(windows.take(), Some(ONLY));
        windows.configure(ONLY, width, 20);
        windows
    }

    /// Everything whose time has come, each with the number of packets given up before it.
    fn released(window: &mut Windows<u16>, ms: u64) -> Vec<(u16, Option<u16>)> {
        let next = || window.release(Nanos::from_millis(ms), ONLY);
        std::iter::from_fn(next)
            .map(|(item, verdict)| match verdict {
                Verdict::Next { skipped } => (item, Some(skipped)),
                Verdict::Started => (item, None),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// One packet comes; what goes on.
    fn hear(window: &mut Windows<u16>, ms: u64, sequence: u16, starts: bool) -> Vec<(u16, Option<u16>)> {
        // What can pass at once does so alone.
        let passed = window.windows[0].pass(sequence, starts);
        if passed.is_none() {
            window.offer(Nanos::from_millis(ms), ONLY, sequence, starts, sequence).unwrap();
        }
        let passed = passed.map(|verdict| (sequence, (verdict != Verdict::Started).then_some(0)));
        passed.into_iter().chain(released(window, ms)).collect()
    }

    #[test]
    fn what_was_overtaken_goes_first_also_over_the_wrap_around() {
        let mut window = window(2);
        assert_eq!(hear(&mut window, 0, 65_534, true), [(65_534, None)]);
        assert_eq!(hear(&mut window, 20, 0, false), []);
        assert_eq!(hear(&mut window, 40, 65_535, false), [(65_535, Some(0)), (0, Some(0))]);
        assert_eq!(hear(&mut window, 60, 1, false), [(1, Some(0))]);
    }

    #[test]
    fn a_gap_is_given_up_when_one_packet_more_than_the_window_holds_has_come() {
        let mut window = window(2);
        hear(&mut window, 0, 10, true);
        assert_eq!(hear(&mut window, 1, 13, false), []);
        assert_eq!(hear(&mut window, 2, 12, false), []);
        assert_eq!(hear(&mut window, 3, 15, false), [(12, Some(1)), (13, Some(0))]);
        assert_eq!(window.offer(Nanos::from_millis(4), ONLY, 11, false, 11), Err(11), "too late");
        assert_eq!(hear(&mut window, 5, 14, false), [(14, Some(0)), (15, Some(0))]);
    }

    #[test]
    fn a_gap_is_given_up_when_its_time_is_over() {
        let mut window = window(2);
        hear(&mut window, 0, 10, true);
        assert_eq!(hear(&mut window, 20, 12, false), []);
        assert_eq!(released(&mut window, 59), []);
        assert_eq!(released(&mut window, 60), [(12, Some(1))]);
        assert_eq!(released(&mut window, 1000), []);
    }

    #[test]
    fn a_window_of_nothing_holds_nothing() {
        let mut window = window(0);
        hear(&mut window, 0, 10, true);
        assert_eq!(hear(&mut window, 0, 12, false), [(12, Some(1))]);
        assert_eq!(window.offer(Nanos(0), ONLY, 11, false, 11), Err(11));
    }

    #[test]
    fn the_widest_window_holds_ten() {
        let mut window = window(200);
        hear(&mut window, 0, 0, true);
        for sequence in 2..12 {
            assert_eq!(hear(&mut window, 0, sequence, false), []);
        }
        let all: Vec<_> = (2..13).map(|n| (n, Some(u16::from(n == 2)))).collect();
        assert_eq!(hear(&mut window, 0, 12, false), all);
    }

    #[test]
    fn a_source_that_starts_anew_lets_go_what_waited_and_a_number_below_is_no_obstacle() {
        let mut window = window(3);
        hear(&mut window, 0, 50_000, true);
        assert_eq!(hear(&mut window, 1, 50_002, false), []);
        assert_eq!(hear(&mut window, 2, 50_004, false), []);
        assert_eq!(hear(&mut window, 3, 7, true), [(50_002, Some(1)), (50_004, Some(1)), (7, None)]);
        assert_eq!(hear(&mut window, 4, 8, false), [(8, Some(0))]);
    }

    #[test]
    fn where_all_places_are_taken_nothing_waits() {
        let mut windows = Windows::with_shelf(2, 1);
        for index in [0, 1].map(WindowIndex) {
            windows.configure(index, 10, 20);
            assert_eq!(windows.windows[index.0 as usize].pass(1, true), Some(Verdict::Started));
        }
        windows.offer(Nanos(0), ONLY, 5, false, 5).unwrap();
        assert_eq!(windows.release(Nanos(0), ONLY), None);
        windows.offer(Nanos(0), WindowIndex(1), 4, false, 4).unwrap();
        assert_eq!(windows.release(Nanos(0), WindowIndex(1)), Some((4, Verdict::Next { skipped: 2 })));
        assert_eq!(windows.release(Nanos(0), ONLY), None);
    }

    #[test]
    fn the_same_number_twice_is_given_back() {
        let mut window = window(10);
        hear(&mut window, 0, 1, true);
        hear(&mut window, 0, 3, false);
        assert_eq!(window.offer(Nanos(0), ONLY, 3, false, 3), Err(3));
        assert_eq!(window.offer(Nanos(0), ONLY, 1, false, 1), Err(1));
    }
}
