//! The state machine of one conversation, without I/O: [`Thread::step`] takes an input and the current time and
//! returns the work to do. It uses no clock, socket, task or database.
//!
//! [`Thread`] is serialisable and holds everything that must survive a crash. Every output can be derived from it
//! again. So a host saves the thread, does the work, and after a restart loads the thread and steps it with
//! [`Input::Wake`].

mod actions;
mod belief;
mod broken;
mod call_ended;
mod claim;
mod command;
mod config;
mod customer;
mod duplicates;
mod event;
mod handled;
mod idle;
mod inbound;
mod input;
mod intervention;
mod late_grants;
mod note;
mod notice;
mod notices;
mod outbox;
mod outcome;
mod output;
mod ownership;
mod page;
mod people;
mod requests;
mod terms;
#[cfg(test)]
mod tests;
mod timers;
mod transfer;

pub use actions::{Actions, Handled};
pub use belief::Owner;
#[cfg(feature = "broken-designs")]
#[doc(hidden)]
pub use broken::Broken;
#[cfg(not(feature = "broken-designs"))]
use broken::Broken;
pub use claim::ClaimProgress;
pub use config::{Config, Context, Limits, OnUnknown, Timeouts, Unanswered};
pub use input::{Command, Input};
pub use note::Note;
pub use notice::{Notice, RefusedAction};
pub use notices::SetAside;
pub use outcome::{
    FailReason, MessageStatus, NoEcho, NotGranted, StepOutcome, TriedStep, WaitingMessage, WaitsFor,
};
pub use output::{Output, Reply};
pub use page::{PageCall, PageMemory, PageRefusals};
pub use terms::{ClaimOrigin, CommandRefused, NoticeId, Target};
pub use transfer::TransferProgress;

use serde::{Deserialize, Serialize};

use crate::call::{Call, CallId, CallOutcome, Direction, Failure, FailureKind, MessageKey};
use crate::event::{Inbound, PrivateText};
use crate::id::AppId;
use crate::policy::{Role, ThreadControlPolicy};
use crate::time::Timestamp;

use belief::Belief;
use claim::{Claim, ClaimEnd};
use inbound::Inbox;
use intervention::Intervention;
use notices::Notices;
use outbox::{Head, Outbox};
use people::People;
use requests::Requests;
use transfer::{Transfer, TransferEnd};

/// One conversation: its believed owner, the messages that wait, the call under way and the notices that the host has
/// not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thread {
    #[serde(skip_serializing_if = "is_default")]
    belief: Belief,
    #[serde(skip_serializing_if = "is_default")]
    inbox: Inbox,
    #[serde(skip_serializing_if = "is_default")]
    outbox: Outbox,
    #[serde(skip_serializing_if = "is_default")]
    intervention: Intervention,
    #[serde(skip_serializing_if = "is_default")]
    people: People,
    #[serde(skip_serializing_if = "is_default")]
    claim: Option<Box<Claim>>,
    #[serde(skip_serializing_if = "is_default")]
    last_claim: Option<Box<ClaimEnd>>,
    #[serde(skip_serializing_if = "is_default")]
    transfer: Option<Box<Transfer>>,
    #[serde(skip_serializing_if = "is_default")]
    last_transfer: Option<Box<TransferEnd>>,
    #[serde(skip_serializing_if = "is_default")]
    requests: Requests,
    #[serde(skip_serializing_if = "is_default")]
    refused: PageMemory,
    #[serde(skip_serializing_if = "is_default")]
    notices: Notices,
    #[serde(skip_serializing_if = "is_default")]
    in_flight: Option<Box<InFlight>>,
    #[serde(skip_serializing_if = "is_default")]
    pause: Pause,
    /// The host was notified that control is ours, and not yet that it was lost.
    #[serde(skip_serializing_if = "is_default")]
    announced_ours: bool,
    /// The host was notified of a message to answer while the owner was unknown or the thread idle.
    #[serde(skip_serializing_if = "is_default")]
    announced_to_answer: bool,
    /// The previous owner and the note of the latest change of control, until the host is notified of it.
    #[serde(skip_serializing_if = "is_default")]
    last_change: Option<Box<LastChange>>,
    #[serde(skip_serializing_if = "is_default")]
    last_id: u64,
    /// The time at which the thread came to rest, at most an eighth of [`Timeouts::retention`] too early.
    #[serde(skip_serializing_if = "is_default")]
    at_rest_since: Option<Timestamp>,
}

/// Fields with the value of a fresh thread are not stored.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The one call under way. It is saved before the call is made. When its lease expires, its process counts as dead
/// and its outcome as unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct InFlight {
    id: CallId,
    made: Made,
    since: Timestamp,
    until: Timestamp,
    /// The belief's revision when the call was made.
    revision: u32,
}

/// The previous owner and the note of a change of control.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
struct LastChange {
    from: Option<AppId>,
    note: Option<PrivateText>,
}

