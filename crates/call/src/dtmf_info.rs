//! Keys of the telephone as INFO requests: `application/dtmf-relay` and `application/dtmf`, which no RFC has and everybody speaks.

use tandem_contract::{Command, EventCode, Function, LegSide, Nanos};
use tandem_sip::{HeaderName, Method, Request};

use crate::call::{Call, Phase};
use crate::exchange::{Exchange, Purpose};
use crate::in_dialog::MAX_RELAYS;

/// What we send: `Signal=5`, `Duration=160`, a line each.
pub(crate) const DTMF_RELAY: &str = "application/dtmf-relay";
/// What we take beside it: the key alone.
const DTMF: &str = "application/dtmf";
/// How long a key is pressed where it is not said, in milliseconds.
const USUAL_MS: u16 = 160;
/// A receiver may want 40 ms (ITU-T Q.24); longer than 5 s nobody presses.
const SHORTEST_MS: u16 = 40;
const LONGEST_MS: u16 = 5_000;
/// The number of our commands for keys. Control's own count from 1.
const REQUEST: u32 = u32::MAX;

/// A key that is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    code: EventCode,
    duration_ms: u16,
}

impl Key {
    /// Reads the body of an INFO; `None` where it is something else.
    fn parse(content_type: &str, body: &[u8]) -> Option<Self> {
        let kind = content_type.split(';').next()?.trim();
        let text = std::str::from_utf8(body).ok()?;
        if kind.eq_ignore_ascii_case(DTMF) {
            return Some(Self { code: signal(text.trim())?, duration_ms: USUAL_MS });
        }
        if !kind.eq_ignore_ascii_case(DTMF_RELAY) {
            return None;
        }
        let value = |name: &str| {
            text.lines().find_map(|line| {
                let (known, value) = line.split_once('=')?;
                known.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let duration = value("Duration").and_then(|text| text.parse().ok()).unwrap_or(USUAL_MS);
        Some(Self { code: signal(value("Signal")?)?, duration_ms: duration.clamp(SHORTEST_MS, LONGEST_MS) })
    }
}

/// The key of a `Signal`: a character, or its event's number from 10 on.
fn signal(text: &str) -> Option<EventCode> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(key), None) => EventCode::of_key(key),
        _ => text.parse().ok().filter(|code| (10..=15).contains(code)).map(EventCode),
    }
}

impl Call {
    /// Takes an INFO of the peer on `side` that holds a key and is to become an event on the other leg. Says whether it was one.
    pub(crate) fn take_key(&self, exchange: &mut Exchange, side: LegSide, request: &Request) -> bool {
        let to = side.other();
        let wanted = self.leg(side).peer.info_dtmf && self.has_events(to) && self.phase == Phase::Answered;
        let content_type = request.value(HeaderName::ContentType).filter(|_| wanted);
        let Some(key) = content_type.and_then(|kind| Key::parse(kind, request.body())) else { return false };
        let reservation = self.media.reservation;
        let function = Function::SendKey { leg: to, code: key.code, duration_ms: key.duration_ms };
        exchange.command(reservation.worker, Command::Function { flow: reservation.flow, request: REQUEST, function });
        true
    }

    /// A telephone event of the peer on `side` is over: the other one is told by INFO, where it has keys that way.
    pub(crate) fn on_telephone_event(
        &mut self,
        exchange: &mut Exchange,
        now: Nanos,
        side: LegSide,
        code: EventCode,
        duration_ms: u32,
    ) {
        let to = side.other();
        let leg = self.leg(to);
        let wants = leg.peer.info_dtmf && leg.is_up && !self.has_events(to) && self.phase == Phase::Answered;
        // Who presses faster than the other side answers is not followed.
        let has_room = self.relays < MAX_RELAYS;
        let Some(key) = code.key().filter(|_| wants && has_room) else { return };
        let number = self.number;
        let leg = self.leg_mut(to);
        let body = format!("Signal={key}\r\nDuration={duration_ms}\r\n");
        let info = leg.dialog.request(Method::Info).body(DTMF_RELAY, body.as_bytes());
        let hop = leg.next_hop(exchange, now);
        if exchange.request(now, hop, info, Purpose::Key { call: number }).is_some() {
            self.relays += 1;
        }
    }

    fn has_events(&self, side: LegSide) -> bool {
        self.leg(side).negotiation.agreement().is_some_and(|agreed| agreed.format.telephone_event.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(content_type: &str, body: &str) -> Option<(char, u16)> {
        let key = Key::parse(content_type, body.as_bytes())?;
        Some((key.code.key().expect("a key"), key.duration_ms))
    }

    #[test]
    fn keys_are_read_as_they_are_written_by_many() {
        for (content_type, body, expected) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", Some(('5', 160))),
            ("Application/DTMF-Relay; charset=utf-8", "signal = #\nduration = 250", Some(('#', 250))),
            ("application/dtmf-relay", "Signal=d\r\n", Some(('D', 160))),
            ("application/dtmf-relay", "Duration=1\r\nSignal=11\r\n", Some(('#', 40))),
            ("application/dtmf-relay", "Signal=10\r\nDuration=60000\r\n", Some(('*', 5_000))),
            ("application/dtmf-relay", "Signal=1\r\nDuration=soon\r\n", Some(('1', 160))),
            ("application/dtmf", " 7\r\n", Some(('7', 160))),
            ("application/dtmf-relay", "Signal=16\r\n", None),
            ("application/dtmf-relay", "Signal=\r\n", None),
            ("application/dtmf-relay", "Signal=hello\r\n", None),
            ("application/dtmf-relay", "Duration=160\r\n", None),
            ("application/dtmf", "", None),
            ("text/plain", "Signal=5\r\n", None),
        ] {
            assert_eq!(key(content_type, body), expected, "{content_type}: {body:?}");
        }
        assert_eq!(Key::parse(DTMF_RELAY, &[0xff, 0xfe]), None);
    }
}
