//! Mailboxes: the inputs that wait for each conversation that is active in this process, and how those who sent them learn what
//! came of it.

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

/// One mailbox for each active conversation: a task works on it until the mailbox is closed.
#[derive(Default)]
pub(super) struct Mailboxes(Mutex<HashMap<ThreadKey, Mailbox>>);

#[derive(Default)]
struct Mailbox {
    letters: Vec<Letter>,
    /// The conversation's task, where it waits for more.
    task: Option<Waker>,
}

/// What a letter asks for.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Step(Input),
    /// Remove all that is stored of the conversation.
    Forget,
}

/// An input for a conversation.
pub(super) struct Letter {
    pub(super) order: Order,
    /// Who waits for the reply, and which of theirs this is. `None` for outcomes of calls and handlers.
    sender: Option<(Arc<Submission>, usize)>,
}

/// Letters that were sent together, as those of one delivery.
pub(super) struct Submission(Mutex<Progress>);

struct Progress {
    replies: Vec<Result<Reply, HandoverError>>,
    unanswered: usize,
    /// The events' share of `Builder::events_at_once`, until each letter is answered.
    room: Option<OwnedSemaphorePermit>,
    sender: Option<Waker>,
}

impl Mailboxes {
    /// Puts letters into their mailboxes, in order, and returns the conversations that were not active: each needs a task.
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

    /// Takes what waits, or closes the mailbox if nothing does.
    pub(super) fn take_or_close(&self, key: &ThreadKey) -> Option<Vec<Letter>> {
        let mut mailboxes = lock(&self.0);
        let letters = std::mem::take(&mut mailboxes.get_mut(key)?.letters);
        if letters.is_empty() {
            mailboxes.remove(key);
            return None;
        }
        Some(letters)
    }

    /// Takes what waits, as soon as something does.
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

    /// Closes a mailbox whose task has ended too early. What waits in it is answered as not done.
    pub(super) fn abandon(&self, key: &ThreadKey) {
        let abandoned = lock(&self.0).remove(key);
        drop(abandoned);
    }
}

impl Letter {
    /// A letter of which nobody waits for the reply.
    pub(super) fn of_our_own(input: Input) -> Self {
        Self { order: Order::Step(input), sender: None }
    }

    /// The input, unless the letter is to forget the conversation.
    pub(super) fn input(&self) -> Option<&Input> {
        match &self.order {
            Order::Step(input) => Some(input),
            Order::Forget => None,
        }
    }

    /// Whether nobody waits for the reply.
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
    /// A letter that was never answered: its conversation's task has panicked, or the runtime is shutting down.
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

    /// The letters of this submission; there must be as many as it was made for.
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

    /// The replies, when there is one to each letter.
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
