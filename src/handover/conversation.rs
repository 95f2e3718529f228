//! The task of one active conversation: it takes all letters from its mailbox, steps the thread, saves once, and acts.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument;

use crate::id::ThreadKey;
use crate::retry::Backoff;
use crate::store::{Loaded, Write, WriteOutcome};
use crate::thread::{Context, Input, Notice, Output, Reply};
use crate::time::Timestamp;

use super::batcher::answered_in_time;
use super::effects::{Asked, Decisions, ToNotify};
use super::inner::jitter;
use super::mailbox::{Letter, Order, Submission};
use super::stats::add;
use super::story;
use super::unsaved::{Unsaved, not_saved};
use super::{Handover, HandoverError, Notification};

/// The most attempts to save a conversation that other replicas write too, before its callers get [`HandoverError::Busy`].
const MAX_TRIES: u32 = 20;

/// The attempts, and the pauses between them, before the callers get the store's error.
const FAULTS: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(400), attempts: 5 };

/// The time for which the sender's own task works on conversations, before each of the others gets a task of its own.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The polls in which a conversation ends with a store that answers at once: each of its requests to the store (a load, a write of
/// the events, a write of the handler's outcome) waits for those of the others to join it.
const POLLS: usize = 5;

/// The time for which a conversation's task works before it leaves its thread to other tasks.
const TURN: Duration = Duration::from_millis(10);

/// A write whose outcome is unknown, recognised by its random version if it turns out to be done.
struct Tried {
    version: u64,
    replies: Vec<Reply>,
    saved: Saved,
}

/// The outputs of a saved step.
struct Saved {
    out: Vec<Output>,
    decisions: Decisions,
    wake: Option<Timestamp>,
    /// The time of the step.
    at: Timestamp,
}

/// An open mailbox. It is closed when its task panics, its runtime shuts down, or the task never begins.
struct Open {
    service: Handover,
    key: ThreadKey,
    is_closed: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_closed {
            self.service.inner.mailboxes.abandon(&self.key);
        }
    }
}

/// The handler of a conversation. It is polled while the conversation is worked on as well, because it may wait for the same
/// store.
#[derive(Default)]
struct Handling {
    running: Option<Pin<Box<dyn Future<Output = Input> + Send>>>,
    ended: Option<Input>,
}

impl Handling {
    fn is_idle(&self) -> bool {
        self.running.is_none() && self.ended.is_none()
    }

    /// Runs the handler on, and keeps its outcome.
    fn poll(&mut self, cx: &mut task::Context<'_>) {
        if let Some(running) = &mut self.running
            && let Poll::Ready(handled) = running.as_mut().poll(cx)
        {
            (self.running, self.ended) = (None, Some(handled));
        }
    }
}

impl Handover {
    /// Sends orders to their conversations and waits for the reply to each. After the first poll, dropping this future
    /// changes nothing.
    pub(super) async fn submit(
        &self,
        orders: Vec<(ThreadKey, Order)>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Vec<Result<Reply, HandoverError>> {
        let submission = Submission::new(orders.len(), room);
        self.deliver(submission.letters(orders.into_iter())).await;
        submission.replies().await
    }

    /// Sends the outcome of a call to its conversation.
    pub(super) async fn post(&self, key: ThreadKey, outcome: Input) {
        self.deliver(std::iter::once((key, Letter::of_our_own(outcome)))).await;
    }

    async fn deliver(&self, letters: impl Iterator<Item = (ThreadKey, Letter)>) {
        let converse = |key| Box::pin(Self::converse(Open { service: self.clone(), key, is_closed: false }));
        let mut active: Vec<_> = self.inner.mailboxes.put(letters).into_iter().map(converse).collect();
        let (begun, _token) = (Instant::now(), self.inner.tasks.token());
        // With a store that answers at once, most conversations end here and need no task.
        let at_once = poll_fn(|cx| {
            for _ in 0..POLLS {
                active.retain_mut(|active| begun.elapsed() >= AT_ONCE || is_pending(active.as_mut(), cx));
            }
            Poll::Ready(())
        });
        at_once.await;
        for active in active {
            self.inner.tasks.spawn(active.in_current_span());
        }
    }

    /// Polls the work once on the caller's task. If it is still pending, a task finishes it.
    pub(super) async fn at_once<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinHandle<T>> {
        let mut work = Box::pin(work);
        let token = self.inner.tasks.token();
        match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => {
                let rest = self.inner.tasks.spawn(work.in_current_span());
                drop(token);
                Err(rest)
            }
        }
    }

