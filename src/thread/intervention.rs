use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

use super::is_default;

/// How far a report may be stamped ahead of us. Clocks differ a little; a stamp from far ahead would
/// outdate all that follows.
const MAX_AHEAD: Duration = Duration::from_mins(5);

/// An agent's engagement with the customer (desk).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Intervention {
    #[serde(skip_serializing_if = "is_default")]
    open: bool,
    /// Control is to be claimed for it.
    #[serde(skip_serializing_if = "is_default")]
    wants_control: bool,
    /// Control that was asked for may still come until then though nobody needs it any more: it is given back.
    #[serde(skip_serializing_if = "is_default")]
    give_back: Option<Timestamp>,
    /// When what is known of it was true: what is older changes nothing.
    #[serde(skip_serializing_if = "is_default")]
    as_of: Timestamp,
    /// When a bot looks again whether the desk has released, and how often it has looked.
    #[serde(skip_serializing_if = "is_default")]
    look: Option<(Timestamp, u8)>,
}

/// How late control that was asked for may come and still count as that. What comes later is a bot's own wish that
/// people take over, which looks the same. Longer than the lease of a look that was cut off.
const LATE_GRANT: Duration = Duration::from_mins(2);

/// A desk has answers to settle before it releases: a bot that was told of the close at the same moment
/// looks again after so long.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(15), Duration::from_mins(1)];

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

    /// What the host itself says is newer than all that was reported, also by a clock ahead of ours.
    pub(super) fn set_current(&mut self, now: Timestamp) {
        self.as_of = now.max(self.as_of.plus(Duration::from_millis(1)));
    }

    /// Answers whether a report is news. The last by its stamp wins, whatever order they come in. With
    /// one stamp the close does: control that was released is claimed again by the next answer, control
    /// that was kept by mistake would be kept for ever.
    pub(super) fn accept_report(&mut self, open: bool, at: Timestamp, now: Timestamp) -> bool {
        let at = at.min(now.plus(MAX_AHEAD));
        let news = at > self.as_of || at == self.as_of && self.open && !open;
        if news {
            self.as_of = at;
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

    /// Answers whether it is time to look.
    pub(super) fn take_look(&mut self, now: Timestamp) -> bool {
        let Some((_, looked)) = self.look.take_if(|(at, _)| *at <= now) else { return false };
        let wait = LOOK_AGAIN.get(usize::from(looked) + 1);
        self.look = wait.map(|wait| (now.plus(*wait), looked + 1));
        true
    }

    /// The owner is another one by now.
    pub(super) fn stop_looking(&mut self) {
        self.look = None;
    }

    pub(super) fn control_came(&mut self) {
        self.wants_control = false;
    }

    /// Control could not be had. It is not claimed again for this intervention alone: that would be
    /// a fight.
    pub(super) fn claim_failed(&mut self) {
        self.wants_control = false;
    }

    pub(super) fn give_back_when_gained(&mut self, now: Timestamp) {
        self.give_back = Some(now.plus(LATE_GRANT));
    }

    /// Control is wanted after all, whatever was asked for before.
    pub(super) fn keep(&mut self) {
        self.give_back = None;
    }

    pub(super) fn may_give_back(&self) -> bool {
        self.give_back.is_some()
    }

    /// Control came. Answers whether it is what was asked for and is not needed any more.
    pub(super) fn take_give_back(&mut self, now: Timestamp) -> bool {
        self.give_back.take().is_some_and(|until| now < until) && !self.open
    }
}
