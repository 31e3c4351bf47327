//! RTCP (RFC 3550 §6), ended on every leg: each peer gets reports about what we send it and what it sends us, and its own
//! reports tell us the way to it.
//!
//! There is no wall clock here: the NTP timestamps of our reports count from the worker's start, which §4 allows.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayString;
use tandem_contract::{DropReason, FlowId, LegSide, Nanos, RtcpTransport};
use tandem_packet_io::PacketBuf;
use tandem_wire::rtcp::{self, ReportBlock, ReportFields, Rtcp, RtcpError, SenderInfo};
use tandem_wire::xr::VoipMetrics;

use crate::classify::Datagram;
use crate::departure::Departure;
use crate::egress::Egress;
use crate::engine::Engine;
use crate::flow::{leg_of, stream_of};
use crate::neighbours::NeighbourId;
use crate::port_table::{AddressIndex, StreamIndex};
use crate::quality::{Bursts, GMIN, Heard, Rating};
use crate::stream::{Exit, Rare, Stream, Treatment};

/// Round trips longer than this are taken for a mistake: 10 s in 65536ths of a second.
const MAX_ROUND_TRIP: u32 = 10 << 16;
/// The longest canonical name: eight digits, "@", an IPv6 address.
const CNAME_LEN: usize = 8 + 1 + 39;
/// A sender report with one block, the canonical name, an extended report and a goodbye, with room to spare.
const MAX_COMPOUND_LEN: usize = 224;
/// What an extended report says about how we conceal (RFC 3611 §4.7.6): not at all known where packets are passed on, as the
/// codec's standard has it where they are decoded.
const CONCEALS: u8 = 0b1100_0000;

/// What a leg's reports need to remember.
#[derive(Debug, Default)]
pub(crate) struct Reporting {
    due: Option<Nanos>,
    /// The peer's latest sender report: its time stamp's middle 32 bits, and when it came.
    last_sender_report: Option<(u32, Nanos)>,
    /// Where the peer's RTCP comes from: there goes ours.
    source: Option<SocketAddr>,
    /// The peer sends RTCP to the RTP port (RFC 5761), whatever was agreed on.
    is_multiplexed: bool,
    /// The next hop to where the peer wants RTCP, where that is another address than RTP's.
    next_hop: Option<(IpAddr, NeighbourId)>,
    /// Received, lost and sent at the last report.
    received_before: u64,
    lost_before: u64,
    sent_before: u64,
    pub(crate) round_trip_us: u32,
    pub(crate) peer_packets_lost: u32,
    pub(crate) peer_jitter_us: u32,
    /// What the peer says it hears, in tenths (RFC 3611 §4.7.5).
    peer_mos: Option<u8>,
    /// The peer has said something of what it hears.
    is_heard: bool,
    bursts: Bursts,
    /// Packets received up to the last loss.
    received_at_loss: u64,
}

impl<B: PacketBuf> Engine<B> {
    /// Takes in the RTCP of a leg's peer.
    pub(crate) fn on_rtcp(&mut self, now: Nanos, frame: &B, datagram: &Datagram) -> Result<(), DropReason> {
        let our_ssrc = self.streams[datagram.stream.reverse().at()].continuity.ssrc();
        let (stream, rare) = (&mut self.streams[datagram.stream.at()], &mut self.rare[datagram.stream.at()]);
        if let Err(reason @ (DropReason::NotNegotiated | DropReason::NotPermitted)) = stream.gate {
            return Err(reason);
        }
        let (slot, leg) = leg_of(datagram.stream);
        let named = match self.flows[slot as usize].as_ref().map(|flow| flow.legs[leg.index()].rtcp) {
            Some(RtcpTransport::To(address)) => Some(address.ip()),
            _ => None,
        };
        let source = datagram.source(frame.data());
        if rare.remote().is_none_or(|remote| remote.ip() != source.ip() && named != Some(source.ip())) {
            return Err(DropReason::SourceNotAllowed);
        }
        let at = usize::from(datagram.at);
        let compound = frame.data().get(at..at + usize::from(datagram.len)).ok_or(DropReason::FrameTruncated)?;
        // Nothing of a damaged compound is believed.
        check(compound).map_err(|_| DropReason::RtcpMalformed)?;
        rare.reporting.source = Some(source);
        rare.reporting.is_multiplexed = datagram.port.is_multiple_of(2);
        let mut rest = compound;
        while let Ok((packet, remaining)) = Rtcp::split(rest) {
            rest = remaining;
            if let Some(metrics) = packet.voip_metrics().find(|metrics| metrics.ssrc == our_ssrc) {
                rare.reporting.peer_mos = metrics.mos_lq.filter(|mos| (10..=50).contains(mos));
            }
            if packet.leaving().any(|source| !stream.reception.is_other(source)) {
                // Whoever sends after that has begun anew; what lies between was not lost.
                stream.reception.pause();
            }
            let Some(report) = packet.report() else { continue };
            if let Some(sender) = report.sender {
                rare.reporting.last_sender_report = Some(((sender.ntp >> 16) as u32, now));
            }
            for block in report.blocks().filter(|block| block.ssrc == our_ssrc) {
                rare.hear_report(now, stream.receive_khz, &block);
            }
        }
        // Silence that was described may last; its sender is known to live by its reports.
        if rare.may_leave_out_silence {
            stream.last_accepted = now;
        }
        self.counters.reports_received.add(1);
        self.counters.frames_consumed.add(1);
        Ok(())
    }

