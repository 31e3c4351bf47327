//! The schedule: which leg sends its next packet, and what stands in it.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use tandem_contract::Nanos;
use tandem_packet_io::PacketBuf;
use tandem_wire::ethernet::{ETHERTYPE_IPV4, EthernetFields, HEADER_LEN as ETHERNET, MacAddress};
use tandem_wire::ipv4::{HEADER_LEN as IPV4, Ipv4Fields};
use tandem_wire::rtp::{HEADER_LEN as RTP, RtpFields};
use tandem_wire::udp::{self, HEADER_LEN as UDP};

use crate::RemoteLeg;
use crate::network::{Fate, Network, Turn};
use crate::plan::Plan;
use crate::track::Track;

const HEADERS: usize = ETHERNET + IPV4 + UDP;
const PORTS_AT: usize = ETHERNET + IPV4;
/// Expedited forwarding (RFC 3246), as telephones mark their speech.
const TRAFFIC_CLASS: u8 = 0xb8;
/// Longest time, in milliseconds, in which a packet may come back: half a second, and what its packet time rounds up.
const STAMPS_MS: u32 = 580;

/// What one leg sends; 32 octets, in the order in which legs send.
#[derive(Clone, Copy, Debug)]
struct SendingLeg {
    phase_ns: u32,
    ssrc: u32,
    first_timestamp: u32,
    /// Packets that should come out, of those sent within the measurement.
    due_out: u32,
    ports: [u8; 4],
    template: u16,
    track: u16,
    /// Of the next packet.
    sequence: u16,
    /// After a silence.
    marker: bool,
    side: u8,
}

/// Legs that send packets of one length.
#[derive(Debug)]
struct Group {
    ptime_ns: u64,
    ticks: u32,
    first: u32,
    count: u32,
    /// The leg that sends next, from 0, and the number of its packet.
    position: u32,
    round: u32,
    /// Rounds that are measured, and the first that is not sent any more.
    measured: std::ops::Range<u32>,
    /// When each of the last packets of each leg left, by round and position.
    stamps: Box<[u32]>,
    rows: u32,
}

/// A packet that waits for the port to take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departing {
    group: u8,
    /// It belongs to the measurement.
    is_measured: bool,
    stamp: u32,
    due: Nanos,
}

/// The time as packets are stamped with it: 16 ns, modulo 2^32.
#[inline]
pub(crate) const fn stamp(now: Nanos) -> u32 {
    (now.0 >> 4) as u32
}

/// All legs' sending side.
pub(crate) struct Sender {
    start: Nanos,
    groups: Vec<Group>,
    legs: Box<[SendingLeg]>,
    templates: Vec<[u8; HEADERS]>,
    network: Network,
    /// What protects the packets of each leg; empty where no leg speaks SRTP.
    keys: Box<[Option<Box<tandem_srtp::Sender>>]>,
    lateness_ns: u64,
    pub(crate) counts: SentCounts,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SentCounts {
    /// All packets, and those of the measurement.
    pub(crate) packets: u64,
    pub(crate) measured: u64,
    /// Packets that should come out, sent within the measurement, by direction.
    pub(crate) due_out: [u64; 2],
    pub(crate) withheld: [u64; 2],
    pub(crate) late: u64,
    pub(crate) worst_lateness_ns: u64,
    pub(crate) unsent: u64,
}

impl Sender {
    /// `remotes` is where each leg sends to, `macs` the hardware address for each of these.
    pub(crate) fn new(
        plan: &Plan,
        tracks: &[Track],
        remotes: &[RemoteLeg],
        own_mac: MacAddress,
        macs: &HashMap<Ipv4Addr, MacAddress>,
        lateness_ns: u64,
    ) -> Self {
        let spec = &plan.spec;
        let mut random = fastrand::Rng::with_seed(spec.seed ^ 0x5eed);
        let mut templates = Templates { own_mac, macs, made: Vec::new(), known: HashMap::new() };
        let leg = |(leg, remote): (&crate::plan::LegPlan, &RemoteLeg)| {
            let track = &tracks[usize::from(leg.track)];
            let tag_len = remote.crypto.map_or(0, |crypto| crypto.send.suite().tag_len());
            let to = remote.address;
            let [p, q] = leg.local.port().to_be_bytes();
            let [r, s] = to.port().to_be_bytes();
            SendingLeg {
                phase_ns: leg.phase_ns,
                ssrc: random.u32(..),
                first_timestamp: random.u32(..),
                due_out: 0,
                ports: [p, q, r, s],
                template: templates.of(*leg.local.ip(), *to.ip(), track.payload_len + tag_len as u16),
                track: leg.track,
                sequence: random.u16(..),
                marker: true,
                side: leg.side,
            }
        };
        let legs: Box<[SendingLeg]> = plan.legs.iter().zip(remotes).map(leg).collect();
        let protects = |(leg, remote): (&SendingLeg, &RemoteLeg)| {
            Some(Box::new(tandem_srtp::Sender::new(&remote.crypto?.send, leg.ssrc)))
        };
        let any = remotes.iter().any(|remote| remote.crypto.is_some());
        let keys = if any { legs.iter().zip(remotes).map(protects).collect() } else { Box::default() };
        let group = |group: &crate::plan::GroupPlan| {
            let ptime_ms = u32::from(group.ptime_ms);
            let warm_up = spec.warm_up_ms.div_ceil(ptime_ms);
            let measured = (u64::from(spec.seconds) * 1_000 / u64::from(ptime_ms)) as u32;
            let rows = (STAMPS_MS / ptime_ms + 2).next_power_of_two();
            Group {
                ptime_ns: u64::from(ptime_ms) * 1_000_000,
                ticks: 8 * ptime_ms,
                first: group.first,
                count: group.count,
                position: 0,
                round: 0,
                measured: warm_up..warm_up + measured,
                stamps: vec![0; (rows * group.count) as usize].into_boxed_slice(),
                rows,
            }
        };
        Self {
            start: Nanos(0),
            groups: plan.groups.iter().map(group).collect(),
            legs,
            templates: templates.made,
            network: Network::new(&spec.impairments, spec.seed, plan),
            keys,
            lateness_ns,
            counts: SentCounts::default(),
        }
    }

