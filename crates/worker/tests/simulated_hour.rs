//! An hour of thousands of calls over a bad network, under a virtual clock: every frame is accounted for, nobody is sent a
//! number twice, and what is decoded arrives in order.

#![allow(clippy::unwrap_used, reason = "helpers of tests say what they expect, as tests do")]

mod rig;

use std::collections::BTreeMap;

use rig::*;
use tandem_contract::{Codec, Command, DropReason, Epoch, Event, FlowId, Format, LegCounters, Nanos};
use tandem_testkit::{Endpoint, Path, PathHabits, Pool, Received};
use tandem_worker::HandoverEnds;

const HOUR_MS: u64 = 3_600_000;
const CALLS: u64 = 3000;
const CALL_MS: u64 = 3000;
/// A call is forgotten when what was under way to it has arrived.
const LINGER_MS: u64 = 300;
const HABITS: PathHabits = PathHabits {
    delay_us: 15_000,
    jitter_us: 25_000,
    loss: 10,
    loss_bursts: 2,
    duplication: 5,
    reordering: 10,
    reordering_us: 30_000,
};

/// Numbers that are random enough, the same in every run (Steele and Vigna's mixing).
const fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// What a peer has heard.
#[derive(Default)]
struct Ear {
    first: Option<(u16, u32)>,
    /// Numbers from the first one on, as bits: what was heard.
    heard: Vec<u64>,
    newest: i32,
    packets: u64,
    ticks: u64,
}

impl Ear {
    /// Takes a packet in. `in_order`: nothing may overtake.
    fn hear(&mut self, received: &Received, codec: Codec, in_order: bool) {
        let (sequence, timestamp) = *self.first.get_or_insert((received.sequence, received.timestamp));
        let number = i32::from(received.sequence.wrapping_sub(sequence) as i16);
        let ticks = received.timestamp.wrapping_sub(timestamp) as i32;
        assert!(!in_order || self.packets == 0 || number > self.newest, "{number} after {}", self.newest);
        assert_eq!(number.cmp(&0), ticks.cmp(&0), "timestamp and number go the same way");
        self.newest = self.newest.max(number);
        // What overtook the first packet is told by negative numbers.
        let bit = (number + 64) as usize;
        self.heard.resize(self.heard.len().max(bit / 64 + 1), 0);
        assert_eq!(self.heard[bit / 64] & (1 << (bit % 64)), 0, "{number} twice");
        self.heard[bit / 64] |= 1 << (bit % 64);
        self.packets += 1;
        self.ticks += received.payload.len() as u64 * if codec == Codec::G729 { 8 } else { 1 };
    }
}

struct Talker {
    endpoint: Endpoint,
    codec: Codec,
    ptime_ms: u64,
    due: Nanos,
    ticks_sent: u64,
    ear: Ear,
}

impl Talker {
    fn payload(&self, n: u64) -> Vec<u8> {
        let octets = if self.codec == Codec::G729 { self.ptime_ms } else { self.ptime_ms * 8 };
        (0..octets).map(|at| (at * (n % 7 + 1)) as u8 ^ 0xd5).collect()
    }
}

struct Call {
    id: FlowId,
    ends: Nanos,
    talkers: [Talker; 2],
    is_decoded: bool,
}

/// Codecs of the two legs and how long their packets are in ms.
fn kind(random: u64) -> [(Codec, u64); 2] {
    let ptimes = [10, 20, 20, 30, 40, 60];
    let [a, b] = [random >> 8, random >> 16].map(|part| ptimes[(part % 6) as usize]);
    match random % 32 {
        0..14 => [(Codec::Pcmu, a), (Codec::Pcmu, a)],
        14..22 => [(Codec::Pcmu, 20), (Codec::Pcma, 20)],
        22..26 => [(Codec::Pcma, a), (Codec::Pcma, b)],
        26..31 => [(Codec::G722, a), (Codec::Pcmu, b)],
        _ => [(Codec::G729, 20), (Codec::Pcma, b)],
    }
}

