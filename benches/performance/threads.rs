//! A bot's threads in a map, without the guarantees of a store.

use std::collections::HashMap;
use std::time::Duration;

use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::AppSecret;
use messenger_handover::thread::{Config, Context, Handled, Input, Output, Thread};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Delivery, Item, Verifier, parse};

use crate::common::deliveries::{BEGIN, Deliveries, FIRST_USER, PAGE, SECRET};

pub const EVENTS: usize = 50;

pub struct Threads {
    config: Config,
    verifier: Verifier,
    kept: HashMap<ThreadKey, Thread>,
    deliveries: Deliveries,
    out: Vec<Output>,
    now: Timestamp,
}

pub fn key(user: u64) -> ThreadKey {
    ThreadKey::new(PageId::from(PAGE), UserId::from(FIRST_USER + user))
}

impl Threads {
    pub fn new(users: u64) -> Self {
        Self {
            config: Config::new(AppId::from(1001), Role::Bot, ThreadControlPolicy::BotPrimary),
            verifier: Verifier::new(AppSecret::new(SECRET)),
            kept: (0..users).map(|user| (key(user), Thread::new())).collect(),
            deliveries: Deliveries::new(users),
            out: Vec::new(),
            now: Timestamp::from_millis(BEGIN).plus(Duration::from_hours(1)),
        }
    }

    pub fn delivery(&mut self) -> (String, Vec<u8>) {
        self.deliveries.signed(EVENTS)
    }

    #[allow(dead_code, reason = "not every bench needs it")]
    pub fn thread(&self, user: u64) -> &Thread {
        &self.kept[&key(user)]
    }

    /// Verifies and parses a delivery, and steps its events.
    #[allow(dead_code, reason = "not every bench needs it")]
    pub fn take_in(&mut self, header: &str, body: &[u8]) {
        let verified = self.verifier.verify(Some(header), body).expect("it is signed");
        self.step(parse(&verified).expect("it is a delivery"));
    }

    /// Steps each thread with its event, and again for each handled notification.
    pub fn step(&mut self, delivery: Delivery) {
        let cx = Context::new(&self.config);
        // Slow enough that the limit of the deduplication memory applies, not its minimum duration.
        self.now = self.now.plus(Duration::from_secs(10));
        let now = self.now;
        let (mut told, mut done) = (0, Vec::new());
        for item in delivery.items {
            let Item::Event { thread, event } = item else { continue };
            let thread = self.kept.entry(thread).or_default();
            let _ = thread.step(&cx, Input::Event(event), now, &mut self.out);
            for output in self.out.drain(..) {
                if let Output::Notice { id, .. } = output {
                    told += 1;
                    let _ = thread.step(
                        &cx,
                        Input::NoticeHandled { notice: id, handled: Handled::done() },
                        now,
                        &mut done,
                    );
                }
            }
            assert!(done.is_empty(), "one notice for a message");
        }
        assert_eq!(told, EVENTS);
    }
}
