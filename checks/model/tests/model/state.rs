//! What a small world is made of: one conversation, a bot, a desk and people in the inbox.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use messenger_handover::call::{Call, CallId, CallOutcome, MessageKey};
use messenger_handover::event::Event;
use messenger_handover::thread::{MessageStatus, Owner, PageMemory, Thread};
use messenger_handover::time::Timestamp;
use messenger_sim::Platform;

use crate::adapter::key;
use crate::hash::{fingerprint, put};

/// Whether a person is there whom the bot wanted for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Person {
    #[default]
    NotWanted,
    Wanted,
    /// Control is with the desk.
    There,
}

/// What may still happen that nobody has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Messages of the customer, beyond the first.
    pub customer: u8,
    /// The customer takes the last message back.
    pub unsends: u8,
    /// Answers of the bot.
    pub bot: u8,
    /// Answers of an agent.
    pub desk: u8,
    /// Answers of the bot that give control away, to the desk or to nobody.
    pub farewells: u8,
    /// Interventions that an agent opens, and closes.
    pub interventions: u8,
    /// The bot wants a person.
    pub persons: u8,
    /// The agent gives the customer back to the bot.
    pub backs: u8,
    /// A person answers in the Page inbox, or moves the conversation there.
    pub inbox: u8,
    /// A day passes.
    pub days: u8,
    /// A webhook to the bot comes twice or before another; a call of the bot's is lost, or its answer.
    pub bot_faults: u8,
    /// The same of the desk.
    pub desk_faults: u8,
    /// Webhooks are later than what is waited for.
    pub late: u8,
    /// A webhook is lost for good.
    pub losses: u8,
    /// A process ends, with or without its call having been made.
    pub crashes: u8,
}

impl Budget {
    fn all(self) -> [u8; 15] {
        let Self { customer, bot, desk, farewells, interventions, persons, backs, inbox, days, .. } = self;
        let Self { unsends, bot_faults, desk_faults, late, losses, crashes, .. } = self;
        [
            customer,
            unsends,
            bot,
            desk,
            farewells,
            interventions,
            persons,
            backs,
            inbox,
            days,
            bot_faults,
            desk_faults,
            late,
            losses,
            crashes,
        ]
    }

    pub fn faults(&mut self, side: Side) -> &mut u8 {
        match side {
            Side::Bot => &mut self.bot_faults,
            Side::Desk => &mut self.desk_faults,
        }
    }

    /// How much of it is gone, by what may move control, and by faults.
    pub fn spent(self, left: Self) -> (usize, usize) {
        let spent: Vec<_> =
            self.all().into_iter().zip(left.all()).map(|(whole, left)| usize::from(whole - left)).collect();
        (spent[..9].iter().sum(), spent[9..].iter().sum())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Bot,
    Desk,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Bot, Self::Desk];
}

/// How an answer ended, as the host was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Delivered,
    Failed,
    Unknown,
}

/// A call that a thread wants to have made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToMake {
    pub id: CallId,
    pub call: Call,
    /// Who was believed to own the thread when it was put out.
    pub believed: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    pub thread: Thread,
    pub page: PageMemory,
    pub call: Option<ToMake>,
    /// How a call ended, on its way back.
    pub answer: Option<(CallId, CallOutcome)>,
    /// Webhooks on their way.
    pub post: Vec<Event>,
    pub accepted: Vec<MessageKey>,
    pub ends: Vec<(MessageKey, End)>,
    /// Unknown answers that the host let the others go on behind.
    pub resumed: Vec<MessageKey>,
    /// The customer's messages that were told as this host's to answer: a bit each.
    pub told_ours: u8,
    pub request_was_refused: bool,
    /// It was told that the customer took a message back.
    pub knows_unsent: bool,
    /// Requests that were made since control moved, and that the last of them had no answer in time.
    pub requests: u8,
    pub just_saw_it_idle: bool,
}

impl Host {
    pub fn new() -> Self {
        Self {
            thread: Thread::new(),
            page: PageMemory::default(),
            call: None,
            answer: None,
            post: Vec::new(),
            accepted: Vec::new(),
            ends: Vec::new(),
            resumed: Vec::new(),
            told_ours: 0,
            request_was_refused: false,
            knows_unsent: false,
            requests: 0,
            just_saw_it_idle: false,
        }
    }

