//! What was asked and answered.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::{Answer, Question, RecordKind, Records};
use crate::Instant;

/// Answers kept at most; those that expire first make room.
const MAX_ENTRIES: usize = 4096;
/// Questions under way at most; beyond, nobody seems to answer.
const MAX_ASKED: usize = 256;
/// For how long an answer is believed, whatever it says itself.
const LONGEST_TTL_S: u32 = 86_400;
/// The same for one that says that there is nothing (RFC 2308 section 5).
const LONGEST_ABSENT_TTL_S: u32 = 300;
/// When a question that nobody answered is asked again: soon where nothing is known, later where an old answer does.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_STALE: Duration = Duration::from_secs(30);
/// How long an old answer does where nobody gives a new one (RFC 8767 section 5).
const LONGEST_STALE: Duration = Duration::from_secs(86_400);

/// Finds servers; see [the module](super).
#[derive(Debug, Default)]
pub struct Locator {
    entries: HashMap<Question, Entry>,
    /// Entries that can make room, those that expire first first.
    by_expiry: BTreeSet<(Instant, Question)>,
    questions: VecDeque<Question>,
    asked: usize,
}

#[derive(Debug)]
struct Entry {
    known: Option<Known>,
    /// When it is to be asked for again.
    expires: Instant,
    /// When it expired by its own word.
    outlived: Instant,
    is_asked: bool,
}

/// What is known of a question.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Records(Arc<Records>),
    Absent { name_exists: bool },
    Failed,
}

/// What a question comes to at the moment.
#[derive(Debug)]
pub(super) enum Look {
    /// This, until then; or this for the time being, where a new answer is awaited.
    Known { known: Known, expires: Instant, is_stale: bool },
    /// The answer is awaited.
    Waiting,
}

impl Locator {
    /// The next thing to ask. Each is to be answered, with [`Answer::Failed`] where nothing else can be said.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.questions.pop_front()
    }

    /// The answer to a question; one that was not asked is passed over.
    pub fn on_answer(&mut self, now: Instant, question: &Question, answer: Answer) {
        let Some(entry) = self.entries.get_mut(question).filter(|entry| entry.is_asked) else { return };
        entry.is_asked = false;
        self.asked -= 1;
        let seconds = |ttl_s: u32, longest: u32| Duration::from_secs(u64::from(ttl_s.clamp(1, longest)));
        match answer {
            Answer::Records { records, ttl_s } if fits(question.kind, &records) => {
                entry.known = Some(Known::Records(Arc::new(records)));
                entry.expires = now + seconds(ttl_s, LONGEST_TTL_S);
                entry.outlived = entry.expires;
            }
            Answer::Absent { name_exists, ttl_s } => {
                entry.known = Some(Known::Absent { name_exists });
                entry.expires = now + seconds(ttl_s, LONGEST_ABSENT_TTL_S);
                entry.outlived = entry.expires;
            }
            Answer::Records { .. } | Answer::Failed => {
                let does = matches!(entry.known, Some(Known::Records(_)))
                    && now.saturating_since(entry.outlived) < LONGEST_STALE;
                entry.expires = now + if does { RETRY_STALE } else { RETRY };
                if !does {
                    entry.known = Some(Known::Failed);
                }
            }
        }
        self.by_expiry.insert((entry.expires, question.clone()));
    }

    /// What is known of a question; it is asked where that is nothing, or too old.
    pub(super) fn look(&mut self, now: Instant, question: Question) -> Look {
        let may_ask = self.asked < MAX_ASKED;
        if let Some(entry) = self.entries.get_mut(&question) {
            let is_over = entry.expires <= now;
            if is_over && !entry.is_asked && may_ask {
                entry.is_asked = true;
                self.asked += 1;
                self.by_expiry.remove(&(entry.expires, question.clone()));
                self.questions.push_back(question);
            }
            return match &entry.known {
                Some(known) => {
                    let expires = if is_over { now + RETRY } else { entry.expires };
                    Look::Known { known: known.clone(), expires, is_stale: is_over && entry.is_asked }
                }
                None => Look::Waiting,
            };
        }
        if !may_ask {
            return Look::Known { known: Known::Failed, expires: now + RETRY, is_stale: false };
        }
        if self.entries.len() >= MAX_ENTRIES
            && let Some((_, oldest)) = self.by_expiry.pop_first()
        {
            self.entries.remove(&oldest);
        }
        let entry = Entry { known: None, expires: now, outlived: now, is_asked: true };
        self.entries.insert(question.clone(), entry);
        self.asked += 1;
        self.questions.push_back(question);
        Look::Waiting
    }

    /// How many answers are kept, or awaited.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

fn fits(kind: RecordKind, records: &Records) -> bool {
    match (kind, records) {
        (RecordKind::A, Records::Addresses(addresses)) => {
            !addresses.is_empty() && addresses.iter().all(|address| address.is_ipv4())
        }
        (RecordKind::Aaaa, Records::Addresses(addresses)) => {
            !addresses.is_empty() && addresses.iter().all(|address| address.is_ipv6())
        }
        (RecordKind::Srv, Records::Srv(servers)) => !servers.is_empty(),
        (RecordKind::Naptr, Records::Naptr(services)) => !services.is_empty(),
        _ => false,
    }
}
