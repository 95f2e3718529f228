use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::call::MessagingType;
use crate::event::{EventKind, Inbound};
use crate::time::{Span, Timestamp};

use super::is_default;
use super::shared::Fresh;

/// What came from the customer while it was not ours to answer, and what was seen already.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Inbox {
    #[serde(skip_serializing_if = "is_default")]
    unanswered: VecDeque<Inbound>,
    #[serde(skip_serializing_if = "is_default")]
    more: u32,
    /// Messages.
    #[serde(skip_serializing_if = "is_default")]
    seen: Vec<Seen>,
    /// Control events: these are few, and a pass that is taken for new would be believed.
    #[serde(skip_serializing_if = "is_default")]
    controls: Vec<Seen>,
    /// So many of the messages were there when it was last looked which may be forgotten, and when that was. Nothing while all
    /// may stay.
    #[serde(skip_serializing_if = "is_default")]
    old: usize,
    #[serde(skip_serializing_if = "is_default")]
    turned: Timestamp,
    /// When the standard messaging window closes: a day after the customer last wrote.
    #[serde(skip_serializing_if = "is_default")]
    window_closes: Option<Timestamp>,
}

/// For so long everything is remembered that was seen, up to so many times of what is remembered for ever.
const LATELY: Duration = Duration::from_mins(1);
const TIMES: usize = 4;

impl Fresh for Inbox {
    const FRESH: &'static Self = &Self {
        unanswered: VecDeque::new(),
        more: 0,
        seen: Vec::new(),
        controls: Vec::new(),
        old: 0,
        turned: Timestamp::from_millis(0),
        window_closes: None,
    };
}

/// How many messages are remembered now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// For ever.
    pub(super) kept: usize,
    /// At most, those of the last minute included.
    pub(super) most: usize,
    pub(super) now: Timestamp,
}

impl Room {
    /// Beside what waits for the host's handler. Else a delivery that comes again while the handler lags would be told
    /// anew, and lead to more that is refused.
    pub(super) fn beside(waiting: usize, limits: super::Limits, now: Timestamp) -> Self {
        let kept = limits.seen.max(1);
        Self {
            kept: kept.saturating_add(waiting),
            most: kept.saturating_mul(TIMES).saturating_add(waiting),
            now,
        }
    }
}

/// A message or a control event that was seen, in eight bytes: a digest, of which the lowest bit says whether the host was
/// told that the message is ours to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
struct Seen(u64);

impl Seen {
    /// A message is known again by its `mid`, which the standby copy and the owner's copy share; what has none by its time
    /// and content. Without a time either it counts as new: rather told twice than lost.
    fn message(inbound: &Inbound) -> Option<Self> {
        let Inbound { mid, at, text, payload, postback, attachments } = inbound;
        match mid {
            Some(mid) => Some(Self::new(&(0_u8, mid))),
            None if *at == Span::UNKNOWN => None,
            None => Some(Self::new(&(1_u8, at, (text, payload, postback, attachments)))),
        }
    }

    /// A pass, take or request event: one was seen four times in production (facts §4.4). Without a stamp two cannot be
    /// told from one that came twice.
    fn control(at: Span, kind: &EventKind) -> Option<Self> {
        (at != Span::UNKNOWN).then(|| Self::new(&(2_u8, at, kind)))
    }

    /// The same in every process. Where another version of Rust hashes otherwise, what comes again right after an update is
    /// told again.
    fn new(of: &impl Hash) -> Self {
        let mut hasher = SipHasher13::new();
        of.hash(&mut hasher);
        Self(hasher.finish() & !1)
    }

    fn is(self, other: Self) -> bool {
        self.0 | 1 == other.0 | 1
    }

    fn told_as_ours(self) -> bool {
        self.0 & 1 == 1
    }

