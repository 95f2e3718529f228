//! Incoming messages: the customer's unanswered messages and the detection of duplicates.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::{EventKind, Inbound};
use crate::id::MessageId;
use crate::time::{Span, Timestamp};

use super::belief::CONTROL_LASTS;
use super::duplicates::{Digest, Horizon, Recent};
use super::is_default;

/// The customer's messages that were not ours to answer, and digests of recent events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Inbox {
    #[serde(skip_serializing_if = "is_default")]
    unanswered: VecDeque<Inbound>,
    #[serde(skip_serializing_if = "is_default")]
    more: u32,
    /// One of the unanswered messages came on `messaging`.
    #[serde(skip_serializing_if = "is_default")]
    routed: bool,
    #[serde(skip_serializing_if = "is_default")]
    seen: Recent,
    /// Digests of control events, apart from the others, because they are few and a redelivered pass would change the
    /// belief.
    #[serde(skip_serializing_if = "is_default")]
    controls: Recent,
    /// The end of control that follows from the customer's last act.
    #[serde(skip_serializing_if = "is_default")]
    active_until: Option<Timestamp>,
    /// The time of the last answer of another app or a person: messages from before it that come late were read.
    #[serde(skip_serializing_if = "is_default")]
    answered: Timestamp,
}

/// Whether a message is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// A message that was notified as another app's to answer, and now is ours.
    NowOurs,
    Known,
}

impl Inbox {
    /// Stores a message's digest, and with `waits` the message itself, for the next time we gain control, unless another
    /// app or a person answered since. Returns whether it is new.
    pub(super) fn note(
        &mut self,
        inbound: &Inbound,
        ours: bool,
        waits: bool,
        limits: super::Limits,
        horizon: Horizon,
    ) -> Novelty {
        let id = Digest::message(inbound);
        if let Some((id, seen)) = id.and_then(|id| Some((id, self.seen.find(id)?))) {
            if !ours || seen.is_marked() || inbound.at.to < self.answered {
                self.seen.touch(id, horizon.now);
                return Novelty::Known;
            }
            self.seen.mark(id);
            self.unanswered.retain(|waiting| Digest::message(waiting) != Some(id));
            return Novelty::NowOurs;
        }
        if let Some(id) = id {
            self.seen.remember(id.marked(ours), horizon);
        }
        if waits && inbound.at.to >= self.answered {
            if self.unanswered.len() >= limits.unanswered {
                self.unanswered.pop_front();
                self.more = self.more.saturating_add(1);
            }
            self.routed &= !self.unanswered.is_empty();
            self.unanswered.push_back(inbound.clone());
        }
        Novelty::New
    }

    /// The platform delivered the last message on `messaging`.
    pub(super) fn came_on_messaging(&mut self) {
        self.routed = true;
    }

    /// Whether an unanswered message came on `messaging`.
    pub(super) fn is_routed(&self) -> bool {
        self.routed && !self.unanswered.is_empty()
    }

    /// Recognises a duplicate: notified before as ours to answer, or not ours now either.
    pub(super) fn recognise(&mut self, inbound: &Inbound, ours: bool, now: Timestamp) -> bool {
        let Some(id) = Digest::message(inbound) else { return false };
        let known =
            self.seen.find(id).is_some_and(|seen| !ours || seen.is_marked() || inbound.at.to < self.answered);
        if known {
            self.seen.touch(id, now);
        }
        known
    }

    /// The customer did something, at `at` or before.
    pub(super) fn active(&mut self, at: Span, now: Timestamp) {
        let until = at.to.min(now).plus(CONTROL_LASTS);
        self.active_until = self.active_until.max(Some(until));
    }

    pub(super) fn active_until(&self) -> Option<Timestamp> {
        self.active_until
    }

    /// Recognises a control event that was delivered before.
    pub(super) fn recognise_control(&mut self, at: Span, kind: &EventKind, now: Timestamp) -> bool {
        let Some(event) = Digest::control(at, kind) else { return false };
        let known = self.controls.find(event).is_some();
        if known {
            self.controls.touch(event, now);
        }
        known
    }

