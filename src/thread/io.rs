use serde::{Deserialize, Serialize};

use crate::call::{Call, CallId, CallOutcome, Failure, MessageKey, OutgoingMessage};
use crate::event::{Channel, Echo, Event, Inbound, Other, PrivateText};
use crate::id::{AppId, INSTAGRAM_INBOX, MessageId, PAGE_INBOX};
use crate::time::Timestamp;

use super::actions::{Handled, RefusedAction};
use super::belief::Owner;
use super::note::Note;
use super::outcome::{FailReason, MessageStatus, NoEcho, NotGranted};
use super::page::PageCall;

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

/// Why control is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClaimOrigin {
    /// An answer waits to be sent.
    Message,
    /// An agent opened an intervention.
    Intervention,
    /// The bot called ED's endpoint, bot to agent: it asks to be asked, so `request` comes first
    /// under every policy (seed, "Handover from bot to agent").
    BotAsked,
    /// The host wants control.
    Host,
}

/// Who should get control.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// Nobody: `release_thread_control`.
    Nobody,
    /// An app: `pass_thread_control`.
    App(AppId),
    /// The desk, from a bot: through ED's endpoint where there is one, else passed to its app.
    Desk,
}

impl Target {
    /// The Page inbox, where people answer who have no desk.
    #[must_use]
    pub fn page_inbox() -> Self {
        Self::App(AppId::from(PAGE_INBOX))
    }

    /// The Instagram inbox.
    #[must_use]
    pub fn instagram_inbox() -> Self {
        Self::App(AppId::from(INSTAGRAM_INBOX))
    }
}

/// How a command was received. For inputs that are no commands, [`Reply::Done`] or [`Reply::Ignored`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done, or noted.
    Done,
    /// Nothing to do: a duplicate, or an answer to a call that was never made.
    Ignored,
    /// The answer is accepted and will have exactly one end.
    Accepted,
    /// This key is known already; nothing was added.
    Duplicate(MessageStatus),
    /// Control is being claimed; the number identifies this claim.
    Claiming(u64),
    /// Control is ours already.
    AlreadyOurs,
    /// Control is being given away; the number identifies this attempt. `waits` says that answers
    /// must be settled first.
    Transferring {
        /// Identifies the attempt.
        id: u64,
        /// Unsettled answers come first.
        waits: bool,
    },
    /// The target has control already.
    AlreadyThere,
    /// Not possible now; nothing changed.
    Refused(CommandRefused),
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandRefused {
    /// As many answers wait as one thread may keep. Try again when some are settled.
    #[error("too many answers wait on this thread already")]
    QueueFull,
    /// As many notices are unacknowledged as one thread may keep: the host's handler must catch up.
    #[error("too many notices wait for the host's handler")]
    NoticesFull,
    /// People are busy with this customer (seed: no handover while an intervention is engaged).
    #[error("an intervention is engaged with this customer")]
    InterventionOpen,
    /// Neither we nor the target own the thread, and the policy does not allow to take it.
    #[error("another app owns the thread")]
    AnotherAppOwns,
    /// Control cannot be given to the app that gives it.
    #[error("control cannot be handed over to ourselves")]
    ToOurselves,
    /// There is no desk to hand over to: neither its endpoint nor its app id is configured.
    #[error("no desk is configured")]
    NoDesk,
    /// No answer with this key is in that state.
    #[error("no such answer waits")]
    NoSuchMessage,
    /// No such app waits for control.
    #[error("this app has not asked for control")]
    NoSuchRequest,
    /// People were asked for, or a person answers elsewhere: the bot stays silent until they are done
    /// ([`Command::ResumeBot`] if the host knows better).
    #[error("people are busy with the customer")]
    WithPeople,
    /// No notice with this number was set aside.
    #[error("no such notice was set aside")]
    NoSuchNotice,
}

/// What a thread wants to be done. Everything here can be derived from the saved state again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Make this call and answer with [`Input::CallEnded`].
    Call {
        /// Its number.
        id: CallId,
        /// The call.
        call: Call,
        /// Calls of this thread failed just before: it may be held back where many fail.
        retry: bool,
        /// What travels with it.
        note: Option<Note>,
    },
    /// Tell the host, then answer with [`Input::NoticeHandled`].
    Notice {
        /// Its number: the same when it comes again.
        id: NoticeId,
        /// How often it was told, this time counted.
        attempt: u32,
        /// What to tell.
        notice: Notice,
    },
    /// The handler failed on a notice too often: it is not told any more, and can be read
    /// ([`Thread::set_aside`](super::Thread::set_aside)). Log it.
    SetAside {
        /// Its number.
        id: NoticeId,
        /// How often it was told.
        attempts: u32,
        /// The oldest that was set aside, which had to be dropped for it.
        dropped: Option<NoticeId>,
    },
    /// The Page refused this call, perhaps for all its threads: give it to [`PageRefusals::refused`](super::PageRefusals).
    PageRefuses {
        /// The call.
        call: PageCall,
        /// How it was refused.
        failure: Failure,
        /// Whether it is known to be the Page's configuration, and not about this person.
        certain: bool,
    },
}

/// The number of one notice of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(pub u64);

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