/// A call without its content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Made {
    Send(MessageKey),
    Pass(AppId),
    Take,
    Request,
    Release,
    ReadOwner,
    AskDesk(Direction),
}

impl Made {
    fn of(call: &Call) -> Self {
        match call {
            Call::SendMessage { key, .. } => Self::Send(key.clone()),
            Call::PassThreadControl { to } => Self::Pass(to.clone()),
            Call::TakeThreadControl => Self::Take,
            Call::RequestThreadControl => Self::Request,
            Call::ReleaseThreadControl => Self::Release,
            Call::ThreadOwner => Self::ReadOwner,
            Call::AskDesk(direction) => Self::AskDesk(*direction),
        }
    }
}

/// A pause in which no call is made, and the number of passing faults in a row that led to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
struct Pause {
    #[serde(skip_serializing_if = "is_default")]
    faults: u32,
    #[serde(skip_serializing_if = "is_default")]
    until: Option<Timestamp>,
}

/// The next thing to do.
enum Move {
    Rest,
    /// A decision was made without a call: look for the next move.
    Again,
    Call(Call),
}

/// The most moves in one step without a call in between. No state needs so many; the bound keeps any state from
/// looping.
const MAX_MOVES: usize = 32;

impl Thread {
    /// A conversation without any knowledge: owner unknown, nothing waiting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input and appends the work to `out`, in order. It is total: no input in any state panics.
    ///
    /// Save the thread before you do the work, and step it again at [`Self::next_wake`].
    #[must_use = "a command may have been refused"]
    pub fn step(&mut self, cx: &Context<'_>, input: Input, now: Timestamp, out: &mut Vec<Output>) -> Reply {
        if let Input::Event(event) = &input
            && self.is_notified(cx.config, event)
            && !cx.has_room
            && !self.has_room(cx.config)
        {
            // The platform redelivers a refused event.
            let known = self.recognise(event, now);
            return if known { Reply::Ignored } else { Reply::Refused(CommandRefused::NoticesFull) };
        }
        if self.last_id == 0 && cx.ids_from > 0 {
            self.last_id = cx.ids_from;
            self.notices.number_from(cx.ids_from);
        }
        let is_news = matches!(input, Input::Event(_) | Input::Command(_));
        let before = self.belief.owner().clone();
        self.lapse(cx, &input, now, out);
        let reply = match input {
            Input::Event(event) => self.event(cx, event, now),
            Input::Command(command) => self.command(cx, command, now),
            Input::CallEnded { call, outcome } => self.call_ended(cx, call, outcome, now, out),
            Input::NoticeHandled { notice, handled } => self.notice_done(cx, notice, handled, now, out),
            Input::Wake => Reply::Done,
        };
        self.owner_settled(cx, &before, now);
        if *self.belief.owner() != Owner::Unknown && !self.belief.in_doubt && !self.is_leaving() {
            self.last_change = None;
        }
        if cx.begins {
            self.advance(cx, now, out);
            self.notices.emit(now, cx.config.timeouts.notice_lease, cx.config.limits, out);
        }
        self.note_rest(cx, now, is_news);
        reply
    }

