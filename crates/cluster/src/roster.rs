//! The list of members in the store, where members come and go: [`crate::Keeper`] keeps it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::config::{MAX_MEMBERS, Member, MemberId, Placement};

/// Somebody in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The number by which members know each other.
    pub slot: u8,
    /// The node's name.
    pub name: String,
    /// Where it takes heartbeats.
    pub address: IpAddr,
    /// Where it is.
    pub placement: Placement,
}

impl Enrolled {
    /// How the list's text says that this is in it.
    pub fn mark(slot: MemberId, name: &str) -> String {
        let name = serde_json::Value::from(name);
        format!("{{\"slot\":{},\"name\":{name},", slot.0)
    }

    /// The same as the machine has it.
    pub fn member(&self) -> (MemberId, Member) {
        let member = Member { name: self.name.clone(), placement: self.placement.clone(), takes: 1, paths: 1 };
        (MemberId(self.slot), member)
    }
}

/// Who is a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Grows with every change, so that no two texts are alike.
    pub generation: u64,
    /// The number that was given away last. Numbers come round, so that one is not soon somebody else's.
    pub last_slot: u8,
    /// The members.
    pub members: Vec<Enrolled>,
}

/// What is in the store is no list.
#[derive(Debug, thiserror::Error)]
#[error("the list of members in the store is unreadable: {0}")]
pub struct RosterError(#[from] serde_json::Error);

/// A node that the cloud knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Where it takes heartbeats.
    pub address: IpAddr,
    /// Where it is.
    pub placement: Placement,
    /// Whether it is to be a member. Of others it is only known that they exist.
    pub belongs: bool,
}

impl Roster {
    /// Reads a text.
    ///
    /// # Errors
    /// It is none, or a number is too high or twice in it.
    pub fn parse(text: &str) -> Result<Self, RosterError> {
        use serde::de::Error;
        let roster: Self = serde_json::from_str(text)?;
        let mut seen = [false; MAX_MEMBERS];
        for member in &roster.members {
            let seen = seen.get_mut(usize::from(member.slot)).filter(|seen| !**seen);
            *seen.ok_or_else(|| serde_json::Error::custom(format_args!("slot {}", member.slot)))? = true;
        }
        Ok(roster)
    }

    /// Its text. What is in it can all be written.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// A free number; `None` where there are as many members as there can be.
    fn free_slot(&self, taken: &[Enrolled]) -> Option<u8> {
        let most = u8::try_from(MAX_MEMBERS).unwrap_or(u8::MAX);
        let is_free = |slot: &u8| taken.iter().chain(&self.members).all(|member| member.slot != *slot);
        (1..=most).map(|ahead| self.last_slot.wrapping_add(ahead) % most).find(is_free)
    }

    /// The list after this one: without those for whom `is_gone`, with those that are found.
    pub(crate) fn after(&self, found: &[Found], is_gone: impl Fn(&str) -> bool) -> Self {
        let members = self.members.iter().filter(|member| !is_gone(&member.name)).cloned().collect();
        let mut next = Self { generation: self.generation + 1, last_slot: self.last_slot, members };
        for found in found.iter().filter(|found| found.belongs && !self.has(&found.name)) {
            // A number that was given up in this change is not given away in it.
            let Some(slot) = next.free_slot(&self.members) else { break };
            let Found { name, address, placement, .. } = found.clone();
            next.last_slot = slot;
            next.members.push(Enrolled { slot, name, address, placement });
        }
        next
    }
}

/// One operation of the store's, atomic; it may be late, lost or repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterRequest {
    /// For the answer.
    pub request: u64,
    /// What to write; only reads where this is `None`.
    pub write: Option<RosterWrite>,
}

/// A list to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterWrite {
    /// What must be there; `None` for nothing.
    pub expected: Option<String>,
    /// The new text.
    pub text: String,
    /// What the service's record must begin with.
    pub record: String,
}

/// What the store said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterAnswer {
    /// The request's number.
    pub request: u64,
    /// The list that is there now.
    pub roster: Option<String>,
    /// The service's record.
    pub record: Option<String>,
}