    /// Sends the report of the leg that receives this stream, when it is due.
    pub(crate) fn report<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, egress: &mut E) {
        if self.report_interval_ms == 0 {
            return;
        }
        if self.is_report_due(now, index) {
            self.send_report(now, index, Occasion::Interval, egress);
        }
    }

    /// The legs of a flow that ends leave their sessions (RFC 3550 §6.6).
    pub(crate) fn say_goodbye<E: Egress<Buf = B>>(&mut self, now: Nanos, id: FlowId, egress: &mut E) {
        if self.report_interval_ms == 0 || self.find(id).is_none() {
            return;
        }
        for leg in LegSide::BOTH {
            let index = stream_of(id.slot, leg);
            if self.streams[index.reverse().at()].packets_sent > 0 {
                self.send_report(now, index, Occasion::End, egress);
            }
        }
    }

    fn is_report_due(&mut self, now: Nanos, index: StreamIndex) -> bool {
        let mean_ns = u64::from(self.report_interval_ms) * 1_000_000;
        let ssrc = self.streams[index.reverse().at()].continuity.ssrc();
        let reporting = &mut self.rare[index.at()].reporting;
        let is_due = reporting.due.is_some_and(|due| now >= due);
        if is_due || reporting.due.is_none() {
            reporting.due = Some(now.plus(randomized(mean_ns, ssrc, now)));
        }
        is_due
    }

    fn send_report<E: Egress<Buf = B>>(&mut self, now: Nanos, index: StreamIndex, occasion: Occasion, egress: &mut E) {
        let Exit::Open(departure) = self.streams[index.reverse().at()].exit else {
            return;
        };
        let Some(report_way) = self.report_way(now, index, &departure, egress) else {
            return;
        };
        let Some(mac) = self.neighbours.mac(report_way.next_hop) else {
            return;
        };
        let mut compound = [0; MAX_COMPOUND_LEN];
        let Some(len) = self.write_compound(now, index, occasion, &mut compound) else {
            return;
        };
        let Some(mut frame) = self.originate(egress) else {
            return;
        };
        let header_len = report_way.header_len();
        let fits = frame.set_len(header_len + len).is_ok();
        if let (true, Some(payload)) = (fits, frame.data_mut().get_mut(header_len..)) {
            payload.copy_from_slice(&compound[..len]);
        }
        if !fits {
            return self.drop_frame(DropReason::FrameTooLong);
        }
        if let Err(reason) = self.seal_rtcp(index, &mut frame, header_len) {
            return self.drop_frame(reason);
        }
        if report_way.write(&mut frame, mac).is_err() {
            return self.drop_frame(DropReason::FrameTooLong);
        }
        self.counters.reports_sent.add(1);
        egress.send(frame);
    }

    /// Where the reports of a leg go: to RTP's port where that was agreed on, else to where the peer's reports come from,
    /// else to what it has named, else to the port above its RTP (RFC 3550 §11).
    fn report_way<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        departure: &Departure,
        egress: &mut E,
    ) -> Option<Departure> {
        let (slot, leg) = leg_of(index);
        let flow = self.flows[slot as usize].as_ref()?;
        let rare = &self.rare[index.at()];
        let remote = rare.remote()?;
        let config = &flow.legs[leg.index()];
        let mut local = config.local;
        if config.rtcp != RtcpTransport::Multiplexed && !rare.reporting.is_multiplexed {
            local.set_port(local.port().checked_add(1)?);
        }
        let is_still = |source: &SocketAddr| {
            let named = matches!(config.rtcp, RtcpTransport::To(to) if to.ip() == source.ip());
            source.ip() == remote.ip() || named
        };
        let to = match (config.rtcp, rare.reporting.source.filter(is_still)) {
            (RtcpTransport::Multiplexed, _) => remote,
            (_, Some(source)) => source,
            (RtcpTransport::To(to), None) => to,
            (RtcpTransport::PortAbove, None) => SocketAddr::new(remote.ip(), remote.port().checked_add(1)?),
        };
        let address = flow.locals[leg.index()];
        let next_hop = if to.ip() == remote.ip() {
            departure.next_hop
        } else {
            self.rtcp_next_hop(now, index, (address, local.ip()), to.ip(), egress)?
        };
        Departure::new(self.links.of(self.ports.link(address)), local, to, next_hop)
    }

    /// The next hop to another address than RTP's, which is asked for at the first report and kept.
    #[cold]
    fn rtcp_next_hop<E: Egress<Buf = B>>(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        (address, local): (AddressIndex, IpAddr),
        to: IpAddr,
        egress: &mut E,
    ) -> Option<NeighbourId> {
        let hop = self.ports.local(address).next_hop(to)?;
        match self.rare[index.at()].reporting.next_hop {
            Some((known, next_hop)) if known == hop => return Some(next_hop),
            _ => self.release_rtcp_next_hop(index),
        }
        let link = (self.ports.link(address), local);
        let next_hop = self.neighbours.acquire(now, hop, link, &self.links, &self.counters, egress)?;
        self.rare[index.at()].reporting.next_hop = Some((hop, next_hop));
        Some(next_hop)
    }

    /// Nothing more is reported over a way of its own.
    pub(crate) fn release_rtcp_next_hop(&mut self, index: StreamIndex) {
        if let Some((_, next_hop)) = self.rare[index.at()].reporting.next_hop.take() {
            self.neighbours.release(next_hop, &self.counters);
        }
    }

    /// A report, of a sender if anything was sent since the last one, and the canonical name. `None` when there is nothing
    /// to report.
    fn write_compound(
        &mut self,
        now: Nanos,
        index: StreamIndex,
        occasion: Occasion,
        bytes: &mut [u8],
    ) -> Option<usize> {
        let sends = &self.streams[index.reverse().at()];
        let (ssrc, sent, octets) = (sends.continuity.ssrc(), sends.packets_sent, sends.octets_sent);
        let timestamp = sends.continuity.timestamp_at(now.0 / 1000);
        let (stream, rare) = (&self.streams[index.at()], &mut self.rare[index.at()]);
        let sender = timestamp.filter(|_| sent != rare.reporting.sent_before).map(|rtp_timestamp| SenderInfo {
            ntp: ntp(now),
            rtp_timestamp,
            packets: sent as u32,
            octets: octets as u32,
        });
        rare.reporting.sent_before = sent;
        let block = rare.report_block(now, stream);
        if sender.is_none() && block.is_none() && occasion == Occasion::Interval {
            return None;
        }
        let metrics = block.and_then(|block| rare.voip_metrics(stream, block.ssrc));
        let (slot, leg) = leg_of(index);
        let host = self.flows[slot as usize].as_ref()?.legs[leg.index()].local.ip();
        let mut cname = ArrayString::<CNAME_LEN>::new();
        write!(cname, "{ssrc:08x}@{host}").ok()?;
        let mut len = ReportFields { ssrc, sender, block }.write(bytes)?;
        len += rtcp::write_cname(ssrc, cname.as_bytes(), bytes.get_mut(len..)?)?;
        if let Some(metrics) = metrics {
            len += metrics.write(ssrc, bytes.get_mut(len..)?)?;
        }
        if occasion == Occasion::End {
            len += rtcp::write_goodbye(ssrc, bytes.get_mut(len..)?)?;
        }
        Some(len)
    }
}

