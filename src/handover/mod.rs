//! The service: drives one [`Thread`] for each conversation, over a client, a store and the host's
//! handler. Load, step, save, and only then act.

mod alarm;
mod builder;
mod calls;
mod check;
mod clock;
mod conversation;
mod copies;
mod effects;
mod handler;
mod inner;
mod mailbox;
mod maintenance;
mod sender_action;
mod together;
mod wake;

pub use builder::Builder;
pub use check::BuildError;
pub use clock::{Clock, SystemClock};
pub use handler::{BoxError, Handler, HandlerError, Notification};
pub use maintenance::{Stats, Stopped};
pub use sender_action::Shown;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::call::{Advice, MessageKey, OutgoingMessage};
use crate::event::Event;
use crate::id::{AppId, PageId, ThreadKey};
use crate::store::{RecordError, StoreError};
use crate::thread::{
    ClaimOrigin, ClaimProgress, Command, CommandRefused, Input, MessageStatus, Note, Reply, Target, Thread,
    TransferProgress,
};
use crate::time::Timestamp;

use inner::Inner;
use mailbox::Order;

/// Who may answer now, how to change it, and how to get an answer out once: for all conversations of
/// one host. Cheap to clone; all clones are one service.
///
/// Every method may be dropped at any moment: what it began is carried to its end by a task of its
/// own. The service ends when its last clone is dropped.
#[derive(Clone)]
pub struct Handover {
    inner: Arc<Inner>,
}

/// Why the service could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// The store did not answer. Whether something was saved is not known: ask again with the same key.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The conversation refuses this now; nothing changed.
    #[error(transparent)]
    Refused(#[from] CommandRefused),
    /// A conversation is stored that cannot be read, and was left as it is; see [`RecordError`]. Where it is damaged, restore
    /// it or [`forget`](Handover::forget) it.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Others wrote the same conversation again and again meanwhile.
    #[error("the conversation is too busy to be changed now")]
    Busy,
    /// Too much is under way already ([`Builder::events_at_once`]): nothing was taken in, let the platform deliver again.
    #[error("too many events are under way")]
    Overloaded,
    /// It takes longer than the platform waits. It goes on; what is delivered again is recognised.
    #[error("the events could not be saved in time")]
    TooSlow,
    /// The service was stopped, or its runtime is shutting down. Another replica takes it.
    #[error("the service is shutting down")]
    ShuttingDown,
}

impl HandoverError {
    /// What the caller should do. For a webhook, `RetryLater` means: do not answer 200, so that the
    /// platform delivers again.
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

/// How an answer was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It will have exactly one end, told as a notice: delivered, failed or unknown.
    New,
    /// This key is known already, and stands so. Nothing was added.
    Duplicate(MessageStatus),
}

/// How a hand-over was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transfer {
    /// The target has control already.
    AlreadyThere,
    /// It is under way.
    Started {
        /// Identifies it for [`Handover::transfer_progress`].
        id: u64,
        /// Answers must be settled first: passing control right after a send suppresses its echo.
        waits: bool,
    },
}

impl Handover {
    /// Our own app id.
    #[must_use]
    pub fn app(&self) -> &AppId {
        &self.inner.config.app
    }

    /// Takes in events that the platform told, each with its conversation, in their order. When this
    /// returns, what they changed is saved; answer the webhook with 200 then, and not before.
    ///
    /// Events of a conversation whose record is damaged are dropped: logged as an error, and counted
    /// ([`Stats::damaged_records`]).
    ///
    /// # Errors
    /// [`HandoverError`]: let the platform deliver again. What could be saved is saved, and events are recognised when they
    /// come twice. A conversation whose handler lags by [`Limits::notices`](crate::thread::Limits::notices) refuses its own new
    /// events only ([`CommandRefused::NoticesFull`]).
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
        self.is_taking_in()?;
        let room = self.inner.room_for(orders.len())?;
        let submitted = self.submit(orders, Some(room));
        let replies = tokio::time::timeout(self.inner.events_within, submitted).await;
        for reply in replies.map_err(|_| HandoverError::TooSlow)? {
            match reply {
                // Its events are dropped: nobody can do anything about it but the host.
                Err(HandoverError::Record(error)) if error.is_permanent() => {}
                Err(error) => return Err(error),
                Ok(Reply::Refused(refused)) => return Err(refused.into()),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// The apps' roles on a Page changed (`app_roles`, or an admin said so): what the Page refused
    /// before is tried again.
    pub fn roles_changed(&self, page: &PageId) {
        self.inner.forget_refusals(page);
    }

    /// Says which webhook items that were not understood may be logged now.
    #[cfg(feature = "webhook")]
    pub(crate) fn not_understood(&self) -> &crate::throttle::Refusals {
        &self.inner.not_understood
    }

    /// Sends to the customer what comes from outside, such as an agent's answer, once: the same key sent twice is one message.
    /// After it has failed the same key is a new attempt. Control is claimed as the policy says if we do not have it.
    ///
    /// A [`Handler`] does not need it: it returns its replies, which are taken in even where its queue is full.
    ///
    /// # Errors
    /// [`CommandRefused::QueueFull`] or [`CommandRefused::NoticesFull`]: try again when the platform or the handler has
    /// caught up. [`CommandRefused::WithPeople`] for a bot whose customer people are busy with. For a message that gives control away
    /// [`CommandRefused::InterventionOpen`] or [`CommandRefused::ToOurselves`], as
    /// [`HandoverError::Refused`]; otherwise [`HandoverError`], after which the same key may be sent again.
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

    /// An agent engages with the customer (desk): control is claimed, and kept until the intervention
    /// is closed. Opening it twice changes nothing.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub async fn open_intervention(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.command(thread, Command::OpenIntervention).await.map(drop)
    }

    /// The agent is done (desk): control is released when the answers are settled.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub async fn close_intervention(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.command(thread, Command::CloseIntervention).await.map(drop)
    }