    /// Stores the digest of a control event.
    pub(super) fn see(&mut self, at: Span, kind: &EventKind, horizon: Horizon) {
        if let Some(event) = Digest::control(at, kind) {
            self.controls.remember(event, horizon);
        }
    }

    /// Recognises the echo of another app's message, or stores its digest.
    pub(super) fn see_echo(&mut self, mid: &MessageId, horizon: Horizon) -> bool {
        let echo = Digest::echo(mid);
        let known = self.seen.find(echo).is_some();
        if known {
            self.seen.touch(echo, horizon.now);
        } else {
            self.seen.remember(echo, horizon);
        }
        known
    }

    /// Recognises an event that was delivered before, or stores its digest.
    pub(super) fn has_seen(&mut self, at: Span, kind: &EventKind, horizon: Horizon) -> bool {
        let Some(id) = Digest::of_change(at, kind) else { return false };
        let known = self.seen.find(id).is_some();
        if known {
            self.seen.touch(id, horizon.now);
        } else {
            self.seen.remember(id, horizon);
        }
        known
    }

    /// Removes a message that the customer unsent. If it arrives later it counts as a duplicate.
    pub(super) fn forget_message(&mut self, mid: &MessageId, horizon: Horizon) {
        self.unanswered.retain(|inbound| inbound.mid.as_ref() != Some(mid));
        let message = Digest::mid(mid).marked(true);
        if self.seen.find(message).is_none() {
            self.seen.remember(message, horizon);
        }
        self.seen.mark(message);
    }

    /// Changes or removes unanswered messages.
    pub(super) fn change(&mut self, change: impl Fn(Inbound) -> Option<Inbound>) {
        self.unanswered = std::mem::take(&mut self.unanswered).into_iter().filter_map(change).collect();
    }

    /// Another app or a person answered: messages up to then need no answer any more, nor those that come later and are
    /// certainly older. A stamp in the future must not answer messages that are not written yet.
    pub(super) fn another_answered(&mut self, at: Span, now: Timestamp) {
        self.unanswered.retain(|inbound| inbound.at.from > at.to);
        self.answered = self.answered.max(at.from.min(now));
        if self.unanswered.is_empty() {
            self.more = 0;
        }
    }

