//! The numbers of a running service.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::{CallOutcome, FailureKind};
use crate::thread::{Notice, RefusedAction};

use super::Handover;

/// The numbers of this process, by [`Handover::stats`]: of this moment, and counted since the service started. Raise an alarm
/// when [`damaged_records`](Self::damaged_records), [`set_aside`](Self::set_aside) or
/// [`messages_unknown`](Self::messages_unknown) grows, or [`due_lag`](Self::due_lag) stays above some seconds.
///
/// With the feature `metrics` the same numbers are reported through the `metrics` facade, once a second.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Events that are being saved at this moment.
    pub events_under_way: u64,
    /// Tasks at this moment: active conversations, calls.
    pub tasks: u64,
    /// Calls that wait for a place at this moment ([`Builder::calls_at_once`](super::Builder::calls_at_once)).
    pub calls_waiting: u64,
    /// The delay of the conversations that are due now, or with which the last ones were woken.
    pub due_lag: Duration,
    /// Events that were accepted, repeated ones too.
    pub events_accepted: u64,
    /// Calls of [`Handover::events`] that were refused, so that the platform redelivers.
    pub deliveries_refused: u64,
    /// Messages that ended as sent.
    pub messages_sent: u64,
    /// Messages that ended as failed.
    pub messages_failed: u64,
    /// Messages that may or may not have been sent.
    pub messages_unknown: u64,
    /// Changes of control in our favour.
    pub control_gained: u64,
    /// Changes of control away from us.
    pub control_lost: u64,
    /// Claims that failed.
    pub control_not_granted: u64,
    /// Changes of control away from us that failed, or that the service refused a handler.
    pub transfers_failed: u64,
    /// Runs of the handler that failed, panicked or took too long. Those that skipped their notice are in
    /// [`set_aside`](Self::set_aside).
    pub handler_failures: u64,
    /// Notices set aside because the handler failed on them too often or skipped them
    /// ([`Thread::set_aside`](crate::thread::Thread::set_aside)).
    pub set_aside: u64,
    /// Attempts to load a conversation whose record is damaged. Its events were dropped: restore the record, or
    /// [`forget`](Handover::forget) the conversation.
    pub damaged_records: u64,
    /// Calls of the store to load or write conversations. One call serves many conversations.
    pub store_calls: u64,
    /// Of these, the calls that failed.
    pub store_failures: u64,
    /// The time that all these calls took together.
    pub store_time: Duration,
    /// The share of the platform's fullest limit that is used, in percent, by its last response
    /// ([`HandoverClient::usage_percent`](crate::control::HandoverClient::usage_percent)); 0 if the client does not know it.
    pub usage_percent: u64,
    /// The ended calls to the platform and to the desk's endpoint, by call and result.
    pub calls: Vec<CallCount>,
}

/// The number of ended calls of one kind with one result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallCount {
    /// The call, as in the URL: `messages`, `take_thread_control`, …; and `sender_action`.
    pub call: &'static str,
    /// The kind of failure; `None` for success.
    pub failure: Option<FailureKind>,
    /// The number.
    pub count: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) due_lag_ms: AtomicU64,
    pub(super) events_accepted: AtomicU64,
    pub(super) deliveries_refused: AtomicU64,
    messages_sent: AtomicU64,
    messages_failed: AtomicU64,
    messages_unknown: AtomicU64,
    control_gained: AtomicU64,
    control_lost: AtomicU64,
    control_not_granted: AtomicU64,
    transfers_failed: AtomicU64,
    pub(super) handler_failures: AtomicU64,
    pub(super) set_aside: AtomicU64,
    pub(super) damaged_records: AtomicU64,
    store_calls: AtomicU64,
    store_failures: AtomicU64,
    store_micros: AtomicU64,
    calls: Mutex<BTreeMap<(&'static str, Option<FailureKind>), u64>>,
}

pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Counters {
    /// Counts a notice that is put out for the first time.
    pub(super) fn notice(&self, notice: &Notice) {
        let counter = match notice {
            Notice::ControlGained { .. } => &self.control_gained,
            Notice::ControlLost { .. } | Notice::Transferred { .. } => &self.control_lost,
            Notice::ControlNotGranted { .. } => &self.control_not_granted,
            Notice::TransferFailed { .. }
            | Notice::ActionRefused { action: RefusedAction::Transfer(_), .. } => &self.transfers_failed,
            Notice::MessageSent { .. } => &self.messages_sent,
            Notice::MessageFailed { .. } => &self.messages_failed,
            Notice::MessageUnknown { .. } => &self.messages_unknown,
            _ => return,
        };
        add(counter, 1);
    }

    /// Counts an ended call to the platform or the desk. One that was held back was not made.
    pub(super) fn call_ended(&self, call: &'static str, outcome: &CallOutcome) {
        match outcome {
            CallOutcome::HeldBack(_) => {}
            CallOutcome::Refused(failure) | CallOutcome::Unknown(failure) => {
                self.call(call, Some(failure.kind));
            }
            _ => self.call(call, None),
        }
    }

    pub(super) fn call(&self, call: &'static str, failure: Option<FailureKind>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((call, failure)).or_default() += 1;
    }
}

/// A call of the store under way, counted when it is dropped.
pub(super) struct StoreCall<'a> {
    pub(super) counters: &'a Counters,
    pub(super) begun: Instant,
    pub(super) failed: bool,
}

impl Drop for StoreCall<'_> {
    fn drop(&mut self) {
        let took = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        add(&self.counters.store_calls, 1);
        add(&self.counters.store_failures, u64::from(self.failed));
        add(&self.counters.store_micros, took);
    }
}

impl Handover {
    /// The numbers of this process.
    ///
    /// ```
    /// # use messenger_handover::prelude::*;
    /// # fn alarm(handover: &Handover) {
    /// let stats = handover.stats();
    /// if stats.set_aside > 0 || stats.damaged_records > 0 {
    ///     // Page somebody.
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let inner = &self.inner;
        let counters = &inner.counters;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let calls = counters.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = calls.iter().map(|(&(call, failure), &count)| CallCount { call, failure, count });
        Stats {
            events_under_way: number(inner.events_at_once - inner.room.available_permits()),
            tasks: number(inner.busy_tasks()),
            calls_waiting: number(inner.calls.waiting()),
            due_lag: Duration::from_millis(count(&counters.due_lag_ms)).max(inner.alarm.lag(inner.now())),
            events_accepted: count(&counters.events_accepted),
            deliveries_refused: count(&counters.deliveries_refused),
            messages_sent: count(&counters.messages_sent),
            messages_failed: count(&counters.messages_failed),
            messages_unknown: count(&counters.messages_unknown),
            control_gained: count(&counters.control_gained),
            control_lost: count(&counters.control_lost),
            control_not_granted: count(&counters.control_not_granted),
            transfers_failed: count(&counters.transfers_failed),
            handler_failures: count(&counters.handler_failures),
            set_aside: count(&counters.set_aside),
            damaged_records: count(&counters.damaged_records),
            store_calls: count(&counters.store_calls),
            store_failures: count(&counters.store_failures),
            store_time: Duration::from_micros(count(&counters.store_micros)),
            usage_percent: inner.client.usage_percent().unwrap_or_default(),
            calls: calls.collect(),
        }
    }
}
