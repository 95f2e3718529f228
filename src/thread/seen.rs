//! What was seen of a conversation, by which that is known which is delivered again.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::event::{EventKind, Inbound};
use crate::time::{Span, Timestamp};

use super::config::Limits;
use super::is_default;

/// A message or a control event that was seen, in eight bytes: a digest, of which the lowest bit says whether the host was
/// told that the message is ours to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Seen(u64);

impl Seen {
    /// A message is known again by its `mid`, which the standby copy and the owner's copy share; what has none by its time
    /// and content. Without a time either it counts as new: rather told twice than lost.
    pub(super) fn message(inbound: &Inbound) -> Option<Self> {
        let Inbound { mid, at, text, payload, postback, attachments } = inbound;
        match mid {
            Some(mid) => Some(Self::new(&(0_u8, mid))),
            None if *at == Span::UNKNOWN => None,
            None => Some(Self::new(&(1_u8, at, (text, payload, postback, attachments)))),
        }
    }

    /// A pass, take or request event: one was seen four times in production (facts §4.4). Without a stamp two cannot be
    /// told from one that came twice.
    pub(super) fn control(at: Span, kind: &EventKind) -> Option<Self> {
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

    pub(super) fn told_as_ours(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) fn as_ours(self, ours: bool) -> Self {
        Self(self.0 | u64::from(ours))
    }
}

/// Most conversations see one or two.
pub(super) fn push(ring: &mut Vec<Seen>, seen: Seen) {
    if ring.len() == ring.capacity() {
        ring.reserve_exact(ring.len().max(1));
    }
    ring.push(seen);
}

/// For so long all messages are remembered, up to so many times of what is remembered for ever.
const LATELY: Duration = Duration::from_mins(1);
const TIMES: usize = 4;

/// How many messages are remembered now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// For ever, beside what waits for the host's handler. Else a delivery that comes again while the handler lags would be
    /// told anew, and lead to more that is refused.
    kept: usize,
    /// So many go together.
    part: usize,
    /// At most so many, those of the last minute included.
    most: usize,
    now: Timestamp,
}

impl Room {
    pub(super) fn beside(waiting: usize, limits: Limits, now: Timestamp) -> Self {
        let (seen, kept) = (limits.seen.max(1), limits.seen.max(1).saturating_add(waiting));
        // Small parts, since up to two more than what is kept are held.
        let part = seen.div_ceil(2);
        Self { kept, part, most: TIMES.saturating_mul(seen).saturating_add(waiting), now }
    }
}

/// The messages that were seen. A write of the thread copies only the latest; copies share the others.
#[derive(Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SeenMessages {
    latest: Vec<Seen>,
    /// The oldest first.
    #[serde(skip_serializing_if = "is_default")]
    before: Vec<Before>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Before {
    seen: Arc<[Seen]>,
    /// When the last of them came.
    until: Timestamp,
}

impl Clone for SeenMessages {
    /// With room for one more: that is what it is copied for.
    fn clone(&self) -> Self {
        let mut latest = Vec::with_capacity(self.latest.len() + 1);
        latest.extend_from_slice(&self.latest);
        Self { latest, before: self.before.clone() }
    }
}

impl SeenMessages {
    pub(super) const NONE: Self = Self { latest: Vec::new(), before: Vec::new() };

    pub(super) fn find(&self, id: Seen) -> Option<Seen> {
        let before = self.before.iter().rev().map(|before| &before.seen[..]);
        let mut parts = std::iter::once(&self.latest[..]).chain(before);
        // Nearly always in none: to look at all of a part is quicker than to stop.
        let is_in = |part: &&[Seen]| part.iter().fold(false, |found, seen| found | seen.is(id));
        parts.find(is_in)?.iter().copied().find(|seen| seen.is(id))
    }

    pub(super) fn remember(&mut self, seen: Seen, room: Room) {
        if self.latest.len() >= room.part {
            let latest = std::mem::take(&mut self.latest);
            self.before.push(Before { seen: latest.into(), until: room.now });
            while self.may_forget(room) {
                self.before.remove(0);
            }
        }
        push(&mut self.latest, seen);
    }

    fn may_forget(&self, room: Room) -> bool {
        let Some((oldest, others)) = self.before.split_first() else { return false };
        let left: usize = others.iter().map(|before| before.seen.len()).sum();
        // A part more has room among the latest.
        let is_too_much = oldest.seen.len() + left + room.part > room.most;
        left >= room.kept && (is_too_much || room.now.since(oldest.until) > LATELY)
    }

    /// The host is told that a message which was seen is ours to answer.
    pub(super) fn tell_as_ours(&mut self, id: Seen) {
        let before = self.before.iter_mut().filter(|before| before.seen.iter().any(|seen| seen.is(id)));
        let before = before.flat_map(|before| Arc::make_mut(&mut before.seen));
        for seen in self.latest.iter_mut().chain(before).filter(|seen| seen.is(id)) {
            *seen = seen.as_ours(true);
        }
    }