    /// The task of an active conversation. It ends when its mailbox is empty, no handler runs, and all outcomes are saved.
    async fn converse(mut open: Open) {
        let (service, key) = (open.service.clone(), open.key.clone());
        let (mut handling, mut unsaved) = (Handling::default(), Unsaved::default());
        // Letters behind one that forgets the conversation are for the one that begins then.
        let mut behind = Vec::new();
        let mut begun = Instant::now();
        while let Some(letters) = service.next_letters(&key, behind, &mut handling, &mut unsaved).await {
            if begun.elapsed() >= TURN {
                tokio::task::yield_now().await;
                begun = Instant::now();
            }
            let (letters, later) = up_to_forget(letters);
            behind = later;
            let mut work = pin!(service.work(&key, unsaved.and(letters)));
            let worked = poll_fn(|cx| {
                handling.poll(cx);
                work.as_mut().poll(cx)
            });
            match worked.await {
                Ok(notification) => {
                    unsaved.saved();
                    if let Some(notification) = notification {
                        handling.running = Some(Box::pin(service.clone().handle(notification)));
                    }
                }
                Err(outcomes) => unsaved.keep(outcomes, service.inner.named(&key)),
            }
        }
        open.is_closed = true;
    }

    /// Waits for new letters, the end of the handler, or the next attempt to save. `None` once the mailbox is closed.
    async fn next_letters(
        &self,
        key: &ThreadKey,
        behind: Vec<Letter>,
        handling: &mut Handling,
        unsaved: &mut Unsaved,
    ) -> Option<Vec<Letter>> {
        let mailboxes = &self.inner.mailboxes;
        if !behind.is_empty() {
            return Some(behind);
        }
        if handling.is_idle() && unsaved.is_empty() {
            return mailboxes.take_or_close(key);
        }
        let next = poll_fn(|cx| {
            handling.poll(cx);
            let arrived = mailboxes.poll_take(key, cx);
            if let Some(handled) = handling.ended.take() {
                let mut letters = vec![Letter::of_our_own(handled)];
                if let Poll::Ready(arrived) = arrived {
                    letters.extend(arrived);
                }
                return Poll::Ready(letters);
            }
            if arrived.is_ready() {
                return arrived;
            }
            unsaved.poll_due(cx).map(|()| Vec::new())
        });
        Some(next.await)
    }

    /// Steps the conversation with these letters, saves it, replies to them, and starts the calls. Returns the notification
    /// for the handler.
    ///
    /// # Errors
    /// The outcomes among the letters, to be saved later.
    async fn work(&self, key: &ThreadKey, mut letters: Vec<Letter>) -> Result<Option<ToNotify>, Vec<Letter>> {
        let forget = letters.pop_if(|last| matches!(last.order, Order::Forget));
        let mut result = Ok(None);
        if !letters.is_empty() {
            result = match self.save(key, &letters).await {
                Ok((replies, saved)) => {
                    for (letter, reply) in letters.into_iter().zip(replies) {
                        letter.answer(Ok(reply));
                    }
                    self.inner.notify_changed(key);
                    Ok(self.act(key, saved))
                }
                Err(error) => Err(not_saved(self.inner.named(key), letters, &error)),
            };
        }
        if let Some(forget) = forget {
            drop(self.inner.cache.take(key));
            let forgotten = answered_in_time(self.inner.store.forget(std::slice::from_ref(key))).await;
            forget.answer(forgotten.map(|()| Reply::Done).map_err(HandoverError::from));
            self.inner.notify_changed(key);
        }
        result
    }

