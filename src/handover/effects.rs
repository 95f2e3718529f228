//! The effects of a saved step: calls to the platform and the desk, and runs of the host's handler.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::call::{Call, CallId, CallOutcome, Direction, Failure, FailureKind, HandoverRequest};
use crate::control::{CallError, Forwarded};
use crate::id::ThreadKey;
use crate::thread::{Actions, Context, Handled, Input, Note, Notice, NoticeId, Output, Thread};
use crate::time::Timestamp;
use futures_util::FutureExt;
use tracing::Instrument;

use super::calls::{Callee, NoPlace};
use super::stats::add;
use super::story::Named;
use super::{Handover, Notification};

/// The delay of a call that found no room even to wait; with jitter up to twice as long.
const CROWDED: Duration = Duration::from_secs(10);

/// A call that a saved step asks for.
pub(super) struct Asked {
    pub(super) id: CallId,
    pub(super) call: Call,
    pub(super) note: Option<Note>,
    pub(super) retry: bool,
    pub(super) at: Timestamp,
}

/// The handler's decisions before a step was saved.
#[derive(Default)]
pub(super) struct Decisions {
    /// The notices that it decided about.
    pub(super) made: Vec<Notice>,
    /// The notice that it left to `notify`.
    pub(super) left: Option<NoticeId>,
}

/// A notification for the handler.
pub(super) struct ToNotify {
    pub(super) notification: Notification,
    /// Whether the handler was asked for a decision and left it.
    pub(super) is_left: bool,
    /// The start of the notification's lease.
    pub(super) at: Timestamp,
}

impl Handover {
    pub(super) fn begin_call(&self, key: &ThreadKey, asked: Asked) {
        let (service, key) = (self.clone(), key.clone());
        let edge = edge(&asked.call);
        let span = tracing::info_span!(
            "call", thread = %self.inner.named(&key), call = edge, "otel.kind" = "client", "error.type" = tracing::field::Empty
        );
        let calling = async move {
            let id = asked.id;
            let result = match service.make_in_turn(&key, asked).await {
                Ok(result) => result,
                Err(wait) => {
                    tracing::debug!(
                        ?wait,
                        "a call is held back: too many are under way, or fail on this Page"
                    );
                    CallOutcome::HeldBack(wait)
                }
            };
            service.inner.counters.call_ended(edge, &result);
            match &result {
                CallOutcome::HeldBack(_) => {}
                CallOutcome::Refused(failure) | CallOutcome::Unknown(failure) => {
                    log_failure(service.inner.named(&key), edge, failure);
                }
                _ => service.inner.call_succeeded(&key.page),
            }
            service.post(key, Input::CallEnded { call: id, outcome: result }).await;
        };
        self.inner.tasks.spawn(calling.instrument(span));
    }

