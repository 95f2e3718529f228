//! How one conversation is worked on: its task takes what waits in its mailbox, steps the thread with it, saves once, and acts.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use crate::id::ThreadKey;
use crate::retry::Backoff;
use crate::store::{Loaded, Write, WriteOutcome};
use crate::thread::{Context, Input, Output, Reply};
use crate::time::Timestamp;

use super::effects::Asked;
use super::inner::{Inner, jitter};
use super::mailbox::{Letter, Order, Submission};
use super::{Handover, HandoverError, Notification};

/// How often a conversation that other replicas write too is tried before its callers are told.
const MAX_TRIES: u32 = 20;

/// How often the store is asked before the callers hear of its fault, and the pauses between.
const FAULTS: Backoff =
    Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(400), attempts: 5 };

/// How long the outcomes of calls and handlers are tried to be saved, and the pauses between. Then their lease expires, and the
/// conversation is taken up again.
const OUTCOMES_FOR: Duration = Duration::from_mins(3);
const OUTCOMES: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: u32::MAX };

/// How long conversations are worked on by the task that sent the letters, before each gets its own.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The handler at work on a notification. There is one at a time in a conversation.
type Handling = Pin<Box<dyn Future<Output = Input> + Send>>;

/// Outcomes of calls and handlers that could not be saved yet: nobody but this task knows them.
#[derive(Default)]
struct Unsaved {
    letters: Vec<Letter>,
    since: Option<Instant>,
    faults: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

/// What was given to the store under a version of its own.
struct Tried {
    version: u64,
    replies: Vec<Reply>,
    saved: Saved,
}

/// What follows from a thread that was saved.
struct Saved {
    out: Vec<Output>,
    wake: Option<Timestamp>,
    /// When it was stepped.
    at: Timestamp,
}

/// Closes the mailbox if the task ends by a panic or with its runtime.
struct Open<'a> {
    inner: &'a Inner,
    key: &'a ThreadKey,
    is_closed: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.is_closed {
            self.inner.mailboxes.abandon(self.key);
        }
    }
}

impl Handover {
    /// Sends orders to their conversations and waits for the reply to each. Once it was polled, dropping this future changes
    /// nothing.
    pub(super) async fn submit(
        &self,
        orders: Vec<(ThreadKey, Order)>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Vec<Result<Reply, HandoverError>> {
        let submission = Submission::new(orders.len(), room);
        self.deliver(submission.letters(orders.into_iter())).await;
        submission.replies().await
    }

    /// Sends the outcome of a call to its conversation, which saves it.
    pub(super) async fn post(&self, key: ThreadKey, outcome: Input) {
        self.deliver(std::iter::once((key, Letter::of_our_own(outcome)))).await;
    }

    async fn deliver(&self, letters: impl Iterator<Item = (ThreadKey, Letter)>) {
        let begun = Instant::now();
        for key in self.inner.mailboxes.put(letters) {
            // Most conversations are done with at once, and need no task.
            if begun.elapsed() < AT_ONCE {
                drop(self.at_once(self.clone().converse(key)).await);
            } else {
                self.inner.tasks.spawn(self.clone().converse(key));
            }
        }
    }

    /// Does what can be done without waiting, and leaves the rest to a task.
    pub(super) async fn at_once<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinHandle<T>> {
        let mut work = Box::pin(work);
        let token = self.inner.tasks.token();
        match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
            Poll::Ready(done) => Ok(done),
            Poll::Pending => {
                let rest = self.inner.tasks.spawn(work);
                drop(token);
                Err(rest)
            }
        }
    }

    /// The task of an active conversation. It ends when nothing waits in its mailbox and its handler has ended.
    async fn converse(self, key: ThreadKey) {
        let mut open = Open { inner: &self.inner, key: &key, is_closed: false };
        let (mut handling, mut unsaved) = (None, Unsaved::default());
        while let Some(letters) = self.next_letters(&key, &mut handling, &mut unsaved).await {
            match self.work(&key, unsaved.and(letters)).await {
                Ok(notification) => {
                    unsaved = Unsaved::default();
                    if let Some((notification, at)) = notification {
                        handling = Some(Box::pin(self.clone().handle(notification, at)));
                    }
                }
                Err(outcomes) => unsaved.keep(outcomes, &key),
            }
        }
        open.is_closed = true;
    }

