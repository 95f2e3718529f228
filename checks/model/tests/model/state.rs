//! The state of a small world: one conversation, a bot, a desk and people in the Page inbox.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use messenger_handover::call::{Call, CallId, CallOutcome, MessageKey};
use messenger_handover::event::Event;
use messenger_handover::thread::{MessageStatus, Owner, PageMemory, Thread};
use messenger_handover::time::Timestamp;
use messenger_sim::Platform;

use crate::adapter::key;
use crate::hash::{fingerprint, put};

/// Whether a person serves the customer for whom the bot requested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Person {
    #[default]
    NotWanted,
    Wanted,
    /// The desk has control.
    There,
}

/// The budget of spontaneous events that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Messages of the customer, beyond the first.
    pub customer: u8,
    /// Times that the customer unsends the last message.
    pub unsends: u8,
    /// Messages of the bot.
    pub bot: u8,
    /// Messages of an agent.
    pub desk: u8,
    /// Messages of the customer that the bot's handler replies to, in the write that saves them.
    pub replies: u8,
    /// Messages of the bot that also give control away, to the desk or to nobody.
    pub farewells: u8,
    /// Interventions that an agent opens and closes.
    pub interventions: u8,
    /// Times that the bot requests a person.
    pub persons: u8,
    /// Times that the agent passes the thread back to the bot.
    pub backs: u8,
    /// Messages by a person in the Page inbox, or moves of the conversation there.
    pub inbox: u8,
    /// Days that pass.
    pub days: u8,
    /// Faults of the bot: a webhook is duplicated or reordered; a call or its response is lost.
    pub bot_faults: u8,
    /// The same faults of the desk.
    pub desk_faults: u8,
    /// Webhooks that arrive after the timeout that waits for them.
    pub late: u8,
    /// Webhooks that are lost for good.
    pub losses: u8,
    /// Crashes of a process, with or without its call having been made.
    pub crashes: u8,
}

impl Budget {
    fn all(self) -> [u8; 16] {
        let Self { customer, bot, desk, farewells, interventions, persons, backs, inbox, days, .. } = self;
        let Self { unsends, replies, bot_faults, desk_faults, late, losses, crashes, .. } = self;
        [
            customer,
            unsends,
            bot,
            replies,
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

    /// The spent part of the budget: events that may move control, and faults.
    pub fn spent(self, left: Self) -> (usize, usize) {
        let spent: Vec<_> =
            self.all().into_iter().zip(left.all()).map(|(whole, left)| usize::from(whole - left)).collect();
        (spent[..10].iter().sum(), spent[10..].iter().sum())
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

/// The final status of a message, as notified to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Delivered,
    Failed,
    Unknown,
}

/// A call that a thread wants to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToMake {
    pub id: CallId,
    pub call: Call,
    /// The owner that the thread believed in when it decided on the call.
    pub believed: Owner,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    pub thread: Thread,
    pub page: PageMemory,
    pub call: Option<ToMake>,
    /// The outcome of a call, on its way to the thread.
    pub answer: Option<(CallId, CallOutcome)>,
    /// Webhooks on their way.
    pub post: Vec<Event>,
    pub accepted: Vec<MessageKey>,
    pub ends: Vec<(MessageKey, End)>,
    /// Messages with an unknown outcome whose successors the host resumed.
    pub resumed: Vec<MessageKey>,
    /// The customer's messages that were notified as this host's to answer, one bit each.
    pub told_ours: u8,
    pub request_was_refused: bool,
    /// Whether the host was notified that the customer unsent a message.
    pub knows_unsent: bool,
    /// Number of requests since control moved; one more if the last of them timed out.
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

    /// Whether no webhook, call or outcome of this host is under way.
    pub fn is_idle(&self) -> bool {
        self.post.is_empty() && !self.is_calling()
    }

    pub fn is_calling(&self) -> bool {
        self.call.is_some() || self.answer.is_some()
    }

    /// A message with an unknown outcome that the host has not resumed.
    pub fn held(&self) -> Option<&MessageKey> {
        self.accepted.iter().find(|key| {
            matches!(self.thread.message_status(key), Some(MessageStatus::Unknown(_)))
                && !self.resumed.contains(key)
        })
    }
}

/// The bot's pending call of ED's endpoint.
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
    /// Number of the customer's messages that were read by somebody who then replied.
    pub answered: u8,
    /// Whether the agent's last action was to close the intervention.
    pub agent_is_done: bool,
    /// Number of the desk's requests for control, and of the bot's passes to the desk.
    pub asked_for: u8,
    pub passed_to_desk: u8,
    /// Whether the bot requested people for the customer.
    pub people_wanted: bool,
    /// The person whom the bot requested for the customer.
    pub person: Person,
    /// The number of the message that the customer unsent.
    pub unsent: Option<u8>,
    /// Whether a webhook was lost, so that the hosts cannot know everything.
    pub lossy: bool,
    /// Number of changes of the owner.
    pub handovers: u8,
    /// Number of calls made. With `idle_waits` it makes every state unique along a schedule, so that every schedule ends.
    pub calls: u8,
    /// Number of waits since the last call.
    pub idle_waits: u8,
    /// The first violation, if any.
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
                // The order between messages of different sides is irrelevant.
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

    /// The messages that the customer read, in order.
    pub fn read(&self) -> impl Iterator<Item = &str> {
        self.platform.conversation(&key().page, &key().user).iter().filter_map(|said| said.text())
    }

    /// The messages of one side that the customer read, as indices into that side's accepted messages.
    pub fn read_of(&self, side: Side) -> impl Iterator<Item = usize> {
        let accepted = &self.of(side).accepted;
        self.read().filter_map(|text| accepted.iter().position(|key| key.as_str() == text))
    }

    pub fn times(&self, answer: &MessageKey) -> usize {
        self.read().filter(|text| *text == answer.as_str()).count()
    }

    /// Whether nothing is under way.
    pub fn is_quiet(&self) -> bool {
        let quiet = |host: &Host| host.is_idle() && host.thread.is_at_rest();
        quiet(&self.bot) && quiet(&self.desk) && self.asked.is_none()
    }
}
