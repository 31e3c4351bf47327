//! Who sends when, and where each leg receives.

use std::net::{Ipv4Addr, SocketAddrV4};

use tandem_contract::{LegCrypto, MasterKey};

use crate::track::Tracks;
use crate::{CallKind, LoadError, LoadSpec};

/// The addresses and ports that legs receive on: an even port for RTP and the odd one above for RTCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNetwork {
    /// The source's own addresses.
    pub addresses: Vec<Ipv4Addr>,
    /// The lowest port and the highest, on each address.
    pub ports: [u16; 2],
}

impl SourceNetwork {
    const fn first_pair(&self) -> u32 {
        self.ports[0].div_ceil(2) as u32
    }

    /// Pairs of ports on one address.
    pub(crate) fn pairs(&self) -> u32 {
        (u32::from(self.ports[1]).div_ceil(2)).saturating_sub(self.first_pair())
    }

    /// Where a leg receives RTP.
    pub(crate) fn local(&self, leg: u32) -> Option<SocketAddrV4> {
        let pairs = self.pairs();
        let address = self.addresses.get(leg.checked_div(pairs)? as usize)?;
        Some(SocketAddrV4::new(*address, (2 * (self.first_pair() + leg % pairs)) as u16))
    }

    /// The leg that receives RTP there, if the network has the address and the port is an even one of the range.
    #[inline]
    pub(crate) fn leg(&self, address: [u8; 4], port: u16) -> Option<u32> {
        let position = self.addresses.iter().position(|own| own.octets() == address)?;
        let pair = u32::from(port / 2).wrapping_sub(self.first_pair());
        let pairs = self.pairs();
        (port.is_multiple_of(2) && pair < pairs).then(|| position as u32 * pairs + pair)
    }
}

/// A call to be set up: where its legs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedCall {
    /// What the legs speak.
    pub kind: CallKind,
    /// Where leg A and leg B send from and receive.
    pub local: [SocketAddrV4; 2],
}

impl PlannedCall {
    /// Fresh keys for leg `side`, both ways; none where it speaks plain RTP. They protect speech that everybody knows.
    pub fn keys(&self, side: usize) -> Option<LegCrypto> {
        let suite = self.kind.legs[side].protection?.suite();
        let key = || {
            let mut octets = [0; MasterKey::KEY_AND_SALT_MAX];
            fastrand::fill(&mut octets);
            MasterKey::new(suite, &octets[..suite.key_and_salt_len()]).ok()
        };
        Some(LegCrypto { send: key()?, receive: key()? })
    }
}

/// Where a leg of a call that is set up sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteLeg {
    /// The gateway's address for it.
    pub address: SocketAddrV4,
    /// The keys of what it sends and of what it receives; none for plain RTP.
    pub crypto: Option<LegCrypto>,
}

impl RemoteLeg {
    /// A leg over plain RTP.
    pub const fn plain(address: SocketAddrV4) -> Self {
        Self { address, crypto: None }
    }
}

/// Legs that send packets of one length. They are numbered in the order in which they send, so that whoever walks over them in time walks
/// over memory in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupPlan {
    pub(crate) ptime_ms: u8,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LegPlan {
    pub(crate) local: SocketAddrV4,
    /// The other leg of the call.
    pub(crate) other: u32,
    /// What it sends.
    pub(crate) track: u16,
    /// 0 for leg A.
    pub(crate) side: u8,
    /// When it sends after the beginning of each packet time.
    pub(crate) phase_ns: u32,
}

/// Who sends when, and where each leg receives.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) spec: LoadSpec,
    pub(crate) network: SourceNetwork,
    pub(crate) groups: Vec<GroupPlan>,
    pub(crate) legs: Vec<LegPlan>,
    /// Leg A and leg B of each call.
    pub(crate) calls: Vec<[u32; 2]>,
    kinds: Vec<usize>,
}

