//! Terms shared by commands, notices and outputs: claim origins, targets, refusals, notice ids.

use serde::{Deserialize, Serialize};

use crate::id::{AppId, INSTAGRAM_INBOX, PAGE_INBOX};

/// The reason for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ClaimOrigin {
    /// A message waits to be sent.
    Message,
    /// An agent opened an intervention.
    Intervention,
    /// The bot called Engage Digital's endpoint, bot to agent. The desk must then [request
    /// control](crate::protocol#ed-bots-endpoint), so `request` comes first under every policy.
    BotAsked,
    /// The host wants control.
    Host,
}

/// The new owner of a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Target {
    /// No app: `release_thread_control`.
    Nobody,
    /// An app: `pass_thread_control`.
    App(AppId),
    /// The desk, from a bot: through Engage Digital's endpoint if it is configured, otherwise by a pass to the desk's
    /// app.
    Desk,
}

impl Target {
    /// The Page inbox, for people without an agent desk.
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

/// The reason why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CommandRefused {
    /// The message queue is full ([`Limits::messages`](super::Limits::messages)). Try again when some messages are
    /// settled.
    #[error("too many answers wait on this thread already")]
    QueueFull,
    /// The notice queue is full ([`Limits::notices`](super::Limits::notices)). Try again when the handler has caught
    /// up.
    #[error("too many notices wait for the host's handler")]
    NoticesFull,
    /// An agent is engaged with this customer, and control [must not move](crate::protocol#ed-bots-endpoint)
    /// meanwhile.
    #[error("an intervention is engaged with this customer")]
    InterventionOpen,
    /// Neither we nor the target own the thread, and the policy does not allow taking it.
    #[error("another app owns the thread")]
    AnotherAppOwns,
    /// The target of the transfer is this app itself.
    #[error("the target of the transfer is this app itself")]
    ToOurselves,
    /// No desk is configured: neither its endpoint nor its app id.
    #[error("no desk is configured")]
    NoDesk,
    /// No message with this key is in the required state.
    #[error("no such message waits")]
    NoSuchMessage,
    /// This app has not asked for control.
    #[error("this app has not asked for control")]
    NoSuchRequest,
    /// People were asked for, or a person answers from another app: the bot stays silent until they are done. Send
    /// [`Command::ResumeBot`](super::Command::ResumeBot) if the host knows that they are.
    #[error("people are busy with the customer")]
    WithPeople,
    /// No notice with this number is set aside.
    #[error("no such notice is set aside")]
    NoSuchNotice,
}

/// The number of a notice within its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(pub u64);
