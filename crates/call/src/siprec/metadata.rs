//! The metadata of a recording session (RFC 7865), always in full: who is in the call, since when, who has left, and who hears whom.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use tandem_contract::LegSide;

use super::description::{Party, Told};
use crate::record::UnixMillis;

/// Parties that have left are told of up to this many; of more, the latest.
const MAX_LEFT: usize = 8;

/// What does not follow from the call itself: identifiers, and times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Metadata {
    session: String,
    started: UnixMillis,
    streams: [String; 2],
    present: [Attendance; 2],
    left: Vec<Attendance>,
}

/// One party's part in the call.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Attendance {
    id: String,
    party: Party,
    since: UnixMillis,
    until: Option<UnixMillis>,
}

impl Metadata {
    /// `id` makes identifiers of RFC 7865 §6.10.
    pub(super) fn new(told: &Told, mut id: impl FnMut() -> String, now: UnixMillis) -> Self {
        let present = told.parties.clone().map(|party| Attendance { id: id(), party, since: now, until: None });
        Self { session: id(), started: now, streams: [id(), id()], present, left: Vec::new() }
    }

    /// Who is on a side now may be another one.
    pub(super) fn change(&mut self, told: &Told, mut id: impl FnMut() -> String, now: UnixMillis) {
        for (attendance, party) in self.present.iter_mut().zip(&told.parties) {
            if attendance.party == *party {
                continue;
            }
            let comes = Attendance { id: id(), party: party.clone(), since: now, until: None };
            let leaves = std::mem::replace(attendance, comes);
            self.left.push(Attendance { until: Some(now), ..leaves });
            if self.left.len() > MAX_LEFT {
                self.left.remove(0);
            }
        }
    }

    /// The document.
    pub(super) fn document(&self, told: &Told) -> String {
        let Self { session, started, streams, present, left } = self;
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
             <recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><datamode>complete</datamode>\
             <session session_id=\"{session}\"><start-time>{}</start-time></session>",
            time(*started)
        );
        let everybody = || left.iter().chain(present);
        // Writing to a string does not fail.
        for Attendance { id, party, .. } in everybody() {
            let aor = escaped(&party.aor);
            let _ = write!(xml, "<participant participant_id=\"{id}\"><nameID aor=\"{aor}\"/></participant>");
        }
        for (id, label) in streams.iter().zip(1..) {
            let _ = write!(xml, "<stream stream_id=\"{id}\" session_id=\"{session}\"><label>{label}</label></stream>");
        }
        for Attendance { id, since, until, .. } in everybody() {
            let _ = write!(
                xml,
                "<participantsessionassoc participant_id=\"{id}\" session_id=\"{session}\"><associate-time>{}</associate-time>",
                time(*since)
            );
            if let Some(until) = until {
                let _ = write!(xml, "<disassociate-time>{}</disassociate-time>", time(*until));
            }
            xml.push_str("</participantsessionassoc>");
        }
        for side in LegSide::BOTH {
            let (own, other) = (side.index(), side.other().index());
            let _ = write!(xml, "<participantstreamassoc participant_id=\"{}\">", present[own].id);
            if told.streams[own].speaks {
                let _ = write!(xml, "<send>{}</send>", streams[own]);
            }
            if told.streams[own].hears && told.streams[other].speaks {
                let _ = write!(xml, "<recv>{}</recv>", streams[other]);
            }
            xml.push_str("</participantstreamassoc>");
        }
        xml + "</recording>"
    }
}

/// As RFC 3339 has it.
fn time(at: UnixMillis) -> String {
    serde_json::to_value(at).ok().and_then(|time| time.as_str().map(str::to_owned)).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
