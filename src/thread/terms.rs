//! What commands, notices and outputs speak of.

use serde::{Deserialize, Serialize};

use crate::id::{AppId, INSTAGRAM_INBOX, PAGE_INBOX};

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

/// The number of one notice of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(pub u64);
