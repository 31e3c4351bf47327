//! What two gateways lean on dies, at every step of a call and of a takeover: the store of calls, the store of votes with it, and the
//! database of records. Calls go on, records come once each, and an alarm says what is away.
#![allow(missing_docs, unreachable_pub)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use support::pair::Pair;
use support::softphone::alone;
use support::talkers::Standing;
use support::{Scratch, may_make_networks};
use tandem_testkit::Postgres;

const CORES: [usize; 2] = [1, 1];
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough for two workers and the parties on two cores.
const BEAT_MS: u32 = 200;

/// A pair whose records go to a database, and which has a store of votes beside that of calls where `has_two_stores`.
struct House {
    pair: Pair,
    database: Postgres,
    _directory: Scratch,
}

impl House {
    fn up(has_two_stores: bool) -> Self {
        let directory = Scratch::new();
        // The server's own user has to get in.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let database = Postgres::start(directory.path()).expect("PostgreSQL starts");
        let more = format!("store: {{ url: \"{}\" }}\n", database.url());
        let pair = if has_two_stores {
            Pair::watching_with(BEAT_MS, &more)
        } else {
            Pair::clustered_with("PCMA", CORES, &more, |_| ())
        };
        Self { pair, database, _directory: directory }
    }

    /// Both are gone, whatever they were at.
    fn stop_stores(&mut self) {
        self.pair.stores[0].signal("KILL");
        self.database.stop().expect("PostgreSQL stops");
    }

    /// Both are there again, the store of calls with nothing in it.
    fn resume_stores(&mut self) {
        self.pair.start_store(0);
        self.database.resume().expect("PostgreSQL starts again");
    }

    fn await_metrics(&self, node: usize, wanted: &[&str]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let metrics = self.pair.metrics(node);
            let is_there = |line: &&str| metrics.lines().any(|known| known == *line);
            if wanted.iter().all(is_there) {
                return;
            }
            assert!(Instant::now() < until, "not {wanted:?}:\n{metrics}\n{}", self.pair.node(node).process.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the database has so many records, of both nodes; their Call-IDs in the order in which they came.
    fn await_delivered(&self, count: usize) -> Vec<String> {
        let question = "SELECT l.call_id FROM call_records r JOIN call_record_legs l ON l.record_id = r.id AND l.leg = 'caller' \
                        ORDER BY r.ended_ms";
        let until = Instant::now() + PATIENCE;
        loop {
            let ids: Vec<String> =
                self.database.query(question).expect("an answer").lines().map(str::to_owned).collect();
            if ids.len() >= count {
                return ids;
            }
            assert!(Instant::now() < until, "{} of {count} records are in the database", ids.len());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Records are in the database as they were written: all of them, none twice, in order.
    fn assert_delivered(&self, count: usize) {
        let delivered = self.await_delivered(count);
        let mut written = self.pair.records();
        written.sort_by_key(|record| record["ended"].as_str().map(str::to_owned));
        let written: Vec<_> =
            written.iter().map(|record| record["caller"]["call_id"].as_str().expect("an id")).collect();
        assert_eq!(delivered, written);
        assert_eq!(delivered.len(), count);
    }
}

const AWAY: [&str; 2] = ["tandem_store_up 0", "tandem_database_up 0"];
const THERE: [&str; 2] = ["tandem_store_up 1", "tandem_database_up 1"];

#[test]
fn a_call_goes_on_at_whichever_step_the_stores_die_and_its_record_comes_once_and_in_order() {
    const STEPS: [&str; 5] = ["set-up", "ringing", "answered", "re-INVITE", "BYE"];
    if !may_make_networks("a_call_goes_on_at_whichever_step_the_stores_die_and_its_record_comes_once_and_in_order") {
        return;
    }
    let _alone = alone();
    let mut house = House::up(false);
    let holder = house.pair.await_holder();
    let other = 1 - holder;
    let mut talkers = house.pair.talkers(0, &["PCMA"]);
    for (done, dies_at) in STEPS.into_iter().enumerate() {
        house.await_metrics(holder, &THERE);
        let mut before = |step| {
            if step == dies_at {
                house.stop_stores();
            }
        };
        talkers.meet(1, &["PCMA"]);
        before("set-up");
        talkers.call_until_it_rings(PATIENCE);
        before("ringing");
        talkers.answer(PATIENCE);
        before("answered");
        talkers.listen_anew();
        talkers.hear(20, PATIENCE);
        before("re-INVITE");
        talkers.change(PATIENCE);
        talkers.listen_anew();
        talkers.hear(20, PATIENCE);
        before("BYE");
        assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended], "the stores died at {dies_at}");
        house.pair.node(holder).records(done + 1);
        house.await_metrics(holder, &AWAY);
        house.await_metrics(holder, &["tandem_cluster_active 1"]);
        house.resume_stores();
        house.await_metrics(holder, &THERE);
        house.pair.await_warm(other, 0);
    }
    house.assert_delivered(STEPS.len());
    house.pair.node(holder).assert_idle();
}

#[test]
fn a_takeover_succeeds_at_whichever_step_the_stores_die_and_loses_neither_calls_nor_records() {
    const STEPS: [&str; 3] = ["before the fault", "with it", "after the takeover"];
    if !may_make_networks("a_takeover_succeeds_at_whichever_step_the_stores_die_and_loses_neither_calls_nor_records") {
        return;
    }
    let _alone = alone();
    let mut house = House::up(true);
    let mut talkers = house.pair.talkers(0, &["PCMA"]);
    for (done, die) in STEPS.into_iter().enumerate() {
        let holder = house.pair.await_holder();
        let other = 1 - holder;
        talkers.meet(2, &["PCMA"]);
        talkers.call(PATIENCE);
        house.pair.await_warm(other, 2);
        [0, 1].into_iter().for_each(|node| house.pair.await_fit(node));
        talkers.listen_anew();
        talkers.hear(30, PATIENCE);
        if die == "before the fault" {
            house.stop_stores();
            house.await_metrics(other, &AWAY);
        }
        house.pair.node(holder).process.signal("KILL");
        house.pair.nodes[holder] = None;
        if die == "with it" {
            house.stop_stores();
        }
        house.await_metrics(other, &["tandem_cluster_active 1"]);
        if die == "after the takeover" {
            house.stop_stores();
        }
        talkers.listen_anew();
        talkers.hear(30, PATIENCE);
        house.await_metrics(other, &AWAY);
        assert_eq!(talkers.hang_up(PATIENCE), [Standing::Ended; 2], "the stores died {die}");
        house.pair.node(other).assert_idle();
        house.resume_stores();
        house.await_metrics(other, &THERE);
        house.await_delivered(2 * (done + 1));
        house.pair.start_again(holder);
        house.pair.await_warm(holder, 0);
    }
    house.assert_delivered(2 * STEPS.len());
}
