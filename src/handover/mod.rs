//! The service: drives one [`Thread`] for each conversation, over a client, a store and the host's handler.
//!
//! # The way of a delivery
//! 1. `webhook::Endpoint` verifies and parses the request and calls `Handover::receive`, or the host [`Handover::events`].
//! 2. Each event goes as a letter into the mailbox of its conversation, which opens a task if none is active.
//! 3. The task takes all letters of its mailbox, loads the thread (or uses its cached copy), steps it with each, asks the handler
//!    for decisions ([`Handler::decide`]), and saves it by one compare-and-swap. If another replica wrote meanwhile, it loads and
//!    steps again.
//! 4. Each letter gets its reply. When all events have theirs, the endpoint responds 200; on an error or a timeout, 503.
//! 5. The task runs [`Handler::notify`] on the first notice without a decision, and steps and saves the thread again with its
//!    actions.
//!
//! # The way of a message
//! 1. [`Handover::send`], or a reply that the handler returns, puts the message into the outbox of the thread, saved at once.
//! 2. If we seem not to own the thread, or a send is refused for that reason, it opens a claim: the calls of its plan in turn.
//! 3. The thread records the send as in flight with a lease. Only after that is saved, a task of its own makes the call.
//! 4. The outcome goes as a letter into the mailbox. If it is unknown, the thread waits for the message's echo.
//! 5. The handler gets [`MessageSent`](crate::thread::Notice::MessageSent), `MessageFailed` or `MessageUnknown`.

mod alarm;
mod backlog;
mod batcher;
mod builder;
mod cache;
mod calls;
mod check;
mod clock;
mod conversation;
mod effects;
mod error;
mod handler;
mod inner;
mod mailbox;
mod maintenance;
mod numbers;
mod sender_action;
mod stats;
mod story;
mod unsaved;
mod wake;

pub use backlog::Backlog;
pub use builder::Builder;
pub use check::BuildError;
pub use clock::{Clock, SystemClock};
pub use error::HandoverError;
pub use handler::{BoxError, Handler, HandlerError, Notification};
pub use maintenance::{Stopped, Unhealthy};
pub use numbers::Number;
pub use sender_action::Shown;
pub use stats::{CallCount, Stats};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use crate::call::{MessageKey, OutgoingMessage};
use crate::event::Event;
use crate::id::{AppId, PageId, ThreadKey};
#[cfg(doc)]
use crate::thread::CommandRefused;
use crate::thread::{
    ClaimOrigin, ClaimProgress, Command, Input, MessageStatus, Note, Reply, Target, Thread, TransferProgress,
};
use crate::time::Timestamp;

use inner::Inner;
use mailbox::Order;

/// The service of one host: sends messages once, claims control and gives it away, for all its conversations. Clones share one
/// service, which ends when the last is dropped. The future of every method may be dropped: work that it began continues.
#[derive(Clone)]
pub struct Handover {
    inner: Arc<Inner>,
}

/// The result of a send.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// The message is accepted. The handler will be notified of its one end: sent, failed or unknown.
    New,
    /// A message with this key was accepted before and has this status. Nothing was added.
    Duplicate(MessageStatus),
}

/// The result of a transfer command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transfer {
    /// The target already has control.
    AlreadyThere,
    /// The transfer is under way.
    Started {
        /// The transfer's number for [`Handover::transfer_progress`].
        id: u64,
        /// Whether messages must be settled first, because a pass just after a send suppresses [echoes](crate::protocol#echoes).
        waits: bool,
    },
}