/// Why a report is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    Interval,
    /// The leg ends: it says so.
    End,
}

impl Rare {
    /// So many packets are missing before the one that just came.
    #[cold]
    pub(crate) fn on_loss(&mut self, packets_received: u64, lost: u16) {
        let received = packets_received.saturating_sub(self.reporting.received_at_loss);
        self.reporting.bursts.on_loss(u32::try_from(received).unwrap_or(u32::MAX), lost.into());
        self.reporting.received_at_loss = packets_received;
    }

    /// How the peer's stream is heard here; `None` before its first packet.
    fn heard(&self, stream: &Stream) -> Option<Heard> {
        let (codec, _) = self.receive_format.filter(|_| stream.packets_received > 0)?;
        // A playout buffer takes about twice the jitter.
        let delay_us = self.reporting.round_trip_us / 2 + stream.jitter_us().saturating_mul(2);
        let (lost, received) = (stream.reception.lost(), stream.packets_received);
        Some(Heard::new(codec, lost, received, &self.reporting.bursts, delay_us as f32 / 1000.0))
    }

    pub(crate) fn mos_received(&self, stream: &Stream) -> u16 {
        self.heard(stream).map_or(0, |heard| heard.listening().mos_hundredths())
    }

    /// What the peer says of what it hears, of `sent` packets, in its own words or by its losses.
    pub(crate) fn mos_sent(&self, sent: u64) -> u16 {
        let reporting = &self.reporting;
        if let Some(tenths) = reporting.peer_mos {
            return u16::from(tenths) * 10;
        }
        let Some((codec, _)) = self.receive_format.filter(|_| reporting.is_heard) else { return 0 };
        let lost = u64::from(reporting.peer_packets_lost).min(sent);
        Heard::new(codec, lost, sent - lost, &Bursts::default(), 0.0).listening().mos_hundredths()
    }

