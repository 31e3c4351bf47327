//! Reports both ways: what peers are told, and what they tell.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, LegCounters, RtcpTransport};
use tandem_testkit::{Endpoint, Pool};
use tandem_wire::demux;
use tandem_wire::ethernet::Ethernet;
use tandem_wire::ipv4::Ipv4;
use tandem_wire::rtcp::{ReportBlock, ReportFields, Rtcp, SOURCE_DESCRIPTION, SenderInfo};
use tandem_wire::udp::Udp;
use tandem_wire::xr::VoipMetrics;
use tandem_worker::HandoverEnds;

fn rig() -> Rig {
    let mut config = engine_config();
    config.report_interval_ms = 5000;
    Rig::with(&config, HandoverEnds::alone(), &Pool::new(256))
}

/// A report that left: its UDP ports and its parts.
struct Sent {
    ports: (u16, u16),
    ssrc: u32,
    sender: Option<SenderInfo>,
    block: Option<ReportBlock>,
    metrics: Option<VoipMetrics>,
    leaving: bool,
}

fn report(frame: &[u8]) -> Option<Sent> {
    let ip = Ipv4::parse(Ethernet::parse(frame).unwrap().payload()).ok()?;
    let udp = Udp::parse(ip.payload()).unwrap();
    assert!(udp.checksum_holds(ip.source().into(), ip.destination().into()));
    if demux::classify(udp.payload()) != demux::Kind::Rtcp {
        return None;
    }
    let (packet, rest) = Rtcp::split(udp.payload()).unwrap();
    let report = packet.report()?;
    let (description, rest) = Rtcp::split(rest).unwrap();
    assert_eq!((description.packet_type, description.count), (SOURCE_DESCRIPTION, 1));
    assert_eq!(description.body[..4], report.ssrc.to_be_bytes());
    let block = report.blocks().next();
    // What is received is also told as RFC 3611 has it.
    let mut metrics = None;
    let mut leaving = false;
    let mut rest = rest;
    while let Ok((packet, after)) = Rtcp::split(rest) {
        metrics = metrics.or(packet.voip_metrics().next());
        leaving |= packet.leaving().eq([report.ssrc]);
        rest = after;
    }
    assert!(rest.is_empty() && metrics.is_some() == block.is_some());
    assert_eq!(metrics.map(|metrics| metrics.ssrc), block.map(|block| block.ssrc));
    let ports = (udp.source_port(), udp.destination_port());
    Some(Sent { ports, ssrc: report.ssrc, sender: report.sender, block, metrics, leaving })
}

/// 20 s of speech from the caller, one packet in ten lost; every report that left.
fn talk(rig: &mut Rig, caller: &mut Endpoint) -> Vec<Sent> {
    let mut sent = Vec::new();
    for n in 0..1000 {
        let frame = caller.send(&[n as u8; 160], 160);
        if n % 10 != 9 {
            rig.cable.put(&frame);
        }
        rig.pass_ms(20);
        sent.extend(std::iter::from_fn(|| rig.cable.take()).filter_map(|frame| report(&frame)));
    }
    sent
}

