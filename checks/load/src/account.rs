//! The account of a run: the customers' messages and their notifications, the bot's replies and what customers have read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use messenger_handover::thread::Limits;

use crate::host::News;

#[derive(Default)]
pub struct Account {
    /// The customer of each message. The index is the message's number, which its text contains.
    written: Mutex<Vec<usize>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    messages: Vec<Message>,
    answers: HashMap<u64, Answer>,
    told: u64,
    /// Number of messages per conversation that were new to it.
    taken: HashMap<usize, u64>,
    told_twice: u64,
    told_when_forgotten: u64,
    told_anew: u64,
}

/// The notifications of a message, as one to be answered and as one for another app; both are possible.
#[derive(Default, Clone, Copy)]
struct Message {
    ours: Option<Told>,
    theirs: Option<Told>,
}

/// The notification's id, and the number of new messages in its conversation before it.
#[derive(Clone, Copy)]
struct Told {
    notice: u64,
    place: u64,
}

#[derive(Default)]
struct Answer {
    end: Option<End>,
    /// Whether the reply had two final statuses, the first of which was not "unknown".
    ended_twice: bool,
    read: u64,
}

impl Answer {
    fn ends(&mut self, end: End) {
        self.ended_twice |= self.end.is_some_and(|before| before != end && before != End::Unknown);
        self.end = Some(end);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    Failed,
    Unknown,
}

/// The result.
#[derive(Default)]
pub struct Sums {
    pub written: u64,
    /// Messages without a notification, and replies without a final status or that were never read.
    pub lost: u64,
    /// Messages notified again under another id, and replies read twice.
    pub doubled: u64,
    /// The latter alone.
    pub read_twice: u64,
    /// Replies reported as failed that were read, or that had two final statuses.
    pub misreported: u64,
    /// Notifications repeated under the same id.
    pub told_twice: u64,
    /// Messages that were redelivered after so many others that the conversation no longer recognized the duplicate.
    pub told_when_forgotten: u64,
    pub answers: u64,
    pub failed: u64,
    pub unknown: u64,
}

impl Account {
    fn written(&self) -> MutexGuard<'_, Vec<usize>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a customer's next message.
    pub fn write(&self, customer: usize) -> u64 {
        let mut written = self.written();
        written.push(customer);
        written.len() as u64 - 1
    }

    /// Records a report of the host.
    pub fn hears(&self, news: News) {
        let customer = |number: u64| self.written().get(usize::try_from(number).ok()?).copied();
        let mut state = self.state();
        match news {
            News::Told { number, ours, notice } => {
                if let Some(customer) = customer(number) {
                    state.is_told(customer, number, ours, notice);
                }
            }
            News::Accepted(number) => drop(state.answer(number)),
            News::Delivered(number) => state.answer(number).ends(End::Delivered),
            News::Failed(number) => state.answer(number).ends(End::Failed),
            News::Unknown(number) => state.answer(number).ends(End::Unknown),
        }
    }

    /// Records that a customer read the bot's reply to the message with this number.
    pub fn reached(&self, number: u64) {
        self.state().answer(number).read += 1;
    }

    /// Number of messages without a notification, plus replies without a final status.
    pub fn waiting(&self) -> u64 {
        let written = self.written().len() as u64;
        let state = self.state();
        let open = state.answers.values().filter(|answer| answer.end.is_none()).count() as u64;
        written.saturating_sub(state.told) + open
    }

    pub fn sums(&self) -> Sums {
        let written = self.written().len() as u64;
        let state = self.state();
        let mut sums = Sums {
            written,
            lost: written.saturating_sub(state.told),
            doubled: state.told_anew,
            told_twice: state.told_twice,
            told_when_forgotten: state.told_when_forgotten,
            answers: state.answers.len() as u64,
            ..Sums::default()
        };
        for answer in state.answers.values() {
            sums.read_twice += answer.read.saturating_sub(1);
            sums.misreported += u64::from(answer.ended_twice);
            match answer.end {
                None => sums.lost += 1,
                Some(End::Delivered) => sums.lost += u64::from(answer.read == 0),
                Some(End::Failed) => {
                    sums.failed += 1;
                    sums.misreported += u64::from(answer.read > 0);
                }
                Some(End::Unknown) => sums.unknown += 1,
            }
        }
        sums.doubled += sums.read_twice;
        sums
    }
}

impl State {
    fn answer(&mut self, number: u64) -> &mut Answer {
        self.answers.entry(number).or_default()
    }

    fn is_told(&mut self, customer: usize, number: u64, ours: bool, notice: u64) {
        let Ok(at) = usize::try_from(number) else { return };
        if self.messages.len() <= at {
            self.messages.resize(at + 1, Message::default());
        }
        let message = &mut self.messages[at];
        let place = self.taken.entry(customer).or_default();
        let is_first = message.ours.is_none() && message.theirs.is_none();
        let before = if ours { &mut message.ours } else { &mut message.theirs };
        match before.replace(Told { notice, place: *place }) {
            None if is_first => {
                self.told += 1;
                *place += 1;
            }
            None => {}
            Some(before) if before.notice == notice => self.told_twice += 1,
            Some(before) => {
                let was_forgotten = *place - before.place > Limits::default().seen as u64;
                *(if was_forgotten { &mut self.told_when_forgotten } else { &mut self.told_anew }) += 1;
                *place += 1;
            }
        }
    }
}
