//! Why the service could not do what was asked.

use crate::call::Advice;
use crate::store::{RecordError, StoreError};
use crate::thread::CommandRefused;

#[cfg(doc)]
use super::{Builder, Handover};

/// The reason why the service did not do what was asked. [`Self::advice`] says whether to retry.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The store failed, so the change may or may not be saved: retry, with the same key.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The conversation refuses the command now; nothing changed.
    #[error(transparent)]
    Refused(#[from] CommandRefused),
    /// The stored conversation cannot be read and was not modified. Restore a damaged one or [`forget`](Handover::forget) it.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Other replicas kept writing the same conversation: retry later.
    #[error("the conversation is too busy to be changed now")]
    Busy,
    /// Too much is under way ([`Builder::events_at_once`]). Nothing was accepted: let the platform redeliver.
    #[error("too many events are under way")]
    Overloaded,
    /// Saving takes longer than [`Builder::events_within`]. It continues, and redelivered events count as duplicates.
    #[error("the events could not be saved in time")]
    TooSlow,
    /// The service was stopped, or its runtime is shutting down. Let another replica do it.
    #[error("the service is shutting down")]
    ShuttingDown,
}

impl HandoverError {
    /// Whether the caller should retry. For a webhook, `RetryLater` means to respond 503, so that the platform redelivers.
    #[must_use]
    pub fn advice(&self) -> Advice {
        match self {
            Self::Record(record) if record.is_permanent() => Advice::GiveUp,
            Self::Store(_)
            | Self::Record(_)
            | Self::Busy
            | Self::TooSlow
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::Refused(CommandRefused::QueueFull | CommandRefused::NoticesFull) => Advice::RetryLater,
            Self::Refused(_) => Advice::GiveUp,
        }
    }
}
