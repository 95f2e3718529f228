//! Notices: the events that the host's handler is notified of.

use serde::{Deserialize, Serialize};

use crate::call::{Failure, MessageKey};
use crate::event::{Channel, Echo, Inbound, Other, PrivateText};
use crate::id::{AppId, MessageId};
use crate::time::Timestamp;

use super::belief::Owner;
use super::outcome::{FailReason, NoEcho, NotGranted};
use super::terms::{ClaimOrigin, CommandRefused, Target};

/// One notice to the host's handler: delivered at least once and in order, until the handler returns `Ok` or the
/// notice is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// The customer wrote.
    Message {
        /// The message.
        inbound: Inbound,
        /// The channel on which it came.
        channel: Channel,
        /// Whether this host should answer it. True if the host has control, if no other app is known to have it, or
        /// if a bot can ask the desk for it; false for a bot while people are busy with the customer. A message that
        /// is not to be answered comes again in [`Notice::ControlGained`] unless another app or a person answers it.
        to_answer: bool,
    },
    /// We have control now. This notice repeats if control was in doubt and messages came in meanwhile.
    ControlGained {
        /// The previous owner, if an event names it.
        from: Option<AppId>,
        /// The note that came with control: the `metadata` of the event.
        note: Option<PrivateText>,
        /// The customer's messages since then that nobody has answered.
        unanswered: Vec<Inbound>,
        /// The number of older unanswered messages that were dropped.
        more: u32,
    },
    /// We lost control: another app has it, or the thread is idle.
    ControlLost {
        /// The new owner, if the platform names it.
        to: Option<AppId>,
        /// The note that went with control: the `metadata` of the event.
        note: Option<PrivateText>,
    },
    /// Another app requests control. Reply with `Handover::grant` ([`Command::Grant`](super::Command::Grant)) or
    /// `Handover::refuse` ([`Command::Refuse`](super::Command::Refuse)) unless it is `granted`.
    ControlRequested {
        /// The requesting app, if the platform names it.
        by: Option<AppId>,
        /// The note of the request: the `metadata` of the event.
        note: Option<PrivateText>,
        /// Whether control will be passed without asking the host ([`Config::trusted`](super::Config::trusted)).
        granted: bool,
    },
    /// The platform accepted a message, or a late echo proved that it had accepted one with an unknown outcome.
    MessageSent {
        /// The message's idempotency key.
        key: MessageKey,
        /// The platform's id of the message, if it returned one.
        mid: Option<MessageId>,
        /// Whether the message was sent more than once ([`OnUnknown::Resend`](super::OnUnknown::Resend)), so that the
        /// customer may read it twice.
        maybe_doubled: bool,
    },
    /// A message was certainly not sent.
    MessageFailed {
        /// The message's idempotency key.
        key: MessageKey,
        /// The reason.
        reason: FailReason,
    },
    /// A message may or may not have been sent.
    MessageUnknown {
        /// The message's idempotency key.
        key: MessageKey,
        /// The failure of the send.
        cause: Failure,
        /// The reason why no echo settles it.
        echo: NoEcho,
    },
    /// A claim for something other than a message failed.
    ControlNotGranted {
        /// The reason for the claim.
        origin: ClaimOrigin,
        /// The steps that were tried, with their outcomes.
        report: NotGranted,
    },
    /// Control was given away.
    Transferred {
        /// The new owner, or `None` if control was released.
        to: Option<AppId>,
    },
    /// Another app or a person answered the customer.
    AnsweredElsewhere {
        /// The echo of that message.
        echo: Echo,
        /// Whether a person wrote it, as far as can be seen. A bot is then silent: until control comes back from the
        /// person's app, or for [`Timeouts::stand_back`](super::Timeouts::stand_back) if that app needs none, or if the
        /// bot has to ask the desk for control.
        by_person: bool,
    },
    /// The customer unsent this message ([unsent](crate::protocol#unsent-and-edited)): stop showing it. It is also
    /// removed from notices that wait and from the unanswered messages.
    Unsent {
        /// The platform's id of the message.
        mid: MessageId,
    },
    /// The customer edited a message. Notices that wait carry the new text.
    Edited {
        /// The platform's id of the message.
        mid: MessageId,
        /// The new text. `None` if the platform does not send it: fetch it by `mid`.
        text: Option<PrivateText>,
        /// The number of edits so far, from 1.
        number: u32,
    },
    /// An event that needs no answer: a reaction, a referral, an opt-in, or an event without a type in this crate.
    Other {
        /// The event.
        other: Other,
        /// The channel on which it came.
        channel: Channel,
    },
    /// Messages reached the customer's device. Sent only with [`Config::receipts`](super::Config::receipts).
    Delivered {
        /// The messages. Older receipts name none.
        mids: Vec<MessageId>,
        /// All messages up to this time were delivered.
        watermark: Option<Timestamp>,
    },
    /// The customer has read messages. Sent only with [`Config::receipts`](super::Config::receipts).
    Read {
        /// All messages up to this time were read (Messenger).
        watermark: Option<Timestamp>,
        /// The message that was read (Instagram).
        mid: Option<MessageId>,
    },
    /// An action that a handler returned was refused.
    ActionRefused {
        /// The refused action.
        action: RefusedAction,
        /// The reason.
        why: CommandRefused,
    },
    /// Control could not be given away.
    TransferFailed {
        /// The intended new owner.
        target: Target,
        /// The reason.
        reason: Failure,
    },
}

impl Notice {
    /// The customer's messages that this host should answer now. Reply to each, or to the last.
    #[must_use]
    pub fn to_answer(&self) -> &[Inbound] {
        match self {
            Self::Message { inbound, to_answer: true, .. } => std::slice::from_ref(inbound),
            Self::ControlGained { unanswered, .. } => unanswered,
            _ => &[],
        }
    }

    /// The customer's messages in this notice, to be answered by this host or not.
    pub(super) fn messages(&self) -> &[Inbound] {
        match self {
            Self::Message { inbound, .. } => std::slice::from_ref(inbound),
            other => other.to_answer(),
        }
    }
}

impl From<&Owner> for Option<AppId> {
    fn from(owner: &Owner) -> Self {
        match owner {
            Owner::Other(app) => app.clone(),
            _ => None,
        }
    }
}

/// An action that a handler returned and that was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedAction {
    /// A reply, by the key that it would have had.
    Reply(MessageKey),
    /// A transfer of control.
    Transfer(Target),
}
