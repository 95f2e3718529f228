//! Silence of a bot: people were asked for, or a person answers from another app.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Span, Timestamp};

use super::is_default;

/// The bot's knowledge of the people beside it. Until they are done it claims nothing and sends nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct People {
    /// People were asked for. Without a sign of them this expires at the time.
    #[serde(skip_serializing_if = "is_default")]
    asked_until: Option<Timestamp>,
    /// The time at which the host asked for them, until they are there.
    #[serde(skip_serializing_if = "is_default")]
    asked_at: Option<Timestamp>,
    /// The time at which they were asked for, engaged, or came without being asked.
    #[serde(skip_serializing_if = "is_default")]
    since: Option<Timestamp>,
    /// The time at which they engaged, as Engage Digital reported it.
    #[serde(skip_serializing_if = "is_default")]
    engaged_at: Option<Timestamp>,
    /// Control left us after they were asked for.
    #[serde(skip_serializing_if = "is_default")]
    left: bool,
    /// A person answered from another app; the bot stands back until this time.
    #[serde(skip_serializing_if = "is_default")]
    answers_until: Option<Timestamp>,
}

impl People {
    /// People were asked for, or gave a sign: the wait for them starts now.
    pub(super) fn ask(&mut self, now: Timestamp, wait: Duration) {
        self.asked_until = Some(now.plus(wait));
    }

    /// Engage Digital reports that people engaged with the customer at `at`.
    pub(super) fn engage(&mut self, at: Timestamp, now: Timestamp, wait: Duration) {
        self.ask(now, wait);
        self.engaged_at = Some(at.min(now));
        self.since = self.since.or(self.engaged_at);
    }

    /// Whether people engaged after this event, so that it cannot mean that they are done.
    pub(super) fn engaged_after(&self, at: Span) -> bool {
        self.engaged_at.is_some_and(|engaged| at.to <= engaged)
    }

    /// The host asks for people.
    pub(super) fn are_wanted(&mut self, now: Timestamp, wait: Duration) {
        self.ask(now, wait);
        (self.asked_at, self.since, self.engaged_at, self.left) = (Some(now), Some(now), None, false);
    }

    /// Whether people were asked for after this event. If our clock is ahead this can be wrong; then the customer's
    /// next message shows that they are done.
    pub(super) fn were_asked_after(&self, at: Span) -> bool {
        self.asked_at.is_some_and(|asked| at.to <= asked)
    }

    /// Whether people were asked for, or came, after an intervention was closed, so that they are others. Engage Digital's
    /// clock stamped the close, and the open of the intervention if it was reported.
    pub(super) fn came_after(&self, closed: Timestamp, tolerance: Duration) -> bool {
        self.engaged_at.is_none_or(|opened| closed < opened)
            && self.since.is_some_and(|since| closed.plus(tolerance) < since)
    }

    pub(super) fn have_yet_to_come(&mut self) {
        self.left = false;
    }

    /// People are there, since `at`.
    pub(super) fn come(&mut self, at: Timestamp, now: Timestamp, wait: Duration) {
        self.ask(now, wait);
        (self.asked_at, self.since, self.left) = (None, Some(self.since.unwrap_or(at)), true);
    }

    /// A person answered in an app that needs no control for it.
    pub(super) fn answer_elsewhere(&mut self, now: Timestamp, stand_back: Duration) {
        if !stand_back.is_zero() {
            self.answers_until = Some(now.plus(stand_back));
        }
    }

    pub(super) fn are_asked_for(&self) -> bool {
        self.asked_until.is_some()
    }

    /// Control is elsewhere. When it comes back, people are done.
    pub(super) fn control_left(&mut self) {
        self.left = self.asked_until.is_some();
    }

    pub(super) fn have_control(&self) -> bool {
        self.left
    }

    /// Whether they came, and not only were asked for.
    pub(super) fn are_there(&self) -> bool {
        self.left || self.answers_until.is_some()
    }

    /// People are done: the bot answers again.
    pub(super) fn are_done(&mut self) {
        *self = Self::default();
    }

    /// Whether the bot must stay silent.
    pub(super) fn are_busy(&self) -> bool {
        self.asked_until.is_some() || self.answers_until.is_some()
    }

    /// Applies all deadlines that have passed.
    pub(super) fn lapse(&mut self, now: Timestamp) {
        if self.asked_until.is_some_and(|until| until <= now) {
            *self = Self { answers_until: self.answers_until, ..Self::default() };
        }
        self.answers_until = self.answers_until.filter(|until| *until > now);
    }

    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        self.asked_until.max(self.answers_until)
    }
}
