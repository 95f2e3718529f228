//! Duplicate detection: digests of recent messages, control events and idempotency keys.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use siphasher::sip::SipHasher13;

use crate::call::MessageKey;
use crate::event::{EventKind, Inbound};
use crate::id::MessageId;
use crate::time::{Span, Timestamp};

use super::config::Config;
use super::is_default;

/// An 8-byte digest of a message, a control event or an idempotency key. The lowest bit is a mark: the host was
/// notified of the message as its own to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest(u64);

impl Digest {
    /// The digest of a message: of its `mid`, which the standby copy and the owner's copy
    /// [share](crate::protocol#standby), or else of its time and content. `None` without `mid` and time: such a
    /// message counts as new, because a duplicate is better than a loss.
    pub(super) fn message(inbound: &Inbound) -> Option<Self> {
        let Inbound { mid, at, text, payload, postback, attachments, .. } = inbound;
        match mid {
            Some(mid) => Some(Self::mid(mid)),
            None if *at == Span::UNKNOWN => None,
            None => Some(Self::new(&(1_u8, at, (text, payload, postback, attachments)))),
        }
    }

    /// The digest of a pass, take or request event: one was [delivered four times](crate::protocol#redelivery) in
    /// production. `None` without a stamp, because a second event looks like a duplicate then.
    pub(super) fn control(at: Span, kind: &EventKind) -> Option<Self> {
        (at != Span::UNKNOWN).then(|| Self::new(&(2_u8, at, kind)))
    }

    pub(super) fn key(key: &MessageKey) -> Self {
        Self::new(&(3_u8, key.as_str()))
    }

    /// Stable across processes. If another version of Rust hashes differently, events redelivered right after an
    /// update are notified twice.
    fn new(of: &impl Hash) -> Self {
        let mut hasher = SipHasher13::new();
        of.hash(&mut hasher);
        Self(hasher.finish() & !1)
    }

    /// The digest of a name that is too long to be part of a key.
    pub(super) fn name(name: &str) -> Self {
        Self::new(&(5_u8, name))
    }

    pub(super) fn mid(mid: &MessageId) -> Self {
        Self::new(&(0_u8, mid))
    }

    /// The digest of an event other than a message: an unsent message by its `mid`, an edit by `mid` and number,
    /// anything else by time and content. `None` without a stamp, because a second event looks like a duplicate
    /// then.
    pub(super) fn of_change(at: Span, kind: &EventKind) -> Option<Self> {
        match kind {
            EventKind::Unsent(mid) => Some(Self::new(&(6_u8, mid))),
            EventKind::Edited { mid, number, .. } => Some(Self::new(&(7_u8, mid, number))),
            kind => (at != Span::UNKNOWN).then(|| Self::new(&(8_u8, at, kind))),
        }
    }

    pub(super) fn in_words(self) -> String {
        format!("{:016x}", self.0)
    }

    /// The digest of the echo of another app's message.
    pub(super) fn echo(mid: &MessageId) -> Self {
        Self::new(&(4_u8, mid))
    }

    fn is(self, other: Self) -> bool {
        self.0 | 1 == other.0 | 1
    }

    pub(super) fn is_marked(self) -> bool {
        self.0 & 1 == 1
    }

    pub(super) fn marked(self, mark: bool) -> Self {
        Self(self.0 | u64::from(mark))
    }
}

/// The bounds in time and number for digests at this moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Horizon {
    pub(super) now: Timestamp,
    /// The platform's redelivery time.
    age: Duration,
    most: usize,
}

impl Horizon {
    pub(super) fn new(config: &Config, now: Timestamp) -> Self {
        Self { now, age: config.timeouts.redelivery, most: config.limits.seen.max(1) }
    }

    /// The number of digests that are stored and dropped together.
    fn part(self) -> usize {
        self.most.div_ceil(4).min(LONGEST_PART)
    }
}

/// Every write of a thread copies the latest part, and shares the others. So a part is bounded.
const LONGEST_PART: usize = 128;