    fn as_ours(self, ours: bool) -> Self {
        Self(self.0 | u64::from(ours))
    }
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
        if let Some(place) = id.and_then(|id| self.seen.iter().position(|seen| seen.is(id))) {
            let seen = self.seen[place];
            if !ours || seen.told_as_ours() {
                self.keep_longer(place, room);
                return Novelty::Known;
            }
            self.seen[place] = seen.as_ours(true);
            self.unanswered.retain(|waiting| Seen::message(waiting) != id);
            return Novelty::NowOurs;
        }
        if let Some(id) = id {
            self.remember(id.as_ours(ours), room);
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

    /// What was seen lately is remembered too, up to a bound: it comes again soon if it does.
    fn remember(&mut self, seen: Seen, room: Room) {
        let surplus = (self.seen.len() + 1).saturating_sub(room.kept);
        if surplus > 0 {
            if room.now.since(self.turned) > LATELY {
                self.seen.drain(..surplus.min(self.old));
                (self.old, self.turned) = (self.seen.len(), room.now);
            }
            let surplus = (self.seen.len() + 1).saturating_sub(room.most);
            self.seen.drain(..surplus);
            self.old = self.old.saturating_sub(surplus);
        }
        push(&mut self.seen, seen);
    }

    /// What comes again will do so once more, while something else in its delivery is refused: it is not forgotten next.
    fn keep_longer(&mut self, place: usize, room: Room) {
        if self.seen.len() >= room.kept && place < self.seen.len() / 4 {
            self.seen[place..].rotate_left(1);
            self.old = self.old.saturating_sub(1);
        }
    }

    /// Whether a message was seen before, and is known as what it is now: ours to answer, or somebody else's.
    pub(super) fn knows(&self, inbound: &Inbound, ours: bool) -> bool {
        let seen = Seen::message(inbound).and_then(|id| self.seen.iter().find(|seen| seen.is(id)));
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
            push(&mut self.controls, event);
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
            for seen in self.seen.iter_mut().filter(|seen| seen.is(id)) {
                *seen = seen.as_ours(true);
            }
        }
        (unanswered, std::mem::take(&mut self.more))
    }
}

/// Most conversations see one or two.
fn push(ring: &mut Vec<Seen>, seen: Seen) {
    if ring.len() == ring.capacity() {
        ring.reserve_exact(ring.len().max(1));
    }
    ring.push(seen);
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
        let limits = Limits { unanswered: 2, seen: 3, ..Limits::default() };
        let note = |inbox: &mut Inbox, number: u64, minute: u64| {
            let now = NOW.plus(Duration::from_secs(60 * minute + number));
            inbox.note(&message(&format!("m{number}"), number), false, limits, room(limits, now))
        };
        // More of them where they come fast.
        for number in 0..20 {
            assert_eq!(note(&mut inbox, number, 0), Novelty::New);
        }
        assert_eq!(inbox.seen.len(), 12);
        assert_eq!(inbox.take_unanswered(), (vec![message("m18", 18), message("m19", 19)], 18));
        assert_eq!(note(&mut inbox, 8, 0), Novelty::Known);
        for number in 20..30 {
            assert_eq!(note(&mut inbox, number, 2 * number), Novelty::New);
        }
        assert_eq!(inbox.seen.len(), 3);
        assert_eq!((note(&mut inbox, 27, 99), note(&mut inbox, 26, 99)), (Novelty::Known, Novelty::New));
    }

    #[test]
    fn what_comes_again_and_again_is_not_forgotten() {
        let mut inbox = Inbox::default();
        let limits = Limits { seen: 4, ..Limits::default() };
        for number in 0..100 {
            let now = NOW.plus(Duration::from_mins(5 * number));
            let note =
                |inbox: &mut Inbox, mid: &str| inbox.note(&message(mid, 1), true, limits, room(limits, now));
            assert_eq!(note(&mut inbox, &format!("m{number}")), Novelty::New);
            if number > 0 {
                assert_eq!(note(&mut inbox, "m0"), Novelty::Known);
            }
        }
        assert!(inbox.seen.len() <= 5);
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
