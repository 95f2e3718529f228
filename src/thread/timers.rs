//! The timers of a thread.

use crate::time::Timestamp;

use super::Thread;
use super::belief::Owner;
use super::broken::Broken;
use super::claim::Claim;
use super::config::Context;
use super::transfer::Transfer;

/// A timer, by what happens when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The process that makes the call in flight counts as dead, and the outcome of the call as unknown.
    CallLease,
    /// The pause after a failed call is over.
    Pause,
    /// A claim step that was accepted has not brought control: the owner is read.
    ClaimStep,
    /// The desk's endpoint accepted, and the desk has not asked for control: control is passed to it.
    DeskRequest,
    /// The owner is read, because the desk should have released control by now.
    Release,
    /// The notification's handler counts as dead, or its pause after a failure is over: the handler is notified again.
    Notice,
    /// A message is too old to be sent, or its echo has not come.
    Message,
    /// People have shown no sign: messages that came in meanwhile are notified.
    People,
    /// The thread has been idle for long enough to be forgotten.
    Retention,
}

impl Timer {
    const ALL: [Self; 9] = [
        Self::CallLease,
        Self::Pause,
        Self::ClaimStep,
        Self::DeskRequest,
        Self::Release,
        Self::Notice,
        Self::Message,
        Self::People,
        Self::Retention,
    ];
}

impl Thread {
    /// The time at which [`Input::Wake`](super::Input::Wake) is due if nothing happens before. A wake at any other time is harmless.
    #[must_use]
    pub fn next_wake(&self, cx: &Context<'_>) -> Option<Timestamp> {
        Timer::ALL.into_iter().filter_map(|timer| self.due(timer, cx)).min()
    }

    /// When a timer is due, if it runs. A deadline that cannot lead to a move yet does not run, because it would wake the host over
    /// and over: there is one call at a time, and a claim and unsettled messages come before a transfer.
    fn due(&self, timer: Timer, cx: &Context<'_>) -> Option<Timestamp> {
        let may_move = self.in_flight.is_none() && self.pause.until.is_none();
        match timer {
            Timer::CallLease | Timer::Pause if cx.config.is(Broken::NoWake) => None,
            Timer::CallLease => self.in_flight.as_ref().map(|call| call.until),
            Timer::Pause => self.pause.until.filter(|_| self.in_flight.is_none()),
            Timer::ClaimStep => self.claim.as_deref().and_then(Claim::next_wake).filter(|_| may_move),
            Timer::DeskRequest => {
                let may_give = may_move && self.claim.is_none() && self.outbox.is_settled();
                self.transfer.as_deref().and_then(Transfer::next_wake).filter(|_| may_give)
            }
            Timer::Release => self.intervention.next_look().filter(|_| may_move),
            Timer::Notice => self.notices.next_wake(),
            Timer::Message => self.outbox.next_wake(),
            Timer::People => {
                let may_be_ours = !matches!(self.belief.owner(), Owner::Other(_));
                let waits = may_be_ours && self.inbox.has_unanswered();
                self.people.next_wake().filter(|_| waits)
            }
            Timer::Retention => self.forgotten_at(cx),
        }
    }
}