    /// How the peer's stream is heard, as an extended report has it.
    fn voip_metrics(&self, stream: &Stream, ssrc: u32) -> Option<VoipMetrics> {
        let heard = self.heard(stream)?;
        let (_, ptime_ms) = self.receive_format?;
        let since_loss = stream.packets_received.saturating_sub(self.reporting.received_at_loss);
        let distribution = self.reporting.bursts.distribution(since_loss, ptime_ms.into());
        let tenths = |rating: Rating| ((rating.mos_hundredths() + 5) / 10) as u8;
        Some(VoipMetrics {
            ssrc,
            loss_rate: (heard.loss * 256.0).min(255.0) as u8,
            discard_rate: 0,
            burst_density: distribution.burst_density,
            gap_density: distribution.gap_density,
            burst_duration_ms: distribution.burst_ms,
            gap_duration_ms: distribution.gap_ms,
            round_trip_ms: u16::try_from(self.reporting.round_trip_us / 1000).unwrap_or(u16::MAX),
            end_system_delay_ms: 0,
            signal_level: None,
            noise_level: None,
            gmin: GMIN,
            r_factor: Some(heard.conversational().r_factor()),
            mos_lq: Some(tenths(heard.listening())),
            mos_cq: Some(tenths(heard.conversational())),
            receiver: if matches!(stream.treatment, Treatment::Relay) { 0 } else { CONCEALS },
        })
    }

    /// What the peer says about what we send it.
    fn hear_report(&mut self, now: Nanos, khz: u8, block: &ReportBlock) {
        self.reporting.is_heard = true;
        self.reporting.peer_packets_lost = block.cumulative_lost.max(0) as u32;
        self.reporting.peer_jitter_us = (u64::from(block.jitter) * 1000 / u64::from(khz)) as u32;
        if block.last_sender_report != 0 {
            let sent_and_held = block.last_sender_report.wrapping_add(block.delay_since_last);
            let round_trip = ((ntp(now) >> 16) as u32).wrapping_sub(sent_and_held);
            if round_trip <= MAX_ROUND_TRIP {
                self.reporting.round_trip_us = ((u64::from(round_trip) * 1_000_000) >> 16) as u32;
            }
        }
    }

    /// What we say about what the peer sends; `None` before its first packet.
    fn report_block(&mut self, now: Nanos, stream: &Stream) -> Option<ReportBlock> {
        let (ssrc, highest_sequence) = stream.reception.source()?;
        let lost = stream.reception.lost();
        let lost_since = lost.saturating_sub(self.reporting.lost_before);
        let expected_since = lost_since + stream.packets_received.saturating_sub(self.reporting.received_before);
        (self.reporting.lost_before, self.reporting.received_before) = (lost, stream.packets_received);
        let (last_sender_report, delay_since_last) = match self.reporting.last_sender_report {
            Some((stamp, at)) => (stamp, (u128::from(now.since(at)) * 65_536 / 1_000_000_000) as u32),
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc,
            fraction_lost: (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255) as u8,
            cumulative_lost: i32::try_from(lost).unwrap_or(i32::MAX),
            highest_sequence,
            jitter: stream.reception.jitter(),
            last_sender_report,
            delay_since_last,
        })
    }
}

/// Whether a compound comes apart without rest.
fn check(mut compound: &[u8]) -> Result<(), RtcpError> {
    loop {
        let (_, rest) = Rtcp::split(compound)?;
        if rest.is_empty() {
            return Ok(());
        }
        compound = rest;
    }
}

/// An NTP timestamp of the worker's clock.
const fn ntp(now: Nanos) -> u64 {
    let (seconds, nanos) = (now.0 / 1_000_000_000, now.0 % 1_000_000_000);
    (seconds << 32) | ((nanos << 32) / 1_000_000_000)
}

/// Between half and one and a half times the mean, so that the reports of many calls do not fall together (RFC 3550 §6.3.1).
const fn randomized(mean_ns: u64, ssrc: u32, now: Nanos) -> u64 {
    // The multiplier of Steele and Vigna's 64-bit mixing; good enough to spread, which is all that is asked.
    let mixed = (now.0 ^ ((ssrc as u64) << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let part = ((mixed >> 48) * mean_ns) >> 16;
    mean_ns / 2 + part
}
