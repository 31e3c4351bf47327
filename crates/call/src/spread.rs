//! Placing legs where the device's own spreading brings their packets: a leg whose peer's address is known gets a port whose packets
//! arrive at the queue of the worker that owns it. For all others, workers hand packets over.

use std::net::SocketAddr;

use tandem_wire::rss::udp_hash;

use crate::config::SourceNet;

/// Legs after which it is judged whether the device does as it said.
const JUDGED: u32 = 64;

/// How a device spreads what it receives over its queues; worker `w` has queue `w`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The subnets on the device's port: which of our addresses it is about.
    pub subnets: Vec<SourceNet>,
    /// The key of the Toeplitz hash over addresses and ports.
    pub key: Vec<u8>,
    /// The queue by the hash's low bits. Its length is a power of two.
    pub table: Vec<u16>,
}

impl Spread {
    /// The queue of what `remote` sends to `local`.
    pub fn queue(&self, remote: SocketAddr, local: SocketAddr) -> Option<u16> {
        let hash = udp_hash(&self.key, remote, local)?;
        self.table.get(hash as usize & self.table.len().checked_sub(1)?).copied()
    }
}

/// The devices' spreading, for as long as it holds.
#[derive(Debug, Default)]
pub(crate) struct Spreads {
    spreads: Vec<Spread>,
    /// Of the legs placed by it since the last judgement: those whose packets came where they should, and those whose did not.
    right: u32,
    astray: u32,
}

impl Spreads {
    pub(crate) fn new(spreads: Vec<Spread>) -> Self {
        Self { spreads, right: 0, astray: 0 }
    }

    /// The queue of what `remote` sends to `local`, where the device is known to spread.
    pub(crate) fn queue(&self, remote: SocketAddr, local: SocketAddr) -> Option<u16> {
        let is_ours = |spread: &&Spread| spread.subnets.iter().any(|net| net.contains(local.ip()));
        self.spreads.iter().find(is_ours)?.queue(remote, local)
    }

    /// The first packet of a leg that was placed came by its own worker's queue, or astray. Where a quarter goes astray the device
    /// does something else than it says, or the peers are behind address translation: then nothing is placed any more.
    pub(crate) fn on_started(&mut self, astray: bool) {
        *(if astray { &mut self.astray } else { &mut self.right }) += 1;
        if self.right + self.astray < JUDGED {
            return;
        }
        if self.astray * 4 > JUDGED {
            self.spreads.clear();
        }
        (self.right, self.astray) = (0, 0);
    }
}
