//! What a gap consisted of, from the log of the gateway that went on and from what the parties heard.

use std::time::{Duration, Instant, SystemTime};

/// Moments of one failover, each since the fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    /// The other gateway asked for votes: the active one was missed, or offered to go.
    pub missed: Option<Duration>,
    /// It had a majority, the store's vote among it.
    pub elected: Option<Duration>,
    /// The workers had been asked to go on with the media that was at hand, and the link was told.
    pub resumed: Option<Duration>,
    /// Every call was restored.
    pub restored: Option<Duration>,
    /// The first party heard something again.
    pub first: Option<Duration>,
    /// The last one did.
    pub last: Option<Duration>,
}

impl Account {
    /// What each step took, one after the other; the first from the fault on.
    pub const STEPS: [&'static str; 5] =
        ["missed after", "votes", "media goes on", "first packet heard", "last call heard"];

    pub fn of(log: &str, (struck, struck_at): (Instant, SystemTime), ended: &[Instant]) -> Self {
        let moment = |what: &str| {
            let lines = log.lines().filter(|line| line.contains(what));
            lines.filter_map(time_of).find_map(|at| at.duration_since(struck_at).ok())
        };
        let since = |at: &Instant| at.saturating_duration_since(struck);
        Self {
            missed: moment("Standing("),
            elected: moment("this node has the floating addresses now"),
            resumed: moment("media goes on where its flow was at hand"),
            restored: moment("taken over: "),
            first: ended.iter().map(since).filter(|since| !since.is_zero()).min(),
            last: ended.iter().map(since).max(),
        }
    }

    /// The same, each since the one before it.
    pub fn steps(&self) -> [Option<Duration>; 5] {
        let moments = [self.missed, self.elected, self.resumed, self.first, self.last];
        let mut before = Some(Duration::ZERO);
        moments.map(|moment| {
            let step = moment.zip(before).map(|(moment, before)| moment.saturating_sub(before));
            before = moment;
            step
        })
    }
}

/// When a line of the log was written: it begins with that, in UTC.
fn time_of(line: &str) -> Option<SystemTime> {
    // Colours may stand around it.
    let end = line.find('Z')? + 1;
    let start = line[..end].rfind(|c: char| !c.is_ascii_digit() && !"-:.TZ".contains(c)).map_or(0, |at| at + 1);
    humantime::parse_rfc3339(&line[start..end]).ok()
}
