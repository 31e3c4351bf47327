//! The table of advisory ES2025-01 (CVE-2025-53399): for each way to learn the remote, strict and not, how much speech a
//! stranger can put into a call ("RTP inject") and how much of the peer's he can get ("RTP bleed").
//!
//! The stranger is not on the path: he sends from an address of his own. Who can send from the peer's address is kept out by
//! SRTP alone.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, Learning, SourcePolicy};
use tandem_testkit::{Endpoint, Pool, arp_reply_frame};
use tandem_wire::ethernet::{Ethernet, MacAddress};
use tandem_wire::ipv4::Ipv4;
use tandem_wire::rtcp::{ReportBlock, ReportFields};
use tandem_wire::udp::Udp;
use tandem_worker::HandoverEnds;

/// Learns for 500 ms, which are 25 packets.
const INTERVAL_PACKETS: usize = 25;
const ROUNDS: usize = 60;

/// When the caller is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// From its signalled address, from the start.
    First,
    /// From its signalled address, five packets after the stranger.
    Late,
    /// Behind address translation: from another address and port than signalled, five packets after the stranger.
    Translated,
}

/// What a stranger got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Haul {
    injected: usize,
    leaked: usize,
}

/// Where a stranger may stand: nowhere near, on the caller's port number, on the caller's host.
const STRANGER: &str = "10.0.0.66:9999";
const ON_THE_PORT: &str = "10.0.0.66:6000";
const ON_THE_HOST: &str = "10.0.0.10:9999";

const CALLER_SAYS: u8 = 0x11;
const STRANGER_SAYS: u8 = 0x22;
const CALLEE_SAYS: u8 = 0x33;

/// Caller and callee speak, and so does a stranger, who tries to be taken for the caller, all the time.
fn attack(policy: SourcePolicy, when: Caller, stranger: &str) -> Haul {
    let mut rig = Rig::new();
    let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
    legs[0].source = policy;
    rig.install(legs);
    let callee_local = CALLEE;
    let mut callee = callee(Codec::Pcmu);
    let mut caller = caller(Codec::Pcmu);
    if when == Caller::Translated {
        caller.local = "10.0.0.77:7777".parse().unwrap();
    }
    let mut stranger = Endpoint { local: stranger.parse().unwrap(), ssrc: 0xbad, sequence: 5, ..caller.clone() };
    let mut haul = Haul { injected: 0, leaked: 0 };
    for round in 0..ROUNDS {
        if when == Caller::First || round >= 5 {
            rig.cable.put(&caller.send(&[CALLER_SAYS; 160], 160));
        }
        rig.cable.put(&stranger.send(&[STRANGER_SAYS; 160], 160));
        rig.cable.put(&callee.send(&[CALLEE_SAYS; 160], 160));
        for frame in rig.settle() {
            if let Some(answer) = arp_reply_frame(&frame, MacAddress([2, 0, 0, 0, 0, 0x66])) {
                rig.cable.put(&answer);
                continue;
            }
            let ip = Ipv4::parse(Ethernet::parse(&frame).unwrap().payload()).unwrap();
            let udp = Udp::parse(ip.payload()).unwrap();
            let to = std::net::SocketAddrV4::new(ip.destination(), udp.destination_port());
            let says = udp.payload()[12];
            haul.injected += usize::from(to == callee_local && says == STRANGER_SAYS);
            haul.leaked += usize::from(to == stranger.local && says == CALLEE_SAYS);
        }
        rig.pass_ms(20);
    }
    assert_eq!(rig.counters.frames_unaccounted(), 0, "all was sent, or dropped by name");
    haul
}

