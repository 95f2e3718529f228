//! Deliveries as Meta sends them: ids of realistic length, one entry per event, and a new message in each.

use std::ops::Range;

use messenger_handover::secret::AppSecret;
use messenger_handover::webhook::sign;
use serde_json::{Value, json};

pub const PAGE: u64 = 987_654_321_098_765;
pub const FIRST_USER: u64 = 7_000_000_000_000_000;
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The timestamp of the first message, in milliseconds.
pub const BEGIN: u64 = 1_790_000_000_000;

/// Makes deliveries of messages from this many customers, in a random order that is the same in every run.
pub struct Deliveries {
    users: u64,
    random: fastrand::Rng,
    messages: u64,
}

impl Deliveries {
    pub fn new(users: u64) -> Self {
        Self::of(users, 0)
    }

    /// A generator whose messages differ from those of any other seed.
    pub fn of(users: u64, seed: u64) -> Self {
        Self { users, random: fastrand::Rng::with_seed(seed), messages: seed * 1_000_000_000 }
    }

    /// The body of a delivery with this many events, each of a random customer.
    pub fn body(&mut self, events: usize) -> Vec<u8> {
        let users: Vec<_> = (0..events).map(|_| self.random.u64(..self.users)).collect();
        self.body_of(users)
    }

    fn body_of(&mut self, users: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let entries: Vec<Value> = users.into_iter().map(|user| self.entry(user)).collect();
        json!({"object": "page", "entry": entries}).to_string().into_bytes()
    }

    /// A signed delivery with one message of each of these customers.
    pub fn signed_of(&mut self, users: Range<u64>) -> (String, Vec<u8>) {
        let body = self.body_of(users);
        (sign(&AppSecret::new(SECRET), &body), body)
    }

    /// A delivery and its `X-Hub-Signature-256`.
    pub fn signed(&mut self, events: usize) -> (String, Vec<u8>) {
        let body = self.body(events);
        (sign(&AppSecret::new(SECRET), &body), body)
    }

    fn entry(&mut self, user: u64) -> Value {
        self.messages += 1;
        let number = self.messages;
        let at = BEGIN + number % 1_000_000_000;
        // A mid has about 100 characters.
        let mid = format!(
            "m_{number:020}NEhXfYYKj8mJEMQPpz5jdCK48PnKAjSdjfipqxqMvK8ma6AC8fplwlqLP5cgXIbu7I3rBN0P0"
        );
        json!({"id": PAGE.to_string(), "time": at, "messaging": [{
            "sender": {"id": (FIRST_USER + user).to_string()},
            "recipient": {"id": PAGE.to_string()},
            "timestamp": at,
            "message": {"mid": mid, "text": "Hello, my parcel has not come yet. May I talk to a person, please?"},
        }]})
    }
}