    /// The believed owner of the thread.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        self.belief.owner()
    }

    /// The status of a message, if its key is still stored.
    #[must_use]
    pub fn message_status(&self, key: &MessageKey) -> Option<MessageStatus> {
        self.outbox.status(key)
    }

    /// The messages that are not settled yet, in their order.
    pub fn waiting_messages(&self) -> impl Iterator<Item = WaitingMessage<'_>> {
        self.outbox.waiting()
    }

    /// The number of notices that wait for the handler.
    #[must_use]
    pub fn waiting_notices(&self) -> usize {
        self.notices.len()
    }

    /// Whether people are busy with the customer, as far as a bot can tell: the host or the desk asked for them, or a
    /// person writes from another app. The bot sends nothing until they are done.
    #[must_use]
    pub fn people_are_busy(&self) -> bool {
        self.people.are_busy()
    }

    /// The customer's unanswered messages that are not this host's to answer now.
    pub fn unanswered(&self) -> impl Iterator<Item = &Inbound> {
        self.inbox.unanswered()
    }

    /// Notices that the handler failed on too often, oldest first.
    pub fn set_aside(&self) -> impl Iterator<Item = &SetAside> {
        self.notices.set_aside()
    }

    /// Whether the notice queue has room. A delivery whose first event finds room is accepted as a whole
    /// ([`Context::has_room`]).
    #[must_use]
    pub fn has_room(&self, config: &Config) -> bool {
        self.notices.len() < config.limits.notices
    }

    /// Whether an agent is engaged with the customer (desk).
    #[must_use]
    pub fn intervention_is_open(&self) -> bool {
        self.intervention.is_open()
    }

    /// The apps that asked for control and wait for [`Command::Grant`] or [`Command::Refuse`].
    pub fn waiting_requests(&self) -> impl Iterator<Item = &AppId> {
        self.requests.waiting()
    }

    fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    /// Applies all deadlines that have passed.
    fn lapse(&mut self, cx: &Context<'_>, input: &Input, now: Timestamp, out: &mut Vec<Output>) {
        self.belief.lapse(now, self.inbox.active_until());
        if self.pause.until.is_some_and(|until| until <= now) {
            self.pause.until = None;
        }
        let answers = |id| matches!(input, Input::CallEnded { call, .. } if *call == id);
        if let Some(lost) = self.in_flight.take_if(|call| call.until <= now && !answers(call.id)) {
            let words = "no outcome within the lease of the call: its process may have ended";
            let result = CallOutcome::Unknown(Failure::new(FailureKind::Transport, words));
            self.conclude(cx, *lost, result, now, out);
        }
        let has_left = matches!(self.belief.owner(), Owner::Idle | Owner::Other(_));
        if self.people.are_busy() {
            self.people.lapse(now);
            if !self.people.are_busy() {
                self.people_are_done();
            }
        }
        if !self.outbox.is_empty() {
            let (notices, farewell) = self.outbox.lapse(now, cx.config, has_left);
            self.notices.extend(notices);
            if let Some((control, inline)) = farewell {
                self.farewell_delivered(control, inline);
            }
        }
        if self.in_flight.is_none()
            && self.intervention.next_look().is_some_and(|at| at <= now)
            && self.intervention.take_look(now)
            && matches!(self.belief.owner(), Owner::Other(_))
        {
            self.belief.in_doubt = true;
        }
    }

    /// Whether the call under way gives control away.
    fn is_leaving(&self) -> bool {
        match self.in_flight.as_ref().map(|call| &call.made) {
            Some(Made::Pass(_) | Made::Release) => true,
            Some(Made::Send(key)) => self.outbox.farewell(key).is_some_and(|(_, inline)| inline),
            _ => false,
        }
    }

    /// Makes moves until a call is under way or nothing is left to do.
    fn advance(&mut self, cx: &Context<'_>, now: Timestamp, out: &mut Vec<Output>) {
        for _ in 0..MAX_MOVES {
            if self.in_flight.is_some() || self.pause.until.is_some() {
                return;
            }
            match self.next_move(cx, now) {
                Move::Rest => return,
                Move::Again => {}
                Move::Call(call) => return self.start(cx, call, now, out),
            }
        }
    }

    fn next_move(&mut self, cx: &Context<'_>, now: Timestamp) -> Move {
        if self.belief.in_doubt {
            return Move::Call(Call::ThreadOwner);
        }
        if self.is_silent(cx) && (self.transfer.is_none() || self.people.are_there()) {
            // A message that was under way when people came was not sent, and is not tried again beside them. Those from
            // before people were asked for go first.
            self.fall_silent(cx, now);
        }
        if *self.belief.owner() == Owner::Us {
            self.claim_granted();
            if self.intervention.wants_control() {
                self.intervention.control_came();
            }
        } else if self.claim.is_none() && self.intervention.wants_control() {
            self.open_claim(cx.config, ClaimOrigin::Intervention);
        }
        self.end_needless_claim(cx, now);
        if self.claim.is_some() {
            return self.walk(cx, now);
        }
        let Head::Ready(key, message) = self.outbox.head() else { return self.give_away(cx, now) };
        match self.belief.owner() {
            Owner::Us => {}
            // A wrong guess costs one refused call, a right one saves the claim.
            Owner::Unknown if !Self::claims_before_it_speaks(cx) => {}
            _ => {
                self.open_claim(cx.config, ClaimOrigin::Message);
                return Move::Again;
            }
        }
        let (key, mut message) = (key.clone(), message.clone());
        if message.control().is_some() && !self.may_give_away_inline(cx, now) {
            message = message.without_control();
        }
        Move::Call(Call::SendMessage { key, message })
    }

    /// Without a primary a thread starts idle and every app receives the customer's message. A bot requests control
    /// first, so that two bots do not both answer ([workflows](crate::protocol#ed-workflows)).
    fn claims_before_it_speaks(cx: &Context<'_>) -> bool {
        cx.config.role == Role::Bot && cx.policy == ThreadControlPolicy::NoPrimary
    }

    fn start(&mut self, cx: &Context<'_>, call: Call, now: Timestamp, out: &mut Vec<Output>) {
        let id = CallId(self.next_id());
        match &call {
            Call::SendMessage { message, .. } => self.outbox.sending(id, message.control().is_some()),
            Call::RequestThreadControl if cx.config.role == Role::Desk => self.intervention.requests(now),
            _ => {}
        }
        self.in_flight = Some(Box::new(InFlight {
            id,
            made: Made::of(&call),
            since: now,
            until: now.plus(cx.config.timeouts.call_lease),
            revision: self.belief.revision(),
        }));
        let note = match &self.claim {
            Some(claim) => claim.note.clone(),
            None => self.note_for(cx, &call),
        };
        out.push(Output::Call { id, call, retry: self.pause.faults > 0, note });
    }
}
