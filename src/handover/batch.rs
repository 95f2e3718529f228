use std::collections::BTreeMap;

use crate::id::ThreadKey;
use crate::store::{Loaded, RecordError, Swap};
use crate::thread::{Context, Input, Output, Reply};
use crate::time::Timestamp;

/// Inputs of many conversations that are worked on together: one load and one swap for all.
pub(super) struct Batch {
    waiting: BTreeMap<ThreadKey, Work>,
    replies: Vec<Reply>,
    unreadable: Option<RecordError>,
}

/// The inputs of one conversation, with their places among all, and what was tried to be saved for them.
#[derive(Default)]
struct Work {
    inputs: Vec<(usize, Input)>,
    tried: Vec<Tried>,
}

/// What was given to the store under a version of its own.
struct Tried {
    version: u64,
    replies: Vec<Reply>,
    saved: Saved,
}

/// What follows from a thread that was saved.
pub(super) struct Saved {
    pub(super) out: Vec<Output>,
    pub(super) wake: Option<Timestamp>,
    /// When it was stepped.
    pub(super) at: Timestamp,
}

impl Batch {
    pub(super) fn new(inputs: Vec<(ThreadKey, Input)>) -> Self {
        let mut waiting: BTreeMap<ThreadKey, Work> = BTreeMap::new();
        let replies = vec![Reply::Ignored; inputs.len()];
        for (index, (key, input)) in inputs.into_iter().enumerate() {
            waiting.entry(key).or_default().inputs.push((index, input));
        }
        Self { waiting, replies, unreadable: None }
    }

    /// What is not done yet, in the order of the keys.
    pub(super) fn keys(&self) -> Vec<ThreadKey> {
        self.waiting.keys().cloned().collect()
    }

    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The replies in the order of the inputs, if every conversation could be read.
    pub(super) fn replies(self) -> Result<Vec<Reply>, RecordError> {
        self.unreadable.map_or(Ok(self.replies), Err)
    }

    /// Steps a conversation as it was loaded, and answers what there is to write. Where an earlier write turns out
    /// to have been done, what follows from that one.
    pub(super) fn step(
        &mut self,
        key: &ThreadKey,
        loaded: Loaded,
        cx: &Context<'_>,
        now: Timestamp,
        version: u64,
    ) -> Step {
        let Some(work) = self.waiting.get_mut(key) else { return Step::Nothing };
        if work.tried.iter().any(|tried| tried.version == loaded.version) {
            return self.written(key, loaded.version).map_or(Step::Nothing, Step::Saved);
        }
        let before = match loaded.thread {
            Ok(thread) => thread,
            Err(error) => {
                tracing::error!(thread = %key, %error, "a conversation cannot be read");
                self.unreadable.get_or_insert(error);
                self.waiting.remove(key);
                return Step::Nothing;
            }
        };
        let mut thread = before.clone();
        let mut out = Vec::new();
        let step = |(_, input): &(usize, Input)| thread.step(cx, input.clone(), now, &mut out);
        let replies: Vec<Reply> = work.inputs.iter().map(step).collect();
        // A woken thread is always written: its lease must become a wake time again.
        let woken = work.inputs.iter().any(|(_, input)| *input == Input::Wake);
        let fresh = thread.is_fresh();
        let unchanged = if loaded.version == 0 { fresh } else { thread == before && !woken };
        let wake = match thread.next_wake(cx) {
            // It was set when the thread was written.
            _ if unchanged => None,
            // Whoever else works on this store goes on at once.
            _ if !cx.begins && !thread.is_at_rest() => Some(now),
            wake => wake,
        };
        work.tried.push(Tried { version, replies, saved: Saved { out, wake, at: now } });
        if unchanged {
            return self.written(key, version).map_or(Step::Nothing, Step::Saved);
        }
        Step::Write(Box::new(if fresh {
            Swap::remove(key.clone(), loaded.version, version)
        } else {
            Swap::write(key.clone(), loaded.version, version, thread, wake)
        }))
    }

    /// A conversation is done: this version of it was written.
    pub(super) fn written(&mut self, key: &ThreadKey, version: u64) -> Option<Saved> {
        let Work { inputs, tried } = self.waiting.remove(key)?;
        let tried = tried.into_iter().find(|tried| tried.version == version)?;
        for ((index, _), reply) in inputs.into_iter().zip(tried.replies) {
            self.replies[index] = reply;
        }
        Some(tried.saved)
    }
}

/// What is to be done for one conversation.
pub(super) enum Step {
    Nothing,
    Write(Box<Swap>),
    Saved(Saved),
}