#[test]
fn the_table_of_the_advisory_holds() {
    use Caller::{First, Late, Translated};
    use Learning::{Delayed, Heuristic, Immediate, Off, Port};
    const ALL: usize = ROUNDS;
    // (learning, strict, when the caller is heard, injected, leaked) for a stranger from anywhere.
    let table: [(Learning, bool, Caller, usize, usize); 30] = [
        (Off, true, First, 0, 0),
        (Off, true, Late, 0, 0),
        (Off, true, Translated, 0, 0),
        (Off, false, First, ALL, 0),
        (Off, false, Late, ALL, 0),
        (Off, false, Translated, ALL, 0),
        // The signalled address alone can be learned from.
        (Port, true, First, 0, 0),
        (Port, true, Late, 0, 0),
        (Port, true, Translated, 0, 0),
        (Port, false, First, 0, 0),
        (Port, false, Late, 0, 0),
        (Port, false, Translated, 0, 0),
        // A race: whoever is first has it.
        (Immediate, true, First, 0, 0),
        (Immediate, true, Late, ALL, ALL),
        (Immediate, true, Translated, ALL, ALL),
        (Immediate, false, First, ALL, 0),
        (Immediate, false, Late, ALL, ALL),
        (Immediate, false, Translated, ALL, ALL),
        // A caller whom the signalled address brings ends it; nothing leaks before.
        (Delayed, true, First, 0, 0),
        (Delayed, true, Late, 5, 0),
        (Delayed, true, Translated, ALL, ALL - INTERVAL_PACKETS),
        (Delayed, false, First, ALL, 0),
        (Delayed, false, Late, ALL, 0),
        (Delayed, false, Translated, ALL, ALL - INTERVAL_PACKETS),
        (Heuristic, true, First, 0, 0),
        (Heuristic, true, Late, 5, 0),
        (Heuristic, true, Translated, ALL, ALL - INTERVAL_PACKETS),
        (Heuristic, false, First, ALL, 0),
        (Heuristic, false, Late, ALL, 0),
        (Heuristic, false, Translated, ALL, ALL - INTERVAL_PACKETS),
    ];
    for (learning, strict, when, injected, leaked) in table {
        let policy = SourcePolicy { strict, ..SourcePolicy::new(learning) };
        let haul = attack(policy, when, STRANGER);
        // One packet is the table's unit of time; where the interval ends inside one, the next counts.
        let is_close = |found: usize, expected: usize| match expected {
            0 | 5 => found == expected,
            _ => found.abs_diff(expected) <= 1,
        };
        assert!(
            is_close(haul.injected, injected) && is_close(haul.leaked, leaked),
            "{learning:?}, strict {strict}, caller {when:?}: {haul:?}, not {injected} and {leaked}"
        );
    }
}

#[test]
fn who_stands_closer_to_the_caller_gets_no_more_once_the_caller_is_heard() {
    for learning in [Learning::Off, Learning::Delayed, Learning::Heuristic] {
        for stranger in [ON_THE_PORT, ON_THE_HOST] {
            let policy = SourcePolicy::new(learning);
            assert_eq!(attack(policy, Caller::First, stranger), Haul { injected: 0, leaked: 0 }, "{learning:?}");
            let late = attack(policy, Caller::Late, stranger);
            assert!(late.injected <= 5 && late.leaked == 0, "{learning:?} {stranger}: {late:?}");
        }
    }
    // On the caller's own host the race for the port is open, and only there.
    let policy = SourcePolicy::new(Learning::Port);
    assert_eq!(attack(policy, Caller::First, ON_THE_HOST), Haul { injected: 0, leaked: 0 });
    assert_eq!(attack(policy, Caller::Late, ON_THE_HOST).leaked, ROUNDS);
    assert_eq!(attack(policy, Caller::Late, ON_THE_PORT), Haul { injected: 0, leaked: 0 });
}

#[test]
fn what_is_learned_stays_through_a_re_invite_and_silence_unless_configured() {
    let policies = [
        (SourcePolicy::new(Learning::Immediate), false),
        (SourcePolicy { relearn_after_ms: 1000, ..SourcePolicy::new(Learning::Immediate) }, true),
        (SourcePolicy { relearn_on_update: true, ..SourcePolicy::new(Learning::Immediate) }, true),
    ];
    for (policy, moves) in policies {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
        legs[0].source = policy;
        rig.install(legs);
        let mut caller = caller(Codec::Pcmu);
        rig.exchange(&caller.send(&[1; 160], 160), &callee(Codec::Pcmu));
        rig.pass_ms(1100);
        rig.events();
        let update = Command::UpdateFlow { flow: flow(0), epoch: Epoch(2), legs };
        assert!(matches!(rig.command(update), Event::Updated { .. }));
        rig.settle();
        let mut moved = Endpoint { local: "10.0.0.11:7777".parse().unwrap(), ssrc: 0x2222, ..caller.clone() };
        rig.cable.put(&moved.send(&[1; 160], 160));
        assert_eq!(rig.settle().len(), usize::from(moves), "{policy:?}");
        assert_eq!(rig.drops(DropReason::SourceNotAllowed), u64::from(!moves));
        let hears = Endpoint { mac: CALLEE_MAC, ..moved };
        let hears = if moves { hears } else { caller.clone() };
        rig.exchange(&callee(Codec::Pcmu).send(&[2; 160], 160), &hears);
    }
}