    /// What is to be worked on next. `None` closes the mailbox.
    async fn next_letters(
        &self,
        key: &ThreadKey,
        handling: &mut Option<Handling>,
        unsaved: &mut Unsaved,
    ) -> Option<Vec<Letter>> {
        let mailboxes = &self.inner.mailboxes;
        if handling.is_none() && unsaved.letters.is_empty() {
            return mailboxes.take_or_close(key);
        }
        let next = poll_fn(|cx| {
            let handled = handling.as_mut().map(|handling| handling.as_mut().poll(cx));
            let arrived = mailboxes.poll_take(key, cx);
            if let Some(Poll::Ready(handled)) = handled {
                *handling = None;
                let mut letters = vec![Letter::of_our_own(handled)];
                if let Poll::Ready(arrived) = arrived {
                    letters.extend(arrived);
                }
                return Poll::Ready(letters);
            }
            if arrived.is_ready() {
                return arrived;
            }
            let pause = unsaved.pause.as_mut().map_or(Poll::Pending, |pause| pause.as_mut().poll(cx));
            pause.map(|()| Vec::new())
        });
        Some(next.await)
    }

    /// Steps the conversation with these letters, saves it, answers them, and begins what follows. Returns the notification that
    /// the handler is to get.
    ///
    /// # Errors
    /// The outcomes among the letters that are to be saved later.
    async fn work(
        &self,
        key: &ThreadKey,
        mut letters: Vec<Letter>,
    ) -> Result<Option<(Notification, Timestamp)>, Vec<Letter>> {
        let forgets: Vec<_> =
            letters.extract_if(.., |letter| matches!(letter.order, Order::Forget)).collect();
        let mut result = Ok(None);
        if !letters.is_empty() {
            result = match self.save(key, &letters).await {
                Ok((replies, saved)) => {
                    for (letter, reply) in letters.into_iter().zip(replies) {
                        letter.answer(Ok(reply));
                    }
                    self.inner.tell_changed(key);
                    Ok(self.act(key, saved))
                }
                Err(error) => Err(not_saved(key, letters, &error)),
            };
        }
        if !forgets.is_empty() {
            drop(self.inner.copies.take(key));
            let forgotten = self.inner.store.forget(std::slice::from_ref(key)).await;
            for letter in forgets {
                letter.answer(forgotten.clone().map(|()| Reply::Done).map_err(HandoverError::from));
            }
            self.inner.tell_changed(key);
        }
        result
    }

