//! Maintenance of a running service: counters, stop, conversations that need attention, deletion.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::id::ThreadKey;
use crate::store::StoreError;
use crate::thread::{Command, NoticeId};

use super::mailbox::Order;
use super::{Handover, HandoverError};

/// The result of [`Handover::stop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Stopped {
    /// All work under way is finished and saved.
    Finished,
    /// This number of tasks (conversations with a handler at work, calls) had not ended by the deadline. When their leases
    /// expire, another process on the same store continues; a message among them is settled by its echo or reported as
    /// unknown.
    Unfinished(usize),
}

/// The reason why the service cannot work now, by [`Handover::healthy`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Unhealthy {
    /// [`Handover::stop`] was called: send no more requests here.
    #[error("the service stops")]
    Stopping,
    /// The store failed, or can be read only: look at the database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store did not answer in time: look at the database and its connections.
    #[error("the store did not answer in time")]
    StoreTooSlow,
    /// As many events are being saved as are allowed ([`Builder::events_at_once`](super::Builder::events_at_once)): the store is
    /// too slow for the load.
    #[error("too many events are being saved")]
    Overloaded,
    /// The store has not been asked for due conversations for this time, so that timers do not fire: restart the process.
    #[error("due conversations have not been woken for {} s", .0.as_secs())]
    NotWaking(Duration),
}

/// The time without a round of the waker after which it counts as stopped: more than its two calls of the store may take.
const WAKES_WITHIN: Duration = Duration::from_secs(2 * 60);

impl Handover {
    /// Whether the service can work: it does not stop, its store answers within `within`, deliveries find room, and timers fire.
    /// For the readiness check of a load balancer.
    ///
    /// # Errors
    /// [`Unhealthy`] says what is wrong.
    pub async fn healthy(&self, within: Duration) -> Result<(), Unhealthy> {
        let inner = &self.inner;
        if inner.is_stopping() {
            return Err(Unhealthy::Stopping);
        }
        let answer = tokio::time::timeout(within, inner.store.ping()).await;
        answer.map_err(|_| Unhealthy::StoreTooSlow)??;
        // The waker writes: a database that only answers reads is of no use.
        let (waking, failure) = {
            let waker = inner.waker();
            (waker.last.elapsed(), waker.failure.clone())
        };
        match failure {
            Some(failure) => return Err(failure.into()),
            None if waking > WAKES_WITHIN => return Err(Unhealthy::NotWaking(waking)),
            None => {}
        }
        drop(inner.room_for(1).map_err(|_| Unhealthy::Overloaded)?);
        Ok(())
    }

    /// Removes a notice that was set aside ([`Thread::set_aside`](crate::thread::Thread::set_aside)). Call it when you have
    /// dealt with the notice.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchNotice`](crate::thread::CommandRefused::NoSuchNotice) as [`HandoverError::Refused`] if the
    /// notice is gone; otherwise [`HandoverError`]: try again as its [advice](HandoverError::advice) says.
    pub async fn dismiss_set_aside(&self, thread: &ThreadKey, notice: NoticeId) -> Result<(), HandoverError> {
        self.command(thread, Command::DismissSetAside(notice)).await.map(drop)
    }

    /// Stops the service and waits up to `within` until work under way is finished and saved. Call it before a restart, so
    /// that the next process need not wait for leases.
    ///
    /// From now on the service accepts nothing ([`HandoverError::ShuttingDown`]) and starts no call. Pending work is due at
    /// once for the other replicas, or for the next process. If this future is dropped, the service still stops.
    pub async fn stop(&self, within: Duration) -> Stopped {
        let inner = &self.inner;
        inner.stopping.store(true, Ordering::SeqCst);
        inner.calls.close();
        let finished = tokio::time::timeout(within, inner.tasks.wait()).await;
        #[cfg(feature = "metrics")]
        super::numbers::report(&self.stats());
        match finished {
            Ok(()) => Stopped::Finished,
            Err(_) => Stopped::Unfinished(inner.tasks.len()),
        }
    }

    /// Waits up to `within` until this process is at rest: no handler runs, no call is under way, everything is saved. Returns
    /// whether it is. A test calls it instead of sleeping. What waits for a time, such as a retry or a deadline, or for a webhook,
    /// does not count.
    pub async fn settled(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.inner.tasks.wait()).await.is_ok()
    }

    /// Lists at most `limit` conversations that [need attention](crate::thread::Thread::needs_attention), in the store's order.
    /// Pass the last key as `after` for the next portion. An agent desk shows them after a restart.
    ///
    /// # Errors
    /// [`HandoverError::Store`]: try again.
    pub async fn threads_needing_attention(
        &self,
        after: Option<&ThreadKey>,
        limit: usize,
    ) -> Result<Vec<ThreadKey>, HandoverError> {
        Ok(self.inner.store.needing_attention(after, limit).await?)
    }

    /// Deletes everything stored of a conversation, for example when a customer asks for that. Its waiting messages are dropped
    /// without a notice; a call under way is not cancelled. Other replicas may keep it in their cache until the room is needed
    /// ([`Builder::cache_size`](super::Builder::cache_size)).
    ///
    /// # Errors
    /// [`HandoverError::Store`]: call it again.
    pub async fn forget(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.is_taking_in()?;
        let reply = self.submit(vec![(thread.clone(), Order::Forget)], None).await.pop();
        reply.map_or(Ok(()), |reply| reply.map(drop))
    }

    pub(super) fn is_taking_in(&self) -> Result<(), HandoverError> {
        if self.inner.is_stopping() { Err(HandoverError::ShuttingDown) } else { Ok(()) }
    }
}
