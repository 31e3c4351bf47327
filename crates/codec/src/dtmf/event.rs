//! Telephone events (RFC 4733).

use thiserror::Error;

use super::Key;

/// The payload of a telephone event packet (section 2.3): four octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Event code; up to 15 it is a [`Key`].
    pub code: u8,
    /// Whether the event has ended.
    pub end: bool,
    /// Level in −dBm0, 0..=63.
    pub minus_dbm0: u8,
    /// How long the event has lasted, in ticks of the stream's RTP clock.
    pub duration: u16,
}

/// Why a payload is not a telephone event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    /// Shorter than an event. (What follows the first event is another one or padding, and is left alone.)
    #[error("a telephone event has four octets")]
    Length,
}

impl Event {
    /// Reads the first event of a payload.
    ///
    /// # Errors
    /// Fewer than four octets.
    pub fn parse(payload: &[u8]) -> Result<Self, EventError> {
        let [code, flags, high, low, ..] = *payload else { return Err(EventError::Length) };
        Ok(Self { code, end: flags & 0x80 != 0, minus_dbm0: flags & 0x3f, duration: u16::from_be_bytes([high, low]) })
    }

    /// The payload. The reserved bit is zero.
    #[must_use]
    pub const fn payload(&self) -> [u8; 4] {
        let flags = (self.end as u8) << 7 | self.minus_dbm0 & 0x3f;
        let [high, low] = self.duration.to_be_bytes();
        [self.code, flags, high, low]
    }

    /// The key, if the event is one.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        Key::from_event(self.code)
    }
}

/// A packet that an [`EventSender`] wants sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whether it is the first of its event, which has the RTP marker bit (section 2.3.1).
    pub marker: bool,
    /// RTP timestamp: that of the event's start in all its packets.
    pub timestamp: u32,
    /// The payload.
    pub event: Event,
}

/// How often the last packet of an event is sent (section 2.5.1.4).
const LAST_SENT: u8 = 3;

/// Sends one key after the other as telephone events, asked at every packet interval of the audio.
///
/// Durations beyond 65535 ticks (8 s at 8 kHz) are told as that; segments (section 2.5.1.3) are not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct EventSender {
    minus_dbm0: u8,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, u8)]
enum State {
    Idle,
    Pressed { code: u8, start: u32, is_first: bool },
    Released { code: u8, start: u32, is_first: bool, duration: u16, left: u8 },
}

impl EventSender {
    /// A sender that tells a level in −dBm0 (0..=63).
    #[must_use]
    pub const fn new(minus_dbm0: u8) -> Self {
        Self { minus_dbm0: if minus_dbm0 > 63 { 63 } else { minus_dbm0 }, state: State::Idle }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// A key is pressed at an RTP time. Whatever was being sent is over.
    pub fn on_pressed(&mut self, timestamp: u32, key: Key) {
        self.state = State::Pressed { code: key.event(), start: timestamp, is_first: true };
    }

    /// The key is released at an RTP time.
    pub fn on_released(&mut self, timestamp: u32) {
        if let State::Pressed { code, start, is_first } = self.state {
            let duration = lasted(start, timestamp);
            self.state = State::Released { code, start, is_first, duration, left: LAST_SENT };
        }
    }

    /// What to send at an RTP time, at most once per packet interval.
    pub fn poll_packet(&mut self, timestamp: u32) -> Option<Packet> {
        let minus_dbm0 = self.minus_dbm0;
        match &mut self.state {
            State::Idle => None,
            State::Pressed { code, start, is_first } => {
                let duration = lasted(*start, timestamp);
                let event = Event { code: *code, end: false, minus_dbm0, duration };
                Some(Packet { marker: core::mem::take(is_first), timestamp: *start, event })
            }
            State::Released { code, start, is_first, duration, left } => {
                let event = Event { code: *code, end: true, minus_dbm0, duration: *duration };
                let packet = Packet { marker: core::mem::take(is_first), timestamp: *start, event };
                *left -= 1;
                if *left == 0 {
                    self.state = State::Idle;
                }
                Some(packet)
            }
        }
    }
}

fn lasted(start: u32, now: u32) -> u16 {
    u16::try_from(now.wrapping_sub(start)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn payload_is_read_and_written_back() {
        // RFC 4733 section 5 has such packets: event 9, not ended, −7 dBm0, 400 ticks.
        let event = Event::parse(&[9, 0x07, 0x01, 0x90]).unwrap();
        assert_eq!(event, Event { code: 9, end: false, minus_dbm0: 7, duration: 400 });
        assert_eq!(event.key(), Key::from_char('9'));
        assert_eq!(event.payload(), [9, 0x07, 0x01, 0x90]);
        // The reserved bit is not read, an event that is no key has none, and a second event in the payload is left alone.
        let event = Event::parse(&[36, 0xcf, 0xff, 0xff, 1, 2, 3, 4]).unwrap();
        assert_eq!((event.key(), event.end, event.minus_dbm0, event.duration), (None, true, 15, 0xffff));
        assert_eq!(Event::parse(&[1, 2, 3]), Err(EventError::Length));
    }

    #[test]
    fn key_is_sent_while_pressed_and_its_end_three_times() {
        let mut sender = EventSender::new(10);
        assert_eq!(sender.poll_packet(0), None);
        let start = u32::MAX - 100;
        sender.on_pressed(start, Key::from_char('#').unwrap());
        let mut packets = Vec::new();
        for interval in 1..=4_u32 {
            packets.extend(sender.poll_packet(start.wrapping_add(160 * interval)));
        }
        sender.on_released(start.wrapping_add(700));
        while let Some(packet) = sender.poll_packet(start.wrapping_add(800)) {
            packets.push(packet);
        }
        assert!(sender.is_idle());
        assert!(packets.iter().all(|packet| packet.timestamp == start && packet.event.code == 11));
        let markers: Vec<bool> = packets.iter().map(|packet| packet.marker).collect();
        assert_eq!(markers, [true, false, false, false, false, false, false]);
        let told: Vec<(bool, u16)> = packets.iter().map(|packet| (packet.event.end, packet.event.duration)).collect();
        assert_eq!(
            told,
            [(false, 160), (false, 320), (false, 480), (false, 640), (true, 700), (true, 700), (true, 700)]
        );
    }

    #[test]
    fn key_released_before_a_packet_was_due_is_still_marked() {
        let mut sender = EventSender::new(10);
        sender.on_pressed(0, Key::from_char('1').unwrap());
        sender.on_released(50);
        assert!(sender.poll_packet(160).unwrap().marker);
        assert!(!sender.poll_packet(320).unwrap().marker);
    }

    #[test]
    fn long_event_stays_at_the_longest_duration() {
        let mut sender = EventSender::new(10);
        sender.on_pressed(0, Key::from_char('1').unwrap());
        assert_eq!(sender.poll_packet(70_000).unwrap().event.duration, u16::MAX);
    }
}
