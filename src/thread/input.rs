//! The inputs of a thread: events, commands, and the ends of calls and handlers.

use crate::call::{CallId, CallOutcome, MessageKey, OutgoingMessage};
use crate::event::Event;
use crate::id::AppId;
use crate::time::Timestamp;

use super::actions::Handled;
use super::note::Note;
use super::terms::{ClaimOrigin, NoticeId, Target};

/// One input of [`Thread::step`](super::Thread::step).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// An event of the platform's webhook.
    Event(Event),
    /// A command of the host.
    Command(Command),
    /// A call ended.
    CallEnded {
        /// The number of the call.
        call: CallId,
        /// The outcome.
        outcome: CallOutcome,
    },
    /// The host's handler ended.
    NoticeHandled {
        /// The number of the notice.
        notice: NoticeId,
        /// The handler's result.
        handled: Handled,
    },
    /// The time of [`super::Thread::next_wake`] has come. Harmless at any other time.
    Wake,
}

/// A command of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Send a message to the customer, once.
    Send {
        /// The message's idempotency key, chosen by the host.
        key: MessageKey,
        /// The message.
        message: OutgoingMessage,
    },
    /// An agent engages with the customer (desk): control is claimed and kept.
    OpenIntervention,
    /// The agent is done (desk): control is released when the messages are settled.
    CloseIntervention,
    /// Engage Digital reports that an intervention was opened or closed. Its events are [unordered and may
    /// repeat](crate::protocol#ed-events), so the latest stamp wins among reports and the host's own commands, and
    /// with equal stamps the close wins. A desk then claims or releases control; a bot stays silent after an open and
    /// reads the owner after a close.
    InterventionReported {
        /// Whether the intervention was opened; `false` if it was closed.
        open: bool,
        /// The event's time by Engage Digital's clock. `None` means now.
        at: Option<Timestamp>,
    },
    /// Get control without a message to send.
    Claim {
        /// The reason for the claim.
        origin: ClaimOrigin,
        /// The note that goes with the take or the request.
        note: Option<Note>,
    },
    /// Give control away when the messages are settled. A bot that hands over to people stays silent until they are
    /// done.
    Transfer {
        /// The new owner.
        target: Target,
        /// The note that goes with it.
        note: Option<Note>,
    },
    /// The host knows that people are done (bot): the bot answers again.
    ResumeBot,
    /// Grant an app's request for control, shown by [`Notice::ControlRequested`](super::Notice::ControlRequested).
    Grant(AppId),
    /// Refuse an app's request for control.
    Refuse(AppId),
    /// Let the messages behind one with an unknown outcome continue.
    Continue(MessageKey),
    /// Cancel a message that still waits.
    Cancel(MessageKey),
    /// Drop a notice that was set aside, because the host has dealt with it.
    DismissSetAside(NoticeId),
}
