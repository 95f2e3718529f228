//! Both hosts: their replicas over a shared store, and their handlers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use messenger_handover::call::OutgoingMessage;
use messenger_handover::event::Inbound;
use messenger_handover::handover::{BoxError, Handler, HandlerError, Handover, Notification};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::MemoryStore;
use messenger_handover::thread::{Actions, Notice, Target};
use messenger_handover::webhook::{self, Verifier};

use super::agents::Agents;
use super::client::Client;
use super::ground::{BOT, DESK, Ground, conversation};
use super::ledger::{Kind, Message, Side, number, number_of_customer};
use super::store::{Counts, Store};
use super::{Broken, Options};

/// The largest difference of a replica's clock from the platform's, in milliseconds.
const SKEW_MS: i64 = 40;

pub struct Replica {
    pub handover: Handover,
    pub webhook: webhook::Endpoint,
}

pub struct Host {
    pub side: Side,
    pub app: AppId,
    pub secret: &'static str,
    pub ground: Arc<Ground>,
    pub replicas: Vec<Replica>,
    /// The store that the replicas share; each has its own if they are [`Broken::Apart`].
    pub store: Arc<MemoryStore>,
    pub counts: Arc<Counts>,
}

impl Host {
    pub fn start(
        side: Side,
        options: &Options,
        ground: &Arc<Ground>,
        handler: &Arc<dyn Handler>,
    ) -> Result<Self, BoxError> {
        let (app, role, secret) = match side {
            Side::Bot => (AppId::from(BOT), Role::Bot, "secret of the bot"),
            Side::Desk => (AppId::from(DESK), Role::Desk, "secret of the desk"),
        };
        let (store, counts) = (Arc::new(MemoryStore::new()), Arc::new(Counts::default()));
        let mut replicas = Vec::new();
        for _ in 0..options.replicas {
            let own = options.broken == Some(Broken::Apart) && !replicas.is_empty();
            let kept = if own { Arc::default() } else { Arc::clone(&store) };
            let latency = Duration::from_millis(options.store_ms);
            let shared = Store { kept, counts: Arc::clone(&counts), latency };
            let client = Client { ground: Arc::clone(ground), app: app.clone() };
            let skew = ground.rng().i64(-SKEW_MS..=SKEW_MS);
            let policy = ThreadControlPolicy::BotPrimary;
            let mut builder = Handover::builder(app.clone(), role, policy, client, Arc::clone(handler))
                .store(shared)
                .cache_size(options.cache)
                .clock(ground.clock(skew));
            if side == Side::Bot {
                builder = builder.desk_app(AppId::from(DESK));
            }
            let handover = builder.start()?;
            let verifier = Verifier::new(secret.into());
            let webhook = webhook::Endpoint::new(verifier, "v".into(), handover.clone());
            replicas.push(Replica { handover, webhook });
        }
        Ok(Self { side, app, secret, ground: Arc::clone(ground), replicas, store, counts })
    }

    /// A random replica, as a load balancer would choose it.
    pub fn replica(&self) -> &Replica {
        let place = self.ground.rng().usize(..self.replicas.len());
        &self.replicas[place]
    }
}

fn number_in(inbound: &Inbound) -> Option<u32> {
    number_of_customer(inbound.text.as_deref()?)
}

/// Records what must not happen here, because no call is lost and every customer may be answered.
fn watch(ground: &Ground, side: Side, thread: &ThreadKey, notice: &Notice) {
    let is_trouble = matches!(
        notice,
        Notice::MessageFailed { .. }
            | Notice::MessageUnknown { .. }
            | Notice::ControlNotGranted { .. }
            | Notice::TransferFailed { .. }
            | Notice::ActionRefused { .. }
    );
    if is_trouble {
        ground.ledger().trouble(conversation(thread), format!("{side:?}: {notice:?}"));
    }
}

/// The bot answers each message that is its own to answer, and hands over when the customer asks for a person.
pub struct Bot(pub Arc<Ground>);

