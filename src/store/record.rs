//! The errors of records, which a store reports for each conversation.
use std::error::Error as StdError;
use std::sync::Arc;

/// The record format that this version of the crate writes. It reads this one and all older ones. The number rises with every
/// change of the written data, including a new field.
pub const FORMAT: u32 = 1;

/// The reason why a record cannot be read. The conversation is skipped: its state is neither guessed nor overwritten.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer version of this crate wrote the record: update this process.
    #[error("the record has format {0}, and this version of the crate reads up to {FORMAT}: update it")]
    Newer(u32),
    /// The record is sealed, and there is no [`Seal`](super::Seal) or it cannot open the record: configure the right key.
    #[error("the record is sealed and cannot be opened with what was configured")]
    Sealed(#[source] Option<Arc<dyn StdError + Send + Sync>>),
    /// The record is damaged or not a record at all: restore it, or forget the conversation.
    #[error("the record is damaged: {0}")]
    Damaged(Arc<str>),
}

impl RecordError {
    /// Whether no process can ever read the record. Webhooks for its conversation are then dropped and logged, because to have
    /// them [redelivered](crate::protocol#redelivery) would end with the app unsubscribed from the Page.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }
}
