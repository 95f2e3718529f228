use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::call::MessagingType;
use crate::event::{EventKind, Inbound};
use crate::time::{Span, Timestamp};

use super::is_default;
use super::seen::{self, Room, Seen, SeenMessages};
use super::shared::Fresh;

/// What came from the customer while it was not ours to answer, and what was seen already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Inbox {
    #[serde(skip_serializing_if = "is_default")]
    unanswered: VecDeque<Inbound>,
    #[serde(skip_serializing_if = "is_default")]
    more: u32,
    #[serde(skip_serializing_if = "is_default")]
    seen: SeenMessages,
    /// Control events: these are few, and a pass that is taken for new would be believed.
    #[serde(skip_serializing_if = "is_default")]
    controls: Vec<Seen>,
    /// When the standard messaging window closes: a day after the customer last wrote.
    #[serde(skip_serializing_if = "is_default")]
    window_closes: Option<Timestamp>,
}

impl Fresh for Inbox {
    const FRESH: &'static Self = &Self {
        unanswered: VecDeque::new(),
        more: 0,
        seen: SeenMessages::NONE,
        controls: Vec::new(),
        window_closes: None,
    };
}

/// What an inbound message is to us, by what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    New,
    /// It was told before as somebody else's to answer, and now it is ours.
    NowOurs,
    Known,
}

impl Inbox {
    /// Notes a message. One that is not ours waits for whoever gains control next.
    pub(super) fn note(
        &mut self,
        inbound: &Inbound,
        ours: bool,
        limits: super::Limits,
        room: Room,
    ) -> Novelty {
        let id = Seen::message(inbound);
        if let Some((id, seen)) = id.and_then(|id| Some((id, self.seen.find(id)?))) {
            if !ours || seen.told_as_ours() {
                self.seen.keep_longer(id, room);
                return Novelty::Known;
            }
            self.seen.tell_as_ours(id);
            self.unanswered.retain(|waiting| Seen::message(waiting) != Some(id));
            return Novelty::NowOurs;
        }
        if let Some(id) = id {
            self.seen.remember(id.as_ours(ours), room);
        }
        if !ours {
            if self.unanswered.len() >= limits.unanswered {
                self.unanswered.pop_front();
                self.more = self.more.saturating_add(1);
            }
            self.unanswered.push_back(inbound.clone());
        }
        Novelty::New
    }

    /// Whether a message was seen before, and is known as what it is now: ours to answer, or somebody else's.
    pub(super) fn knows(&self, inbound: &Inbound, ours: bool) -> bool {
        let seen = Seen::message(inbound).and_then(|id| self.seen.find(id));
        seen.is_some_and(|seen| !ours || seen.told_as_ours())
    }

    /// The customer wrote then, at the latest.
    pub(super) fn written(&mut self, at: Span, now: Timestamp) {
        let closes = at.to.min(now).plus(MessagingType::Response.window());
        self.window_closes = self.window_closes.max(Some(closes));
    }

    pub(super) fn window_closes(&self) -> Option<Timestamp> {
        self.window_closes
    }

    /// Whether this very control event was seen before.
    pub(super) fn has_seen(&self, at: Span, kind: &EventKind) -> bool {
        Seen::control(at, kind).is_some_and(|event| self.controls.contains(&event))
    }

    /// A control event is known from now on.
    pub(super) fn see(&mut self, at: Span, kind: &EventKind, limits: super::Limits) {
        if let Some(event) = Seen::control(at, kind) {
            let surplus = (self.controls.len() + 1).saturating_sub(limits.seen.max(1));
            self.controls.drain(..surplus);
            seen::push(&mut self.controls, event);
        }
    }

    /// Another app or a person answered: what was written up to then is taken care of.
    pub(super) fn answered_by_another(&mut self, at: Span) {
        self.unanswered.retain(|inbound| inbound.at.from > at.to);
        if self.unanswered.is_empty() {
            self.more = 0;
        }
    }

    /// How many messages wait for whoever gains control next.
    #[cfg(feature = "service")]
    pub(super) fn len(&self) -> usize {
        self.unanswered.len()
    }

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Hands over what is unanswered to the host, who holds control now.
    pub(super) fn take_unanswered(&mut self) -> (Vec<Inbound>, u32) {
        let unanswered: Vec<_> = self.unanswered.drain(..).collect();
        for id in unanswered.iter().filter_map(Seen::message) {
            self.seen.tell_as_ours(id);
        }
        (unanswered, std::mem::take(&mut self.more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::thread::Limits;

    fn room(limits: Limits, now: Timestamp) -> Room {
        Room::beside(0, limits, now)
    }

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn message(mid: &str, at: u64) -> Inbound {
        Inbound {
            mid: Some(MessageId::new(mid).unwrap()),
            at: Span::from_platform(1_700_000_000_000 + at),
            text: Some("hello".into()),
            payload: None,
            postback: false,
            attachments: Vec::new(),
        }
    }

    #[test]
    fn a_message_is_told_once_and_once_more_when_it_becomes_ours() {
        let mut inbox = Inbox::default();
        let limits = Limits::default();
        assert_eq!(inbox.note(&message("m1", 1), false, limits, room(limits, NOW)), Novelty::New);
        assert_eq!(inbox.note(&message("m1", 1), false, limits, room(limits, NOW)), Novelty::Known);
        assert_eq!(inbox.note(&message("m1", 1), true, limits, room(limits, NOW)), Novelty::NowOurs);
        assert_eq!(inbox.note(&message("m1", 1), true, limits, room(limits, NOW)), Novelty::Known);
        assert!(inbox.unanswered.is_empty());
    }

    #[test]
    fn what_another_answered_is_not_told_again() {
        let mut inbox = Inbox::default();
        for (mid, at) in [("m1", 10), ("m2", 30)] {
            inbox.note(&message(mid, at), false, Limits::default(), room(Limits::default(), NOW));
        }
        inbox.answered_by_another(Span::from_platform(1_700_000_000_020));
        assert_eq!(inbox.take_unanswered(), (vec![message("m2", 30)], 0));
        assert_eq!(
            inbox.note(&message("m2", 30), true, Limits::default(), room(Limits::default(), NOW)),
            Novelty::Known
        );
    }

    #[test]
    fn memory_is_bounded_and_says_what_it_dropped() {
        let mut inbox = Inbox::default();
        let limits = Limits { unanswered: 2, ..Limits::default() };
        for at in 0..5 {
            inbox.note(&message(&format!("m{at}"), at), false, limits, room(limits, NOW));
        }
        assert_eq!(inbox.take_unanswered(), (vec![message("m3", 3), message("m4", 4)], 3));
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
        assert_eq!(inbox.note(&button("A"), true, limits, room(limits, NOW)), Novelty::New);
        assert_eq!(inbox.note(&button("B"), true, limits, room(limits, NOW)), Novelty::New);
        assert_eq!(inbox.note(&button("B"), true, limits, room(limits, NOW)), Novelty::Known);
        let unstamped = Inbound { mid: None, at: Span::UNKNOWN, ..message("m", 1) };
        assert_eq!(inbox.note(&unstamped, true, limits, room(limits, NOW)), Novelty::New);
        assert_eq!(inbox.note(&unstamped, true, limits, room(limits, NOW)), Novelty::New);
    }
}
