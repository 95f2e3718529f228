//! The state of a small world: one conversation, a bot, a desk and people in the Page inbox.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use messenger_handover::call::{Call, CallId, CallOutcome, MessageKey};
use messenger_handover::event::Event;
use messenger_handover::thread::{
    Config, MessageStatus, Notice, NoticeId, OnUnknown, Owner, PageMemory, Thread,
};
use messenger_handover::time::Timestamp;
use messenger_sim::Platform;

use crate::adapter::key;
use crate::budget::Budget;
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Bot,
    Desk,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::Bot, Self::Desk];

    pub fn other(self) -> Self {
        match self {
            Self::Bot => Self::Desk,
            Self::Desk => Self::Bot,
        }
    }
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

/// A notice that the handler was notified of and has not handled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Notified {
    pub id: NoticeId,
    pub attempt: u32,
    pub notice: Notice,
    /// Whether the handler works on it now.
    pub runs: bool,
}

/// Engage Digital's report that people began or ended to serve the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    pub at: Timestamp,
    /// False sorts first, because with equal stamps the close counts.
    pub open: bool,
}

/// The host's decision about another app's request for control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Decision {
    #[default]
    None,
    /// The host granted it, and control has not gone there yet.
    Granted,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "what was observed, each of its own")]
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
    /// Messages whose cancellation was confirmed.
    pub cancelled: Vec<MessageKey>,
    /// Whether the host was notified that control is its own, and not yet that it left.
    pub told_control: bool,
    /// Whether the host claimed control without a message, and waits for it.
    pub claims: bool,
    pub decision: Decision,
    pub notified: Option<Notified>,
    /// The number of notices that were handled or set aside.
    pub handled: u64,
    /// The notices that were set aside and not dismissed.
    pub aside: Vec<NoticeId>,
    /// Reports on their way, in no order.
    pub reports: Vec<Report>,
    /// The latest report by Engage Digital's clock.
    pub reported: Option<Report>,
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
            cancelled: Vec::new(),
            told_control: false,
            claims: false,
            decision: Decision::None,
            notified: None,
            handled: 0,
            aside: Vec::new(),
            reports: Vec::new(),
            reported: None,
        }
    }

    /// Whether no webhook, report, call or outcome of this host is under way.
    pub fn is_idle(&self) -> bool {
        self.post.is_empty() && self.reports.is_empty() && !self.is_calling()
    }

    pub fn is_calling(&self) -> bool {
        self.call.is_some() || self.answer.is_some()
    }

    /// Whether the handler works on a notice.
    pub fn is_handling(&self) -> bool {
        self.notified.as_ref().is_some_and(|notified| notified.runs)
    }

    pub fn waits(&self, key: &MessageKey) -> bool {
        self.thread.message_status(key) == Some(MessageStatus::Waiting)
    }

    /// Whether the messages behind this one, whose outcome is unknown, wait for the host.
    pub fn holds(&self, config: &Config, unknown: &MessageKey) -> bool {
        config.on_unknown != OnUnknown::Continue && !self.resumed.contains(unknown)
    }

    /// A message with an unknown outcome that the host has not resumed.
    pub fn held(&self, config: &Config) -> Option<&MessageKey> {
        self.unknown().find(|key| self.holds(config, key))
    }

    pub fn unknown(&self) -> impl Iterator<Item = &MessageKey> {
        let status = |key: &MessageKey| self.thread.message_status(key);
        self.accepted.iter().filter(move |key| matches!(status(key), Some(MessageStatus::Unknown(_))))
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
#[expect(clippy::struct_excessive_bools, reason = "what was observed, each of its own")]
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
    /// Whether Engage Digital's agents serve the customer.
    pub engaged: bool,
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
                    self.engaged,
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