    /// Steps and saves the conversation, again where another replica has written it meanwhile or the store fails.
    async fn save(&self, key: &ThreadKey, letters: &[Letter]) -> Result<(Vec<Reply>, Saved), HandoverError> {
        let (mut tried, mut faults) = (Vec::new(), 0);
        for attempt in 0..MAX_TRIES {
            let copy = self.inner.copies.take(key);
            let is_copy = copy.is_some();
            match self.try_to_save(key, letters, copy, &mut tried).await {
                Ok(Some(done)) => return Ok(done),
                // What is in the store is newer than our copy.
                Ok(None) if is_copy => {}
                Ok(None) => tokio::time::sleep(Duration::from_millis(5) * attempt.clamp(1, 10)).await,
                Err(HandoverError::Store(error)) => {
                    faults += 1;
                    if faults == FAULTS.attempts {
                        return Err(error.into());
                    }
                    tracing::debug!(thread = %key, %error, "the store is asked again");
                    tokio::time::sleep(FAULTS.wait(faults, None, jitter())).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(HandoverError::Busy)
    }

    /// Loads, steps and writes once. `None` if another replica has written the conversation meanwhile.
    async fn try_to_save(
        &self,
        key: &ThreadKey,
        letters: &[Letter],
        copy: Option<Loaded>,
        tried: &mut Vec<Tried>,
    ) -> Result<Option<(Vec<Reply>, Saved)>, HandoverError> {
        let (inner, is_copy) = (&self.inner, copy.is_some());
        let loaded = match copy {
            Some(copy) => copy,
            None => inner.loads.ask(key.clone(), |keys| async move { inner.store.load(&keys).await }).await?,
        };
        if let Some(at) = tried.iter().position(|tried| tried.version == loaded.version) {
            // The write of which the store did not answer was done.
            let Tried { replies, saved, .. } = tried.swap_remove(at);
            return Ok(Some((replies, saved)));
        }
        let before = loaded.thread.map_err(|error| inner.unreadable(key, error))?;
        let now = inner.now();
        let cx = inner.context(&key.page, now);
        // A delivery that begins when there is room is taken in whole.
        let cx = Context { has_room: before.has_room(cx.config), ..cx };
        let mut stepped = Arc::clone(&before);
        let thread = Arc::make_mut(&mut stepped);
        let mut out = Vec::new();
        let replies: Vec<_> = letters
            .iter()
            .filter_map(Letter::input)
            .map(|input| thread.step(&cx, input.clone(), now, &mut out))
            .collect();
        let is_fresh = thread.is_fresh();
        let is_unchanged = match loaded.version {
            0 => is_fresh,
            _ => {
                let mut inputs = letters.iter().filter_map(Letter::input).zip(&replies);
                out.is_empty() && inputs.all(may_change_nothing) && *thread == *before
            }
        };
        let wake = match thread.next_wake(&cx) {
            // It was set when the thread was written.
            _ if is_unchanged => None,
            // Whoever else works on this store goes on at once.
            _ if !cx.begins && !thread.is_at_rest() => Some(now),
            wake => wake,
        };
        let saved = Saved { out, wake, at: now };
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
            .ask(write, |writes| async move { inner.store.compare_and_swap(writes).await })
            .await
        {
            Ok(WriteOutcome::Written) => {
                if !is_fresh {
                    inner.copies.keep(key, version, stepped);
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

    /// Begins what the saved thread asks for. A notice is returned.
    fn act(&self, key: &ThreadKey, saved: Saved) -> Option<(Notification, Timestamp)> {
        if let Some(wake) = saved.wake {
            self.inner.alarm.set(wake);
        }
        let mut notification = None;
        for output in saved.out {
            match output {
                Output::Call { id, call, retry, note } => {
                    self.begin_call(key, Asked { id, call, note, retry, at: saved.at });
                }
                Output::Notice { id, attempt, notice } => {
                    notification = Some((Notification::new(key.clone(), id, attempt, notice), saved.at));
                }
                Output::SetAside { id, attempts, dropped } => {
                    self.inner.counters.set_aside.fetch_add(1, Ordering::Relaxed);
                    let dropped = dropped.map(|id| id.0);
                    tracing::error!(
                        thread = %key, id = id.0, attempts, dropped,
                        "the handler failed too often: the notice is set aside, and the next one is told"
                    );
                }
                Output::PageRefuses { call, failure, certain } => {
                    self.inner.page_refuses(key, call, &failure, certain, saved.at);
                }
            }
        }
        notification
    }
}

impl Unsaved {
    /// These letters behind those that were kept.
    fn and(&mut self, letters: Vec<Letter>) -> Vec<Letter> {
        if self.letters.is_empty() {
            return letters;
        }
        let mut all = std::mem::take(&mut self.letters);
        all.extend(letters);
        all
    }

    /// Keeps outcomes for a later attempt, for three minutes in all.
    fn keep(&mut self, outcomes: Vec<Letter>, key: &ThreadKey) {
        if outcomes.is_empty() {
            return;
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() >= OUTCOMES_FOR {
            tracing::error!(thread = %key, "outcomes were not saved; their leases bring them up again");
            *self = Self::default();
            return;
        }
        self.faults += 1;
        self.letters = outcomes;
        self.pause = Some(Box::pin(tokio::time::sleep(OUTCOMES.wait(self.faults, None, jitter()))));
    }
}

/// Answers letters that could not be saved, and returns the outcomes among them that can be saved later.
fn not_saved(key: &ThreadKey, mut letters: Vec<Letter>, error: &HandoverError) -> Vec<Letter> {
    let mut outcomes: Vec<_> = letters.extract_if(.., |letter| letter.is_our_own()).collect();
    for letter in letters {
        letter.answer(Err(error.clone()));
    }
    if !outcomes.is_empty() {
        if matches!(error, HandoverError::Store(_) | HandoverError::Busy) {
            tracing::warn!(thread = %key, %error, "outcomes could not be saved yet");
        } else {
            tracing::warn!(thread = %key, %error, "outcomes were not saved");
            outcomes.clear();
        }
    }
    outcomes
}

/// Whether a step with this reply may have changed nothing. A woken thread is always written, because its lease must become a
/// wake time again.
fn may_change_nothing((input, reply): (&Input, &Reply)) -> bool {
    match input {
        Input::Wake => false,
        Input::NoticeHandled { .. } | Input::CallEnded { .. } => *reply != Reply::Done,
        Input::Event(_) | Input::Command(_) => true,
    }
}
