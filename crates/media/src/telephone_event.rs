//! Telephone events (RFC 4733) as they are heard: each is told to control once, however many packets it takes.

use tandem_codec::dtmf;
use tandem_contract::{Event, EventCode};
use tandem_packet_io::PacketBuf;

use crate::classify::Datagram;
use crate::engine::Engine;
use crate::flow::leg_of;
use crate::rtp_path::Packet;

/// The event that a leg hears, or heard last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hearing {
    state: State,
    code: u8,
    /// When its present segment began, in the leg's clock.
    timestamp: u32,
    /// Ticks of its segments before this one, and of this one so far.
    before: u32,
    duration: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// None was heard.
    #[default]
    Never,
    Lasting,
    /// It is over and was told.
    Told,
}

/// An event that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Over {
    pub(crate) code: u8,
    /// In ticks of the leg's clock.
    pub(crate) duration: u32,
}

impl Hearing {
    /// Takes in a packet; what is over by it. An event whose end is lost is over when another begins.
    pub(crate) fn on_packet(&mut self, timestamp: u32, event: dtmf::Event) -> Option<Over> {
        let ahead = timestamp.wrapping_sub(self.timestamp) as i32;
        let mut over = None;
        if self.state == State::Never || ahead > 0 {
            // A long event goes on in a segment that begins where the last one ended (§2.5.1.3).
            let goes_on = self.state == State::Lasting && self.code == event.code && ahead == i32::from(self.duration);
            if goes_on {
                self.before = self.before.saturating_add(self.duration.into());
            } else {
                over = (self.state == State::Lasting).then(|| self.so_far());
                self.before = 0;
            }
            (self.state, self.code, self.timestamp, self.duration) = (State::Lasting, event.code, timestamp, 0);
        } else if ahead < 0 || self.state == State::Told {
            // Of an event that is over.
            return None;
        }
        self.duration = self.duration.max(event.duration);
        if event.end && over.is_none() {
            over = Some(self.so_far());
            self.state = State::Told;
        }
        over
    }

    /// What was said to be over was not told after all: its next packet says so again.
    fn not_told(&mut self) {
        self.state = State::Lasting;
    }

    fn so_far(&self) -> Over {
        Over { code: self.code, duration: self.before.saturating_add(self.duration.into()) }
    }
}

impl<B: PacketBuf> Engine<B> {
    /// Takes note of a packet of a telephone event.
    #[cold]
    pub(crate) fn hear_event(&mut self, frame: &B, datagram: &Datagram, packet: &Packet) {
        let at = usize::from(datagram.at) + packet.header_len;
        let payload = frame.data().get(at..at + packet.payload_len).unwrap_or_default();
        let Ok(event) = dtmf::Event::parse(payload) else { return };
        let rare = &mut self.rare[datagram.stream.at()];
        let Some(over) = rare.hearing.on_packet(packet.heard.timestamp, event) else { return };
        let (slot, leg) = leg_of(datagram.stream);
        let Some(flow) = self.flows[slot as usize].as_ref().map(|flow| flow.id) else { return };
        let duration_ms = over.duration / u32::from(self.streams[datagram.stream.at()].receive_khz);
        if self.events.push(Event::TelephoneEvent { flow, leg, code: EventCode(over.code), duration_ms }) {
            self.counters.telephone_events.add(1);
        } else {
            rare.hearing.not_told();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(hearing: &mut Hearing, timestamp: u32, code: u8, duration: u16, end: bool) -> Option<(u8, u32)> {
        let event = dtmf::Event { code, end, minus_dbm0: 10, duration };
        hearing.on_packet(timestamp, event).map(|over| (over.code, over.duration))
    }

    #[test]
    fn an_event_is_told_once_however_often_its_end_comes() {
        let mut hearing = Hearing::default();
        assert_eq!(hear(&mut hearing, 1000, 5, 160, false), None);
        assert_eq!(hear(&mut hearing, 1000, 5, 320, false), None);
        assert_eq!(hear(&mut hearing, 1000, 5, 400, true), Some((5, 400)));
        assert_eq!(hear(&mut hearing, 1000, 5, 400, true), None);
        assert_eq!(hear(&mut hearing, 1000, 5, 320, false), None, "overtaken");
        assert_eq!(hear(&mut hearing, 3000, 5, 100, true), Some((5, 100)), "the same key again");
    }

    #[test]
    fn an_event_without_an_end_is_over_when_the_next_begins() {
        let mut hearing = Hearing::default();
        hear(&mut hearing, u32::MAX - 100, 1, 160, false);
        assert_eq!(hear(&mut hearing, 500, 2, 160, true), Some((1, 160)));
        assert_eq!(hear(&mut hearing, 500, 2, 160, true), Some((2, 160)));
    }

    #[test]
    fn a_long_event_is_one_in_all_its_segments() {
        let mut hearing = Hearing::default();
        assert_eq!(hear(&mut hearing, 0, 9, 0xffff, false), None);
        assert_eq!(hear(&mut hearing, 0xffff, 9, 160, false), None);
        assert_eq!(hear(&mut hearing, 0xffff, 9, 0xffff, false), None);
        assert_eq!(hear(&mut hearing, 0x1_fffe, 9, 10, true), Some((9, 0x1_fffe + 10)));
    }
}