fn begin(rig: &mut Rig, number: u64, slot: u16) -> Call {
    let random = mixed(number);
    let kinds = kind(random);
    let id = FlowId { slot: slot.into(), generation: number as u32 };
    let mut legs = legs_at(slot, kinds[0].0, kinds[1].0);
    for (leg, (codec, ptime_ms)) in legs.iter_mut().zip(kinds) {
        leg.format = Some(Format { ptime_ms: ptime_ms as u8, ..format(codec) });
        leg.reorder_packets = (random >> 24) as u8 % 4;
        leg.first_sequence = (random >> 32) as u16;
    }
    let is_decoded = match kinds {
        [(a, _), (b, _)] if a != b => (a, b) != (Codec::Pcmu, Codec::Pcma),
        [(_, a), (_, b)] => a != b,
    };
    let installed = rig.command(Command::InstallFlow { flow: id, epoch: Epoch(1), legs });
    assert_eq!(installed, Event::Installed { flow: id, epoch: Epoch(1) });
    let mut endpoints = [caller_at(slot, kinds[0].0), callee_at(slot, kinds[1].0)];
    for (endpoint, part) in endpoints.iter_mut().zip([random, random >> 7]) {
        (endpoint.sequence, endpoint.timestamp) = (part as u16, part as u32);
    }
    let now = rig.now;
    let talkers = [0, 1].map(|side: usize| Talker {
        endpoint: endpoints[side].clone(),
        codec: kinds[side].0,
        ptime_ms: kinds[side].1,
        due: now.plus(random >> (40 + 8 * side) & 0xff_ffff),
        ticks_sent: 0,
        ear: Ear::default(),
    });
    Call { id, ends: now.plus((CALL_MS / 2 + random % CALL_MS) * 1_000_000), talkers, is_decoded }
}

#[derive(Default)]
struct Totals {
    ended: u64,
    legs: [LegCounters; 2],
    heard: u64,
    /// Ticks of speech that were said to, and heard from, legs that are decoded.
    said_to_decoders: u64,
    heard_from_decoders: u64,
}

impl Totals {
    fn end(&mut self, rig: &mut Rig, call: &Call) {
        let Event::Removed { counters, .. } = rig.command(Command::RemoveFlow { flow: call.id }) else { panic!() };
        self.ended += 1;
        for (total, leg) in self.legs.iter_mut().zip(counters) {
            total.packets_received += leg.packets_received;
            total.packets_sent += leg.packets_sent;
            total.packets_dropped += leg.packets_dropped;
            total.packets_lost += leg.packets_lost;
        }
        for (talker, leg) in call.talkers.iter().zip(counters) {
            assert_eq!(talker.ear.packets, leg.packets_sent, "{:?}", call.id);
            self.heard += talker.ear.packets;
        }
        if call.is_decoded {
            self.said_to_decoders += call.talkers.iter().map(|talker| talker.ticks_sent).sum::<u64>();
            self.heard_from_decoders += call.talkers.iter().map(|talker| talker.ear.ticks).sum::<u64>();
        }
    }
}

/// What the worker has sent goes to whom it is for.
fn listen(rig: &mut Rig, calls: &mut BTreeMap<u16, Call>, arp: &mut u64) {
    while let Some(frame) = rig.cable.take() {
        if let Some(answer) = rig.arp_answer(&frame) {
            rig.cable.put(&answer);
            *arp += 1;
            continue;
        }
        if frame[12..14] == [0x08, 0x06] {
            continue; // Says which address is ours.
        }
        let port = u16::from_be_bytes([frame[36], frame[37]]);
        let (side, base) = if frame[33] == CALLER.ip().octets()[3] { (0, CALLER) } else { (1, CALLEE) };
        let call = calls.get_mut(&((port - base.port()) / 2)).expect("a packet for a call that is gone");
        let Call { talkers, is_decoded, .. } = call;
        let received = talkers[side].endpoint.receive(&frame).unwrap();
        let codec = talkers[side].codec;
        talkers[side].ear.hear(&received, codec, *is_decoded);
    }
}

