//! The deliveries: customers' messages, and the platform's own webhooks. One in ten is duplicated or reordered.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use messenger_handover::secret::AppSecret;
use messenger_handover::webhook::sign;

use crate::account::Account;
use crate::platform::{PAGE, Platform, SECRET, user};

/// Number of events in a batch; one delivery in ten is a batch.
const BATCH: usize = 20;
/// Delay before a refused delivery is redelivered.
const AGAIN: Duration = Duration::from_secs(1);
/// While this many deliveries wait to be redelivered, customers write nothing new.
const MOST_REFUSED: usize = 20_000;

#[derive(Clone)]
pub struct Delivery {
    pub signature: String,
    pub body: Bytes,
    pub events: u64,
}

pub struct Traffic {
    platform: Arc<Platform>,
    account: Arc<Account>,
    customers: usize,
    secret: AppSecret,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    /// Deliveries to send: the platform's, duplicates, and reordered ones.
    waiting: VecDeque<Delivery>,
    /// Refused deliveries, and when each is redelivered.
    refused: VecDeque<(Instant, Delivery)>,
    phase: Phase,
}

/// The phase of the run: customers write, the rest is delivered, or the run is over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Writing,
    Settling,
    Over,
}

/// A sender's next step.
pub enum Next {
    Send(Delivery),
    /// No delivery is due.
    Wait,
    End,
}

impl Traffic {
    pub fn new(platform: Arc<Platform>, account: Arc<Account>, customers: usize, seed: u64) -> Self {
        let (waiting, refused) = (VecDeque::new(), VecDeque::new());
        let random = fastrand::Rng::with_seed(seed);
        let state = Mutex::new(State { random, waiting, refused, phase: Phase::Writing });
        Self { platform, account, customers, secret: AppSecret::new(SECRET), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every customer sends a first message.
    pub fn open(&self) {
        for customer in 0..self.customers {
            self.platform.opens(customer, &format!("{} Hello", self.account.write(customer)));
        }
    }

    /// Adds a webhook of the platform.
    pub fn put(&self, signature: String, body: Bytes) {
        self.state().waiting.push_back(Delivery { signature, body, events: 1 });
    }

    /// Schedules a redelivery, as Meta does after any response but 200.
    pub fn refuse(&self, delivery: Delivery) {
        self.state().refused.push_back((Instant::now() + AGAIN, delivery));
    }

    pub fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    /// Number of deliveries that will be redelivered.
    pub fn refused(&self) -> usize {
        self.state().refused.len()
    }

    /// Number of deliveries that wait to be sent, without those under way.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.waiting.len() + state.refused.len()
    }

    pub fn next(&self) -> Next {
        let mut random = {
            let mut state = self.state();
            let again = state.refused.front().is_some_and(|(due, _)| *due <= Instant::now());
            let again = again.then(|| state.refused.pop_front()).flatten();
            if let Some(delivery) = again.map(|(_, delivery)| delivery).or_else(|| state.waiting.pop_front())
            {
                return Next::Send(delivery);
            }
            match state.phase {
                Phase::Over => return Next::End,
                Phase::Writing if state.refused.len() < MOST_REFUSED => state.random.fork(),
                _ => return Next::Wait,
            }
        };
        Next::Send(self.write(&mut random))
    }

    /// A delivery with one customer's message, or a batch of several customers' messages.
    fn write(&self, random: &mut fastrand::Rng) -> Delivery {
        let delivery = self.delivery(random);
        let (first, second) = match random.u8(..20) {
            0 => (delivery.clone(), delivery),
            1 => (self.delivery(random), delivery),
            _ => return delivery,
        };
        self.state().waiting.push_back(second);
        first
    }

    fn delivery(&self, random: &mut fastrand::Rng) -> Delivery {
        let events = if random.u8(..10) == 0 { BATCH } else { 1 };
        let at = self.platform.sim.now().as_millis();
        // One turn in twenty is a transfer, started by the customer or by an agent.
        let mut handover = match random.u8(..40) {
            0 => Some("May I talk to a person, please?"),
            1 => {
                self.platform.agent_asks(random.usize(..self.customers));
                None
            }
            _ => None,
        };
        let mut body = r#"{"object":"page","entry":["#.to_owned();
        for event in 0..events {
            let customer = random.usize(..self.customers);
            let number = self.account.write(customer);
            let channel = if self.platform.is_at_desk(customer) { "standby" } else { "messaging" };
            let comma = if event > 0 { "," } else { "" };
            let (user, says) = (user(customer), handover.take().unwrap_or("My parcel has not come yet."));
            // Writing to a `String` cannot fail. A mid has about 100 characters.
            let _ = write!(
                body,
                r#"{comma}{{"id":"{PAGE}","time":{at},"{channel}":[{{"sender":{{"id":"{user}"}},"recipient":{{"id":"{PAGE}"}},"timestamp":{at},"message":{{"mid":"m_{number:020}NEhXfYYKj8mJEMQPpz5jdCK48PnKAjSdjfipqxqMvK8ma6AC8fplwlqLP5cgXIbu7I3rBN0P0","text":"{number} {says}"}}}}]}}"#
            );
        }
        body.push_str("]}");
        let signature = sign(&self.secret, body.as_bytes());
        Delivery { signature, body: Bytes::from(body), events: events as u64 }
    }
}