#[test]
fn rtcp_of_a_stranger_neither_latches_nor_is_answered() {
    let learnings = [Learning::Off, Learning::Port, Learning::Immediate, Learning::Delayed, Learning::Heuristic];
    for (learning, strict) in learnings.into_iter().flat_map(|learning| [(learning, true), (learning, false)]) {
        let mut config = engine_config();
        config.report_interval_ms = 200;
        let mut rig = Rig::with(&config, HandoverEnds::alone(), &Pool::new(256));
        let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
        legs[0].source = SourcePolicy { strict, ..SourcePolicy::new(learning) };
        rig.install(legs);
        let mut caller = caller(Codec::Pcmu);
        let mut bytes = [0; 200];
        let block = ReportBlock { ssrc: legs[0].ssrc, cumulative_lost: 99, ..ReportBlock::default() };
        let len = ReportFields { ssrc: 0xbad, sender: None, block: Some(block) }.write(&mut bytes).unwrap();
        let mut answers = 0;
        for round in 0..100 {
            // To the RTP port, and to the one above.
            for port in [10_000, 10_001] {
                let mut stranger = Endpoint { local: STRANGER.parse().unwrap(), ..caller.clone() };
                stranger.peer.set_port(port);
                rig.cable.put(&stranger.datagram(&bytes[..len]));
            }
            if round >= 5 {
                rig.cable.put(&caller.send(&[1; 160], 160));
            }
            rig.pass_ms(20);
            while let Some(frame) = rig.cable.take() {
                let ip = Ipv4::parse(Ethernet::parse(&frame).unwrap().payload()).unwrap();
                assert_ne!(ip.destination().to_string(), "10.0.0.66", "{learning:?}, strict {strict}");
                answers += usize::from(ip.destination() == *CALLER.ip());
            }
        }
        assert_eq!(rig.drops(DropReason::SourceNotAllowed), 200, "{learning:?}, strict {strict}");
        assert!(answers >= 5, "the caller gets its reports: {answers}");
        rig.events();
        let Event::Counters { counters: [a, _], .. } = rig.command(Command::ReadFlow { flow: flow(0) }) else {
            panic!()
        };
        assert_eq!((a.packets_received, a.peer_packets_lost), (95, 0), "{learning:?}, strict {strict}");
    }
}

#[test]
fn a_packet_with_an_ssrc_of_ours_is_a_loop_and_does_not_latch_unless_the_peer_echoes() {
    for (ssrc, echoes, dropped) in
        [(0x5500_0000, false, true), (0x5500_0001, false, true), (0x5500_0001, true, true), (0x5500_0000, true, false)]
    {
        let mut rig = Rig::new();
        let mut legs = legs(Codec::Pcmu, Codec::Pcmu);
        legs[0].source = SourcePolicy::new(Learning::Immediate);
        legs[0].echoes = echoes;
        rig.install(legs);
        let mut looped = Endpoint { ssrc, local: "10.0.0.11:9999".parse().unwrap(), ..caller(Codec::Pcmu) };
        rig.cable.put(&looped.send(&[1; 160], 160));
        assert_eq!(rig.settle().len(), usize::from(!dropped), "{ssrc:x} {echoes}");
        assert_eq!(rig.drops(DropReason::OwnSsrc), u64::from(dropped));
        if dropped {
            rig.exchange(&caller(Codec::Pcmu).send(&[1; 160], 160), &callee(Codec::Pcmu));
        }
    }
}
