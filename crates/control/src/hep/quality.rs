//! Reports of calls' quality, of both legs, as Homer shows them beside a call's messages: what we heard as a report of the stream
//! (protocol type 35), and what we would say of it as RTCP in JSON (protocol type 5).
//!
//! Running calls are asked for their counters a few at a time, so that each is once in an interval.

use std::collections::HashSet;
use std::net::SocketAddr;

use serde_json::json;
use tandem_call::{CallNumber, CallRecord, LegRecord, Switch};
use tandem_config::Hep;
use tandem_contract::{Codec, Command, FlowId, LegCounters, WorkerId};

use super::{Capture, Carrier, Content};

/// Seconds between 1900, where NTP begins, and 1970.
const NTP_OFFSET_S: u64 = 2_208_988_800;

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Quality {
    interval_s: Option<u64>,
    /// Calls up to this one have had their turn.
    up_to: CallNumber,
    asked: HashSet<(WorkerId, FlowId)>,
}

/// When a report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Interval,
    End,
}

impl Quality {
    pub(crate) fn new(config: &Hep) -> Self {
        let is_wanted = config.quality && config.collector.is_some();
        let interval_s = is_wanted.then_some(config.quality_interval_s.into());
        Self { interval_s, up_to: CallNumber(0), asked: HashSet::new() }
    }

    /// Questions for the second that begins now.
    pub(crate) fn ask(&mut self, switch: &Switch) -> Vec<(WorkerId, Command)> {
        let Some(interval_s) = self.interval_s else { return Vec::new() };
        // What has not been answered until now never will be.
        self.asked.clear();
        let share = (switch.calls_in_progress() as u64).div_ceil(interval_s.max(1));
        let due = switch.answered_after(self.up_to, usize::try_from(share).unwrap_or(usize::MAX));
        self.up_to = due.last().map_or(CallNumber(0), |(number, ..)| *number);
        self.asked.extend(due.iter().map(|(_, worker, flow)| (*worker, *flow)));
        due.into_iter().map(|(_, worker, flow)| (worker, Command::ReadFlow { flow })).collect()
    }

    /// Counters that a worker was asked for.
    pub(crate) fn on_counters(
        &mut self,
        switch: &Switch,
        unix_us: u64,
        (worker, flow): (WorkerId, FlowId),
        counters: &[LegCounters; 2],
    ) -> Vec<Capture> {
        if !self.asked.remove(&(worker, flow)) {
            return Vec::new();
        }
        let Some(legs) = switch.measured((worker, flow), counters) else { return Vec::new() };
        reports(legs.each_ref(), unix_us, Occasion::Interval)
    }

    /// A call is over.
    pub(crate) fn on_record(&self, unix_us: u64, record: &CallRecord) -> Vec<Capture> {
        if self.interval_s.is_none() || record.answered.is_none() {
            return Vec::new();
        }
        reports([&record.caller, &record.callee], unix_us, Occasion::End)
    }
}

fn reports(legs: [&LegRecord; 2], unix_us: u64, occasion: Occasion) -> Vec<Capture> {
    let mut captures = Vec::with_capacity(4);
    for (leg, party) in legs.into_iter().zip(0..) {
        let (Some(local), Some(remote)) = (leg.local_media, leg.remote_media) else { continue };
        let capture = |from: SocketAddr, to, content, message: serde_json::Value| Capture {
            from,
            to,
            carrier: Carrier::Udp,
            content,
            unix_us,
            message: message.to_string().into_bytes(),
        };
        let call_id = leg.call_id.clone();
        captures.push(capture(local, remote, Content::RtcpJson(call_id.clone()), sender_report(leg, unix_us)));
        let heard = stream_report(leg, (local, remote), party, unix_us, occasion);
        captures.push(capture(remote, local, Content::RtpReport(call_id), heard));
    }
    captures
}

