//! Counts the work that waits in the store, for all processes on it.

use crate::store::Loaded;
use crate::thread::WaitsFor;
use crate::time::Timestamp;

use super::{Handover, HandoverError};

/// The conversations that are read at once.
const PORTION: usize = 100;

/// The work that waits in the store, by [`Handover::backlog`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Backlog {
    /// Conversations that [need attention](crate::thread::Thread::needs_attention).
    pub conversations: usize,
    /// Messages that are not settled.
    pub messages: usize,
    /// Of these, messages that may or may not have been sent, until the host [resumes](Handover::resume) their conversation.
    pub unknown: usize,
    /// The time at which the oldest of the messages fails.
    pub first_expiry: Option<Timestamp>,
    /// Notices that wait for the handler.
    pub notices: usize,
    /// Notices that were set aside.
    pub set_aside: usize,
    /// Whether there are more conversations than were read.
    pub has_more: bool,
}

impl Handover {
    /// Counts what waits in the store, also what other processes left. It reads up to `most` conversations that need attention,
    /// so call it once a minute and not for each request.
    ///
    /// ```
    /// # use messenger_handover::prelude::*;
    /// # async fn watch(handover: &Handover) -> Result<(), HandoverError> {
    /// let backlog = handover.backlog(10_000).await?;
    /// println!("{} messages wait, {} of them for a person", backlog.messages, backlog.unknown);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`HandoverError::Store`]: try again.
    pub async fn backlog(&self, most: usize) -> Result<Backlog, HandoverError> {
        let mut backlog = Backlog::default();
        let mut last = None;
        loop {
            // One more than fits shows whether there are more.
            let portion = PORTION.min((most - backlog.conversations).saturating_add(1));
            let keys = self.inner.store.needing_attention(last.as_ref(), portion).await?;
            let room = most - backlog.conversations;
            for loaded in self.inner.store.load(&keys[..keys.len().min(room)]).await? {
                backlog.count(&loaded);
            }
            backlog.has_more = keys.len() > room;
            if keys.len() < portion || backlog.has_more {
                return Ok(backlog);
            }
            last = keys.into_iter().last();
        }
    }
}

impl Backlog {
    /// Counts a conversation. Of a damaged one only the conversation is counted.
    fn count(&mut self, loaded: &Loaded) {
        self.conversations += 1;
        let Ok(thread) = &loaded.thread else { return };
        for message in thread.waiting_messages() {
            self.messages += 1;
            self.unknown += usize::from(message.waits_for == WaitsFor::Host);
            let first = self.first_expiry.map_or(message.expires, |first| first.min(message.expires));
            self.first_expiry = Some(first);
        }
        self.notices += thread.waiting_notices();
        self.set_aside += thread.set_aside().count();
    }
}
