//! Outcomes of calls and handlers that could not be saved yet, and their next attempt.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::retry::Backoff;

use super::HandoverError;
use super::inner::jitter;
use super::mailbox::Letter;
use super::story::Named;

/// The time for which outcomes of calls and handlers are retried, and the pauses. After it their leases expire, and the
/// conversation is woken and continues without them.
const OUTCOMES_FOR: Duration = Duration::from_secs(3 * 60);
const OUTCOMES: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: u32::MAX };

/// Outcomes of calls and handlers that could not be saved yet. They are retried because only this task has them.
#[derive(Default)]
pub(super) struct Unsaved {
    letters: Vec<Letter>,
    since: Option<Instant>,
    faults: u32,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Unsaved {
    /// These letters behind those that were kept.
    pub(super) fn and(&mut self, letters: Vec<Letter>) -> Vec<Letter> {
        let mut all = std::mem::take(&mut self.letters);
        if all.is_empty() {
            return letters;
        }
        all.extend(letters);
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Ready when it is time for the next attempt.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pause.as_mut().map_or(Poll::Pending, |pause| pause.as_mut().poll(cx))
    }

    pub(super) fn saved(&mut self) {
        (self.since, self.faults, self.pause) = (None, 0, None);
    }

    /// Stores outcomes for the next attempt; drops them after [`OUTCOMES_FOR`].
    pub(super) fn keep(&mut self, outcomes: Vec<Letter>, thread: Named<'_>) {
        if outcomes.is_empty() {
            return self.saved();
        }
        if self.since.get_or_insert_with(Instant::now).elapsed() >= OUTCOMES_FOR {
            tracing::error!(%thread, "outcomes were not saved; the conversation continues when their leases expire");
            return self.saved();
        }
        self.faults += 1;
        self.letters = outcomes;
        self.pause = Some(Box::pin(tokio::time::sleep(OUTCOMES.wait(self.faults, None, jitter()))));
    }
}

/// Replies to letters that could not be saved, and returns the outcomes among them that can be saved later.
pub(super) fn not_saved(thread: Named<'_>, mut letters: Vec<Letter>, error: &HandoverError) -> Vec<Letter> {
    let mut outcomes: Vec<_> = letters.extract_if(.., |letter| letter.is_our_own()).collect();
    for letter in letters {
        letter.answer(Err(error.clone()));
    }
    if !outcomes.is_empty() {
        if matches!(error, HandoverError::Store(_) | HandoverError::Busy) {
            tracing::warn!(%thread, %error, "outcomes could not be saved yet");
        } else {
            tracing::warn!(%thread, %error, "outcomes were not saved");
            outcomes.clear();
        }
    }
    outcomes
}