impl Bot {
    fn answer(&self, notice: &Notice) -> Result<Actions, BoxError> {
        let mut actions = Actions::none();
        for inbound in notice.to_answer() {
            let number = number_in(inbound).ok_or("a message without a number")?;
            let mut ledger = self.0.ledger();
            let message = ledger.message(number).ok_or("an unknown message")?;
            message.noted = true;
            let (kind, is_odd) = (message.kind, message.conversation % 2 == 1);
            let answer = || OutgoingMessage::text(format!("a{number}"));
            match (kind, notice) {
                (Kind::Thanks, _) => {}
                (Kind::Person, Notice::Message { .. }) => {
                    // Every second time the bot says that a person will come; otherwise the desk answers.
                    if is_odd {
                        actions = actions.and_reply_to(inbound, answer()?);
                    }
                    actions = actions.and_hand_over(Target::Desk);
                }
                _ => actions = actions.and_reply_to(inbound, answer()?),
            }
        }
        Ok(actions)
    }
}

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        self.0.wait(20..200).await;
        Ok(self.answer(&notification.notice)?)
    }

    fn decide(&self, thread: &ThreadKey, notice: &Notice) -> Option<Actions> {
        watch(&self.0, Side::Bot, thread, notice);
        let mut numbers = notice.to_answer().iter().filter_map(number_in);
        if numbers.any(Message::is_slow) { None } else { self.answer(notice).ok() }
    }
}

/// The desk shows everything to its agents, and answers by itself only who came without a word of the bot.
pub struct Desk {
    pub ground: Arc<Ground>,
    pub agents: Arc<Agents>,
}

impl Desk {
    /// The message that the desk answers by itself: the wish for a person that the bot did not answer.
    fn greets(&self, thread: &ThreadKey, unanswered: &[Inbound]) -> Option<(u32, Inbound)> {
        let mut ledger = self.ground.ledger();
        if conversation(thread) % 2 == 1 {
            return None;
        }
        let found = unanswered.iter().find_map(|inbound| {
            let number = number_in(inbound)?;
            (ledger.message(number)?.kind == Kind::Person).then_some((number, inbound.clone()))
        })?;
        Some(found)
    }

    fn shows(&self, inbound: &Inbound, to_answer: bool) {
        if let Some(number) = number_in(inbound)
            && let Some(message) = self.ground.ledger().message(number)
        {
            message.desk_saw = true;
            message.noted |= to_answer;
        }
    }
}

#[async_trait]
impl Handler for Desk {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        self.ground.wait(20..200).await;
        let Some((number, inbound)) = self.greets(&notification.thread, notification.to_answer()) else {
            return Ok(Actions::none());
        };
        if let Some(message) = self.ground.ledger().message(number) {
            message.desk_saw_answer = true;
        }
        Ok(Actions::none().and_reply_to(&inbound, OutgoingMessage::text(format!("a{number}"))?))
    }

    fn decide(&self, thread: &ThreadKey, notice: &Notice) -> Option<Actions> {
        watch(&self.ground, Side::Desk, thread, notice);
        let now = self.ground.now();
        match notice {
            Notice::Message { inbound, to_answer, .. } => {
                self.shows(inbound, *to_answer);
                if *to_answer {
                    self.agents.visit(&self.ground, conversation(thread), now);
                }
            }
            Notice::AnsweredElsewhere { echo, .. } => {
                let answered = echo.text.as_deref().and_then(|text| number(text, 'a'));
                if let Some(number) = answered
                    && let Some(message) = self.ground.ledger().message(number)
                {
                    message.desk_saw_answer = true;
                }
            }
            Notice::ControlGained { unanswered, .. } => {
                for inbound in unanswered {
                    self.shows(inbound, true);
                }
                self.agents.visit(&self.ground, conversation(thread), now);
                if self.greets(thread, unanswered).is_some() {
                    return None;
                }
            }
            _ => {}
        }
        Some(Actions::none())
    }
}
