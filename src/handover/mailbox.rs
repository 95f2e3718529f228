//! Mailboxes: the queue of inputs for each conversation that is active in this process, and the replies to their senders.

use std::collections::hash_map::Entry;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use foldhash::HashMap;
use tokio::sync::OwnedSemaphorePermit;

use crate::id::ThreadKey;
use crate::thread::{Input, Reply};

use super::HandoverError;

/// The mailboxes of all active conversations. Each is open while its conversation's task runs.
#[derive(Default)]
pub(super) struct Mailboxes(Mutex<HashMap<ThreadKey, Mailbox>>);

#[derive(Default)]
struct Mailbox {
    letters: Vec<Letter>,
    /// Wakes the conversation's task, if it waits for letters.
    task: Option<Waker>,
}

/// The content of a letter.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Step(Input),
    /// Delete the stored conversation.
    Forget,
}

/// One order for a conversation, with the place for its reply. Dropped without a reply, it replies `ShuttingDown`.
pub(super) struct Letter {
    pub(super) order: Order,
    /// The submission that waits for the reply, and the letter's place in it. `None` for outcomes of calls and handlers.
    sender: Option<(Arc<Submission>, usize)>,
}

/// Letters that were sent together, such as those of one delivery.
pub(super) struct Submission(Mutex<Progress>);

struct Progress {
    replies: Vec<Result<Reply, HandoverError>>,
    unanswered: usize,
    /// The events' share of `Builder::events_at_once`, released when each letter has its reply.
    room: Option<OwnedSemaphorePermit>,
    sender: Option<Waker>,
}

impl Mailboxes {
    /// Puts letters into their mailboxes, in order. Returns the conversations that were not active: start a task for each.
    pub(super) fn put(&self, letters: impl Iterator<Item = (ThreadKey, Letter)>) -> Vec<ThreadKey> {
        let (mut opened, mut tasks) = (Vec::new(), Vec::new());
        let mut mailboxes = lock(&self.0);
        for (key, letter) in letters {
            match mailboxes.entry(key) {
                Entry::Occupied(mut mailbox) => {
                    let mailbox = mailbox.get_mut();
                    mailbox.letters.push(letter);
                    tasks.extend(mailbox.task.take());
                }
                Entry::Vacant(place) => {
                    opened.push(place.key().clone());
                    place.insert(Mailbox { letters: vec![letter], task: None });
                }
            }
        }
        drop(mailboxes);
        tasks.into_iter().for_each(Waker::wake);
        opened
    }

    /// Takes all letters, or closes the mailbox if it is empty.
    pub(super) fn take_or_close(&self, key: &ThreadKey) -> Option<Vec<Letter>> {
        let mut mailboxes = lock(&self.0);
        let letters = std::mem::take(&mut mailboxes.get_mut(key)?.letters);
        if letters.is_empty() {
            mailboxes.remove(key);
            return None;
        }
        Some(letters)
    }

    /// Takes all letters as soon as there is one.
    pub(super) fn poll_take(&self, key: &ThreadKey, cx: &Context<'_>) -> Poll<Vec<Letter>> {
        let mut mailboxes = lock(&self.0);
        match mailboxes.get_mut(key) {
            Some(mailbox) if mailbox.letters.is_empty() => {
                mailbox.task = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(mailbox) => Poll::Ready(std::mem::take(&mut mailbox.letters)),
            None => Poll::Ready(Vec::new()),
        }
    }

    /// Closes the mailbox of a task that ended too early. The letters in it reply `ShuttingDown`.
    pub(super) fn abandon(&self, key: &ThreadKey) {
        let abandoned = lock(&self.0).remove(key);
        drop(abandoned);
    }
}

impl Letter {
    /// An outcome of a call or handler, whose reply nobody waits for.
    pub(super) fn of_our_own(input: Input) -> Self {
        Self { order: Order::Step(input), sender: None }
    }

    /// The input; `None` for [`Order::Forget`].
    pub(super) fn input(&self) -> Option<&Input> {
        match &self.order {
            Order::Step(input) => Some(input),
            Order::Forget => None,
        }
    }

    /// Whether this is an outcome of a call or handler.
    pub(super) fn is_our_own(&self) -> bool {
        self.sender.is_none()
    }

    pub(super) fn answer(mut self, reply: Result<Reply, HandoverError>) {
        if let Some((submission, place)) = self.sender.take() {
            submission.answer(place, reply);
        }
    }
}

impl Drop for Letter {
    /// Replies `ShuttingDown` if there was no reply, because the task panicked or the runtime shuts down.
    fn drop(&mut self) {
        if let Some((submission, place)) = self.sender.take() {
            submission.answer(place, Err(HandoverError::ShuttingDown));
        }
    }
}

impl Submission {
    pub(super) fn new(letters: usize, room: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        let replies = vec![Ok(Reply::Ignored); letters];
        Arc::new(Self(Mutex::new(Progress { replies, unanswered: letters, room, sender: None })))
    }

