//! What strangers and the over-eager may do: who is heard at all, and how much of it.
//!
//! | what | looked at | costs, where it is not configured |
//! | --- | --- | --- |
//! | a port nobody listens on | before anything else | one lookup, one counter |
//! | lists of allowed and denied prefixes | for packets to legs | one comparison |
//! | packets a second of one source address | for packets to legs | the same one |
//! | packets a second that a leg accepts | once the source is the leg's own, so that strangers use nothing of it up | one comparison |
//! | flows that have not accepted anything yet | at installation | nothing |

mod budget;

use std::net::IpAddr;
use std::sync::Arc;

pub use tandem_contract::Prefix;
use tandem_contract::{DropReason, Nanos, SourceLists};

pub(crate) use budget::Bucket;
use budget::SourceBudgets;

/// Limits on what arrives. The default sets none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defence {
    /// RTP packets a second that a leg accepts; 0 sets no limit.
    pub flow_packets_per_second: u32,
    /// Packets a second to legs, all together, from one source address; 0 sets no limit.
    pub source_packets_per_second: u32,
    /// Who may send to legs, where anyone is named; the longest prefix decides.
    pub allow: Vec<Prefix>,
    /// Who may not.
    pub deny: Vec<Prefix>,
    /// Flows that may be installed and not have accepted any packet yet; 0 sets no limit.
    pub half_open_flows: u32,
}

/// Who may send to legs, and how much.
pub(crate) struct Gatekeeper {
    lists: Arc<SourceLists>,
    rate: u32,
    sources: SourceBudgets,
    /// Whether there is anything to look at.
    watches: bool,
}

impl Gatekeeper {
    pub(crate) fn new(defence: &Defence) -> Self {
        let rate = defence.source_packets_per_second;
        let lists = Arc::new(SourceLists::new(&defence.allow, &defence.deny));
        let watches = rate > 0 || lists.deny_anybody();
        Self { lists, rate, sources: SourceBudgets::new(rate), watches }
    }

    /// Takes other lists. Whoever gave the old ones still has them, so that nothing is freed here but the first.
    pub(crate) fn set_lists(&mut self, lists: Arc<SourceLists>) {
        self.watches = self.rate > 0 || lists.deny_anybody();
        self.lists = lists;
    }

    /// Whether a packet to a leg may go on.
    #[inline(always)]
    pub(crate) fn admit(&mut self, now: Nanos, source: impl FnOnce() -> IpAddr) -> Result<(), DropReason> {
        if self.watches { self.look_at(now, source()) } else { Ok(()) }
    }

    #[inline(never)]
    fn look_at(&mut self, now: Nanos, source: IpAddr) -> Result<(), DropReason> {
        if !self.lists.allow(source) {
            return Err(DropReason::SourceDenied);
        }
        if self.sources.permit(now, source) { Ok(()) } else { Err(DropReason::SourceBudget) }
    }
}