    /// Engage Digital reports that an intervention was opened then, or just now: for a desk as
    /// [`Self::open_intervention`], but for reports that come in any order and again (facts §8.4). One that
    /// is older than what is known changes nothing. A bot waits for the desk's request.
    ///
    /// # Errors
    /// [`HandoverError`]: let it be reported again.
    pub async fn intervention_opened(
        &self,
        thread: &ThreadKey,
        at: Option<Timestamp>,
    ) -> Result<(), HandoverError> {
        self.command(thread, Command::InterventionReported { open: true, at }).await.map(drop)
    }

    /// Engage Digital reports that the customer's last open intervention was closed then, or just now: for
    /// a desk as [`Self::close_intervention`], unless something newer is known. A bot that knows of another
    /// owner looks again: Meta tells nobody of a release (facts §2.4).
    ///
    /// # Errors
    /// [`HandoverError`]: let it be reported again.
    pub async fn intervention_closed(
        &self,
        thread: &ThreadKey,
        at: Option<Timestamp>,
    ) -> Result<(), HandoverError> {
        self.command(thread, Command::InterventionReported { open: false, at }).await.map(drop)
    }

    /// Claims control without an answer to send, and waits at most so long until the first step of the
    /// claim plan was accepted or the plan has run out. The claim goes on afterwards.
    ///
    /// # Errors
    /// [`HandoverError`]. That control could not be had is no error but [`ClaimProgress::NotGranted`].
    pub async fn claim(
        &self,
        thread: &ThreadKey,
        origin: ClaimOrigin,
        wait: Duration,
    ) -> Result<ClaimProgress, HandoverError> {
        self.claim_as(thread, Command::Claim { origin, note: None }, wait).await
    }

    /// [Claims](Self::claim) with a note for whoever has control: the `metadata` of the take or the request.
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

    /// Gives control away: to nobody, to an app, or from a bot to the desk. Once the answers are
    /// settled; how it ended is told as a notice. A bot that hands over to people says nothing more until they are done.
    ///
    /// # Errors
    /// [`CommandRefused::InterventionOpen`], [`CommandRefused::AnotherAppOwns`], [`CommandRefused::ToOurselves`] or
    /// [`CommandRefused::NoDesk`] as [`HandoverError::Refused`]; otherwise [`HandoverError`].
    pub async fn hand_over(&self, thread: &ThreadKey, target: Target) -> Result<Transfer, HandoverError> {
        self.give_away(thread, Command::Transfer { target, note: None }).await
    }

    /// [Hands over](Self::hand_over) with a note for whoever gets control.
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

    /// Where a hand-over stands, after waiting at most so long for its end.
    ///
    /// # Errors
    /// [`HandoverError`].
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

    /// People are done with the customer, the host knows (bot): it answers again.
    ///
    /// # Errors
    /// [`HandoverError`].
    pub async fn resume_bot(&self, thread: &ThreadKey) -> Result<(), HandoverError> {
        self.command(thread, Command::ResumeBot).await.map(drop)
    }

    /// Passes control to an app that asked for it, once the answers are settled.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchRequest`] as [`HandoverError::Refused`]; otherwise [`HandoverError`].
    pub async fn grant(&self, thread: &ThreadKey, app: AppId) -> Result<(), HandoverError> {
        self.command(thread, Command::Grant(app)).await.map(drop)
    }

    /// Forgets that an app asked for control.
    ///
    /// # Errors
    /// As [`Self::grant`].
    pub async fn refuse(&self, thread: &ThreadKey, app: AppId) -> Result<(), HandoverError> {
        self.command(thread, Command::Refuse(app)).await.map(drop)
    }

    /// Lets the answers behind one with an unknown outcome go on.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchMessage`] as [`HandoverError::Refused`]; otherwise [`HandoverError`].
    pub async fn resume(&self, thread: &ThreadKey, unknown: MessageKey) -> Result<(), HandoverError> {
        self.command(thread, Command::Continue(unknown)).await.map(drop)
    }

    /// Takes back an answer that still waits. It ends as failed, cancelled.
    ///
    /// # Errors
    /// [`CommandRefused::NoSuchMessage`] as [`HandoverError::Refused`] if it does not wait (any more).
    pub async fn cancel(&self, thread: &ThreadKey, key: MessageKey) -> Result<(), HandoverError> {
        self.command(thread, Command::Cancel(key)).await.map(drop)
    }

    /// Where an answer stands, if its key is still known.
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

    /// The conversation as it is saved now.
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

    /// Looks at the conversation until something is found, at each change and twice a second: another
    /// replica may be the one that changes it.
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
            let changed = async {
                // An error says that changes were missed, so that it is time to look.
                while changes.recv().await.is_ok_and(|changed| changed != *key) {}
            };
            let _ = tokio::time::timeout(left.min(LOOK_AGAIN), changed).await;
        }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("config", &self.inner.config).finish_non_exhaustive()
    }
}
