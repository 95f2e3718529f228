use std::ops::Range;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::id::ThreadKey;
use crate::store::{Loaded, RecordError, Write};
use crate::thread::{Context, Input, Output, Reply, Thread};
use crate::time::Timestamp;

/// Most deliveries are about one conversation: nothing is allocated for what there is of each.
pub(super) type Places = SmallVec<[usize; 1]>;
pub(super) type Keys = SmallVec<[ThreadKey; 1]>;
pub(super) type Replies = SmallVec<[Reply; 1]>;

/// Inputs of many conversations that are worked on together: one load and one write for all.
pub(super) struct Batch {
    inputs: Vec<(ThreadKey, Input)>,
    /// The inputs in the order of their keys; those of one conversation in their own order.
    order: Places,
    /// In the order of the keys.
    work: SmallVec<[Work; 1]>,
    replies: Replies,
    unreadable: Vec<RecordError>,
}

/// What came of a batch.
pub(super) struct Done {
    /// In the order of the inputs; `Ignored` for those of conversations that cannot be read.
    pub(super) replies: Replies,
    /// Why conversations cannot be read.
    pub(super) unreadable: Vec<RecordError>,
}

/// The inputs of one conversation, and what was tried to be saved for them.
struct Work {
    /// Which of the order.
    inputs: Range<usize>,
    /// What was tried last.
    tried: Option<Tried>,
    /// What was tried before that, after conflicts and faults.
    tried_before: Vec<Tried>,
    is_done: bool,
}

/// What was given to the store under a version of its own.
struct Tried {
    version: u64,
    replies: Replies,
    saved: Saved,
}

/// What follows from a thread that was saved.
pub(super) struct Saved {
    pub(super) out: Vec<Output>,
    pub(super) wake: Option<Timestamp>,
    /// When it was stepped.
    pub(super) at: Timestamp,
    /// What it became; nothing if it was removed.
    pub(super) thread: Option<Arc<Thread>>,
}

impl Batch {
    pub(super) fn new(inputs: Vec<(ThreadKey, Input)>) -> Self {
        let mut order: Places = (0..inputs.len()).collect();
        order.sort_by(|a, b| inputs[*a].0.cmp(&inputs[*b].0));
        let mut work: SmallVec<[Work; 1]> = SmallVec::with_capacity(inputs.len());
        for (at, place) in order.iter().enumerate() {
            match work.last_mut() {
                Some(work) if inputs[order[work.inputs.start]].0 == inputs[*place].0 => {
                    work.inputs.end = at + 1;
                }
                _ => work.push(Work {
                    inputs: at..at + 1,
                    tried: None,
                    tried_before: Vec::new(),
                    is_done: false,
                }),
            }
        }
        let replies = smallvec![Reply::Ignored; inputs.len()];
        Self { inputs, order, work, replies, unreadable: Vec::new() }
    }

    /// All conversations, in the order of their keys.
    pub(super) fn keys(&self) -> impl ExactSizeIterator<Item = &ThreadKey> {
        (0..self.work.len()).map(|place| self.key(place))
    }

    /// Which of these are not done yet, with their keys.
    pub(super) fn waiting(&self, places: &[usize]) -> (Places, Keys) {
        let waiting = places.iter().filter(|place| !self.work[**place].is_done);
        waiting.map(|place| (*place, self.key(*place).clone())).unzip()
    }

    /// Whether these are done.
    pub(super) fn are_done(&self, places: &[usize]) -> bool {
        places.iter().all(|place| self.work[*place].is_done)
    }

    pub(super) fn is_done(&self) -> bool {
        self.work.iter().all(|work| work.is_done)
    }

    pub(super) fn done(self) -> Done {
        Done { replies: self.replies, unreadable: self.unreadable }
    }

    /// Steps the conversation at this place as it was loaded, and answers what there is to write. Where an earlier write
    /// turns out to have been done, what follows from that one.
    pub(super) fn step(
        &mut self,
        place: usize,
        loaded: Loaded,
        cx: &Context<'_>,
        now: Timestamp,
        version: u64,
    ) -> Step {
        let key = self.key(place).clone();
        let work = &mut self.work[place];
        if work.tried.iter().chain(&work.tried_before).any(|tried| tried.version == loaded.version) {
            return self.written(place, loaded.version).map_or(Step::Nothing, Step::Saved);
        }
        let before = match loaded.thread {
            Ok(thread) => thread,
            Err(error) => {
                tracing::error!(thread = %key, %error, "a conversation cannot be read");
                self.unreadable.push(error);
                work.is_done = true;
                return Step::Nothing;
            }
        };
        let mut stepped = Arc::clone(&before);
        let thread = Arc::make_mut(&mut stepped);
        let mut out = Vec::new();
        // A delivery that begins when there is room is taken in whole.
        let cx = &Context { has_room: thread.has_room(cx.config), ..*cx };
        let inputs = self.order[work.inputs.clone()].iter().map(|at| &self.inputs[*at].1);
        let replies: Replies =
            inputs.clone().map(|input| thread.step(cx, input.clone(), now, &mut out)).collect();
        let fresh = thread.is_fresh();
        let unchanged = match loaded.version {
            0 => fresh,
            _ => out.is_empty() && inputs.zip(&replies).all(may_change_nothing) && *thread == *before,
        };
        if unchanged && loaded.is_copy {
            return Step::Nothing;
        }
        let wake = match thread.next_wake(cx) {
            // It was set when the thread was written.
            _ if unchanged => None,
            // Whoever else works on this store goes on at once.
            _ if !cx.begins && !thread.is_at_rest() => Some(now),
            wake => wake,
        };
        let kept = (!fresh).then(|| Arc::clone(&stepped));
        let saved = Saved { out, wake, at: now, thread: kept };
        let tried = Tried { version, replies, saved };
        work.tried_before.extend(work.tried.replace(tried));
        if unchanged {
            return self.written(place, version).map_or(Step::Nothing, Step::Saved);
        }
        Step::Write(if fresh {
            Write::delete(key, loaded.version, version)
        } else {
            Write::new(key, loaded.version, version, stepped, wake)
        })
    }

    pub(super) fn key(&self, place: usize) -> &ThreadKey {
        &self.inputs[self.order[self.work[place].inputs.start]].0
    }

    /// The conversation at this place is done: this version of it was written.
    pub(super) fn written(&mut self, place: usize, version: u64) -> Option<Saved> {
        let work = &mut self.work[place];
        let mut tried = work.tried.take().into_iter().chain(std::mem::take(&mut work.tried_before));
        let tried = tried.find(|tried| tried.version == version)?;
        work.is_done = true;
        for (at, reply) in self.order[work.inputs.clone()].iter().zip(tried.replies) {
            self.replies[*at] = reply;
        }
        Some(tried.saved)
    }
}

/// What is answered as done has changed something, but for events, which often tell nothing new, and commands.
/// A woken thread is always written: its lease must become a wake time again.
fn may_change_nothing((input, reply): (&Input, &Reply)) -> bool {
    match input {
        Input::Wake => false,
        Input::NoticeHandled { .. } | Input::CallEnded { .. } => *reply != Reply::Done,
        Input::Event(_) | Input::Command(_) => true,
    }
}

/// What is to be done for one conversation.
pub(super) enum Step {
    /// Nothing, or it has to be loaded first.
    Nothing,
    Write(Write),
    Saved(Saved),
}
