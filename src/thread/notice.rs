//! What the host is notified of.

use serde::{Deserialize, Serialize};

use crate::call::{Failure, MessageKey};
use crate::event::{Channel, Echo, Inbound, Other, PrivateText};
use crate::id::{AppId, MessageId};
use crate::time::Timestamp;

use super::belief::Owner;
use super::outcome::{FailReason, NoEcho, NotGranted};
use super::terms::{ClaimOrigin, CommandRefused, Target};

/// What the host is told, at least once, in order, until its handler returned `Ok`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Notice {
    /// The customer wrote.
    Message {
        /// What.
        inbound: Inbound,
        /// On which channel it came.
        channel: Channel,
        /// Whether it is this host's to answer: it holds control, or nobody else is known to, or it can ask the desk for
        /// control; and a bot only while no people are busy with the customer. Otherwise it is told again with
        /// [`Notice::ControlGained`] unless somebody answers it.
        to_answer: bool,
    },
    /// We hold control now. It comes again where that was in doubt and messages came in meanwhile.
    ControlGained {
        /// Who had it, if an event says so.
        from: Option<AppId>,
        /// The note that came with it: the `metadata` of the event.
        note: Option<PrivateText>,
        /// What the customer wrote meanwhile and nobody has answered yet.
        unanswered: Vec<Inbound>,
        /// How many older unanswered messages there are beyond those.
        more: u32,
    },
    /// Somebody else holds control now.
    ControlLost {
        /// Who, if it is known.
        to: Option<AppId>,
        /// The note that went with it: the `metadata` of the event.
        note: Option<PrivateText>,
    },
    /// An app asks for control.
    ControlRequested {
        /// Who, if it is known.
        by: Option<AppId>,
        /// The note that came with it: the `metadata` of the event.
        note: Option<PrivateText>,
        /// Whether control will be passed without the host's word.
        granted: bool,
    },
    /// An answer reached the platform; or a late echo showed that an unknown one did.
    MessageSent {
        /// Which.
        key: MessageKey,
        /// The platform's id of the message, where it told.
        mid: Option<MessageId>,
        /// It was sent more than once ([`super::OnUnknown::Resend`]): the customer may read it twice.
        maybe_doubled: bool,
    },
    /// An answer was certainly not sent.
    MessageFailed {
        /// Which.
        key: MessageKey,
        /// Why.
        reason: FailReason,
    },
    /// An answer may or may not have arrived.
    MessageUnknown {
        /// Which.
        key: MessageKey,
        /// What happened when it was sent.
        cause: Failure,
        /// Why its echo does not settle it.
        echo: NoEcho,
    },
    /// Control was claimed, not for an answer, and could not be had.
    ControlNotGranted {
        /// Why it was claimed.
        origin: ClaimOrigin,
        /// What was tried.
        report: NotGranted,
    },
    /// Control was given away.
    Transferred {
        /// To whom; nobody means released.
        to: Option<AppId>,
    },
    /// Somebody else has answered the customer: another app, or a person in an inbox or the phone app.
    AnsweredElsewhere {
        /// The message.
        echo: Echo,
        /// A person has written it, as far as can be told: a bot stands back ([`super::Timeouts::stand_back`]).
        by_person: bool,
    },
    /// The customer took this message back: do not show it any more. Where it was still to be told, or to be answered, it is
    /// gone from there.
    Unsent {
        /// The message.
        mid: MessageId,
    },
    /// The customer changed a message. Where it was still to be told it is told as it is now.
    Edited {
        /// The message.
        mid: MessageId,
        /// What it says now. `None` if the platform does not say: fetch it by `mid`.
        text: Option<PrivateText>,
        /// How many times it was edited so far, from 1.
        number: u32,
    },
    /// Something that nobody has to answer: a reaction, a referral, an opt-in, or what has no type here.
    Other {
        /// What.
        other: Other,
        /// On which channel it came.
        channel: Channel,
    },
    /// Messages reached the customer's device ([`super::Config::receipts`]).
    Delivered {
        /// The messages. Older reports name none.
        mids: Vec<MessageId>,
        /// Everything until then.
        watermark: Option<Timestamp>,
    },
    /// The customer has read messages ([`super::Config::receipts`]).
    Read {
        /// Everything until then, on Messenger.
        watermark: Option<Timestamp>,
        /// The message, on Instagram.
        mid: Option<MessageId>,
    },
    /// Something that the handler of a notice wanted done is not possible.
    ActionRefused {
        /// What.
        action: RefusedAction,
        /// Why not.
        why: CommandRefused,
    },
    /// Control could not be given away.
    TransferFailed {
        /// To whom it should have gone.
        target: Target,
        /// Why not.
        reason: Failure,
    },
}

impl Notice {
    /// What the customer wrote that this host should answer now. Reply to each, or to the last.
    #[must_use]
    pub fn to_answer(&self) -> &[Inbound] {
        match self {
            Self::Message { inbound, to_answer: true, .. } => std::slice::from_ref(inbound),
            Self::ControlGained { unanswered, .. } => unanswered,
            _ => &[],
        }
    }

    /// What the customer wrote, whoever is to answer it.
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

/// An action that was returned by a handler and not done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusedAction {
    /// A reply, by the key that it would have had.
    Reply(MessageKey),
    /// A hand-over.
    Transfer(Target),
}