#[test]
fn each_peer_is_told_what_it_is_sent_and_what_arrives_from_it() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let sent = talk(&mut rig, &mut caller(Codec::Pcmu));
    let to_caller: Vec<_> = sent.iter().filter(|s| s.ports == (10_001, 6001)).collect();
    let to_callee: Vec<_> = sent.iter().filter(|s| s.ports == (10_003, 7001)).collect();
    assert!((3..=7).contains(&to_caller.len()) && (3..=7).contains(&to_callee.len()), "{} reports", sent.len());
    for report in &to_caller {
        // Nothing is sent to the caller, so this is a receiver report.
        let block = report.block.unwrap();
        assert_eq!((report.ssrc, report.sender, block.ssrc), (0x5500_0000, None, 0xca11));
        assert!((20..=30).contains(&block.fraction_lost), "{}", block.fraction_lost);
        assert_eq!(block.last_sender_report, 0);
    }
    let last = to_caller.last().unwrap().block.unwrap();
    assert!(last.cumulative_lost > 60 && last.highest_sequence > 65_530 + 700);
    for report in &to_callee {
        let sender = report.sender.unwrap();
        assert_eq!((report.ssrc, report.block), (0x5500_0001, None));
        assert_eq!(sender.octets, sender.packets * 160);
        // Packets, timestamp and time go on together: 50 packets with 10 % lost, 8000 ticks a second.
        let seconds = sender.ntp as f64 / 2_f64.powi(32);
        let rate = f64::from(sender.packets) / seconds;
        assert!((44.0..46.0).contains(&rate), "{rate} packets a second");
        let ticks = f64::from(sender.rtp_timestamp - 50_001);
        assert!((ticks - seconds * 8000.0).abs() < 320.0, "{ticks} ticks in {seconds} s");
    }
    assert_eq!(rig.counters.reports_sent.get(), sent.len() as u64);
    assert_eq!((rig.counters.frames_unaccounted(), rig.all_drops()), (0, 0));
}

/// The caller's compound, from `port` above its RTP port to the gateway's port of the same parity.
fn compound(caller: &Endpoint, offset: u16, fields: &ReportFields) -> Vec<u8> {
    let mut endpoint = caller.clone();
    endpoint.local.set_port(caller.local.port() + offset);
    endpoint.peer.set_port(caller.peer.port() + offset);
    let mut bytes = [0; 200];
    let len = fields.write(&mut bytes).unwrap();
    endpoint.datagram(&bytes[..len])
}

fn counters_of_a(rig: &mut Rig) -> LegCounters {
    rig.events();
    let Event::Counters { counters: [a, _], .. } = rig.command(Command::ReadFlow { flow: flow(0) }) else { panic!() };
    a
}

#[test]
fn a_peers_report_tells_the_round_trip_and_what_it_lost() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    let sent = talk(&mut rig, &mut callee);
    let ours = sent.iter().rfind(|s| s.ports.1 == 6001).unwrap().sender.unwrap();
    // The caller held our report for 300 ms; 40 ms more have passed, which is the round trip.
    let stamp = ((ours.ntp >> 16) & 0xffff_ffff) as u32;
    rig.now =
        tandem_contract::Nanos((ours.ntp >> 32) * 1_000_000_000 + (((ours.ntp & 0xffff_ffff) * 1_000_000_000) >> 32));
    rig.now = rig.now.plus(340_000_000);
    let block = ReportBlock {
        ssrc: 0x5500_0000,
        cumulative_lost: 17,
        jitter: 80,
        last_sender_report: stamp,
        delay_since_last: 300 * 65_536 / 1000,
        ..ReportBlock::default()
    };
    let sender = SenderInfo { ntp: 0x1122_3344_5566_7788, rtp_timestamp: 0, packets: 0, octets: 0 };
    rig.cable.put(&compound(&caller, 1, &ReportFields { ssrc: 0xca11, sender: Some(sender), block: Some(block) }));
    rig.poll();
    assert_eq!(rig.all_drops(), 0, "{:?}", rig.drop_names());
    let counters = counters_of_a(&mut rig);
    assert_eq!((counters.peer_packets_lost, counters.peer_jitter_us), (17, 10_000));
    assert!((39_900..40_200).contains(&counters.round_trip_us), "{}", counters.round_trip_us);
    // Our next report names the caller's.
    let sent = talk(&mut rig, &mut caller);
    let block = sent.iter().find_map(|s| s.block.filter(|b| b.ssrc == 0xca11)).unwrap();
    assert_eq!(block.last_sender_report, 0x3344_5566);
    assert!(block.delay_since_last > 65_536);
}

#[test]
fn a_peer_that_multiplexes_is_answered_on_the_same_port() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let mut caller = caller(Codec::Pcmu);
    rig.cable.put(&compound(&caller, 0, &ReportFields { ssrc: 0xca11, sender: None, block: None }));
    let sent = talk(&mut rig, &mut caller);
    assert!(sent.iter().any(|s| s.ports == (10_000, 6000)));
    assert!(sent.iter().all(|s| s.ports.1 != 6001));
}