impl Plan {
    /// Plans a run.
    ///
    /// # Errors
    /// A specification out of range, or more legs than the network has room for.
    pub fn new(spec: &LoadSpec, network: &SourceNetwork) -> Result<Self, LoadError> {
        spec.check()?;
        let room = u64::from(network.pairs()) * network.addresses.len() as u64;
        let wanted = 2 * u64::from(spec.calls);
        if wanted > room {
            return Err(LoadError::Port(format!(
                "{wanted} legs need a pair of ports each, and the source has {room}: give it more addresses, or a wider range of ports"
            )));
        }
        let reframes = |kind: &CallKind| kind.legs[0].ptime_ms != kind.legs[1].ptime_ms;
        let impairments = &spec.impairments;
        if (impairments.loss_percent > 0.0 || impairments.silence_percent > 0) && spec.mix.kinds().iter().any(reframes)
        {
            return Err(LoadError::SetUp(
                "with loss or silence both legs of a kind need the same packet time: nobody can tell which packets should come out".to_owned(),
            ));
        }
        let kinds = spec.mix.interleaved(spec.calls);
        let every_leg = || {
            let legs = |(kind, call): (&usize, u32)| [(*kind, call, 0), (*kind, call, 1)];
            kinds.iter().zip(0..).flat_map(legs)
        };
        let ptime_of = |kind: usize, side: usize| spec.mix.kinds()[kind].legs[side].ptime_ms;
        let mut groups = Vec::new();
        let mut legs = Vec::with_capacity(wanted as usize);
        let mut calls = vec![[0; 2]; spec.calls as usize];
        for ptime_ms in (10..=60).step_by(10) {
            let first = legs.len() as u32;
            for (kind, call, side) in every_leg().filter(|(kind, _, side)| ptime_of(*kind, *side) == ptime_ms) {
                let number = legs.len() as u32;
                calls[call as usize][side] = number;
                let local = network.local(number).ok_or_else(|| LoadError::Port("too few ports".to_owned()))?;
                let track = Tracks::of(kind, side, call);
                legs.push(LegPlan { local, other: 0, track, side: side as u8, phase_ns: 0 });
            }
            let count = legs.len() as u32 - first;
            if count > 0 {
                groups.push(GroupPlan { ptime_ms, first, count });
            }
            let bursts = u64::from(spec.impairments.bursts_per_packet_time);
            for (leg, position) in legs[first as usize..].iter_mut().zip(0_u64..) {
                let (part, parts) = match bursts {
                    0 => (position, u64::from(count)),
                    bursts => (position * bursts / u64::from(count), bursts),
                };
                leg.phase_ns = (part * u64::from(ptime_ms) * 1_000_000 / parts) as u32;
            }
        }
        for [a, b] in &calls {
            legs[*a as usize].other = *b;
            legs[*b as usize].other = *a;
        }
        Ok(Self { spec: spec.clone(), network: network.clone(), groups, legs, calls, kinds })
    }

    /// The calls to be set up.
    pub fn calls(&self) -> impl ExactSizeIterator<Item = PlannedCall> + '_ {
        self.calls.iter().zip(&self.kinds).map(|(legs, kind)| PlannedCall {
            kind: self.spec.mix.kinds()[*kind],
            local: legs.map(|leg| self.legs[leg as usize].local),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(addresses: u8, first: u16, last: u16) -> SourceNetwork {
        let addresses = (1..=addresses).map(|host| Ipv4Addr::new(10, 0, 0, host)).collect();
        SourceNetwork { addresses, ports: [first, last] }
    }

    #[test]
    fn every_leg_is_found_where_it_receives_and_nobody_elsewhere() {
        let network = network(2, 9_999, 10_010);
        let spec = LoadSpec::new("pcmu-pcmu,pcmu@40-g729".parse().unwrap(), 5, 1);
        let plan = Plan::new(&spec, &network).unwrap();
        for (leg, number) in plan.legs.iter().zip(0..) {
            assert_eq!(network.leg(leg.local.ip().octets(), leg.local.port()), Some(number));
            assert_eq!(plan.legs[leg.other as usize].other, number);
        }
        assert_eq!(network.leg([10, 0, 0, 1], 10_001), None, "RTCP");
        assert_eq!(network.leg([10, 0, 0, 1], 10_012), None);
        assert_eq!(network.leg([10, 0, 0, 3], 10_000), None);
        let too_many = Plan::new(&LoadSpec { calls: 6, ..spec }, &network).unwrap_err();
        assert!(
            too_many.to_string().contains("12 legs need a pair of ports each, and the source has 10"),
            "{too_many}"
        );
    }

    #[test]
    fn legs_of_one_packet_time_are_spread_over_it_in_the_order_of_their_numbers() {
        let spec = LoadSpec::new("pcmu-pcma".parse().unwrap(), 4, 1);
        let plan = Plan::new(&spec, &network(1, 10_000, 20_000)).unwrap();
        let phases: Vec<u32> = plan.legs.iter().map(|leg| leg.phase_ns).collect();
        assert_eq!(phases, (0..8).map(|leg| leg * 2_500_000).collect::<Vec<_>>());
    }

    #[test]
    fn bursts_gather_legs_in_as_many_moments() {
        let mut spec = LoadSpec::new("pcmu-pcma".parse().unwrap(), 4, 1);
        spec.impairments.bursts_per_packet_time = 2;
        let plan = Plan::new(&spec, &network(1, 10_000, 20_000)).unwrap();
        let phases: Vec<u32> = plan.legs.iter().map(|leg| leg.phase_ns / 1_000_000).collect();
        assert_eq!(phases, [0, 0, 0, 0, 10, 10, 10, 10]);
    }
}