/// Digests of the last [`Timeouts::redelivery`](super::Timeouts::redelivery), at most `Horizon::most`; the latest
/// part and the one before it are kept longer. Digests touched at this very moment belong to the current delivery and
/// are never dropped, so that all of a delivery larger than the limit is recognised when it is redelivered.
#[derive(Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Recent {
    #[serde(skip_serializing_if = "is_default")]
    latest: Digests,
    /// Oldest first.
    #[serde(skip_serializing_if = "is_default")]
    before: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Part {
    digests: Arc<Digests>,
    /// The last time one of them was stored or recognised.
    touched: Timestamp,
}

/// Stored as bytes, eight for each digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Digests(Vec<Digest>);

impl Serialize for Digests {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(8 * self.0.len());
        for digest in &self.0 {
            bytes.extend_from_slice(&digest.0.to_le_bytes());
        }
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Digests;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("digests of eight bytes each")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Digests, E> {
                let (digests, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(E::invalid_length(bytes.len(), &self));
                }
                Ok(Digests(digests.iter().map(|digest| Digest(u64::from_le_bytes(*digest))).collect()))
            }

            /// Formats without bytes, such as JSON, have numbers instead.
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<Digests, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = numbers.next_element()? {
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

impl Digests {
    /// Compares all, without an early exit: a match is rare, and the loop without a branch is faster.
    fn contains(&self, digest: Digest) -> bool {
        self.0.iter().fold(false, |found, other| found | other.is(digest))
    }

    fn mark(&mut self, digest: Digest) {
        for other in self.0.iter_mut().filter(|other| other.is(digest)) {
            *other = other.marked(true);
        }
    }
}

impl Clone for Recent {
    /// With room for one more digest, because a thread is copied to be changed.
    fn clone(&self) -> Self {
        let mut latest = Vec::with_capacity(self.latest.0.len() + 1);
        latest.extend_from_slice(&self.latest.0);
        Self { latest: Digests(latest), before: self.before.clone() }
    }
}

impl Recent {
    pub(super) fn find(&self, digest: Digest) -> Option<Digest> {
        let before = self.before.iter().rev().map(|part| &*part.digests);
        let mut parts = std::iter::once(&self.latest).chain(before);
        parts.find(|part| part.contains(digest))?.0.iter().copied().find(|other| other.is(digest))
    }

    pub(super) fn remember(&mut self, digest: Digest, horizon: Horizon) {
        if self.latest.0.len() >= horizon.part() {
            let digests = Arc::new(std::mem::take(&mut self.latest));
            self.before.push(Part { digests, touched: horizon.now });
            self.forget_old(horizon);
        }
        let latest = &mut self.latest.0;
        if latest.len() == latest.capacity() {
            // Most conversations have one or two digests.
            latest.reserve_exact(latest.len().max(1));
        }
        latest.push(digest);
    }

    /// Restarts the redelivery time of a digest, because a duplicate may be followed by another.
    pub(super) fn touch(&mut self, digest: Digest, now: Timestamp) {
        if self.latest.contains(digest) {
            return;
        }
        if let Some(part) = self.before.iter_mut().rfind(|part| part.digests.contains(digest)) {
            part.touched = part.touched.max(now);
        }
    }

    pub(super) fn mark(&mut self, digest: Digest) {
        self.latest.mark(digest);
        for part in self.before.iter_mut().filter(|part| part.digests.contains(digest)) {
            Arc::make_mut(&mut part.digests).mark(digest);
        }
    }

    fn forget_old(&mut self, horizon: Horizon) {
        let newest = self.before.len().saturating_sub(1);
        let mut at = 0;
        self.before.retain(|part| {
            at += 1;
            at > newest || horizon.now.since(part.touched) <= horizon.age
        });
        let mut left = self.before.iter().map(|part| part.digests.0.len()).sum::<usize>() + horizon.part();
        while left > horizon.most {
            let oldest = self.before.iter().enumerate().min_by_key(|(_, part)| part.touched);
            let Some((at, _)) = oldest.filter(|(_, part)| part.touched < horizon.now) else { return };
            left -= self.before.remove(at).digests.0.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn digest(number: u64) -> Digest {
        Digest::new(&number)
    }

    /// Room for 16 digests, in parts of 4, for an hour.
    fn at(seconds: u64) -> Horizon {
        Horizon { now: NOW.plus(Duration::from_secs(seconds)), age: Duration::from_hours(1), most: 16 }
    }

    fn known(recent: &Recent) -> Vec<u64> {
        (0..1000).filter(|number| recent.find(digest(*number)).is_some()).collect()
    }

    #[test]
    fn recent_forgets_by_time_and_keeps_the_latest() {
        let mut recent = Recent::default();
        for number in 0..100 {
            recent.remember(digest(number), at(number * 600));
            let known = known(&recent);
            assert!(known.ends_with(&[number]) && known.is_sorted(), "{known:?}");
            let hour = usize::try_from(number + 1).unwrap().min(6);
            assert!((hour..=12).contains(&known.len()), "{known:?}");
        }
    }

    #[test]
    fn recent_is_bounded_in_a_busy_hour() {
        let mut recent = Recent::default();
        for number in 0..100 {
            recent.remember(digest(number), at(number));
            assert!(known(&recent).len() <= 16);
        }
        assert!(known(&recent).len() > 12, "{:?}", known(&recent));
    }

    #[test]
    fn recent_never_forgets_the_delivery_at_hand() {
        let mut recent = Recent::default();
        for number in 0..100 {
            recent.remember(digest(number), at(0));
        }
        assert_eq!(known(&recent).len(), 100);
        // The delivery is repeated with one more event behind it: all of it is recognised, each time.
        for again in 1..5 {
            for number in 0..100 {
                assert!(recent.find(digest(number)).is_some(), "{again}: {number}");
                recent.touch(digest(number), at(again).now);
            }
            recent.remember(digest(100 + again), at(again));
        }
        // Later digests push it out when it is no longer repeated.
        for number in 200..230 {
            recent.remember(digest(number), at(10 + number));
        }
        assert!(known(&recent).len() <= 16, "{:?}", known(&recent));
    }

    #[test]
    fn recent_time_begins_anew_for_a_duplicate() {
        let mut recent = Recent::default();
        recent.remember(digest(0).marked(true), at(0));
        for number in 1..30 {
            recent.remember(digest(number), at(number * 1_000));
            assert!(recent.find(digest(0)).is_some_and(Digest::is_marked), "{number}");
            recent.touch(digest(0), at(number * 1_000).now);
        }
        for number in 30..42 {
            recent.remember(digest(number), at(number * 1_000));
        }
        assert!(recent.find(digest(0)).is_none());
    }

    #[test]
    fn recent_copies_share_parts_until_one_is_marked() {
        let mut recent = Recent::default();
        for number in 0..10 {
            recent.remember(digest(number), at(0));
        }
        let mut other = recent.clone();
        assert!(Arc::ptr_eq(&recent.before[0].digests, &other.before[0].digests));
        other.mark(digest(1));
        let is_marked = |recent: &Recent| recent.find(digest(1)).is_some_and(Digest::is_marked);
        assert!(is_marked(&other) && !is_marked(&recent));
        let json = serde_json::to_string(&other).unwrap();
        assert_eq!(serde_json::from_str::<Recent>(&json).unwrap(), other);
    }

    #[test]
    fn recent_takes_eight_bytes_of_a_record_a_message() {
        let horizon = Horizon { most: 4096, ..at(0) };
        let mut recent = Recent::default();
        for number in 0..4096 {
            recent.remember(digest(number), horizon);
        }
        let record = rmp_serde::to_vec_named(&recent).unwrap();
        assert!(record.len() < 4096 * 9, "{}", record.len());
        assert_eq!(rmp_serde::from_slice::<Recent>(&record).unwrap(), recent);
        for damaged in
            [r#"{"latest":"?"}"#, r#"{"latest":[1,2,3]}"#, r#"{"latest":[256]}"#, r#"{"latest":7}"#]
        {
            assert!(serde_json::from_str::<Recent>(damaged).is_err(), "{damaged}");
        }
    }
}
