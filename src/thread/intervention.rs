//! Interventions: an agent's engagement with the customer, and the control it needs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

use super::is_default;

/// The most that a report's stamp may be ahead of our clock. A stamp further ahead is cut, because it would outdate
/// all later reports.
const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// The state of the agent's engagement with the customer (desk).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Intervention {
    #[serde(skip_serializing_if = "is_default")]
    open: bool,
    /// Whether control must be claimed for it.
    #[serde(skip_serializing_if = "is_default")]
    wants_control: bool,
    /// Control requested earlier may still be granted until this time and is then released, because nobody needs it.
    #[serde(skip_serializing_if = "is_default")]
    give_back: Option<Timestamp>,
    /// The number of requests that may still be granted, and the time until which they may be.
    #[serde(skip_serializing_if = "is_default")]
    requested: Option<(u8, Timestamp)>,
    /// The time of the latest report; older ones change nothing.
    #[serde(skip_serializing_if = "is_default")]
    as_of: Timestamp,
    /// Whether the latest report was of an open.
    #[serde(skip_serializing_if = "is_default")]
    reported_open: bool,
    /// The next time a bot reads the owner after a close, and the number of reads so far.
    #[serde(skip_serializing_if = "is_default")]
    look: Option<(Timestamp, u8)>,
}

/// The time for which late control counts as granted by an earlier request. Control that comes later is a bot's wish
/// for people, which looks the same. Longer than the lease of a call.
const LATE_GRANT: Duration = Duration::from_secs(2 * 60);

/// The waits before a bot reads the owner again after a close, because the desk may have messages to settle before it
/// releases control.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(15), Duration::from_secs(60)];

impl Intervention {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn wants_control(&self) -> bool {
        self.wants_control
    }

    pub(super) fn open(&mut self) {
        (self.open, self.wants_control) = (true, true);
    }

    /// The host's own command is newer than all reports, also than those stamped by a clock ahead of ours.
    pub(super) fn set_current(&mut self, now: Timestamp) {
        self.as_of = now.max(self.as_of.plus(Duration::from_millis(1)));
    }

    /// Stores a report and returns whether it is news. The latest stamp wins, in any order of arrival. With equal
    /// stamps the close wins, because released control is claimed again by the next message, and control kept by
    /// mistake would never be released.
    pub(super) fn accept_report(&mut self, open: bool, at: Timestamp, now: Timestamp) -> bool {
        let at = at.min(now.plus(MAX_AHEAD));
        let news = at > self.as_of || at == self.as_of && (self.open || self.reported_open) && !open;
        if news {
            (self.as_of, self.reported_open) = (at, open);
        }
        news
    }

    pub(super) fn close(&mut self) {
        self.open = false;
        self.wants_control = false;
    }

    pub(super) fn look_for_release(&mut self, now: Timestamp) {
        self.look = Some((now.plus(LOOK_AGAIN[0]), 0));
    }

    pub(super) fn next_look(&self) -> Option<Timestamp> {
        self.look.map(|(at, _)| at)
    }

    /// Returns whether a read of the owner is due, and plans the next one.
    pub(super) fn take_look(&mut self, now: Timestamp) -> bool {
        let Some((_, looked)) = self.look.take_if(|(at, _)| *at <= now) else { return false };
        let wait = LOOK_AGAIN.get(usize::from(looked) + 1);
        self.look = wait.map(|wait| (now.plus(*wait), looked + 1));
        true
    }

    /// The owner has changed.
    pub(super) fn stop_looking(&mut self) {
        self.look = None;
    }

    pub(super) fn control_came(&mut self) {
        self.wants_control = false;
    }

    /// Control was not granted. It is not claimed again for this intervention alone, so that two apps do not fight.
    pub(super) fn claim_failed(&mut self) {
        self.wants_control = false;
    }

    pub(super) fn give_back_when_gained(&mut self, now: Timestamp) {
        self.give_back = Some(now.plus(LATE_GRANT));
    }

    /// Control is requested (desk).
    pub(super) fn requests(&mut self, now: Timestamp) {
        let number = self.requested.map_or(0, |(number, _)| number);
        self.requested = Some((number.saturating_add(1), now.plus(LATE_GRANT)));
    }

    /// A request was refused, or control came, which answers one.
    pub(super) fn request_ended(&mut self) {
        let one_less = self.requested.map(|(number, until)| (number.saturating_sub(1), until));
        self.requested = one_less.filter(|(number, _)| *number > 0);
    }

    /// Control was released. Requests made before may still be granted, each one by itself.
    pub(super) fn control_left(&mut self, now: Timestamp) {
        self.requested = self.requested.filter(|(_, until)| now < *until);
        if let Some((_, until)) = self.requested {
            self.give_back = Some(until);
        }
    }

    /// Control is wanted, so it is no longer released when it comes.
    pub(super) fn keep(&mut self) {
        self.give_back = None;
    }

    pub(super) fn may_give_back(&self) -> bool {
        self.give_back.is_some()
    }

    /// Control came. Returns whether it must be released, because it was requested earlier and nobody needs it.
    pub(super) fn take_give_back(&mut self, now: Timestamp) -> bool {
        self.give_back.take().is_some_and(|until| now < until) && !self.open
    }
}