    /// The number of unanswered messages that are stored.
    #[cfg(feature = "service")]
    pub(super) fn len(&self) -> usize {
        self.unanswered.len()
    }

    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Inbound> {
        self.unanswered.iter()
    }

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Takes out the unanswered messages, because this host answers them now, and the number of dropped ones.
    ///
    /// Messages with a reply under way are left out.
    pub(super) fn take_unanswered(
        &mut self,
        is_replied_to: impl Fn(&Inbound) -> bool,
    ) -> (Vec<Inbound>, u32) {
        let unanswered: Vec<_> = std::mem::take(&mut self.unanswered)
            .into_iter()
            .filter(|inbound| !is_replied_to(inbound))
            .collect();
        for id in unanswered.iter().filter_map(Digest::message) {
            self.seen.mark(id);
        }
        (unanswered, std::mem::take(&mut self.more))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::AppId;
    use crate::id::MessageId;
    use crate::policy::{Role, ThreadControlPolicy};
    use crate::thread::{Config, Limits};

    fn horizon() -> Horizon {
        Horizon::new(&Config::new(AppId::from(1), Role::Bot, ThreadControlPolicy::BotPrimary), NOW)
    }

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn message(mid: &str, at: u64) -> Inbound {
        Inbound {
            text: Some("hello".into()),
            ..Inbound::new(Some(MessageId::new(mid).unwrap()), Span::from_platform(1_700_000_000_000 + at))
        }
    }

    #[test]
    fn a_message_is_told_once_and_once_more_when_it_becomes_ours() {
        let mut inbox = Inbox::default();
        let limits = Limits::default();
        assert_eq!(inbox.note(&message("m1", 1), false, true, limits, horizon()), Novelty::New);
        assert_eq!(inbox.note(&message("m1", 1), false, true, limits, horizon()), Novelty::Known);
        assert_eq!(inbox.note(&message("m1", 1), true, false, limits, horizon()), Novelty::NowOurs);
        assert_eq!(inbox.note(&message("m1", 1), true, false, limits, horizon()), Novelty::Known);
        assert!(inbox.unanswered.is_empty());
    }

    #[test]
    fn what_another_answered_is_not_told_again() {
        let mut inbox = Inbox::default();
        for (mid, at) in [("m1", 10), ("m2", 30)] {
            inbox.note(&message(mid, at), false, true, Limits::default(), horizon());
        }
        inbox.another_answered(Span::from_platform(1_700_000_000_020), NOW.plus(Duration::from_millis(25)));
        assert_eq!(inbox.take_unanswered(|_| false), (vec![message("m2", 30)], 0));
        assert_eq!(inbox.note(&message("m2", 30), true, false, Limits::default(), horizon()), Novelty::Known);
    }

    #[test]
    fn what_another_answered_before_it_came_does_not_wait() {
        let waits = |answer: Span, written: Span| {
            let mut inbox = Inbox::default();
            inbox.another_answered(answer, NOW.plus(Duration::from_millis(25)));
            let late = Inbound { at: written, ..message("m", 0) };
            let novelty = inbox.note(&late, false, true, Limits::default(), horizon());
            assert_eq!(novelty, Novelty::New, "it is notified");
            inbox.has_unanswered()
        };
        let at = |ms| Span::at(NOW.plus(Duration::from_millis(ms)));
        let within_the_second = Span::from_platform(1_700_000_000);
        for (answer, written, expected, why) in [
            (at(20), at(19), false, "it is older"),
            (at(20), at(20), true, "of one moment: it may be the later"),
            (at(20), Span::UNKNOWN, true, "it may be the later"),
            (at(20), within_the_second, true, "it may be the later"),
            (within_the_second, at(10), true, "the answer may be the earlier"),
            (Span::UNKNOWN, at(10), true, "the answer may be the earlier"),
            (at(3_600_000), at(24), false, "it is older than its arrival"),
            (at(3_600_000), at(25), true, "nobody answers ahead"),
        ] {
            assert_eq!(waits(answer, written), expected, "{answer:?}, {written:?}: {why}");
        }
    }

    #[test]
    fn memory_is_bounded_and_says_what_it_dropped() {
        let mut inbox = Inbox::default();
        let limits = Limits { unanswered: 2, ..Limits::default() };
        for at in 0..5 {
            inbox.note(&message(&format!("m{at}"), at), false, true, limits, horizon());
        }
        assert_eq!(inbox.take_unanswered(|_| false), (vec![message("m3", 3), message("m4", 4)], 3));
    }

    #[test]
    fn without_an_id_the_whole_content_counts_and_without_a_time_everything_is_new() {
        let mut inbox = Inbox::default();
        let limits = Limits::default();
        let button = |payload: &str| Inbound {
            mid: None,
            payload: Some(payload.into()),
            postback: true,
            ..message("m", 1)
        };
        assert_eq!(inbox.note(&button("A"), true, false, limits, horizon()), Novelty::New);
        assert_eq!(inbox.note(&button("B"), true, false, limits, horizon()), Novelty::New);
        assert_eq!(inbox.note(&button("B"), true, false, limits, horizon()), Novelty::Known);
        let unstamped = Inbound { mid: None, at: Span::UNKNOWN, ..message("m", 1) };
        assert_eq!(inbox.note(&unstamped, true, false, limits, horizon()), Novelty::New);
        assert_eq!(inbox.note(&unstamped, true, false, limits, horizon()), Novelty::New);
    }
}
