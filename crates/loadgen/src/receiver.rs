//! What comes back: whose it is, which packet, how late, and whether the audio is right.

use hdrhistogram::Histogram;
use tandem_contract::Nanos;
use tandem_wire::ethernet::{ETHERTYPE_IPV4, HEADER_LEN as ETHERNET};
use tandem_wire::ipv4::HEADER_LEN as IPV4;
use tandem_wire::rtp::Rtp;
use tandem_wire::udp::{self, HEADER_LEN as UDP};

use crate::RemoteLeg;
use crate::plan::{Plan, SourceNetwork};
use crate::sender::Sender;
use crate::timeline::Timeline;
use crate::track::{Audio, TOLD_APART, Track};

/// What is slower counts as lost.
const LOST_AFTER_NS: u64 = 500_000_000;
/// The slowest packet that the histogram tells apart.
const SLOWEST_NS: u64 = 1_000_000_000;
/// Packets before the newest one of which is known whether they came.
const WINDOW: u32 = 64;

/// What one leg receives, and from whom.
#[derive(Clone, Copy, Debug)]
struct ReceivingLeg {
    /// The leg that sends it, and that leg's group and track.
    from: u32,
    track: u16,
    group: u8,
    side: u8,
    heard: bool,
    has_wrong_audio: bool,
    /// The timestamp of packet 0.
    first_timestamp: u32,
    /// The newest packet, and which of those before it came: bit n for the nth before.
    newest: u32,
    came: u64,
    /// Packets that came in time, of those that the measurement counts.
    in_time: u32,
}

/// Packets that came, by direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReceivedCounts {
    pub(crate) received: u64,
    pub(crate) in_time: u64,
    pub(crate) duplicated: u64,
    pub(crate) reordered: u64,
    pub(crate) wrong_audio: u64,
    pub(crate) checked: u64,
}

/// All legs' receiving side.
pub(crate) struct Receiver {
    network: SourceNetwork,
    legs: Box<[ReceivingLeg]>,
    /// What opens the packets of each leg; empty where no leg speaks SRTP.
    keys: Box<[Option<Box<tandem_srtp::Receiver>>]>,
    pub(crate) latency: Histogram<u64>,
    pub(crate) counts: [ReceivedCounts; 2],
    /// All packets.
    pub(crate) packets: u64,
    /// Packets that newer ones have overtaken and that have not come, of all that were sent.
    pub(crate) missing: u64,
    /// Frames that are no RTP for a leg.
    pub(crate) strangers: u64,
}

impl Receiver {
    pub(crate) fn new(plan: &Plan, remotes: &[RemoteLeg], latency: Histogram<u64>) -> Self {
        let opens = |remote: &RemoteLeg| Some(Box::new(tandem_srtp::Receiver::new(&remote.crypto?.receive)));
        let any = remotes.iter().any(|remote| remote.crypto.is_some());
        let leg = |leg: &crate::plan::LegPlan| {
            let from = leg.other;
            let group = plan.groups.iter().position(|group| (group.first..group.first + group.count).contains(&from));
            let sender = &plan.legs[from as usize];
            ReceivingLeg {
                from,
                track: sender.track,
                group: group.unwrap_or(0) as u8,
                side: sender.side,
                heard: false,
                has_wrong_audio: false,
                first_timestamp: 0,
                newest: 0,
                came: 0,
                in_time: 0,
            }
        };
        Self {
            network: plan.network.clone(),
            legs: plan.legs.iter().map(leg).collect(),
            keys: if any { remotes.iter().map(opens).collect() } else { Box::default() },
            latency,
            counts: Default::default(),
            packets: 0,
            missing: 0,
            strangers: 0,
        }
    }

    /// Takes a frame into account; `false` where it is not UDP over IPv4, and may be something to answer.
    #[inline]
    pub(crate) fn on_frame(
        &mut self,
        now: Nanos,
        frame: &mut [u8],
        tracks: &[Track],
        sender: &Sender,
        timeline: &mut Timeline,
    ) -> bool {
        let Some((headers, datagram)) = frame.split_first_chunk_mut::<{ ETHERNET + IPV4 }>() else { return false };
        let is_ipv4 = u16::from_be_bytes([headers[12], headers[13]]) == ETHERTYPE_IPV4;
        if !is_ipv4 || headers[ETHERNET] != 0x45 || headers[ETHERNET + 9] != udp::PROTOCOL {
            return false;
        }
        let destination = [headers[30], headers[31], headers[32], headers[33]];
        let came = arrival(&self.network, destination, datagram);
        let Some((number, packet)) = came.filter(|(number, _)| (*number as usize) < self.legs.len()) else {
            self.strangers += 1;
            return true;
        };
        let opened = match self.keys.get_mut(number as usize) {
            Some(Some(keys)) => keys.unprotect(packet).map_err(|_| ()),
            _ => Ok(packet.len()),
        };
        match opened.map(|length| Rtp::parse(&packet[..length])) {
            Ok(Ok(rtp)) => self.on_rtp(now, number, &rtp, tracks, sender, timeline),
            Ok(Err(_)) => self.strangers += 1,
            // Nobody else has the keys, and nobody else sends to this address: it is the gateway's, and wrong.
            Err(()) => {
                let leg = &mut self.legs[number as usize];
                leg.has_wrong_audio = true;
                let counts = &mut self.counts[usize::from(leg.side)];
                counts.checked += 1;
                counts.wrong_audio += 1;
            }
        }
        true
    }

