use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::call::{Call, CallId, CallOutcome, Direction, Failure, FailureKind, HandoverRequest};
use crate::control::{CallError, Forwarded};
use crate::id::ThreadKey;
use crate::retry::Backoff;
use crate::thread::{Handled, Input, Note};
use crate::time::Timestamp;

use super::calls::{Callee, NoPlace};
use super::drive::{Tells, jitter};
use super::{Handover, HandoverError, Notification};

/// How long it is tried to save how something ended, and the pauses between. Then its lease brings it up again.
const SAVES_FOR: Duration = Duration::from_mins(3);
const SAVES: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: u32::MAX };

/// How long a call is put off for which there is not even room to wait, up to twice as long.
const CROWDED: Duration = Duration::from_secs(10);

/// How long handlers are given to end at once, all that are told together.
const AT_ONCE: Duration = Duration::from_millis(1);

/// A call that a thread asked for.
pub(super) struct Asked {
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) note: Option<Note>,
    pub(super) retry: bool,
    pub(super) at: Timestamp,
}

impl Handover {
    pub(super) fn begin_call(&self, key: &ThreadKey, asked: Asked) {
        let (service, key) = (self.clone(), key.clone());
        self.inner.tasks.spawn(async move {
            let id = asked.id;
            let result = match service.make_in_turn(&key, asked).await {
                Ok(result) => result,
                Err(wait) => {
                    tracing::debug!(thread = %key, ?wait, "a call is held back: too many are under way, or fail on this Page");
                    CallOutcome::HeldBack(wait)
                }
            };
            if !matches!(result, CallOutcome::Refused(_) | CallOutcome::Unknown(_) | CallOutcome::HeldBack(_)) {
                service.inner.call_succeeded(&key.page);
            }
            service.conclude(vec![(key, Input::CallEnded { call: id, outcome: result })]).await;
        });
    }

    /// Makes the call when there is a place for it.
    ///
    /// # Errors
    /// It was not made, and is to be asked for again after so long.
    async fn make_in_turn(&self, key: &ThreadKey, asked: Asked) -> Result<CallOutcome, Duration> {
        let (inner, Asked { id: _, call, note, retry, at }) = (&self.inner, asked);
        let lease = inner.config.timeouts.call_lease;
        let callee = match call {
            Call::AskDesk(_) => Callee::Desk,
            _ => Callee::Page(key.page.clone()),
        };
        // It gives up while the thread still waits for it: else a call that was never made would count as lost.
        let within = || (lease / 2).saturating_sub(inner.now().since(at));
        let _place = match inner.calls.place(callee, within).await {
            Ok(place) => place,
            Err(NoPlace::Stopping | NoPlace::Late) => return Err(Duration::ZERO),
            Err(NoPlace::Crowded) => return Err(CROWDED.mul_f64(1.0 + fastrand::f64())),
        };
        if self.is_late(at, lease) {
            return Err(Duration::ZERO);
        }
        if retry {
            inner.may_retry(&key.page)?;
        }
        Ok(self.make(key, call, note.unwrap_or_default()).await.unwrap_or_else(CallError::into_outcome))
    }

    /// Saving it, or waiting for a place, took long: it would still be under way when its lease is over, and be begun again by another.
    fn is_late(&self, at: Timestamp, lease: Duration) -> bool {
        self.inner.now().since(at) > lease / 2
    }

    /// Tells the host each of these, in a task.
    pub(super) fn begin_telling(&self, telling: Vec<(Notification, Timestamp)>) {
        if !telling.is_empty() {
            let service = self.clone();
            self.inner.tasks.spawn(async move {
                let mut done = Vec::new();
                service.tell(telling, &mut None, &mut done).await;
                if !done.is_empty() {
                    service.conclude(done).await;
                }
            });
        }
    }

    /// Tells the host each of these. Handlers that end at once, as most do that pass on what they are told, need no task;
    /// what is to be saved of them is collected.
    pub(super) async fn tell(
        &self,
        telling: Vec<(Notification, Timestamp)>,
        since: &mut Option<Instant>,
        done: &mut Vec<(ThreadKey, Input)>,
    ) {
        let begun = *since.get_or_insert_with(Instant::now);
        let mut handling = None;
        for (told, at) in telling {
            // One place in memory for all, until one of them needs it for longer.
            let mut one = match handling.take() {
                None => Box::pin(self.clone().tell_one(told, at)),
                Some(mut one) => {
                    Pin::set(&mut one, self.clone().tell_one(told, at));
                    one
                }
            };
            // A handler that does not let go of its thread must not keep the others waiting.
            let at_once = if begun.elapsed() < AT_ONCE {
                poll_fn(|cx| Poll::Ready(one.as_mut().poll(cx))).await
            } else {
                Poll::Pending
            };
            match at_once {
                Poll::Ready(input) => {
                    done.push(input);
                    handling = Some(one);
                }
                Poll::Pending => self.go_on_handling(one),
            }
        }
    }

