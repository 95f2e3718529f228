//! The account of a run: accepted messages, their notifications, and what customers have read.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use messenger_handover::call::MessageKey;
use messenger_handover::id::{AppId, MessageId, UserId};

use crate::DESK;
use crate::replica::{News, What};

/// A message's sender (the bot or an agent), its customer and its key.
type Of = (bool, UserId, MessageKey);

#[derive(Default)]
pub struct Account {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: HashMap<Of, Answer>,
    /// The customers' messages by id, and which of the two hosts was notified.
    written: HashMap<String, [bool; 2]>,
    /// The messages that each customer has read, and their sender.
    read: HashMap<UserId, Vec<(bool, String)>>,
    conflicts: HashMap<u32, u64>,
    slowest: Duration,
}

#[derive(Default)]
struct Answer {
    accepted: Option<Instant>,
    ends: Vec<What>,
}

/// The result of a run.
pub struct Table {
    rows: Vec<(String, u64)>,
    broken: bool,
}

impl Account {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn accepted(&self, bot: bool, user: UserId, key: MessageKey) {
        let mut state = self.state();
        state.answers.entry((bot, user, key)).or_default().accepted.get_or_insert_with(Instant::now);
    }

    pub fn hears(&self, News { bot, user, key, what, process, conflicts }: News) {
        if what == What::Accepted {
            self.accepted(bot, user.clone(), key.clone());
        }
        let mut state = self.state();
        let seen = state.conflicts.entry(process).or_default();
        *seen = conflicts.max(*seen);
        if what == What::Heard {
            state.written.entry(key.to_string()).or_default()[usize::from(bot)] = true;
        } else if what != What::Accepted {
            let answer = state.answers.entry((bot, user, key)).or_default();
            if !answer.ends.contains(&what) {
                answer.ends.push(what);
            }
        }
    }

    pub fn wrote(&self, mid: &MessageId) {
        self.state().written.entry(mid.to_string()).or_default();
    }

    pub fn reached(&self, app: &AppId, user: UserId, text: String) {
        let bot = *app != AppId::from(DESK);
        let mut state = self.state();
        if let Ok(key) = MessageKey::new(&text)
            && let Some(accepted) =
                state.answers.get(&(bot, user.clone(), key)).and_then(|answer| answer.accepted)
        {
            state.slowest = state.slowest.max(accepted.elapsed());
        }
        state.read.entry(user).or_default().push((bot, text));
    }

    /// Number of messages without a final status, plus customer messages that were not notified to both hosts.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.answers.values().filter(|answer| answer.ends.is_empty()).count() + state.unheard()
    }

    /// Number of messages that customers have read.
    pub fn read(&self) -> usize {
        self.state().read.values().map(Vec::len).sum()
    }

    /// The result. `settled` is false if the run timed out; `kills` of `wanted` processes were killed.
    pub fn table(&self, settled: bool, kills: u64, wanted: u64) -> Table {
        let state = self.state();
        let nothing = Vec::new();
        let (mut delivered, mut unknown, mut lost, mut misreported) = (0, 0, 0, 0);
        let mut failed: BTreeMap<&str, u64> = BTreeMap::new();
        for ((bot, user, key), answer) in &state.answers {
            let text = if *bot { format!("bot:{key}") } else { key.to_string() };
            let read = state.read.get(user).unwrap_or(&nothing).contains(&(*bot, text));
            let was = |end: &What| answer.ends.contains(end);
            let reason = answer.ends.iter().find_map(|end| match end {
                What::Failed(reason, _) => Some(reason.as_str()),
                _ => None,
            });
            match reason {
                None if answer.ends.is_empty() => lost += 1,
                None if was(&What::Delivered) && read => delivered += 1,
                None if was(&What::Delivered) => lost += 1,
                None => unknown += 1,
                Some(reason) => {
                    *failed.entry(reason).or_default() += 1;
                    misreported += u64::from(read);
                }
            }
            // Only a late echo corrects an earlier notification.
            let corrected = answer.ends == [What::Unknown, What::Delivered];
            misreported += u64::from(answer.ends.len() > 1 && !corrected);
        }
        for (user, read) in &state.read {
            for (bot, text) in read {
                let key = MessageKey::new(text.strip_prefix("bot:").unwrap_or(text));
                let known = key.is_ok_and(|key| state.answers.contains_key(&(*bot, user.clone(), key)));
                misreported += u64::from(!known);
            }
        }
        let (mut doubled, mut out_of_order) = (0, 0);
        for read in state.read.values() {
            let mut times: HashMap<_, u64> = HashMap::new();
            for said in read {
                *times.entry(said).or_default() += 1;
            }
            doubled += times.values().map(|times| times - 1).sum::<u64>();
            let turns: Vec<u64> = read
                .iter()
                .filter(|(bot, _)| !bot)
                .filter_map(|(_, text)| text.rsplit_once(':')?.1.parse().ok())
                .collect();
            out_of_order += turns.windows(2).filter(|pair| pair[0] > pair[1]).count() as u64;
        }
        let mut rows = vec![
            ("accepted".to_owned(), state.answers.len() as u64),
            ("delivered".to_owned(), delivered),
            ("failed".to_owned(), failed.values().sum()),
        ];
        rows.extend(failed.iter().map(|(reason, number)| (format!("failed.{reason}"), *number)));
        rows.extend(
            [
                ("unknown", unknown),
                ("lost", lost),
                ("doubled", doubled),
                ("out_of_order", out_of_order),
                ("misreported", misreported),
                ("unheard", state.unheard() as u64),
                ("kills", kills),
                ("conflicts", state.conflicts.values().sum()),
                ("slowest_handover_ms", u64::try_from(state.slowest.as_millis()).unwrap_or(u64::MAX)),
            ]
            .map(|(name, number)| (name.to_owned(), number)),
        );
        // No other app takes control from a desk, and only the desk takes it from a bot, so transient faults must fail no claim.
        let not_granted = failed.get("not_granted").copied().unwrap_or_default();
        let wrong = lost + doubled + out_of_order + misreported + not_granted + state.unheard() as u64;
        Table { rows, broken: wrong > 0 || !settled || kills < wanted || delivered == 0 }
    }

    /// The messages that did not end as they should, one line each.
    pub fn complaints(&self) -> Vec<String> {
        let state = self.state();
        let is_wrong = |(_, user, key): &Of, answer: &Answer| match &answer.ends[..] {
            [What::Delivered] | [What::Unknown, What::Delivered] => {
                let read = state.read.get(user).map_or(&[][..], Vec::as_slice);
                !read.iter().any(|(_, text)| text.strip_prefix("bot:").unwrap_or(text) == key.as_str())
            }
            [What::Unknown] => false,
            [What::Failed(name, _)] => name != "taken_by_people",
            _ => true,
        };
        let wrong = state.answers.iter().filter(|(of, answer)| is_wrong(of, answer));
        let mut lines: Vec<_> = wrong
            .map(|((bot, user, key), answer)| {
                format!("{} to {user}, {key}: {:?}", if *bot { "bot" } else { "desk" }, answer.ends)
            })
            .collect();
        lines.sort();
        lines
    }
}

impl State {
    fn unheard(&self) -> usize {
        self.written.values().filter(|told| **told != [true, true]).count()
    }
}

impl Table {
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    pub fn print(&self) {
        for (name, number) in &self.rows {
            println!("{name} {number}");
        }
    }
}
