//! What is delivered: messages of customers, and whatever the platform tells of calls. One in ten comes twice or behind
//! the next.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use messenger_handover::secret::AppSecret;
use messenger_handover::webhook::sign;

use crate::account::Account;
use crate::platform::{PAGE, Platform, SECRET, user};

/// The events of a batch; one delivery in ten is one.
const BATCH: usize = 20;
/// What was not accepted comes again after this time.
const AGAIN: Duration = Duration::from_secs(1);
/// While so many wait to come again, nobody writes anything new.
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
    /// Of the platform, or to come twice, or held back.
    waiting: VecDeque<Delivery>,
    /// Not accepted, and when each comes again.
    refused: VecDeque<(Instant, Delivery)>,
    phase: Phase,
}

/// How far it is: customers write, what is under way is delivered, or nobody waits for anything more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Writing,
    Settling,
    Over,
}

/// What a sender does next.
pub enum Next {
    Send(Delivery),
    /// Nothing is due.
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

    /// Every customer writes for the first time.
    pub fn open(&self) {
        for customer in 0..self.customers {
            self.platform.opens(customer, &format!("{} Hello", self.account.write(customer)));
        }
    }

    /// The platform tells something by itself.
    pub fn put(&self, signature: String, body: Bytes) {
        self.state().waiting.push_back(Delivery { signature, body, events: 1 });
    }

    /// As Meta does with what is not answered with 200.
    pub fn refuse(&self, delivery: Delivery) {
        self.state().refused.push_back((Instant::now() + AGAIN, delivery));
    }

    pub fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    /// How many deliveries are to come again.
    pub fn refused(&self) -> usize {
        self.state().refused.len()
    }

    /// How many wait to be sent, without those on their way.
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

    /// Somebody writes: one message, or several customers at the same time.
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
        // One turn in twenty is a handover; it begins with the customer or with an agent.
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
            // Nothing is wrong with memory. A mid has about a hundred characters.
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