    /// The letters of this submission: exactly as many as it was created for.
    pub(super) fn letters(
        self: &Arc<Self>,
        orders: impl Iterator<Item = (ThreadKey, Order)>,
    ) -> impl Iterator<Item = (ThreadKey, Letter)> {
        orders
            .enumerate()
            .map(|(place, (key, order))| (key, Letter { order, sender: Some((Arc::clone(self), place)) }))
    }

    fn answer(&self, place: usize, reply: Result<Reply, HandoverError>) {
        let mut progress = lock(&self.0);
        progress.replies[place] = reply;
        progress.unanswered -= 1;
        if progress.unanswered == 0 {
            progress.room = None;
            if let Some(sender) = progress.sender.take() {
                drop(progress);
                sender.wake();
            }
        }
    }

    /// Waits until each letter has its reply, and returns the replies in order.
    pub(super) fn replies(&self) -> Replies<'_> {
        Replies(self)
    }
}

/// See [`Submission::replies`].
pub(super) struct Replies<'a>(&'a Submission);

impl Future for Replies<'_> {
    type Output = Vec<Result<Reply, HandoverError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut progress = lock(&self.0.0);
        if progress.unanswered == 0 {
            return Poll::Ready(std::mem::take(&mut progress.replies));
        }
        progress.sender = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;
    use crate::id::{PageId, UserId};

    fn key(user: u64) -> ThreadKey {
        ThreadKey::new(PageId::from(1), UserId::from(user))
    }

    fn orders(users: &[u64]) -> Vec<(ThreadKey, Order)> {
        users.iter().map(|user| (key(*user), Order::Step(Input::Wake))).collect()
    }

    fn put(mailboxes: &Mailboxes, users: &[u64]) -> (Arc<Submission>, Vec<ThreadKey>) {
        let submission = Submission::new(users.len(), None);
        let opened = mailboxes.put(submission.letters(orders(users).into_iter()));
        (submission, opened)
    }

    #[test]
    fn mailbox_is_opened_once_keeps_the_order_and_closes_when_it_is_empty() {
        let mailboxes = Mailboxes::default();
        assert_eq!(put(&mailboxes, &[1, 2, 1]).1, [key(1), key(2)]);
        assert_eq!(put(&mailboxes, &[2]).1, []);
        let letters = |user| mailboxes.take_or_close(&key(user)).map(|letters| letters.len());
        assert_eq!((letters(1), letters(2)), (Some(2), Some(2)));
        assert_eq!((letters(1), letters(1)), (None, None));
        assert_eq!(put(&mailboxes, &[1, 2]).1, [key(1)], "2 is still active");
    }

    #[tokio::test]
    async fn mailbox_letters_that_are_dropped_are_answered_as_not_done() {
        let mailboxes = Mailboxes::default();
        let (submission, _) = put(&mailboxes, &[1, 1, 2]);
        let mut taken = mailboxes.take_or_close(&key(1)).unwrap();
        taken.remove(0).answer(Ok(Reply::Done));
        drop(taken);
        mailboxes.abandon(&key(2));
        let replies = submission.replies().await;
        assert!(matches!(
            replies[..],
            [Ok(Reply::Done), Err(HandoverError::ShuttingDown), Err(HandoverError::ShuttingDown)]
        ));
        assert_eq!(put(&mailboxes, &[2]).1, [key(2)], "an abandoned mailbox can be opened again");
    }

    /// Threads put letters into few mailboxes while others work on them: each letter is worked on once, by one task at a time.
    #[test]
    fn mailbox_loses_no_letter_between_put_and_close() {
        const LETTERS: usize = 20_000;
        let (mailboxes, worked_on) = (Mailboxes::default(), AtomicUsize::new(0));
        let active: [AtomicUsize; 3] = Default::default();
        let work = |opened: Vec<ThreadKey>| {
            for conversation in opened {
                let user = (0..3).find(|user| key(*user) == conversation).unwrap();
                let active = &active[usize::try_from(user).unwrap()];
                assert_eq!(active.fetch_add(1, Ordering::SeqCst), 0, "two work on one conversation");
                // The mailbox is closed under its lock, so that it counts as active until just before.
                loop {
                    active.store(0, Ordering::SeqCst);
                    let Some(letters) = mailboxes.take_or_close(&conversation) else { break };
                    active.store(1, Ordering::SeqCst);
                    worked_on.fetch_add(letters.len(), Ordering::SeqCst);
                    for letter in letters {
                        letter.answer(Ok(Reply::Done));
                    }
                }
            }
        };
        thread::scope(|scope| {
            for writer in 0..4 {
                let (mailboxes, work) = (&mailboxes, &work);
                scope.spawn(move || {
                    for number in 0..LETTERS {
                        let user = u64::try_from((number + writer) % 3).unwrap();
                        work(put(mailboxes, &[user]).1);
                    }
                });
            }
        });
        assert_eq!(worked_on.load(Ordering::SeqCst), 4 * LETTERS);
        assert!(lock(&mailboxes.0).is_empty());
    }
}