    /// What comes again will do so once more, while something else in its delivery is refused: it counts as the latest, so
    /// that it is not forgotten next.
    pub(super) fn keep_longer(&mut self, id: Seen, room: Room) {
        if self.latest.len() >= room.most || self.latest.iter().any(|seen| seen.is(id)) {
            return;
        }
        let holds = |before: &Before| before.seen.iter().any(|seen| seen.is(id));
        let Some(place) = self.before.iter().rposition(holds) else { return };
        let (again, others): (Vec<_>, Vec<_>) = self.before[place].seen.iter().partition(|seen| seen.is(id));
        if others.is_empty() {
            self.before.remove(place);
        } else {
            self.before[place].seen = others.into();
        }
        self.latest.extend(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn id(number: u64) -> Seen {
        Seen::new(&number)
    }

    fn room(waiting: usize, seconds: u64) -> Room {
        let limits = Limits { seen: 3, ..Limits::default() };
        Room::beside(waiting, limits, NOW.plus(Duration::from_secs(seconds)))
    }

    fn known(seen: &SeenMessages) -> Vec<u64> {
        (0..1000).filter(|number| seen.find(id(*number)).is_some()).collect()
    }

    #[test]
    fn the_last_are_remembered_those_of_a_minute_too_and_no_more() {
        let mut seen = SeenMessages::default();
        for number in 0..100 {
            seen.remember(id(number), room(0, number * 100));
            let known = known(&seen);
            assert!(
                known.len() >= 3.min(usize::try_from(number).unwrap() + 1) && known.len() <= 6,
                "{known:?}"
            );
            assert!(known.ends_with(&[number]) && known.is_sorted());
        }
        // In a minute, up to four times as many.
        for number in 100..200 {
            seen.remember(id(number), room(0, 10_000 + number / 10));
        }
        assert_eq!(known(&seen), (188..200).collect::<Vec<_>>());
    }

    #[test]
    fn what_waits_is_remembered_beside_them() {
        let mut seen = SeenMessages::default();
        for number in 0..100 {
            seen.remember(id(number), room(30, number * 100));
        }
        let known = known(&seen);
        assert!(known.len() >= 33 && known.len() <= 39, "{known:?}");
    }

    #[test]
    fn what_comes_again_and_again_is_not_forgotten() {
        let mut seen = SeenMessages::default();
        seen.remember(id(0).as_ours(true), room(0, 0));
        for number in 1..100 {
            seen.remember(id(number), room(0, number * 100));
            assert!(seen.find(id(0)).is_some_and(Seen::told_as_ours), "{number}");
            seen.keep_longer(id(0), room(0, number * 100));
        }
        assert!(known(&seen).len() <= 7);
    }

    #[test]
    fn what_comes_again_in_a_busy_minute_is_known_after_it() {
        let mut seen = SeenMessages::default();
        for number in 0..9 {
            seen.remember(id(number), room(0, 0));
        }
        seen.keep_longer(id(2), room(0, 1));
        seen.keep_longer(id(2), room(0, 1));
        // What was kept for a minute goes at once.
        for number in 9..12 {
            seen.remember(id(number), room(0, 600));
        }
        assert_eq!(known(&seen), [2, 8, 9, 10, 11]);
    }

    #[test]
    fn a_whole_delivery_that_comes_again_is_known_the_third_time() {
        for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [3, 2, 5, 0, 4, 1]] {
            // As many wait for the handler, which then catches up.
            for waiting in [0, 1, 9] {
                let mut seen = SeenMessages::default();
                for number in 0..6 {
                    seen.remember(id(number), room(waiting, number));
                }
                for number in order {
                    seen.keep_longer(id(number), room(waiting, 100));
                }
                seen.remember(id(6), room(0, 200));
                assert_eq!(known(&seen), [0, 1, 2, 3, 4, 5, 6], "{order:?}, {waiting}");
            }
        }
    }

    #[test]
    fn what_comes_again_for_ever_does_not_grow() {
        let mut seen = SeenMessages::default();
        for number in 0..200 {
            seen.remember(id(number), room(0, 0));
            for again in 0..number {
                seen.keep_longer(id(again), room(0, 0));
            }
            assert!(known(&seen).len() <= 24, "{:?}", known(&seen));
            assert!(seen.find(id(number)).is_some());
        }
    }

    #[test]
    fn copies_share_what_was_before_until_it_changes() {
        let mut seen = SeenMessages::default();
        for number in 0..4 {
            seen.remember(id(number), room(0, 0));
        }
        let mut other = seen.clone();
        assert!(Arc::ptr_eq(&seen.before[0].seen, &other.before[0].seen));
        other.tell_as_ours(id(1));
        assert!(
            other.find(id(1)).is_some_and(Seen::told_as_ours)
                && !seen.find(id(1)).is_some_and(Seen::told_as_ours)
        );
        let json = serde_json::to_string(&other).unwrap();
        assert_eq!(serde_json::from_str::<SeenMessages>(&json).unwrap(), other);
    }
}