    /// Makes the call when there is a place for it.
    ///
    /// # Errors
    /// The call was not made: the thread asks for it again after this time.
    async fn make_in_turn(&self, key: &ThreadKey, asked: Asked) -> Result<CallOutcome, Duration> {
        let (inner, Asked { id: _, call, note, retry, at }) = (&self.inner, asked);
        let lease = inner.config.timeouts.call_lease;
        let callee = match call {
            Call::AskDesk(_) => Callee::Desk,
            _ => Callee::Page(key.page.clone()),
        };
        // Half of the lease, because after the lease a call that was never made would count as lost.
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

    /// Whether half of the lease is over. Work that starts later could outlive its lease, so that another process starts it too.
    fn is_late(&self, at: Timestamp, lease: Duration) -> bool {
        self.inner.now().since(at) > lease / 2
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

    /// Lets the handler decide about notices before they are saved, up to the first that it leaves to
    /// [`Handler::notify`](super::Handler::notify), and steps the thread with its decisions.
    pub(super) fn decide(
        &self,
        key: &ThreadKey,
        thread: &mut Thread,
        cx: &Context<'_>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) -> Decisions {
        let mut decisions = Decisions::default();
        let mut at = 0;
        while let Some(output) = out.get(at) {
            at += 1;
            let Output::Notice { id, attempt: 1, notice } = output else { continue };
            if may_end_otherwise(notice) {
                break;
            }
            let Some(actions) = self.decided(key, notice) else {
                decisions.left = Some(*id);
                break;
            };
            let handled = Input::NoticeHandled { notice: *id, handled: Handled::Done(actions) };
            at -= 1;
            if let Output::Notice { notice, .. } = out.remove(at) {
                decisions.made.push(notice);
            }
            let _ = thread.step(cx, handled, now, out);
        }
        decisions
    }

    /// The handler's decision about a notice; `None` if it leaves it to `notify`, or panics.
    fn decided(&self, key: &ThreadKey, notice: &Notice) -> Option<Actions> {
        let deciding = || self.inner.handler.decide(key, notice);
        std::panic::catch_unwind(AssertUnwindSafe(deciding)).unwrap_or_else(|_| {
            add(&self.inner.counters.handler_failures, 1);
            let thread = self.inner.named(key);
            tracing::error!(%thread, "the handler panicked in its decision; it is notified");
            None
        })
    }

    /// Runs the handler on a notification and returns its result.
    pub(super) async fn handle(self, to_notify: ToNotify) -> Input {
        let ToNotify { notification, is_left, at } = to_notify;
        let is_late = self.is_late(at, self.inner.config.timeouts.notice_lease);
        let span = tracing::info_span!(
            "notify", thread = %self.inner.named(&notification.thread), notice = notification.id.0,
            attempt = notification.attempt, "otel.kind" = "consumer"
        );
        let handling = async {
            let decided =
                (!is_left).then(|| self.decided(&notification.thread, &notification.notice)).flatten();
            match decided {
                Some(actions) => Handled::Done(actions),
                None => self.notify(&notification, at).await,
            }
        };
        let handling = handling.instrument(span);
        let handled = if is_late { Handled::Retry } else { handling.await };
        Input::NoticeHandled { notice: notification.id, handled }
    }

    async fn notify(&self, notification: &Notification, at: Timestamp) -> Handled {
        let handling = async { self.inner.handler.notify(self, notification).await };
        let mut handling = pin!(AssertUnwindSafe(handling).catch_unwind());
        let (thread, id) = (self.inner.named(&notification.thread), notification.id);
        // Most handlers end at once and need no timer.
        let handled = match poll_fn(|cx| Poll::Ready(handling.as_mut().poll(cx))).await {
            Poll::Ready(handled) => Ok(handled),
            Poll::Pending => {
                // The timeout is shorter than the lease, so that two attempts never overlap.
                let lease = self.inner.config.timeouts.notice_lease.mul_f32(0.9);
                let within = lease.saturating_sub(self.inner.now().since(at));
                tokio::time::timeout(within, handling).await
            }
        };
        match handled {
            Ok(Ok(Ok(actions))) => return Handled::Done(actions),
            Ok(Ok(Err(error))) if error.skips() => {
                tracing::warn!(%thread, ?id, %error, "the handler skips the notice");
                return Handled::Skip;
            }
            Ok(Ok(Err(error))) => {
                tracing::warn!(%thread, ?id, %error, "the handler failed; it is notified again");
            }
            Err(_) => tracing::warn!(%thread, ?id, "the handler took too long; it is notified again"),
            Ok(Err(_)) => tracing::error!(%thread, ?id, "the handler panicked; it is notified again"),
        }
        add(&self.inner.counters.handler_failures, 1);
        Handled::Retry
    }
}

/// Whether a deadline that lapsed in a step may end otherwise if that step is not saved: by an outcome or an echo that comes first.
fn may_end_otherwise(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::MessageFailed { .. }
            | Notice::MessageUnknown { .. }
            | Notice::TransferFailed { .. }
            | Notice::ControlNotGranted { .. }
    )
}

/// The call's name, as in its URL.
fn edge(call: &Call) -> &'static str {
    match call {
        Call::SendMessage { .. } => "messages",
        Call::PassThreadControl { .. } => "pass_thread_control",
        Call::TakeThreadControl => "take_thread_control",
        Call::RequestThreadControl => "request_thread_control",
        Call::ReleaseThreadControl => "release_thread_control",
        Call::ThreadOwner => "thread_owner",
        Call::AskDesk(_) => "bots/handover",
    }
}

/// Logs a failed call: at `warn`, unless it only says that somebody else has control.
fn log_failure(thread: Named<'_>, call: &str, failure: &Failure) {
    tracing::Span::current().record("error.type", tracing::field::display(failure.kind));
    let is_usual = matches!(failure.kind, FailureKind::NotThreadOwner | FailureKind::Conflict);
    let failure = thread.hide(failure);
    if is_usual {
        tracing::info!(%thread, call, failure, "a call was refused");
    } else {
        tracing::warn!(%thread, call, failure, "a call failed");
    }
}