    #[inline]
    fn on_rtp(
        &mut self,
        now: Nanos,
        number: u32,
        rtp: &Rtp<'_>,
        tracks: &[Track],
        sender: &Sender,
        timeline: &mut Timeline,
    ) {
        let leg = &mut self.legs[number as usize];
        let track = &tracks[usize::from(leg.track)];
        self.packets += 1;
        let ticks = 8 * u32::from(track.ptime_ms[1]);
        let (timestamp, payload) = (rtp.timestamp(), rtp.payload());
        if !leg.heard {
            leg.heard = true;
            // Those before it were lost.
            let first = (0..TOLD_APART).find(|n| track.check(*n, payload) == Audio::Right).unwrap_or(0);
            leg.first_timestamp = timestamp.wrapping_sub(first * ticks);
            (leg.newest, leg.came) = (first, 0);
            self.missing += u64::from(first);
        }
        let behind = timestamp.wrapping_sub(leg.first_timestamp);
        let number = behind / ticks;
        let round = track.completed_by(number);
        let (latency_ns, is_measured) = sender.since(now, leg.group, leg.from, round);
        let counts = &mut self.counts[usize::from(leg.side)];

        let audio = if behind % ticks != 0 || rtp.payload_type() != track.expected_type {
            Audio::Wrong
        } else {
            track.check(number, payload)
        };
        // Of the first packet on, not only of those that the measurement counts.
        counts.checked += u64::from(audio != Audio::Unchecked);
        if audio == Audio::Wrong {
            counts.wrong_audio += 1;
            leg.has_wrong_audio = true;
        }

        let is_new = if number > leg.newest || leg.came == 0 {
            let ahead = number.wrapping_sub(leg.newest);
            leg.came = if ahead < WINDOW { leg.came << ahead } else { 0 } | 1;
            leg.newest = number;
            self.missing += u64::from(ahead.saturating_sub(1));
            // How long ago each of those that were passed over left.
            for passed in (number + 1).saturating_sub(ahead.min(WINDOW))..number {
                let (ago_ns, is_measured) = sender.since(now, leg.group, leg.from, track.completed_by(passed));
                if is_measured {
                    timeline.lost(Nanos(now.0.saturating_sub(ago_ns)));
                }
            }
            true
        } else {
            let back = leg.newest - number;
            let bit = 1_u64.checked_shl(back).unwrap_or(0);
            let is_new = leg.came & bit == 0 && bit != 0;
            leg.came |= bit;
            if is_new {
                self.missing = self.missing.saturating_sub(1);
                counts.reordered += u64::from(is_measured);
            }
            is_new
        };
        if !is_measured {
            return;
        }
        if !is_new {
            counts.received += 1;
            counts.duplicated += 1;
        } else if latency_ns <= LOST_AFTER_NS {
            counts.received += 1;
            counts.in_time += 1;
            leg.in_time += 1;
            self.latency.saturating_record(latency_ns);
            timeline.came(now, latency_ns);
        }
    }

    /// Packets of the measurement that took longer.
    pub(crate) fn slower_than(&self, ns: u64) -> u64 {
        let faster = self.latency.count_between(0, ns);
        self.latency.len().saturating_sub(faster)
    }

    /// Of what came to a leg: packets in time, whether anything came at all, whether any had wrong audio.
    pub(crate) fn leg(&self, leg: u32) -> (u32, bool, bool) {
        let leg = &self.legs[leg as usize];
        (leg.in_time, leg.heard, leg.has_wrong_audio)
    }
}

/// An empty histogram of latencies.
pub(crate) fn latencies() -> Result<Histogram<u64>, hdrhistogram::CreationError> {
    Histogram::new_with_bounds(1, SLOWEST_NS, 2)
}

/// The leg that a datagram is for, and what is in it.
#[inline]
fn arrival<'a>(network: &SourceNetwork, destination: [u8; 4], datagram: &'a mut [u8]) -> Option<(u32, &'a mut [u8])> {
    let (header, rest) = datagram.split_first_chunk_mut::<UDP>()?;
    let port = u16::from_be_bytes([header[2], header[3]]);
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let leg = network.leg(destination, port)?;
    Some((leg, rest.get_mut(..length.checked_sub(UDP)?)?))
}