    /// Begins to send.
    pub(crate) fn start(&mut self, now: Nanos) {
        self.start = now;
    }

    /// When it began.
    pub(crate) const fn started(&self) -> Nanos {
        self.start
    }

    /// Ends the measurement with the round of packets that is under way.
    pub(crate) fn end_early(&mut self) {
        for group in &mut self.groups {
            group.measured.end = group.measured.end.min(group.round + 1).max(group.measured.start);
        }
    }

    /// How far the schedule is behind the time, in nanoseconds: of the packet that is due next.
    pub(crate) fn behind_ns(&self, now: Nanos) -> u64 {
        let behind = |group: &Group| {
            let phase = self.legs.get((group.first + group.position) as usize).map_or(0, |leg| leg.phase_ns);
            now.0.saturating_sub(self.start.0 + u64::from(group.round) * group.ptime_ns + u64::from(phase))
        };
        let sending = self.groups.iter().filter(|group| group.round < group.measured.end);
        sending.map(behind).max().unwrap_or(0)
    }

    /// Whether every packet was handed out.
    pub(crate) fn is_over(&self) -> bool {
        self.groups.iter().all(|group| group.round >= group.measured.end) && self.network.is_empty()
    }

    /// The next packet that is due at `now`, written to a frame that `allocate` gives.
    #[inline]
    pub(crate) fn next<B: PacketBuf>(
        &mut self,
        now: Nanos,
        tracks: &[Track],
        mut allocate: impl FnMut() -> Option<B>,
    ) -> Option<(B, Departing)> {
        loop {
            let turn = match self.network.release(now) {
                Some(held) => held,
                None => self.next_of_schedule(now)?,
            };
            let Some(mut frame) = allocate() else {
                self.counts.unsent += 1;
                continue;
            };
            if self.write(&turn, tracks, &mut frame) {
                let group = &self.groups[usize::from(turn.group)];
                let stamp = (turn.round & (group.rows - 1)) * group.count + (turn.leg - group.first);
                let is_measured = group.measured.contains(&turn.round);
                return Some((frame, Departing { group: turn.group, is_measured, stamp, due: turn.due }));
            }
            self.counts.unsent += 1;
        }
    }

    /// The next leg whose time has come and whose packet leaves at once.
    #[inline]
    fn next_of_schedule(&mut self, now: Nanos) -> Option<Turn> {
        for (group, index) in self.groups.iter_mut().zip(0..) {
            while group.round < group.measured.end {
                let (leg, round) = (group.first + group.position, group.round);
                let state = &mut self.legs[leg as usize];
                let due = Nanos(self.start.0 + u64::from(round) * group.ptime_ns + u64::from(state.phase_ns));
                if due > now {
                    break;
                }
                group.position += 1;
                if group.position == group.count {
                    (group.position, group.round) = (0, round + 1);
                }
                let fate = if self.network.is_perfect() {
                    Fate::Leaves
                } else {
                    self.network.fate(leg, round, group.ptime_ns)
                };
                if fate == Fate::Silent {
                    state.marker = true;
                    continue;
                }
                let turn = Turn { group: index, marker: state.marker, sequence: state.sequence, leg, round, due };
                state.sequence = state.sequence.wrapping_add(1);
                state.marker = false;
                match fate {
                    Fate::Leaves | Fate::Silent => return Some(turn),
                    Fate::Held(ns) => self.network.hold(Turn { due: due.plus(ns), ..turn }),
                    Fate::Withheld => {
                        self.counts.withheld[usize::from(state.side)] += u64::from(group.measured.contains(&round));
                    }
                }
            }
        }
        None
    }

