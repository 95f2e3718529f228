//! Looking after a running service: figures, stopping, forgetting.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::id::ThreadKey;
use crate::thread::{Command, NoticeId};

use super::mailbox::Order;
use super::{Handover, HandoverError};

/// How a service stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Stopped {
    /// All that it had begun is finished and saved.
    Finished,
    /// So many tasks had not ended by the deadline: calls, or handlers. When their leases are over, whoever
    /// works on the same store goes on; a message among them is settled by its echo or reported as unknown.
    Unfinished(usize),
}

/// What has happened in this process since the service was started. Raise an alarm when one of these grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// How often a conversation was to be worked on whose record is damaged. Its events were dropped: restore the record, or
    /// [`forget`](Handover::forget) the conversation.
    pub damaged_records: u64,
    /// Notices that the handler failed on too often, so that they were set aside
    /// ([`Thread::set_aside`](crate::thread::Thread::set_aside)).
    pub set_aside: u64,
}

impl Handover {
    /// What has happened in this process since the service was started.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = &self.inner.counters;
        Stats {
            damaged_records: counters.damaged.load(Ordering::Relaxed),
            set_aside: counters.set_aside.load(Ordering::Relaxed),
        }
    }

    /// The host has dealt with a notice that was set aside ([`Thread::set_aside`](crate::thread::Thread::set_aside)): it is
    /// removed.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchNotice`](crate::thread::CommandRefused::NoSuchNotice) as [`HandoverError::Refused`]; otherwise
    /// [`HandoverError`].
    pub async fn dismiss_set_aside(&self, thread: &ThreadKey, notice: NoticeId) -> Result<(), HandoverError> {
        self.command(thread, Command::DismissSetAside(notice)).await.map(drop)
    }

    /// Stops the service, for a restart without waiting for leases: nothing new is taken in
    /// ([`HandoverError::ShuttingDown`]) or begun, and what is under way is finished and saved, within this time.
    /// What is left to do is due at once for the other replicas, or for the next process.
    pub async fn stop(&self, within: Duration) -> Stopped {
        let inner = &self.inner;
        inner.stopping.store(true, Ordering::SeqCst);
        inner.calls.close();
        inner.tasks.close();
        match tokio::time::timeout(within, inner.tasks.wait()).await {
            Ok(()) => Stopped::Finished,
            Err(_) => Stopped::Unfinished(inner.tasks.len()),
        }
    }

    /// At most `limit` conversations in which somebody still has to do something ([`Thread::is_open`]), behind `after`:
    /// an agent desk that was restarted shows them.
    ///
    /// [`Thread::is_open`]: crate::thread::Thread::is_open
    ///
    /// # Errors
    /// [`HandoverError::Store`].
    pub async fn threads_needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, HandoverError> {
        Ok(self.inner.store.needing_attention(after, limit).await?)
    }

    /// Removes all that is known of a conversation, as when a customer asks for that. Answers that wait in it
    /// are dropped without a notice; what is under way is not called back. Other replicas may have it in their memory until
    /// that is needed for other conversations ([`Builder::copies`](super::Builder::copies)).
    ///
    /// # Errors
    /// [`HandoverError::Store`]: forget it again.
    pub async fn forget(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.is_taking_in()?;
        let reply = self.submit(vec![(thread.clone(), Order::Forget)], None).await.pop();
        reply.map_or(Ok(()), |reply| reply.map(drop))
    }

    pub(super) fn is_taking_in(&self) -> Result<(), HandoverError> {
        if self.inner.is_stopping() { Err(HandoverError::ShuttingDown) } else { Ok(()) }
    }
}
