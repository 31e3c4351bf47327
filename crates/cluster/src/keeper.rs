//! Keeps the list of members in the store, where members come and go.
//!
//! | what is there | what a node does |
//! | --- | --- |
//! | nothing, and this node knows none | writes one with everybody who is found, if that stays so for [`EMPTY_NS`] |
//! | nothing, and this node knows one | writes that again, as the store lost it: the holder at once, others if that stays so for [`EMPTY_NS`] |
//! | a list without this node | waits until its holder adds it |
//! | a list of nodes that exist no more, and a record that stands still for [`STILL_NS`] | writes one with everybody who is found |
//! | a list, and this node holds the service | adds who is found and not in it, takes out who is not found [`MISSES`] times in a row |
//!
//! Every write compares what is there with what was read, and looks at whose the service's record is, in one step of the store's.

use std::collections::BTreeMap;

use tandem_contract::Nanos;

use crate::config::MemberId;
use crate::lease::{Hold, LeaseRecord};
use crate::roster::{Enrolled, Found, Roster, RosterAnswer, RosterError, RosterRequest, RosterWrite};

/// Between looks into the store.
const LOOK_NS: u64 = 1_000_000_000;
/// A look that was not answered for so long is lost.
const LOST_NS: u64 = 2_000_000_000;
/// A list that is missing for so long is none that a holder would write again: who is not the holder may know an older one.
const EMPTY_NS: u64 = 10_000_000_000;
/// A record that stands still for so long is nobody's who is alive.
const STILL_NS: u64 = 30_000_000_000;
/// Looks in a row at the cloud that did not find somebody: one may be a little old.
const MISSES: u8 = 3;

/// Keeps the list, as one node: a machine without I/O.
#[derive(Debug)]
pub struct Keeper {
    own: String,
    found: Option<Vec<Found>>,
    /// Looks in a row that did not find somebody.
    missing: BTreeMap<String, u8>,
    /// The list, and its text.
    known: Option<(String, Roster)>,
    /// Whether the store had it when it was asked last; `None` where it was never asked.
    is_there: Option<bool>,
    /// What is to be written in place of the list, until it is there or something else is: it may be at any time.
    pending: Option<Roster>,
    in_flight: Option<(u64, Nanos)>,
    requests: u64,
    next: Nanos,
    empty_since: Option<Nanos>,
    /// The service's record, and since when it is that.
    record: (Option<String>, Nanos),
    /// The epoch in which this node holds the service.
    held_in: Option<u64>,
}

impl Keeper {
    /// As the node called `own`.
    pub fn new(now: Nanos, own: &str) -> Self {
        Self {
            own: own.to_owned(),
            found: None,
            missing: BTreeMap::new(),
            known: None,
            is_there: None,
            pending: None,
            in_flight: None,
            requests: 0,
            next: now,
            empty_since: None,
            record: (None, now),
            held_in: None,
        }
    }

    /// What the cloud was found to have.
    pub fn on_found(&mut self, found: Vec<Found>) {
        let members = self.known.iter().flat_map(|(_, roster)| &roster.members).map(|member| &member.name);
        let names: Vec<String> = members.chain([&self.own]).cloned().collect();
        let belongs = |name: &String| found.iter().any(|found| found.belongs && found.name == *name);
        let missed = names.into_iter().filter(|name| !belongs(name));
        self.missing = missed
            .map(|name| {
                let before = self.missing.get(&name).copied().unwrap_or(0);
                (name, before.saturating_add(1))
            })
            .collect();
        self.found = Some(found);
    }

    fn is_gone(&self, name: &str) -> bool {
        self.missing.get(name).is_some_and(|misses| *misses >= MISSES)
    }

    /// Whether the cloud says, again and again, that this node is to be no member.
    pub fn is_unwanted(&self) -> bool {
        self.is_gone(&self.own)
    }

    /// This node's number, where it is in the list.
    pub fn enrolled(&self) -> Option<MemberId> {
        let (_, roster) = self.known.as_ref()?;
        roster.members.iter().find(|member| member.name == self.own).map(|member| MemberId(member.slot))
    }

