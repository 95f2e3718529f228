//! Hashes states so that states that differ only by some milliseconds are equal.
//!
//! A thread's next step depends on the order of events and on the deadlines that have passed, not on
//! whether a call took 2 ms or 3 ms. The hash therefore replaces timestamps: they keep their order, with 1 ms between
//! those that are less than half a second apart, and multiples of half a second between the others.

use std::hash::{BuildHasher, Hash, Hasher};

use ahash::{AHasher, RandomState};
use messenger_handover::time::Timestamp;

/// The range of timestamps. No other number of a state lies in it; some ids are larger.
const MOMENTS_FROM: u64 = 1_700_000_000_000;
const MOMENTS_TO: u64 = 2_000_000_000_000;
const STEP: u64 = 500;

pub fn fingerprint(now: Timestamp, state: impl Fn(&mut dyn Hasher)) -> u64 {
    let mut moments = Moments(vec![now.as_millis()]);
    state(&mut moments);
    let mut moments = moments.0;
    moments.sort_unstable();
    moments.dedup();
    let mut places = Vec::with_capacity(moments.len());
    let (mut place, mut before) = (0, moments[0]);
    for moment in &moments {
        let gap = moment - before;
        place += if gap < STEP { gap.min(1) } else { (gap + STEP / 2) / STEP * STEP };
        before = *moment;
        places.push(place);
    }
    let mut hasher = Placed { inner: RandomState::with_seeds(1, 2, 3, 4).build_hasher(), moments, places };
    hasher.write_u64(now.as_millis());
    state(&mut hasher);
    hasher.inner.finish()
}

/// The timestamps of a state.
struct Moments(Vec<u64>);

impl Hasher for Moments {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, number: u64) {
        if (MOMENTS_FROM..MOMENTS_TO).contains(&number) {
            self.0.push(number);
        }
    }

    fn finish(&self) -> u64 {
        0
    }
}

struct Placed {
    inner: AHasher,
    moments: Vec<u64>,
    places: Vec<u64>,
}

impl Hasher for Placed {
    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        let place = self.moments.binary_search(&number).map_or(number, |at| self.places[at]);
        self.inner.write_u64(place);
    }

    fn finish(&self) -> u64 {
        self.inner.finish()
    }
}

/// Hashes a value with a `dyn Hasher`.
pub fn put(hasher: &mut dyn Hasher, value: &impl Hash) {
    let mut hasher = hasher;
    value.hash(&mut hasher);
}

#[test]
fn model_hash_ignores_milliseconds_but_not_order() {
    let at = |ms: u64| Timestamp::from_millis(MOMENTS_FROM + ms);
    let of = |moments: [u64; 3]| fingerprint(at(moments[0]), |hasher| put(hasher, &moments.map(at)));
    assert_eq!(of([0, 2, 30_005]), of([0, 3, 30_001]));
    assert_ne!(of([0, 2, 30_005]), of([2, 0, 30_005]));
    assert_ne!(of([0, 2, 30_005]), of([0, 0, 30_005]));
    assert_ne!(of([0, 2, 30_005]), of([0, 2, 60_000]));
}