/// A sender report with one block (RFC 3550 §6.4.1): what we sent, and what of the peer's we heard. Sources are not told to us here.
fn sender_report(leg: &LegRecord, unix_us: u64) -> serde_json::Value {
    let clock_khz = u64::from(leg.codec.map_or(8_000, Codec::clock_rate_hz)) / 1_000;
    let expected = leg.packets_received + leg.packets_lost;
    json!({
        "type": 200,
        "ssrc": 0,
        "report_count": 1,
        "sender_information": {
            "ntp_timestamp_sec": unix_us / 1_000_000 + NTP_OFFSET_S,
            "ntp_timestamp_usec": unix_us % 1_000_000,
            "rtp_timestamp": 0,
            "packets": leg.packets_sent,
            "octets": leg.octets_sent,
        },
        "report_blocks": [{
            "source_ssrc": 0,
            "highest_seq_no": 0,
            "fraction_lost": (leg.packets_lost * 256).checked_div(expected).unwrap_or(0).min(255),
            "packets_lost": leg.packets_lost,
            "ia_jitter": u64::from(leg.jitter_us) * clock_khz / 1_000,
            "lsr": 0,
            "dlsr": 0,
        }],
    })
}

/// What was heard of a peer.
fn stream_report(
    leg: &LegRecord,
    (local, remote): (SocketAddr, SocketAddr),
    party: u8,
    unix_us: u64,
    occasion: Occasion,
) -> serde_json::Value {
    let jitter_ms = f64::from(leg.jitter_us) / 1_000.0;
    let mos = f64::from(leg.mos_received) / 100.0;
    json!({
        "CORRELATION_ID": leg.call_id,
        "RTP_SIP_CALL_ID": leg.call_id,
        "REPORT_NAME": leg.peer,
        "REPORT_TS": unix_us / 1_000_000,
        "TYPE": match occasion {
            Occasion::Interval => "PERIODIC",
            Occasion::End => "HANGUP",
        },
        "PARTY": party,
        "DIR": 0,
        "SRC_IP": remote.ip(),
        "SRC_PORT": remote.port(),
        "DST_IP": local.ip(),
        "DST_PORT": local.port(),
        "CODEC_NAME": leg.codec.map(Codec::encoding_name),
        "CLOCK": leg.codec.map(Codec::clock_rate_hz),
        "TOTAL_PK": leg.packets_received,
        "EXPECTED_PK": leg.packets_received + leg.packets_lost,
        "PACKET_LOSS": leg.packets_lost,
        "TL_BYTE": leg.octets_received,
        "JITTER": jitter_ms,
        "MEAN_JITTER": jitter_ms,
        "MOS": mos,
        "MEAN_MOS": mos,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg() -> LegRecord {
        LegRecord {
            peer: "office".to_owned(),
            call_id: "c1".to_owned(),
            codec: Some(Codec::Opus),
            local_media: Some("10.0.0.1:20000".parse().unwrap()),
            remote_media: Some("10.0.0.9:4000".parse().unwrap()),
            packets_received: 75,
            packets_lost: 25,
            packets_sent: 90,
            octets_sent: 14_400,
            jitter_us: 2_500,
            mos_received: 412,
            ..LegRecord::default()
        }
    }

    #[test]
    fn a_leg_is_a_sender_report_of_ours_and_a_report_of_what_was_heard() {
        let nobody = LegRecord::default();
        let captures = reports([&leg(), &nobody], 1_700_000_000_000_123, Occasion::End);
        assert_eq!(captures.len(), 2, "a leg without media says nothing");
        let read = |capture: &Capture| serde_json::from_slice::<serde_json::Value>(&capture.message).unwrap();
        let (rtcp, rtp) = (read(&captures[0]), read(&captures[1]));
        assert_eq!((captures[0].from, captures[1].to), (leg().local_media.unwrap(), leg().local_media.unwrap()));
        let block = &rtcp["report_blocks"][0];
        assert_eq!((&block["fraction_lost"], &block["ia_jitter"]), (&64.into(), &120.into()));
        assert_eq!(rtcp["sender_information"]["packets"], 90);
        assert_eq!(rtcp["sender_information"]["ntp_timestamp_sec"], 3_908_988_800_u64);
        assert_eq!((&rtp["EXPECTED_PK"], &rtp["MOS"], &rtp["TYPE"]), (&100.into(), &4.12.into(), &"HANGUP".into()));
        assert_eq!((&rtp["SRC_IP"], &rtp["DST_PORT"]), (&"10.0.0.9".into(), &20_000.into()));
    }

    #[test]
    fn a_call_without_packets_divides_by_nothing() {
        let silent = LegRecord { packets_received: 0, packets_lost: 0, ..leg() };
        assert_eq!(sender_report(&silent, 0)["report_blocks"][0]["fraction_lost"], 0);
    }
}
