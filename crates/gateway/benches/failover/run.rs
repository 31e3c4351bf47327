//! One failover: calls come up, the active gateway fails, the parties listen, the calls end, what failed comes back.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::account::Account;
use crate::cases::Case;
use crate::ms;
use crate::support::pair::Pair;
use crate::support::talkers::{Heard, Standing, Talkers, quantile, tally};

pub const CODECS: [&str; 4] = ["G722", "PCMA", "G729", "PCMA+SRTP"];

const PATIENCE: Duration = Duration::from_secs(20);
/// From the fault until what failed comes back.
const ABSENCE: Duration = Duration::from_secs(2);
/// Whoever hears nothing for so long before the end hears nothing.
const SILENCE: Duration = Duration::from_millis(400);

/// What came of it.
pub struct Run {
    pub calls: usize,
    pub standings: Vec<Standing>,
    /// Parties that heard nothing in the end.
    pub silent: usize,
    /// Gaps of what the caller and the callee heard, and how much of each the parties' own thread was away.
    pub gaps: [Vec<Gap>; 2],
    /// Packets of the gateway that was relieved, after the other had begun.
    pub from_two: u64,
    /// Answers that nobody waited for.
    pub duplicates: u64,
    pub records: usize,
    pub account: Account,
}

#[derive(Clone, Copy)]
pub struct Gap {
    pub whole: Duration,
    pub stalled: Duration,
}

impl Gap {
    /// Without the time that the parties themselves were away.
    pub fn own(self) -> Duration {
        self.whole.saturating_sub(self.stalled)
    }
}

impl Run {
    pub fn lost(&self) -> usize {
        self.standings.iter().filter(|standing| **standing != Standing::Ended).count()
    }

    pub fn gaps(&self) -> impl Iterator<Item = Gap> {
        self.gaps.iter().flatten().copied()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gaps: Vec<Duration> = self.gaps().map(|gap| gap.whole).collect();
        let of = |share| ms(quantile(&gaps, share));
        write!(
            f,
            "{} of {} lost, gap p50 {} ms, p99 {} ms, most {} ms",
            self.lost(),
            self.calls,
            of(0.5),
            of(0.99),
            of(1.0)
        )?;
        if self.lost() > 0 {
            write!(f, ", {:?}", tally(&self.standings))?;
        }
        Ok(())
    }
}

/// All runs of one case, with the same networks and gateways.
pub fn repeat(case: Case, calls: usize, repeats: usize, beat_ms: u32, mut progress: impl FnMut(&Run)) -> Vec<Run> {
    let mut pair = Pair::watching(beat_ms);
    let mut talkers = pair.talkers(0, &CODECS);
    let run = |_| {
        let run = once(case, &mut pair, &mut talkers, calls);
        progress(&run);
        run
    };
    (0..repeats).map(run).collect()
}

/// Does `work` in another thread while the parties go on.
fn meanwhile<T: Send>(talkers: &mut Talkers, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(work);
        while !worker.is_finished() {
            talkers.run(Duration::from_millis(2));
        }
        worker.join().expect("it ends")
    })
}

fn once(case: Case, pair: &mut Pair, talkers: &mut Talkers, calls: usize) -> Run {
    let active = pair.await_holder();
    let other = 1 - active;
    let recorded = pair.records().len();
    talkers.meet(calls, &CODECS);
    talkers.call(Duration::from_secs(60));
    meanwhile(talkers, || {
        pair.await_warm(other, calls as u64);
        [0, 1].into_iter().for_each(|node| pair.await_fit(node));
    });
    // Positions of every call, and heartbeats without what setting them up cost.
    talkers.run(Duration::from_millis(700));
    talkers.listen_anew();
    talkers.run(Duration::from_millis(100));
    let struck = meanwhile(talkers, || {
        let at = (Instant::now(), SystemTime::now());
        case.strike(pair, active);
        at
    });
    // Asked of nobody, and answered by one.
    talkers.ask();
    let until = struck.0 + ABSENCE;
    talkers.run(until.saturating_duration_since(Instant::now()));
    let heals_at_once = matches!(case, Case::Stop | Case::HeartbeatCut | Case::MediaCut | Case::PowerCut);
    if heals_at_once {
        meanwhile(talkers, || case.heal(pair, active));
        talkers.run(Duration::from_millis(500));
    }
    let now = Instant::now();
    let heard = [0, 1].map(|party| talkers.heard(party));
    let gaps = heard.each_ref().map(|heard| {
        let gap = |heard: &Heard| {
            let (whole, ended) = heard.longest(now);
            Gap { whole, stalled: talkers.stalled(ended.checked_sub(whole).unwrap_or(ended), ended) }
        };
        heard.iter().map(gap).collect::<Vec<_>>()
    });
    let is_silent = |heard: &&Heard| heard.quiet_for(now) > SILENCE;
    let silent = heard.iter().flatten().filter(is_silent).count();
    let from_two = heard.iter().flatten().map(|heard| heard.from_two).sum();
    let firsts: Vec<Instant> = heard.iter().flatten().filter_map(|heard| heard.resumed).collect();
    let successor = if case.moves() { other } else { active };
    let account = Account::of(&pair.node(successor).process.log(), struck, &firsts);
    let standings = talkers.hang_up(PATIENCE);
    let duplicates = talkers.duplicates();
    let until = Instant::now() + PATIENCE;
    while pair.records().len() < recorded + calls && Instant::now() < until {
        sleep(Duration::from_millis(50));
    }
    let records = pair.records().len() - recorded;
    if !heals_at_once {
        case.heal(pair, active);
    }
    Run { calls, standings, silent, gaps, from_two, duplicates, records, account }
}