#[test]
fn every_frame_of_an_hour_of_calls_is_accounted_for() {
    let mut rig = Rig::with(&engine_config(), HandoverEnds::alone(), &Pool::new(1024));
    let mut path = Path::new(1, HABITS);
    let mut calls: BTreeMap<u16, Call> = BTreeMap::new();
    let mut totals = Totals::default();
    let mut arp = 0;
    let mut begun = 0;
    let mut begins = Nanos(0);
    let end = Nanos::from_millis(HOUR_MS);
    while rig.now < end || begun < CALLS || !calls.is_empty() {
        if begun < CALLS && rig.now >= begins {
            // Ten transcoding both ways is what the rig has room for; the others wait.
            let slot = (0..100).find(|slot| !calls.contains_key(slot)).unwrap();
            let is_busy = calls.values().filter(|call| call.is_decoded).count() >= 10;
            if !is_busy {
                calls.insert(slot, begin(&mut rig, begun, slot));
                begun += 1;
            }
            begins = rig.now.plus(mixed(begun ^ 0xbeef) % (HOUR_MS * 2 / CALLS * 1_000_000));
        }
        for call in calls.values_mut() {
            for talker in call.talkers.iter_mut().filter(|talker| rig.now >= talker.due && rig.now < call.ends) {
                let ticks = talker.ptime_ms * 8;
                let payload = talker.payload(talker.ticks_sent / ticks);
                talker.ticks_sent += ticks;
                path.send(rig.now, talker.endpoint.send(&payload, ticks as u32));
                talker.due = talker.due.plus(talker.ptime_ms * 1_000_000);
            }
        }
        while let Some(frame) = path.receive(rig.now) {
            rig.cable.put(&frame);
        }
        for _ in 0..2 {
            rig.poll();
            listen(&mut rig, &mut calls, &mut arp);
        }
        let over: Vec<u16> = calls
            .iter()
            .filter(|(_, call)| rig.now >= call.ends.plus(LINGER_MS * 1_000_000))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in over {
            totals.end(&mut rig, &calls[&slot]);
            listen(&mut rig, &mut calls, &mut arp);
            calls.remove(&slot);
        }
        rig.events();
        // To the next thing that happens; the worker's timers want some rounds between.
        let talks = calls.values().flat_map(|call| call.talkers.iter().map(|talker| talker.due));
        let next = path.due().into_iter().chain(talks).min().unwrap_or(end);
        rig.now = next.max(rig.now).min(rig.now.plus(10_000_000)).max(rig.now);
    }
    check(&rig, &path, &totals, arp);
}

fn check(rig: &Rig, path: &Path, totals: &Totals, arp: u64) {
    let (network, counters) = (path.counts(), &rig.counters);
    let drops = rig.drop_names();
    assert_eq!(totals.ended, CALLS);
    assert!(network.sent > 500_000, "{network:?}");
    // What was sent was lost on the way or came; what came went on, was taken in, or was dropped by name.
    assert_eq!(network.sent + network.duplicated, network.lost + network.delivered);
    assert_eq!(counters.frames_received.get(), network.delivered + arp);
    assert_eq!(counters.frames_unaccounted(), 0, "{drops:?}");
    assert_eq!(rig.cable.pool().in_use(), 0);
    // Media: each packet that was accepted was sent on, went into another one, or came too late to be decoded.
    let both = |count: fn(&LegCounters) -> u64| totals.legs.iter().map(count).sum::<u64>();
    assert_eq!(both(|leg| leg.packets_sent), totals.heard);
    assert_eq!(counters.rtp_forwarded.get(), totals.heard);
    let named: u64 = rig.all_drops();
    assert_eq!(both(|leg| leg.packets_dropped), named, "{drops:?}");
    let expected = [DropReason::Duplicate, DropReason::TooLate];
    assert_eq!(expected.map(|reason| rig.drops(reason)).iter().sum::<u64>(), named, "{drops:?}");
    assert!(rig.drops(DropReason::Duplicate).abs_diff(network.duplicated) <= network.duplicated / 100, "{drops:?}");
    // Lost is what the numbers say, but for the first and last packets of a call.
    let lost = both(|leg| leg.packets_lost);
    assert!((network.lost * 97 / 100..=network.lost).contains(&lost), "{lost}, {network:?}");
    // Late for the decoder are few, and the speech of decoded legs is whole but for bursts of losses and what the last
    // packet of a call lacked.
    assert!(rig.drops(DropReason::TooLate) * 50 < network.delivered, "{drops:?}");
    let whole = totals.heard_from_decoders as f64 / totals.said_to_decoders as f64;
    assert!((0.95..1.002).contains(&whole), "{whole}");
    assert!(counters.frames_concealed.get() > 1000);
    println!("{network:?}, {drops:?}, {} concealed, {whole} of the speech", counters.frames_concealed.get());
}