impl Handover {
    /// Our own app id.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.inner.config.app
    }

    /// Saves events of the platform, in order, each for its conversation. Respond 200 to the webhook only after this returns.
    ///
    /// Events of a conversation with a damaged record are dropped, logged as an error, and counted ([`Stats::damaged_records`]).
    ///
    /// # Errors
    /// [`HandoverError`]: let the platform redeliver. Events that were saved then count as duplicates. A conversation with a full
    /// notice queue ([`Limits::notices`](crate::thread::Limits::notices)) refuses only its own ([`CommandRefused::NoticesFull`]).
    pub async fn events(&self, events: Vec<(ThreadKey, Event)>) -> Result<(), HandoverError> {
        self.take_in(events.into_iter()).await
    }

    pub(crate) async fn take_in(
        &self,
        events: impl Iterator<Item = (ThreadKey, Event)>,
    ) -> Result<(), HandoverError> {
        let mut latest = Timestamp::default();
        let orders: Vec<_> = events
            .map(|(key, event)| {
                latest = latest.max(event.at.from);
                (key, Order::Step(Input::Event(event)))
            })
            .collect();
        self.inner.check_clock(latest);
        let (events, counters) = (orders.len(), &self.inner.counters);
        let span = tracing::info_span!(
            "delivery",
            "otel.kind" = "consumer",
            "messaging.system" = "messenger",
            "messaging.batch.message_count" = events
        );
        let taken_in = self.submit_events(orders).instrument(span).await;
        match &taken_in {
            Ok(()) => stats::add(&counters.events_accepted, u64::try_from(events).unwrap_or(u64::MAX)),
            Err(_) => stats::add(&counters.deliveries_refused, 1),
        }
        taken_in
    }

    async fn submit_events(&self, orders: Vec<(ThreadKey, Order)>) -> Result<(), HandoverError> {
        self.is_taking_in()?;
        let room = self.inner.room_for(orders.len())?;
        let submitted = self.submit(orders, Some(room));
        let replies = tokio::time::timeout(self.inner.events_within, submitted).await;
        for reply in replies.map_err(|_| HandoverError::TooSlow)? {
            match reply {
                // Dropped, because a redelivery would fail in the same way.
                Err(HandoverError::Record(error)) if error.is_permanent() => {}
                Err(error) => return Err(error),
                Ok(Reply::Refused(refused)) => return Err(refused.into()),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Drops the cached refusals of a Page. Call it when an admin has changed its settings; `app_roles` events do it too.
    pub fn roles_changed(&self, page: &PageId) {
        self.inner.forget_refusals(page);
    }

    /// Limits the log of unknown webhook items.
    #[cfg(feature = "webhook")]
    pub(crate) fn not_understood(&self) -> &crate::throttle::Refusals {
        &self.inner.not_understood
    }

    /// Sends a message to the customer once, such as an agent's. Two sends with one key are one message, unless the first failed:
    /// then the second is a new attempt. If we do not own the thread, control is claimed by the policy.
    ///
    /// A [`Handler`] returns its replies instead, which are accepted even if the notice queue is full.
    ///
    /// # Errors
    /// As [`HandoverError::Refused`]: [`CommandRefused::QueueFull`], [`CommandRefused::NoticesFull`]: retry when the platform or
    /// the handler has caught up. [`CommandRefused::WithPeople`]: people are busy with the bot's customer.
    /// [`CommandRefused::InterventionOpen`], [`CommandRefused::ToOurselves`]: the message must not give control away now.
    /// Otherwise [`HandoverError`]: retry with the same key.
    pub async fn send(
        &self,
        thread: &ThreadKey,
        key: MessageKey,
        message: OutgoingMessage,
    ) -> Result<Accepted, HandoverError> {
        match self.command(thread, Command::Send { key, message }).await? {
            Reply::Duplicate(status) => Ok(Accepted::Duplicate(status)),
            _ => Ok(Accepted::New),
        }
    }

    /// For a desk, when an agent engages with the customer: claims control until the intervention is closed. Idempotent.
    ///
    /// # Errors
    /// [`HandoverError`]: call it again. [`CommandRefused::NoticesFull`] lasts until the handler has caught up.
    pub async fn open_intervention(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.command(thread, Command::OpenIntervention).await.map(drop)
    }

    /// For a desk, when the agent is done: releases control when the messages are settled.
    ///
    /// # Errors
    /// [`HandoverError`]: call it again.
    pub async fn close_intervention(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.command(thread, Command::CloseIntervention).await.map(drop)
    }

    /// Records that Engage Digital opened an intervention at this time (`None`: now). Its reports are [unordered and may
    /// repeat](crate::protocol#ed-events): older ones are ignored. A desk claims control; a bot stays silent.
    ///
    /// # Errors
    /// [`HandoverError`]: let Engage Digital report it again.
    pub async fn intervention_opened(
        &self,
        thread: &ThreadKey,
        at: Option<Timestamp>,
    ) -> Result<(), HandoverError> {
        self.command(thread, Command::InterventionReported { open: true, at }).await.map(drop)
    }

    /// Records that Engage Digital closed the customer's last open intervention at this time (`None`: now). Older reports are
    /// ignored. A desk releases control; a bot reads the owner, because Meta sends [no webhook](crate::protocol#release) for it.
    ///
    /// # Errors
    /// [`HandoverError`]: let Engage Digital report it again.
    pub async fn intervention_closed(
        &self,
        thread: &ThreadKey,
        at: Option<Timestamp>,
    ) -> Result<(), HandoverError> {
        self.command(thread, Command::InterventionReported { open: false, at }).await.map(drop)
    }

    /// Claims control without a message. Waits up to `wait` until the first step of the claim plan is accepted or the plan has
    /// failed; the claim continues after that.
    ///
    /// # Errors
    /// [`HandoverError`]. A failed claim is not an error but [`ClaimProgress::NotGranted`].
    pub async fn claim(
        &self,
        thread: &ThreadKey,
        origin: ClaimOrigin,
        wait: Duration,
    ) -> Result<ClaimProgress, HandoverError> {
        self.claim_as(thread, Command::Claim { origin, note: None }, wait).await
    }

    /// [Claims](Self::claim) with a note for the owner: the `metadata` of the take or the request.
    ///
    /// # Errors
    /// As [`Self::claim`].
    pub async fn claim_with_note(
        &self,
        thread: &ThreadKey,
        origin: ClaimOrigin,
        note: impl Into<Note>,
        wait: Duration,
    ) -> Result<ClaimProgress, HandoverError> {
        self.claim_as(thread, Command::Claim { origin, note: Some(note.into()) }, wait).await
    }

    async fn claim_as(
        &self,
        thread: &ThreadKey,
        command: Command,
        wait: Duration,
    ) -> Result<ClaimProgress, HandoverError> {
        match self.command(thread, command).await? {
            Reply::Claiming(id) => {
                let stands =
                    |thread: &Thread| Some(thread.claim_progress(id)).filter(|p| *p != ClaimProgress::Trying);
                Ok(self.wait_until(thread, wait, stands).await?.unwrap_or(ClaimProgress::Trying))
            }
            _ => Ok(ClaimProgress::Granted),
        }
    }

    /// Gives control to an app, from a bot to the desk, or to nobody, once the messages are settled. The handler is notified of
    /// the end of the transfer. A bot that hands over to people sends nothing until they are done.
    ///
    /// # Errors
    /// [`CommandRefused::InterventionOpen`], [`CommandRefused::AnotherAppOwns`], [`CommandRefused::ToOurselves`] or
    /// [`CommandRefused::NoDesk`] as [`HandoverError::Refused`]; otherwise [`HandoverError`].
    pub async fn hand_over(&self, thread: &ThreadKey, target: Target) -> Result<Transfer, HandoverError> {
        self.give_away(thread, Command::Transfer { target, note: None }).await
    }

    /// [Hands over](Self::hand_over) with a note for the new owner.
    ///
    /// # Errors
    /// As [`Self::hand_over`].
    pub async fn hand_over_with_note(
        &self,
        thread: &ThreadKey,
        target: Target,
        note: impl Into<Note>,
    ) -> Result<Transfer, HandoverError> {
        let note = Some(note.into());
        self.give_away(thread, Command::Transfer { target, note }).await
    }

    async fn give_away(&self, thread: &ThreadKey, command: Command) -> Result<Transfer, HandoverError> {
        match self.command(thread, command).await? {
            Reply::Transferring { id, waits } => Ok(Transfer::Started { id, waits }),
            _ => Ok(Transfer::AlreadyThere),
        }
    }

    /// The progress of a transfer. Waits up to `wait` for its end.
    ///
    /// # Errors
    /// [`HandoverError::Store`] or [`HandoverError::Record`].
    pub async fn transfer_progress(
        &self,
        thread: &ThreadKey,
        id: u64,
        wait: Duration,
    ) -> Result<TransferProgress, HandoverError> {
        let stands =
            |thread: &Thread| Some(thread.transfer_progress(id)).filter(|p| *p != TransferProgress::Waiting);
        Ok(self.wait_until(thread, wait, stands).await?.unwrap_or(TransferProgress::Waiting))
    }

    /// For a bot, when the host knows that people are done with the customer: lets the bot answer again.
    ///
    /// # Errors
    /// [`HandoverError`]: call it again.
    pub async fn resume_bot(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.command(thread, Command::ResumeBot).await.map(drop)
    }

    /// Grants an app's request for control: passes it once the messages are settled.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchRequest`] as [`HandoverError::Refused`]; otherwise [`HandoverError`].
    pub async fn grant(&self, thread: &ThreadKey, app: AppId) -> Result<(), HandoverError> {
        self.command(thread, Command::Grant(app)).await.map(drop)
    }

    /// Refuses an app's request for control. The app is not informed, because the platform has no call for it.
    ///
    /// # Errors
    /// As [`Self::grant`].
    pub async fn refuse(&self, thread: &ThreadKey, app: AppId) -> Result<(), HandoverError> {
        self.command(thread, Command::Refuse(app)).await.map(drop)
    }

    /// Lets the messages behind one with an unknown outcome continue.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchMessage`] as [`HandoverError::Refused`]; otherwise [`HandoverError`].
    pub async fn resume(&self, thread: &ThreadKey, unknown: MessageKey) -> Result<(), HandoverError> {
        self.command(thread, Command::Continue(unknown)).await.map(drop)
    }

    /// Cancels a message that still waits. It ends as failed, cancelled.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchMessage`] as [`HandoverError::Refused`] if it does not wait, for example because it was sent.
    pub async fn cancel(&self, thread: &ThreadKey, key: MessageKey) -> Result<(), HandoverError> {
        self.command(thread, Command::Cancel(key)).await.map(drop)
    }

    /// The status of a message; `None` if its key is unknown or too old.
    ///
    /// # Errors
    /// [`HandoverError::Store`] or [`HandoverError::Record`].
    pub async fn message_status(
        &self,
        thread: &ThreadKey,
        key: &MessageKey,
    ) -> Result<Option<MessageStatus>, HandoverError> {
        Ok(self.thread(thread).await?.message_status(key))
    }

    /// Loads the conversation.
    ///
    /// # Errors
    /// [`HandoverError::Store`] or [`HandoverError::Record`].
    pub async fn thread(&self, thread: &ThreadKey) -> Result<Thread, HandoverError> {
        let loaded = self.inner.store.load(std::slice::from_ref(thread)).await?;
        let Some(loaded) = loaded.into_iter().next() else { return Ok(Thread::new()) };
        Ok(Arc::unwrap_or_clone(loaded.thread?))
    }

    async fn command(&self, thread: &ThreadKey, command: Command) -> Result<Reply, HandoverError> {
        self.is_taking_in()?;
        let orders = vec![(thread.clone(), Order::Step(Input::Command(command)))];
        match self.submit(orders, None).await.pop() {
            Some(Ok(Reply::Refused(refused))) => Err(refused.into()),
            Some(reply) => reply,
            None => Ok(Reply::Ignored),
        }
    }

    /// Loads the conversation after each change, and every 500 ms because another replica may change it, until `found` succeeds.
    async fn wait_until<T>(
        &self,
        key: &ThreadKey,
        wait: Duration,
        found: impl Fn(&Thread) -> Option<T>,
    ) -> Result<Option<T>, HandoverError> {
        const LOOK_AGAIN: Duration = Duration::from_millis(500);
        let begun = Instant::now();
        let mut changes = self.inner.changed.subscribe();
        loop {
            if let Some(found) = found(&self.thread(key).await?) {
                return Ok(Some(found));
            }
            let Some(left) = wait.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) else {
                return Ok(None);
            };
            let next = async {
                // An error means that changes were missed: load at once.
                while changes.recv().await.is_ok_and(|changed| changed != *key) {}
            };
            let _ = tokio::time::timeout(left.min(LOOK_AGAIN), next).await;
        }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