    /// Steps and saves the conversation. Retries when another replica wrote it meanwhile, and when the store fails.
    async fn save(&self, key: &ThreadKey, letters: &[Letter]) -> Result<(Vec<Reply>, Saved), HandoverError> {
        let (mut tried, mut faults) = (Vec::new(), 0);
        for attempt in 0..MAX_TRIES {
            let copy = self.inner.cache.take(key);
            let is_copy = copy.is_some();
            match self.try_to_save(key, letters, copy, faults > 0, &mut tried).await {
                Ok(Some(done)) => return Ok(done),
                // The cached copy was outdated: load the conversation.
                Ok(None) if is_copy => {}
                Ok(None) => tokio::time::sleep(Duration::from_millis(5) * attempt.clamp(1, 10)).await,
                Err(HandoverError::Store(error)) => {
                    faults += 1;
                    if faults == FAULTS.attempts {
                        return Err(error.into());
                    }
                    tracing::debug!(thread = %self.inner.named(key), %error, "the store failed and is retried");
                    tokio::time::sleep(FAULTS.wait(faults, None, jitter())).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(HandoverError::Busy)
    }

    /// Loads, steps and writes once. `None` if the cached copy cannot be trusted or another replica wrote meanwhile.
    async fn try_to_save(
        &self,
        key: &ThreadKey,
        letters: &[Letter],
        copy: Option<Loaded>,
        is_retry: bool,
        tried: &mut Vec<Tried>,
    ) -> Result<Option<(Vec<Reply>, Saved)>, HandoverError> {
        let (inner, is_copy) = (&self.inner, copy.is_some());
        let loaded =
            match copy {
                Some(copy) => copy,
                None => {
                    inner
                        .loads
                        .ask(key.clone(), is_retry, |keys| async move {
                            inner.counted(inner.store.load(&keys)).await
                        })
                        .await?
                }
            };
        if let Some(at) = tried.iter().position(|tried| tried.version == loaded.version) {
            // An earlier write that ended in an error was done after all.
            let Tried { replies, saved, .. } = tried.swap_remove(at);
            return Ok(Some((replies, saved)));
        }
        let before = loaded.thread.map_err(|error| inner.unreadable(key, error))?;
        let now = inner.now();
        let cx = inner.context(&key.page, now);
        // Decided once for all letters, so that a delivery that begins below the limit is accepted as a whole.
        let cx = Context { has_room: before.has_room(cx.config), ..cx };
        let mut stepped = Arc::clone(&before);
        let thread = Arc::make_mut(&mut stepped);
        let mut out = Vec::new();
        let replies: Vec<_> = letters
            .iter()
            .filter_map(Letter::input)
            .map(|input| thread.step(&cx, input.clone(), now, &mut out))
            .collect();
        let is_redone = letters.iter().filter_map(Letter::input).all(is_redone);
        let decisions =
            if is_redone { self.decide(key, thread, &cx, now, &mut out) } else { Decisions::default() };
        let is_fresh = thread.is_fresh();
        let is_unchanged = if loaded.version == 0 {
            is_fresh
        } else {
            let mut inputs = letters.iter().filter_map(Letter::input).zip(&replies);
            out.is_empty() && inputs.all(may_change_nothing) && *thread == *before
        };
        let wake = match thread.next_wake(&cx) {
            // The stored wake time still holds.
            _ if is_unchanged => None,
            // The service stops: due at once, so that another replica continues.
            _ if !cx.begins && !thread.is_at_rest() => Some(now),
            wake => wake,
        };
        let saved = Saved { out, decisions, wake, at: now };
        if is_unchanged {
            return Ok((!is_copy).then_some((replies, saved)));
        }
        let version = fastrand::u64(1..=i64::MAX.unsigned_abs());
        let write = if is_fresh {
            Write::delete(key.clone(), loaded.version, version)
        } else {
            Write::new(key.clone(), loaded.version, version, Arc::clone(&stepped), wake)
        };
        match inner
            .writes
            .ask(write, is_retry, |writes| async move {
                inner.counted(inner.store.compare_and_swap(writes)).await
            })
            .await
        {
            Ok(WriteOutcome::Written) => {
                if !is_fresh {
                    inner.cache.keep(key, version, stepped);
                }
                Ok(Some((replies, saved)))
            }
            Ok(WriteOutcome::Conflict) => Ok(None),
            Err(error) => {
                tried.push(Tried { version, replies, saved });
                Err(error.into())
            }
        }
    }

    /// Starts the calls of a saved step and sets the alarm. Returns its notification, if it has one.
    fn act(&self, key: &ThreadKey, saved: Saved) -> Option<ToNotify> {
        if let Some(wake) = saved.wake {
            self.inner.alarm.set(wake);
        }
        let mut notification = None;
        for notice in &saved.decisions.made {
            self.first_put_out(key, notice);
        }
        for output in saved.out {
            match output {
                Output::Call { id, call, retry, note } => {
                    self.begin_call(key, Asked { id, call, note, retry, at: saved.at });
                }
                Output::Notice { id, attempt, notice } => {
                    if attempt == 1 {
                        self.first_put_out(key, &notice);
                    }
                    let is_left = saved.decisions.left == Some(id);
                    let new = Notification::new(key.clone(), id, attempt, notice);
                    notification = Some(ToNotify { notification: new, is_left, at: saved.at });
                }
                Output::SetAside { id, attempts, dropped } => {
                    add(&self.inner.counters.set_aside, 1);
                    let dropped = dropped.map(|id| id.0);
                    tracing::error!(
                        thread = %self.inner.named(key), id = id.0, attempts, dropped,
                        "the handler failed too often or skipped: the notice is set aside, and the next one follows"
                    );
                }
                Output::PageRefuses { call, failure, certain } => {
                    self.inner.page_refuses(key, call, &failure, certain, saved.at);
                }
            }
        }
        notification
    }

    fn first_put_out(&self, key: &ThreadKey, notice: &Notice) {
        story::log(self.inner.named(key), notice);
        self.inner.counters.notice(notice);
    }
}

/// Polls the work. If it panics it has ended, so that others on the same task go on.
fn is_pending(work: Pin<&mut impl Future<Output = ()>>, cx: &mut task::Context<'_>) -> bool {
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.poll(cx)));
    matches!(polled, Ok(Poll::Pending))
}

/// These letters up to the first that forgets the conversation, and those behind it.
fn up_to_forget(mut letters: Vec<Letter>) -> (Vec<Letter>, Vec<Letter>) {
    let forget = letters.iter().position(|letter| matches!(letter.order, Order::Forget));
    let behind = forget.map_or_else(Vec::new, |at| letters.split_off(at + 1));
    (letters, behind)
}

/// Whether a step with this reply may have left the thread unchanged. A woken thread is always written, so that a wake time
/// replaces its lease.
fn may_change_nothing((input, reply): (&Input, &Reply)) -> bool {
    match input {
        Input::Wake => false,
        Input::NoticeHandled { .. } | Input::CallEnded { .. } => *reply != Reply::Done,
        Input::Event(_) | Input::Command(_) => true,
    }
}

/// Whether an input that is not saved comes again, so that its notices come again too: the platform redelivers events, and a
/// notice whose end was not saved is put out again. Calls and commands are not repeated, and a timer may lapse otherwise.
fn is_redone(input: &Input) -> bool {
    matches!(input, Input::Event(_) | Input::NoticeHandled { .. })
}
