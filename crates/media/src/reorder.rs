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
const MAX_HELD: usize = 2048;

/// Which window a stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WindowIndex(u32);

/// One stream's window.
pub(crate) struct Window<T> {
    /// How many packets may wait, and for how long.
    width: usize,
    patience_ns: u64,
    /// The sequence number that goes on at once; `None` before the first packet.
    next: Option<u16>,
    /// In the order of their numbers.
    held: ArrayVec<Held<T>, CAPACITY>,
    /// So many of the first go on whatever is missing between them.
    flushed: usize,
    /// It is in the list of those that wait.
    is_listed: bool,
}

struct Held<T> {
    sequence: u16,
    starts: bool,
    since: Nanos,
    item: T,
}

impl<T> Window<T> {
    const fn new() -> Self {
        Self { width: 0, patience_ns: 0, next: None, held: ArrayVec::new_const(), flushed: 0, is_listed: false }
    }

    /// Sets how many packets may wait, and how long one lasts.
    fn configure(&mut self, width: u8, ptime_ms: u8) {
        self.width = usize::from(width.min(LegConfig::MAX_REORDER_PACKETS));
        self.patience_ns = self.width as u64 * u64::from(ptime_ms) * 1_000_000;
    }

    /// Takes a packet in, or gives it back when its time has passed. `starts`: nothing before it belongs to it.
    /// [`Window::release`] is asked after each packet.
    #[inline]
    fn offer(&mut self, now: Nanos, sequence: u16, starts: bool, item: T) -> Result<(), T> {
        let starts = starts || self.next.is_none();
        let held = Held { sequence, starts, since: now, item };
        if starts {
            self.flush();
            self.held.push(held);
            return Ok(());
        }
        let ahead = self.ahead(sequence);
        let at = self.held.partition_point(|held| self.ahead(held.sequence) < ahead);
        let is_there = self.held.get(at).is_some_and(|held| held.sequence == sequence);
        if ahead > u16::MAX / 2 || is_there {
            return Err(held.item);
        }
        self.held.insert(at, held);
        Ok(())
    }

    /// The next packet whose time has come, and what lies between it and the one before: how many were given up, or a start.
    /// `is_patient`: gaps are waited for.
    #[inline]
    fn release(&mut self, now: Nanos, is_patient: bool) -> Option<(T, Verdict)> {
        let first = self.held.first()?;
        let goes_on = first.starts
            || self.ahead(first.sequence) == 0
            || self.flushed > 0
            || !is_patient
            || self.held.len() > self.width
            || self.held.iter().any(|held| now.since(held.since) >= self.patience_ns);
        if !goes_on {
            return None;
        }
        let Held { sequence, starts, item, .. } = self.held.remove(0);
        let skipped = self.ahead(sequence);
        self.flushed = self.flushed.saturating_sub(1);
        self.next = Some(sequence.wrapping_add(1));
        Some((item, if starts { Verdict::Started } else { Verdict::Next { skipped } }))
    }

    /// Lets all that is held go on.
    fn flush(&mut self) {
        self.flushed = self.held.len();
    }

    /// How far a number is behind the one that goes on at once.
    fn ahead(&self, sequence: u16) -> u16 {
        sequence.wrapping_sub(self.next.unwrap_or(sequence))
    }
}

/// The windows of all streams that are decoded.
pub(crate) struct Windows<T> {
    windows: Box<[Window<T>]>,
    free: Vec<WindowIndex>,
    /// Streams whose windows hold something, or did lately.
    waiting: Vec<StreamIndex>,
    held: usize,
}

impl<T> Windows<T> {
    pub(crate) fn new(capacity: u32) -> Self {
        Self {
            windows: (0..capacity).map(|_| Window::new()).collect(),
            free: (0..capacity).map(WindowIndex).collect(),
            waiting: Vec::with_capacity(capacity as usize),
            held: 0,
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

    #[inline]
    fn offer(&mut self, now: Nanos, index: WindowIndex, sequence: u16, starts: bool, item: T) -> Result<(), T> {
        self.windows[index.0 as usize].offer(now, sequence, starts, item)?;
        self.held += 1;
        Ok(())
    }

    #[inline]
    fn release(&mut self, now: Nanos, index: WindowIndex) -> Option<(T, Verdict)> {
        let released = self.windows[index.0 as usize].release(now, self.held <= MAX_HELD);
        self.held -= usize::from(released.is_some());
        released
    }
}

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
        self.windows.offer(now, window, sequence, starts, arrival).map_err(|_| DropReason::TooLate)?;
        self.release(now, index, window, egress);
        Ok(())
    }

    /// Lets everything go on whose time has come.
    #[inline]
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

    fn window(width: u8) -> Window<u16> {
        let mut window = Window::new();
        window.configure(width, 20);
        window
    }

    /// Everything whose time has come, each with the number of packets given up before it.
    fn released(window: &mut Window<u16>, ms: u64) -> Vec<(u16, Option<u16>)> {
        let next = || window.release(Nanos::from_millis(ms), true);
        std::iter::from_fn(next)
            .map(|(item, verdict)| match verdict {
                Verdict::Next { skipped } => (item, Some(skipped)),
                Verdict::Started => (item, None),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// One packet comes; what goes on.
    fn hear(window: &mut Window<u16>, ms: u64, sequence: u16, starts: bool) -> Vec<(u16, Option<u16>)> {
        window.offer(Nanos::from_millis(ms), sequence, starts, sequence).unwrap();
        released(window, ms)
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
        assert_eq!(window.offer(Nanos::from_millis(4), 11, false, 11), Err(11), "too late");
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
        assert_eq!(window.offer(Nanos(0), 11, false, 11), Err(11));
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
    fn without_patience_nothing_waits() {
        let mut window = window(10);
        hear(&mut window, 0, 1, true);
        window.offer(Nanos(0), 5, false, 5).unwrap();
        assert_eq!(window.release(Nanos(0), false), Some((5, Verdict::Next { skipped: 3 })));
    }

    #[test]
    fn the_same_number_twice_is_given_back() {
        let mut window = window(10);
        hear(&mut window, 0, 1, true);
        hear(&mut window, 0, 3, false);
        assert_eq!(window.offer(Nanos(0), 3, false, 3), Err(3));
        assert_eq!(window.offer(Nanos(0), 1, false, 1), Err(1));
    }
}