    fn go_on_handling(&self, one: impl Future<Output = (ThreadKey, Input)> + Send + 'static) {
        let service = self.clone();
        self.inner.tasks.spawn(async move { service.conclude(vec![one.await]).await });
    }

    pub(super) fn begin_concluding(&self, inputs: Vec<(ThreadKey, Input)>) {
        let service = self.clone();
        self.inner.tasks.spawn(async move { service.conclude(inputs).await });
    }

    async fn make(&self, key: &ThreadKey, call: Call, note: Note) -> Result<CallOutcome, CallError> {
        let client = &self.inner.client;
        let metadata = note.text.as_deref();
        Ok(match call {
            Call::SendMessage { key: answer, message } => {
                let metadata = answer.to_metadata(&self.inner.config.app);
                CallOutcome::Sent(client.send_message(key, &message, Some(&metadata)).await?.mid)
            }
            Call::PassThreadControl { to } => {
                client.pass_thread_control(key, Some(&to), metadata).await?;
                CallOutcome::Done
            }
            Call::TakeThreadControl => {
                client.take_thread_control(key, metadata).await?;
                CallOutcome::Done
            }
            Call::RequestThreadControl => {
                let Forwarded { .. } = client.request_thread_control(key, metadata).await?;
                CallOutcome::Forwarded
            }
            Call::ReleaseThreadControl => {
                client.release_thread_control(key).await?;
                CallOutcome::Done
            }
            Call::ThreadOwner => CallOutcome::Owner(client.thread_owner(key).await?),
            Call::AskDesk(direction) => {
                let Some(desk) = &self.inner.desk else {
                    let words = "the desk's endpoint is not configured";
                    return Err(CallError::refused(Failure::new(FailureKind::NotAvailable, words)));
                };
                let user = key.user.clone();
                let mut request = match direction {
                    Direction::BotToAgent => HandoverRequest::bot_to_agent(user),
                    Direction::AgentToBot => {
                        HandoverRequest::agent_to_bot(user, self.inner.config.app.clone())
                    }
                };
                request.thread_category_ids = note.thread_category_ids;
                desk.handover(&request).await?;
                CallOutcome::Done
            }
        })
    }

    /// Answers what there is to save: how the handler has handled with it. One that panics has not.
    async fn tell_one(self, told: Notification, at: Timestamp) -> (ThreadKey, Input) {
        let is_late = self.is_late(at, self.inner.config.timeouts.notice_lease);
        let handled = if is_late { Handled::Retry } else { self.notify(&told, at).await };
        (told.thread, Input::NoticeHandled { notice: told.id, handled })
    }

    async fn notify(&self, told: &Notification, at: Timestamp) -> Handled {
        let handling = async { self.inner.handler.notify(self, told).await };
        let mut handling = pin!(AssertUnwindSafe(handling).catch_unwind());
        let (thread, id) = (&told.thread, told.id);
        // Most end at once, without a timer.
        let handled = match poll_fn(|cx| Poll::Ready(handling.as_mut().poll(cx))).await {
            Poll::Ready(handled) => Ok(handled),
            Poll::Pending => {
                // It ends before its lease does: else the next attempt would run beside it.
                let lease = self.inner.config.timeouts.notice_lease.mul_f32(0.9);
                let within = lease.saturating_sub(self.inner.now().since(at));
                tokio::time::timeout(within, handling).await
            }
        };
        match handled {
            Ok(Ok(Ok(actions))) => return Handled::Done(actions),
            Ok(Ok(Err(error))) if error.skips() => {
                tracing::warn!(%thread, ?id, %error, "the handler cannot deal with it, now or later");
                return Handled::Skip;
            }
            Ok(Ok(Err(error))) => {
                tracing::warn!(%thread, ?id, %error, "the handler failed; it is told again");
            }
            Err(_) => tracing::warn!(%thread, ?id, "the handler took too long; it is told again"),
            Ok(Err(_)) => tracing::error!(%thread, ?id, "the handler panicked; it is told again"),
        }
        Handled::Retry
    }

    /// Saves how calls or notices ended, if need be again: the store may be away for a moment. Where it cannot be saved, the
    /// lease of the call or the notice ends, and it is taken up again.
    pub(super) async fn conclude(&self, inputs: Vec<(ThreadKey, Input)>) {
        let begun = Instant::now();
        let mut faults = 0;
        while begun.elapsed() < SAVES_FOR {
            let saved = self.save(inputs.clone(), Tells::InATask, &mut Vec::new()).await;
            match saved {
                // Conversations that cannot be read were logged.
                Ok(_) => return,
                Err(error @ (HandoverError::Store(_) | HandoverError::Busy)) => {
                    tracing::warn!(first = %inputs[0].0, %error, "outcomes could not be saved yet");
                }
                Err(error) => {
                    tracing::warn!(first = %inputs[0].0, %error, "outcomes were not saved");
                    return;
                }
            }
            faults += 1;
            tokio::time::sleep(SAVES.wait(faults, None, jitter())).await;
        }
        tracing::error!(first = %inputs[0].0, "outcomes were not saved; their leases bring them up again");
    }
}