#[test]
fn damaged_or_foreign_rtcp_is_dropped_by_name_and_believed_in_nothing() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let caller = caller(Codec::Pcmu);
    let block = ReportBlock { ssrc: 0x5500_0000, cumulative_lost: 17, ..ReportBlock::default() };
    let fields = ReportFields { ssrc: 0xca11, sender: None, block: Some(block) };
    let mut stranger = caller.clone();
    stranger.local.set_ip("10.0.0.66".parse().unwrap());
    rig.cable.put(&compound(&stranger, 1, &fields));
    let mut bytes = [0; 200];
    let len = fields.write(&mut bytes).unwrap();
    let mut odd = caller.clone();
    odd.peer.set_port(10_001);
    rig.cable.put(&odd.datagram(&bytes[..len + 2]));
    rig.cable.put(&odd.datagram(&bytes[..len - 4]));
    rig.settle();
    assert_eq!((rig.drops(DropReason::SourceNotAllowed), rig.drops(DropReason::RtcpMalformed)), (1, 2));
    assert_eq!(counters_of_a(&mut rig).peer_packets_lost, 0);
}

#[test]
fn extended_reports_tell_loss_by_burst_and_gap_and_how_it_sounds() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let sent = talk(&mut rig, &mut caller(Codec::Pcmu));
    let metrics = sent.iter().filter_map(|report| report.metrics).next_back().unwrap();
    // One in ten, evenly: a single burst in the words of the RFC, because fewer than 16 packets lie between two losses.
    assert!((23..=27).contains(&metrics.loss_rate) && metrics.gmin == 16, "{metrics:?}");
    assert!((20..=30).contains(&metrics.burst_density) || metrics.burst_density == 0, "{metrics:?}");
    // G.711 with 10 % lost and concealed: R = 93.2 - 95 * 10 / (10 + 25.1).
    let (r, mos) = (metrics.r_factor.unwrap(), metrics.mos_lq.unwrap());
    assert!((64..=68).contains(&r) && (33..=35).contains(&mos), "{metrics:?}");
    let counters = counters_of_a(&mut rig);
    assert!((330..=350).contains(&counters.mos_received), "{}", counters.mos_received);
    assert_eq!(counters.mos_sent, 0, "the peer has not said");
}

#[test]
fn a_peer_tells_how_it_hears_us_by_its_losses_or_in_its_own_words() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (caller, mut callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    talk(&mut rig, &mut callee);
    let block = ReportBlock { ssrc: 0x5500_0000, cumulative_lost: 0, ..ReportBlock::default() };
    rig.cable.put(&compound(&caller, 1, &ReportFields { ssrc: 0xca11, sender: None, block: Some(block) }));
    rig.poll();
    assert!((435..=445).contains(&counters_of_a(&mut rig).mos_sent));
    // An extended report by itself is a reduced-size packet (RFC 5506).
    let metrics = VoipMetrics { ssrc: 0x5500_0000, mos_lq: Some(31), ..VoipMetrics::default() };
    let mut bytes = [0; 60];
    let len = metrics.write(0xca11, &mut bytes).unwrap();
    let mut odd = caller.clone();
    odd.local.set_port(caller.local.port() + 1);
    odd.peer.set_port(caller.peer.port() + 1);
    rig.cable.put(&odd.datagram(&bytes[..len]));
    rig.poll();
    assert_eq!((counters_of_a(&mut rig).mos_sent, rig.all_drops()), (310, 0));
}

