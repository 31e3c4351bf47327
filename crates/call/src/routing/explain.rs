//! Where a call would go, and why: the same rules and the same order, told instead of done.

use tandem_contract::Codec;
use tandem_sip::{Uri, escape_user};

use super::{NoDestination, Query, Routing, Standing};
use crate::config::{HuntMode, Member, Order, PeerId, Target};
use crate::stir::IdentityVerdict;
use crate::whereabouts::Resolution;

/// A call that somebody asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enquiry {
    /// The number that is called, or a whole Request-URI.
    pub number: String,
    /// The name of the peer that it comes from; `None` for none of them, so that no route for a certain peer takes it.
    pub from: Option<String>,
    /// The user part of the caller's `From`.
    pub caller: String,
    /// What is known of the caller's identity.
    pub identity: IdentityVerdict,
    /// What the caller offers; `None` where it leaves the offer to us.
    pub offered: Option<Vec<Codec>>,
}

/// Why an enquiry has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnquiryError {
    /// No peer has that name.
    #[error("no peer is called `{0}`")]
    UnknownPeer(String),
    /// The number makes no Request-URI.
    #[error("`{0}` is no number and no SIP URI")]
    NumberUnusable(String),
}

/// Where a call would go.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Explanation {
    /// The number as rules see it.
    pub number: String,
    /// Every rule up to the one that takes the call.
    pub rules: Vec<RuleVerdict>,
    /// The rule that takes it; `None` where none does.
    pub route: Option<String>,
    /// In words: what happens.
    pub outcome: String,
    /// Who would be called, the first one first.
    pub targets: Vec<TargetVerdict>,
}

/// What one rule says to the call.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RuleVerdict {
    /// The rule's name.
    pub route: String,
    /// Whether it takes the call.
    pub takes: bool,
    /// Why not; empty where it does.
    pub because: String,
}

/// One of those who would be called.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TargetVerdict {
    /// The peer.
    pub peer: String,
    /// Its zone, where that is known.
    pub zone: Option<String>,
    /// Whether that is another than this gateway's.
    pub is_far: bool,
    /// The Request-URI that it would be sent.
    pub uri: String,
    /// Whether it is in service.
    pub in_service: bool,
    /// Its calls at present.
    pub calls: u32,
    /// Its answer to OPTIONS, in microseconds.
    pub round_trip_us: Option<u32>,
    /// Where its name leads, where it has one.
    pub resolution: Option<Resolution>,
}

impl Routing {
    /// Where a call would go at `unix_ms`.
    pub(crate) fn explain(
        &self,
        enquiry: &Enquiry,
        own_host: &str,
        unix_ms: u64,
        standing: impl Fn(PeerId) -> Standing,
    ) -> Result<Explanation, EnquiryError> {
        let from = match &enquiry.from {
            None => PeerId::GONE,
            Some(name) => {
                let found = self.peers.iter().zip(0..).find(|(peer, _)| peer.name == *name);
                found.map(|(_, id)| PeerId(id)).ok_or_else(|| EnquiryError::UnknownPeer(name.clone()))?
            }
        };
        let text = if enquiry.number.contains(':') {
            enquiry.number.clone()
        } else {
            format!("sip:{}@{own_host}", escape_user(&enquiry.number))
        };
        let uri = Uri::parse(&text).map_err(|_| EnquiryError::NumberUnusable(enquiry.number.clone()))?;
        let offered = enquiry.offered.as_deref();
        let query = Query { from, uri: &uri, caller: &enquiry.caller, identity: enquiry.identity, offered, unix_ms };
        let number = query.number();
        let mut explained =
            Explanation { number, rules: Vec::new(), route: None, outcome: String::new(), targets: Vec::new() };
        for route in &self.routes {
            let mismatch = query.mismatch(route, &explained.number);
            let because = mismatch.map(|mismatch| mismatch.to_string());
            let takes = because.is_none();
            explained.rules.push(RuleVerdict {
                route: route.name.clone(),
                takes,
                because: because.unwrap_or_default(),
            });
            if takes {
                explained.route = Some(route.name.clone());
                explained.outcome = self.outcome_of(route.to);
                match self.plan_of(route, &query, &explained.number, &standing, || 0) {
                    Ok(plan) => {
                        let verdicts = plan.candidates.into_iter().map(|candidate| {
                            let Standing { calls, round_trip_us, is_out } = standing(candidate.peer);
                            TargetVerdict {
                                peer: candidate.config.name.clone(),
                                zone: candidate.config.zone.clone(),
                                is_far: candidate.config.is_far,
                                uri: candidate.uri.to_string(),
                                in_service: !is_out,
                                calls,
                                round_trip_us,
                                resolution: None,
                            }
                        });
                        explained.targets = verdicts.collect();
                    }
                    Err(NoDestination::NoRoute | NoDestination::UnknownUser | NoDestination::UserAway) => {}
                    Err(NoDestination::AddressIncomplete) => {
                        "484: nothing is left of the number after the route's rewriting"
                            .clone_into(&mut explained.outcome);
                    }
                }
                return Ok(explained);
            }
        }
        "404: no route takes it".clone_into(&mut explained.outcome);
        Ok(explained)
    }

    fn outcome_of(&self, to: Target) -> String {
        let group = match to {
            Target::Peer(id) => {
                return format!("to peer {}", self.peer(id).map_or("?", |peer| peer.name.as_str()));
            }
            Target::Group(id) => &self.groups[usize::from(id.0)],
        };
        let order = match group.order {
            Order::Listed => "as listed",
            Order::RoundRobin => "each first in its turn",
            Order::Weight => "at random by weight",
            Order::LeastCalls => "fewest calls first",
            Order::Latency => "quickest answer to OPTIONS first",
            Order::CallerHash => "by the caller's number",
        };
        let mode = match group.hunt.mode {
            HuntMode::FailOver => "the next where one fails",
            HuntMode::InOrder => "one after another",
            HuntMode::Parallel => "all at once",
        };
        let is_far = |member: &Member| self.peer(member.peer).is_some_and(|peer| peer.is_far);
        let zone = if group.members.iter().any(is_far) { ", other zones last" } else { "" };
        format!("to group {}: {order}{zone}, {mode}", group.name)
    }
}
