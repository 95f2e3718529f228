//! What a thread is told: events, commands, how calls and handlers ended.

use crate::call::{CallId, CallOutcome, MessageKey, OutgoingMessage};
use crate::event::Event;
use crate::id::AppId;
use crate::time::Timestamp;

use super::actions::Handled;
use super::note::Note;
use super::terms::{ClaimOrigin, NoticeId, Target};

/// What a thread is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The platform's webhook.
    Event(Event),
    /// The host wants something.
    Command(Command),
    /// A call ended.
    CallEnded {
        /// Which call.
        call: CallId,
        /// How.
        outcome: CallOutcome,
    },
    /// The host's handler has ended.
    NoticeHandled {
        /// Which notice.
        notice: NoticeId,
        /// How it ended.
        handled: Handled,
    },
    /// The time of [`super::Thread::next_wake`] has come. Harmless at any other time.
    Wake,
}

/// What a host can want.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Send an answer to the customer, once.
    Send {
        /// The host's own id of this answer.
        key: MessageKey,
        /// Its content.
        message: OutgoingMessage,
    },
    /// An agent engages with the customer (desk): control is claimed and kept.
    OpenIntervention,
    /// The agent is done (desk): control is released when the answers are settled.
    CloseIntervention,
    /// Engage Digital reports that an intervention was opened or closed then. Its events come unordered
    /// and again (facts §8.4): of reports and of what the host itself said, the last by its stamp wins,
    /// and the close where stamps are equal. A desk engages and releases; a bot looks who has control
    /// after a close.
    InterventionReported {
        /// Opened, or closed.
        open: bool,
        /// When, by Engage Digital's clock; now if it does not say.
        at: Option<Timestamp>,
    },
    /// Get control without having anything to send.
    Claim {
        /// Why.
        origin: ClaimOrigin,
        /// A note that travels with the take or the request.
        note: Option<Note>,
    },
    /// Give control away when the answers are settled. A bot that hands over to people stays silent until they are done.
    Transfer {
        /// To whom.
        target: Target,
        /// A note that travels with it.
        note: Option<Note>,
    },
    /// People are done, says the host (bot): it answers again.
    ResumeBot,
    /// Grant the request of an app, shown by [`Notice::ControlRequested`].
    Grant(AppId),
    /// Do not grant it.
    Refuse(AppId),
    /// Let the answers behind an unknown one go on.
    Continue(MessageKey),
    /// Take back an answer that still waits.
    Cancel(MessageKey),
    /// The host has dealt with a notice that was set aside.
    DismissSetAside(NoticeId),
}