    /// Nothing is on its way to it, and nothing of its own.
    pub fn is_idle(&self) -> bool {
        self.post.is_empty() && !self.is_calling()
    }

    pub fn is_calling(&self) -> bool {
        self.call.is_some() || self.answer.is_some()
    }

    /// An unknown answer that others wait behind, or not.
    pub fn held(&self) -> Option<&MessageKey> {
        self.accepted.iter().find(|key| {
            matches!(self.thread.message_status(key), Some(MessageStatus::Unknown(_)))
                && !self.resumed.contains(key)
        })
    }
}

/// What the bot's call of ED's endpoint waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    pub call: CallId,
    pub waits_for: Waiting,
    pub until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Waiting {
    Claim(u64),
    Transfer(u64),
}

/// Hosts and platform are shared between states that differ elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub platform: Arc<Platform>,
    pub now: Timestamp,
    pub bot: Arc<Host>,
    pub desk: Arc<Host>,
    pub asked: Option<Asked>,
    pub left: Budget,
    pub customer_wrote: u8,
    /// So many of them were read by somebody who answered.
    pub answered: u8,
    /// The last word of the agent was that the intervention is closed.
    pub agent_is_done: bool,
    /// How often the desk asked for control, and was passed it by the bot.
    pub asked_for: u8,
    pub passed_to_desk: u8,
    /// The bot said that it wants people for the customer.
    pub people_wanted: bool,
    /// Of the person whom the bot wanted for the customer.
    pub person: Person,
    /// The number of the message that the customer took back.
    pub unsent: Option<u8>,
    /// A webhook was lost, so that not everything can be known.
    pub lossy: bool,
    /// How often control moved.
    pub handovers: u8,
    /// Calls that were made. Together with `idle_waits` this lets no state come again: every schedule ends.
    pub calls: u8,
    /// Waits since the last call.
    pub idle_waits: u8,
    /// What must never happen, where it did.
    pub broken: Option<&'static str>,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let hashed = fingerprint(self.now, |hasher| {
            let (page, user) = (&key().page, &key().user);
            put(
                hasher,
                &(self.platform.lease(page, user, self.now), self.platform.window_closes(page, user)),
            );
            for side in Side::BOTH {
                // In which order the two sides were read matters to nobody.
                put(hasher, &self.read_of(side).collect::<Vec<_>>());
            }
            put(hasher, &*self.bot);
            put(hasher, &*self.desk);
            put(hasher, &self.asked);
            put(
                hasher,
                &(
                    self.left,
                    self.customer_wrote,
                    self.answered,
                    self.agent_is_done,
                    self.people_wanted,
                    self.person,
                    self.unsent,
                    self.lossy,
                ),
            );
            put(hasher, &(self.asked_for, self.passed_to_desk));
            put(hasher, &(self.handovers, self.calls, self.idle_waits, self.broken));
        });
        state.write_u64(hashed);
    }
}

impl State {
    pub fn host(&mut self, side: Side) -> &mut Host {
        Arc::make_mut(match side {
            Side::Bot => &mut self.bot,
            Side::Desk => &mut self.desk,
        })
    }

    pub fn of(&self, side: Side) -> &Host {
        match side {
            Side::Bot => &self.bot,
            Side::Desk => &self.desk,
        }
    }

    pub fn owner(&self) -> Option<messenger_handover::id::AppId> {
        self.platform.owner(&key().page, &key().user, self.now)
    }

    /// What the customer read, in order.
    pub fn read(&self) -> impl Iterator<Item = &str> {
        self.platform.conversation(&key().page, &key().user).iter().filter_map(|said| said.text())
    }

    /// What the customer read of one side, by its place among what that side accepted.
    pub fn read_of(&self, side: Side) -> impl Iterator<Item = usize> {
        let accepted = &self.of(side).accepted;
        self.read().filter_map(|text| accepted.iter().position(|key| key.as_str() == text))
    }

    pub fn times(&self, answer: &MessageKey) -> usize {
        self.read().filter(|text| *text == answer.as_str()).count()
    }

    /// Nothing is under way.
    pub fn is_quiet(&self) -> bool {
        let quiet = |host: &Host| host.is_idle() && host.thread.is_at_rest();
        quiet(&self.bot) && quiet(&self.desk) && self.asked.is_none()
    }
}
