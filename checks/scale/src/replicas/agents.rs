//! The agents of the desk: they answer what their screen shows as unanswered, and give control back after some minutes.
//!
//! Their acts wait in a heap and not in sleeping tasks, so that they need no memory but their entry.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messenger_handover::call::{Advice, MessageKey, OutgoingMessage};
use messenger_handover::handover::{BoxError, Handover, HandoverError};
use messenger_handover::id::{AppId, ThreadKey};
use messenger_handover::thread::{Owner, Target};

use super::ground::{BOT, Ground, thread};
use super::hosts::Host;
use super::ledger::Kind;

/// The time in milliseconds for which an agent keeps control after an answer: longer than an echo can be late. A bot that has
/// control before it has the echo cannot know of the answer, and answers too.
const ECHO_MS: u32 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Answer everything that has no answer.
    Answer,
    /// Give control back, if nothing waits for an answer.
    GiveBack,
}

/// A visit of a customer at the desk.
#[derive(Debug, Default)]
struct Visit {
    will_answer: bool,
    will_give_back: bool,
    /// When an agent answered last.
    answered: u32,
}

#[derive(Debug, Default)]
struct State {
    acts: BinaryHeap<Reverse<(u32, u32, Act)>>,
    visits: HashMap<u32, Visit>,
}

#[derive(Debug, Default)]
pub struct Agents(Mutex<State>);

impl Agents {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The customer is at the desk: an agent answers within some seconds and gives control back after some minutes.
    pub fn visit(&self, ground: &Ground, conversation: u32, now: u32) {
        let (soon, later) = {
            let mut rng = ground.rng();
            (now + rng.u32(20_000..90_000), now + rng.u32(120_000..360_000))
        };
        let mut state = self.state();
        let visit = state.visits.entry(conversation).or_default();
        let answers = !std::mem::replace(&mut visit.will_answer, true);
        let gives_back = !std::mem::replace(&mut visit.will_give_back, true);
        if answers {
            state.acts.push(Reverse((soon, conversation, Act::Answer)));
        }
        if gives_back {
            state.acts.push(Reverse((later, conversation, Act::GiveBack)));
        }
    }

    /// The time of the next act.
    pub fn next(&self) -> Option<u32> {
        self.state().acts.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next act, if it is due.
    pub fn due(&self, now: u32) -> Option<(u32, Act)> {
        let mut state = self.state();
        let Reverse((_, conversation, act)) =
            state.acts.peek().filter(|Reverse((at, ..))| *at <= now).copied()?;
        state.acts.pop();
        Some((conversation, act))
    }

    fn forget(&self, conversation: u32) {
        self.state().visits.remove(&conversation);
    }
}

/// The hosts and the ground on which agents act.
pub struct Office {
    pub ground: Arc<Ground>,
    pub agents: Arc<Agents>,
    pub desk: Arc<Host>,
    pub bot: Arc<Host>,
}

impl Office {
    pub async fn act(self: Arc<Self>, conversation: u32, act: Act) {
        let _under_way = self.ground.begins();
        let done = match act {
            Act::Answer => self.answer(conversation).await,
            Act::GiveBack => self.give_back(conversation).await,
        };
        if let Err(error) = done {
            self.ground.ledger().trouble(conversation, format!("{act:?}: {error}"));
        }
    }

    /// Calls the service until it accepts or refuses.
    async fn ask<T, F>(host: &Host, what: impl Fn(Handover) -> F) -> Result<T, HandoverError>
    where
        F: Future<Output = Result<T, HandoverError>>,
    {
        loop {
            match what(host.replica().handover.clone()).await {
                Err(error) if error.advice() == Advice::RetryLater => host.ground.wait(50..2_000).await,
                result => return result,
            }
        }
    }

    /// The messages without an answer on the agent's screen.
    fn unanswered(&self, conversation: u32) -> Vec<u32> {
        let mut ledger = self.ground.ledger();
        let numbers = ledger.of(conversation).to_vec();
        let mut unanswered = Vec::new();
        for number in numbers {
            let Some(message) = ledger.message(number).filter(|message| message.desk_saw) else { continue };
            match message.kind {
                Kind::Thanks => message.noted = true,
                _ if !message.desk_saw_answer => unanswered.push(number),
                _ => {}
            }
        }
        unanswered
    }

    async fn answer(&self, conversation: u32) -> Result<(), BoxError> {
        if let Some(visit) = self.agents.state().visits.get_mut(&conversation) {
            visit.will_answer = false;
        }
        let key = thread(conversation);
        let seen = self.desk.replica().handover.thread(&key).await?;
        // The customer is somebody else's by now.
        if matches!(seen.owner(), Owner::Other(_)) {
            return Ok(());
        }
        let is_odd = conversation % 2 == 1;
        if is_odd {
            Self::ask(&self.desk, |desk| {
                let key = key.clone();
                async move { desk.open_intervention(&key).await }
            })
            .await?;
        }
        let person = self.ground.ledger().asks_for_person(conversation);
        let greeting = person.map(|number| format!("g{number}"));
        if let Some(greeting) = greeting {
            self.send(&key, greeting).await?;
        }
        for number in self.unanswered(conversation) {
            self.send(&key, format!("a{number}")).await?;
            self.ground.ledger().agent_answers(number);
        }
        if let Some(visit) = self.agents.state().visits.get_mut(&conversation) {
            visit.answered = self.ground.now();
        }
        Ok(())
    }

    /// The key follows from the text, so that a greeting is sent once.
    async fn send(&self, key: &ThreadKey, text: String) -> Result<(), BoxError> {
        let (id, message) = (MessageKey::new(format!("agent-{text}"))?, OutgoingMessage::text(text)?);
        Self::ask(&self.desk, |desk| {
            let (key, id, message) = (key.clone(), id.clone(), message.clone());
            async move { desk.send(&key, id, message).await.map(drop) }
        })
        .await?;
        Ok(())
    }

    async fn give_back(&self, conversation: u32) -> Result<(), BoxError> {
        let key = thread(conversation);
        let seen = self.desk.replica().handover.thread(&key).await?;
        let is_elsewhere = matches!(seen.owner(), Owner::Other(_));
        let waits = !self.unanswered(conversation).is_empty() && !is_elsewhere;
        let now = self.ground.now();
        let later = now + 30_000;
        {
            let mut state = self.agents.state();
            let visit = state.visits.entry(conversation).or_default();
            let (will_answer, answered) = (visit.will_answer, visit.answered);
            if will_answer || waits || now < answered + ECHO_MS {
                state.acts.push(Reverse((later, conversation, Act::GiveBack)));
                if waits && !will_answer {
                    state.visits.entry(conversation).or_default().will_answer = true;
                    state.acts.push(Reverse((later - 20_000, conversation, Act::Answer)));
                }
                return Ok(());
            }
        }
        self.agents.forget(conversation);
        if conversation % 2 == 1 {
            Self::ask(&self.desk, |desk| {
                let key = key.clone();
                async move { desk.close_intervention(&key).await }
            })
            .await?;
            // The desk reports it to the bot, because the platform sends no webhook of a release.
            Self::ask(&self.bot, |bot| {
                let key = key.clone();
                async move { bot.intervention_closed(&key, None).await }
            })
            .await?;
        } else if !is_elsewhere {
            Self::ask(&self.desk, |desk| {
                let key = key.clone();
                async move { desk.hand_over(&key, Target::App(AppId::from(BOT))).await.map(drop) }
            })
            .await?;
        }
        Ok(())
    }
}