    #[inline]
    fn write<B: PacketBuf>(&mut self, turn: &Turn, tracks: &[Track], frame: &mut B) -> bool {
        let round = turn.round;
        let group = &self.groups[usize::from(turn.group)];
        let leg = &mut self.legs[turn.leg as usize];
        let track = &tracks[usize::from(leg.track)];
        let payload = track.payload(round);
        let mut keys = self.keys.get_mut(turn.leg as usize).and_then(Option::as_deref_mut);
        let tag_len = keys.as_ref().map_or(0, |keys| keys.suite().tag_len());
        if frame.set_len(HEADERS + RTP + payload.len() + tag_len).is_err() {
            return false;
        }
        let Some((headers, rest)) = frame.data_mut().split_first_chunk_mut::<HEADERS>() else { return false };
        *headers = self.templates[usize::from(leg.template)];
        headers[PORTS_AT..PORTS_AT + 4].copy_from_slice(&leg.ports);
        let packet_len = RTP + payload.len();
        let Some((header, room)) = rest.split_first_chunk_mut::<RTP>() else { return false };
        RtpFields {
            marker: turn.marker,
            payload_type: track.payload_type,
            sequence: turn.sequence,
            timestamp: leg.first_timestamp.wrapping_add(round.wrapping_mul(group.ticks)),
            ssrc: leg.ssrc,
        }
        .write(header);
        let Some(place) = room.get_mut(..payload.len()) else { return false };
        place.copy_from_slice(payload);
        if let Some(keys) = &mut keys
            && keys.protect(rest, packet_len).is_err()
        {
            return false;
        }
        if group.measured.contains(&round) {
            let due_out = track.out_of(round + 1) - track.out_of(round);
            leg.due_out += due_out;
            self.counts.due_out[usize::from(leg.side)] += u64::from(due_out);
        }
        true
    }

    /// The port took a packet at `now`. Says whether it is late.
    #[inline]
    pub(crate) fn left(&mut self, now: Nanos, departing: &Departing) -> bool {
        self.groups[usize::from(departing.group)].stamps[departing.stamp as usize] = stamp(now);
        self.counts.packets += 1;
        // A source warms up too: its own caches and pages, and those of the gateway, are cold at first.
        if !departing.is_measured {
            return false;
        }
        self.counts.measured += 1;
        let lateness_ns = now.0.saturating_sub(departing.due.0);
        self.counts.worst_lateness_ns = self.counts.worst_lateness_ns.max(lateness_ns);
        let is_late = lateness_ns > self.lateness_ns;
        self.counts.late += u64::from(is_late);
        is_late
    }

    /// How long ago a leg's packet left, in nanoseconds, and whether it belongs to the measurement.
    #[inline]
    pub(crate) fn since(&self, now: Nanos, group: u8, leg: u32, round: u32) -> (u64, bool) {
        let group = &self.groups[usize::from(group)];
        let at = (round & (group.rows - 1)) * group.count + (leg - group.first);
        let left = group.stamps[at as usize];
        (u64::from(stamp(now).wrapping_sub(left)) << 4, group.measured.contains(&round))
    }

    /// Packets that should have come out of what a leg sent.
    pub(crate) fn due_out(&self, leg: u32) -> u32 {
        self.legs[leg as usize].due_out
    }

    /// Seconds of the measurement: of the longest group, where it ended early.
    pub(crate) fn measured_seconds(&self) -> f64 {
        let ns = |group: &Group| group.measured.len() as u64 * group.ptime_ns;
        self.groups.iter().map(ns).max().unwrap_or(0) as f64 / 1e9
    }

    /// When the measurement begins.
    pub(crate) fn measured_from(&self) -> Nanos {
        let from = |group: &Group| u64::from(group.measured.start) * group.ptime_ns;
        self.start.plus(self.groups.iter().map(from).min().unwrap_or(0))
    }
}

/// Frames' headers up to the ports, one for each pair of addresses and each length.
struct Templates<'a> {
    own_mac: MacAddress,
    macs: &'a HashMap<Ipv4Addr, MacAddress>,
    made: Vec<[u8; HEADERS]>,
    known: HashMap<(Ipv4Addr, Ipv4Addr, u16), u16>,
}

impl Templates<'_> {
    fn of(&mut self, source: Ipv4Addr, destination: Ipv4Addr, payload_len: u16) -> u16 {
        *self.known.entry((source, destination, payload_len)).or_insert_with(|| {
            let mut headers = [0; HEADERS];
            let udp_len = (UDP + RTP) as u16 + payload_len;
            if let Some((ethernet, packet)) = headers.split_first_chunk_mut::<ETHERNET>()
                && let Some((ip, datagram)) = packet.split_first_chunk_mut::<IPV4>()
            {
                let mac = self.macs.get(&destination).copied().unwrap_or_default();
                EthernetFields { destination: mac, source: self.own_mac, ethertype: ETHERTYPE_IPV4 }.write(ethernet);
                Ipv4Fields {
                    traffic_class: TRAFFIC_CLASS,
                    total_length: IPV4 as u16 + udp_len,
                    time_to_live: 64,
                    protocol: udp::PROTOCOL,
                    source,
                    destination,
                }
                .write(ip);
                // Without a checksum (RFC 768): every payload is compared with what it should be in any case.
                datagram[4..6].copy_from_slice(&udp_len.to_be_bytes());
            }
            self.made.push(headers);
            (self.made.len() - 1) as u16
        })
    }
}