#[test]
fn a_leg_that_ends_says_goodbye_and_a_peer_that_left_and_returns_has_lost_nothing() {
    let mut rig = rig();
    rig.install(legs(Codec::Pcmu, Codec::Pcmu));
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    for _ in 0..5 {
        rig.exchange(&caller.send(&[7; 160], 160), &callee);
    }
    let mut bytes = [0; 60];
    let len = tandem_wire::rtcp::write_goodbye(0xca11, &mut bytes).unwrap();
    let mut odd = caller.clone();
    odd.local.set_port(caller.local.port() + 1);
    odd.peer.set_port(caller.peer.port() + 1);
    rig.cable.put(&odd.datagram(&bytes[..len]));
    rig.poll();
    caller.sequence = caller.sequence.wrapping_add(500);
    rig.exchange(&caller.send(&[7; 160], 160), &callee);
    assert_eq!(counters_of_a(&mut rig).packets_lost, 0);

    rig.commands.push(Command::RemoveFlow { flow: flow(0) }).unwrap();
    rig.poll();
    let goodbyes: Vec<_> = std::iter::from_fn(|| rig.cable.take()).filter_map(|frame| report(&frame)).collect();
    assert_eq!(goodbyes.len(), 1, "to the callee alone: the caller was sent nothing");
    assert!(goodbyes[0].leaving && goodbyes[0].sender.is_some());
    assert_eq!((goodbyes[0].ssrc, goodbyes[0].ports), (0x5500_0001, (10_003, 7001)));
    assert_eq!((rig.counters.frames_unaccounted(), rig.all_drops()), (0, 0));
}

#[test]
fn reports_go_to_the_rtp_port_where_that_was_agreed_on() {
    let mut rig = rig();
    let [mut a, b] = legs(Codec::Pcmu, Codec::Pcmu);
    a.rtcp = RtcpTransport::Multiplexed;
    rig.install([a, b]);
    let mut caller = caller(Codec::Pcmu);
    let sent = talk(&mut rig, &mut caller);
    assert!(sent.iter().any(|s| s.ports == (10_000, 6000)));
    assert!(sent.iter().all(|s| s.ports == (10_000, 6000) || s.ports == (10_003, 7001)));
    // A change of mind: from now on on ports of their own.
    a.rtcp = RtcpTransport::PortAbove;
    rig.events();
    let updated = rig.command(Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs: [a, b] });
    assert_eq!(updated, Event::Updated { flow: flow(0), epoch: Epoch(2) });
    let sent = talk(&mut rig, &mut caller);
    assert!(sent.iter().any(|s| s.ports == (10_001, 6001)));
    assert!(sent.iter().all(|s| s.ports.1 != 6000));
}

#[test]
fn reports_go_to_the_port_and_address_that_the_peer_has_named_and_its_own_may_come_from_there() {
    let mut rig = rig();
    let [mut a, mut b] = legs(Codec::Pcmu, Codec::Pcmu);
    a.rtcp = RtcpTransport::To("10.0.0.10:6100".parse().unwrap());
    // The callee's RTCP is another machine's, here the caller's.
    b.rtcp = RtcpTransport::To("10.0.0.10:7100".parse().unwrap());
    rig.install([a, b]);
    let (mut caller, callee) = (caller(Codec::Pcmu), callee(Codec::Pcmu));
    rig.answers_arp = true;
    let sent = talk(&mut rig, &mut caller);
    let ports: std::collections::BTreeSet<_> = sent.iter().map(|s| s.ports).collect();
    assert_eq!(ports, [(10_001, 6100), (10_003, 7100)].into());
    let mut monitor = callee.clone();
    monitor.local = "10.0.0.10:7100".parse().unwrap();
    monitor.peer.set_port(10_003);
    let mut bytes = [0; 100];
    let block = ReportBlock { ssrc: 0x5500_0001, cumulative_lost: 9, ..ReportBlock::default() };
    let len = ReportFields { ssrc: 0xca12, sender: None, block: Some(block) }.write(&mut bytes).unwrap();
    rig.cable.put(&monitor.datagram(&bytes[..len]));
    rig.poll();
    rig.events();
    let Event::Counters { counters: [_, b], .. } = rig.command(Command::ReadFlow { flow: flow(0) }) else { panic!() };
    assert_eq!((b.peer_packets_lost, rig.all_drops()), (9, 0), "{:?}", rig.drop_names());
    // Its next hop is held for as long as the flow is there.
    rig.command(Command::RemoveFlow { flow: flow(0) });
    rig.settle();
    assert_eq!(rig.counters.frames_unaccounted(), 0);
}