    /// Everybody on whom a holder has to count: who is in the list, and who may be by now.
    pub fn members(&self) -> Vec<Enrolled> {
        let mut members: Vec<Enrolled> = Vec::new();
        let lists = self.known.iter().map(|(_, roster)| roster).chain(&self.pending);
        for member in lists.flat_map(|roster| &roster.members) {
            if members.iter().all(|known| known.slot != member.slot) {
                members.push(member.clone());
            }
        }
        members
    }

    /// Names of everybody in the list.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().flat_map(|(_, roster)| &roster.members).map(|member| member.name.as_str())
    }

    /// The service's record as it was when the list was read.
    pub fn record(&self) -> Option<LeaseRecord> {
        self.record.0.as_ref().filter(|_| self.is_there == Some(true))?.parse().ok()
    }

    /// When there is something to ask.
    pub fn next_deadline(&self) -> Nanos {
        self.in_flight.map_or(self.next, |(_, sent_at)| sent_at.plus(LOST_NS))
    }

    /// The operation that is due. `holds` is how this node holds the service, where it does. Before a write is performed,
    /// [`Keeper::members`] has to be what the holder counts on.
    pub fn request(&mut self, now: Nanos, holds: Option<Hold>) -> Option<RosterRequest> {
        let held_in = holds.map(|hold| hold.epoch);
        if std::mem::replace(&mut self.held_in, held_in) != held_in && held_in.is_some() {
            // Until the list has been read it cannot go on without the store.
            self.next = now;
        }
        if now < self.next_deadline() {
            return None;
        }
        self.next = now.plus(LOOK_NS);
        let write = self.wanted(now, holds);
        self.requests += 1;
        self.in_flight = Some((self.requests, now));
        Some(RosterRequest { request: self.requests, write })
    }

    fn wanted(&mut self, now: Nanos, holds: Option<Hold>) -> Option<RosterWrite> {
        let found = self.found.as_ref()?;
        let everybody = |after: &Roster| after.after(found, |_| true);
        let belongs = found.iter().any(|found| found.belongs && found.name == self.own);
        let is_empty = self.empty_since.is_some_and(|since| now.since(since) >= EMPTY_NS);
        match (&self.known, self.is_there?) {
            (Some((text, _)), false) => {
                let write = || RosterWrite { expected: None, text: text.clone(), record: String::new() };
                (holds.is_some() || is_empty).then(write)
            }
            (None, false) => {
                let first = Roster { last_slot: u8::MAX, ..Roster::default() };
                (is_empty && belongs).then(|| RosterWrite {
                    expected: None,
                    text: everybody(&first).text(),
                    record: String::new(),
                })
            }
            (Some((text, roster)), true) if !roster.has(&self.own) => {
                let exists = |name: &str| found.iter().any(|found| found.name == name);
                let all_gone = roster.members.iter().all(|member| self.is_gone(&member.name) && !exists(&member.name));
                let (record, since) = &self.record;
                (all_gone && belongs && now.since(*since) >= STILL_NS).then(|| RosterWrite {
                    expected: Some(text.clone()),
                    text: everybody(roster).text(),
                    record: record.clone().unwrap_or_default(),
                })
            }
            (Some((text, roster)), true) => {
                let hold = holds?;
                // Two that may come to be in place of one are one too many.
                let next = self.pending.take();
                let next = next.unwrap_or_else(|| roster.after(found, |name| name != self.own && self.is_gone(name)));
                if next.members == roster.members {
                    return None;
                }
                let write = RosterWrite { expected: Some(text.clone()), text: next.text(), record: hold.to_string() };
                self.pending = Some(next);
                Some(write)
            }
            (None, true) => None,
        }
    }

    /// The store answered.
    ///
    /// # Errors
    /// There is something else than a list; what was known stays.
    pub fn on_answer(&mut self, now: Nanos, answer: RosterAnswer) -> Result<(), RosterError> {
        if self.in_flight.take_if(|(request, _)| *request == answer.request).is_none() {
            return Ok(());
        }
        if self.record.0 != answer.record {
            self.record = (answer.record, now);
        }
        // What cannot be read is as good as not known.
        self.is_there = None;
        let Some(text) = answer.roster else {
            self.is_there = Some(false);
            self.empty_since.get_or_insert(now);
            return Ok(());
        };
        self.empty_since = None;
        if self.known.as_ref().is_none_or(|(known, _)| *known != text) {
            let roster = Roster::parse(&text)?;
            self.known = Some((text, roster));
            // Written, or never to be: it was compared with what is there no more.
            self.pending = None;
        }
        self.is_there = Some(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::Placement;

    const SECOND: u64 = 1_000_000_000;

    fn found(names: &[&str]) -> Vec<Found> {
        let one = |(name, number): (&&str, u8)| Found {
            name: (*name).to_owned(),
            address: IpAddr::from([10, 0, 0, number]),
            placement: Placement::default(),
            belongs: true,
        };
        names.iter().zip(1..).map(one).collect()
    }

    /// The store: the list and the service's record.
    #[derive(Default)]
    struct Store {
        roster: Option<String>,
        record: Option<String>,
    }

    impl Store {
        fn perform(&mut self, request: RosterRequest) -> RosterAnswer {
            if let Some(write) = request.write
                && write.expected == self.roster
                && self.record.as_deref().unwrap_or_default().starts_with(&write.record)
            {
                self.roster = Some(write.text);
            }
            RosterAnswer { request: request.request, roster: self.roster.clone(), record: self.record.clone() }
        }

        fn names(&self) -> Vec<String> {
            let roster = Roster::parse(self.roster.as_deref().expect("a list")).unwrap();
            roster.members.into_iter().map(|member| member.name).collect()
        }
    }

    /// Lets a node look once a second until `until_s`.
    fn run(keeper: &mut Keeper, store: &mut Store, seconds: std::ops::Range<u64>, holds: Option<Hold>) {
        for second in seconds {
            if let Some(request) = keeper.request(Nanos(second * SECOND), holds) {
                let answer = store.perform(request);
                keeper.on_answer(Nanos(second * SECOND), answer).unwrap();
            }
        }
    }

    #[test]
    fn the_first_list_has_everybody_who_is_found_and_is_not_written_at_once() {
        let (mut a, mut b, mut store) = (Keeper::new(Nanos(0), "a"), Keeper::new(Nanos(0), "b"), Store::default());
        for keeper in [&mut a, &mut b] {
            keeper.on_found(found(&["a", "b"]));
        }
        run(&mut a, &mut store, 0..10, None);
        assert_eq!(store.roster, None, "it may be that the store lost it");
        run(&mut a, &mut store, 10..13, None);
        run(&mut b, &mut store, 10..13, None);
        assert_eq!(store.names(), ["a", "b"]);
        assert_eq!((a.enrolled(), b.enrolled()), (Some(MemberId(0)), Some(MemberId(1))));
        let text = store.roster.unwrap();
        assert!(text.contains(&Enrolled::mark(MemberId(1), "b")), "{text}");
        assert!(!text.contains(&Enrolled::mark(MemberId(0), "b")), "{text}");
    }

    /// By a, in the record's epoch.
    fn held(incarnation: u64) -> Option<Hold> {
        Some(Hold { member: MemberId(0), incarnation, epoch: 1 })
    }

    fn pair() -> (Keeper, Store) {
        let (mut a, mut store) = (Keeper::new(Nanos(0), "a"), Store::default());
        a.on_found(found(&["a", "b"]));
        run(&mut a, &mut store, 0..13, None);
        (a, store)
    }

    #[test]
    fn the_holder_adds_who_is_launched_and_takes_out_who_is_not_found_for_long() {
        let (mut a, mut store) = pair();
        store.record = Some("0 7 1 1".to_owned());
        a.on_found(found(&["a", "b", "c"]));
        run(&mut a, &mut store, 20..22, None);
        assert_eq!(store.names(), ["a", "b"], "who does not hold it changes nothing");
        run(&mut a, &mut store, 22..24, held(8));
        assert_eq!(store.names(), ["a", "b"], "the record is of another life");
        run(&mut a, &mut store, 24..26, held(7));
        assert_eq!(store.names(), ["a", "b", "c"]);
        for look in 0..3 {
            assert_eq!(store.names(), ["a", "b", "c"], "look {look}");
            a.on_found(found(&["a", "c"]));
            run(&mut a, &mut store, 30 + 3 * look..33 + 3 * look, held(7));
        }
        assert_eq!(store.names(), ["a", "c"]);
        a.on_found(found(&["a", "c", "d"]));
        run(&mut a, &mut store, 50..53, held(7));
        assert_eq!(
            a.members().last().map(|member| (member.name.as_str(), member.slot)),
            Some(("d", 3)),
            "not b's number"
        );
    }

    #[test]
    fn a_write_without_an_answer_is_counted_on_until_something_else_is_there() {
        let (mut a, mut store) = pair();
        store.record = Some("0 7 1 1".to_owned());
        a.on_found(found(&["a", "b", "c"]));
        let lost = a.request(Nanos(20 * SECOND), held(7)).unwrap();
        assert!(lost.write.is_some());
        let names = |keeper: &Keeper| keeper.members().into_iter().map(|member| member.name).collect::<Vec<_>>();
        assert_eq!(names(&a), ["a", "b", "c"], "before it is written");
        // It held the service no more when it asked again; the write comes late.
        run(&mut a, &mut store, 25..27, None);
        assert_eq!(names(&a), ["a", "b", "c"]);
        store.perform(lost);
        run(&mut a, &mut store, 28..30, None);
        assert_eq!(names(&a), ["a", "b", "c"]);
        assert_eq!(a.pending, None);
    }

    #[test]
    fn a_list_that_the_store_lost_is_written_again_by_who_knows_it() {
        let (mut a, mut store) = pair();
        let before = store.roster.take();
        let mut c = Keeper::new(Nanos(0), "c");
        c.on_found(found(&["a", "b", "c"]));
        run(&mut c, &mut store, 20..23, None);
        run(&mut a, &mut store, 23..25, None);
        assert_eq!(store.roster, None, "the holder may know a later one");
        run(&mut a, &mut store, 25..27, held(7));
        assert_eq!(store.roster, before);
        run(&mut c, &mut store, 27..60, None);
        assert_eq!((store.roster, c.enrolled()), (before, None), "it waits for the holder");
    }

    #[test]
    fn a_list_of_nodes_that_exist_no_more_is_replaced_and_one_of_detached_nodes_is_not() {
        let (_, mut store) = pair();
        store.record = Some("0 7 1 1".to_owned());
        let mut c = Keeper::new(Nanos(0), "c");
        run(&mut c, &mut store, 100..103, None);
        let mut detached = found(&["c", "a"]);
        detached[1].belongs = false;
        for _ in 0..5 {
            c.on_found(detached.clone());
        }
        run(&mut c, &mut store, 103..200, None);
        assert_eq!(store.names(), ["a", "b"], "a runs, and may hold it");
        for _ in 0..5 {
            c.on_found(found(&["c"]));
        }
        store.record = Some("0 7 1 2".to_owned());
        run(&mut c, &mut store, 200..229, None);
        assert_eq!(store.names(), ["a", "b"], "the record was renewed lately");
        run(&mut c, &mut store, 229..235, None);
        assert_eq!((store.names(), c.enrolled()), (vec!["c".to_owned()], Some(MemberId(2))));
    }

    #[test]
    fn who_is_not_found_among_them_again_and_again_is_unwanted() {
        let mut a = Keeper::new(Nanos(0), "a");
        for unwanted in [false, false, true] {
            a.on_found(found(&["b"]));
            assert_eq!(a.is_unwanted(), unwanted);
        }
        a.on_found(found(&["a"]));
        assert!(!a.is_unwanted());
    }

    #[test]
    fn what_is_no_list_is_told() {
        for text in [
            "",
            "{}",
            r#"{"generation":1,"last_slot":0,"members":[{"slot":16,"name":"a","address":"10.0.0.1","placement":{"zone":"","subnet":"","host":null,"group":null}}]}"#,
        ] {
            assert!(
                Roster::parse(text)
                    .unwrap_err()
                    .to_string()
                    .starts_with("the list of members in the store is unreadable")
            );
        }
        let roster = Roster { last_slot: u8::MAX, ..Roster::default() }.after(&found(&["a", "b"]), |_| false);
        assert_eq!(Roster::parse(&roster.text()).unwrap(), roster);
    }
}
