//! The desk's knowledge of its customers, in memory; a real desk keeps it in its database.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use messenger_handover::bots_api::IdentityLookup;
use messenger_handover::call::Direction;
use messenger_handover::prelude::*;
use serde_json::{Value, json};

/// Number of entries kept per customer.
const KEPT: usize = 100;

/// All customers who have written.
#[derive(Clone, Default)]
pub struct Customers(Arc<Mutex<HashMap<UserId, Customer>>>);

#[derive(Default)]
struct Customer {
    thread: Option<ThreadKey>,
    /// The bot asked for an agent, and none has answered yet.
    agent_wanted: bool,
    /// The customer's unanswered messages.
    unanswered: VecDeque<Inbound>,
    /// The keys of the agents' messages.
    sent: VecDeque<String>,
    events: VecDeque<String>,
}

fn keep<T>(queue: &mut VecDeque<T>, one: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(one);
}

/// An event with its note, if any.
fn with_note(event: &str, note: Option<&PrivateText>) -> String {
    note.map_or(event.to_owned(), |note| format!("{event}: {}", note.as_str()))
}

/// A message as an agent reads it.
fn words(message: &Inbound) -> String {
    let text = match &message.text {
        Some(text) => Some(text.clone()),
        None if message.is_unsupported => Some("(what Messenger does not show to apps)".to_owned()),
        None if message.must_be_fetched => Some("(a text that Instagram has not sent yet)".to_owned()),
        None => None,
    };
    let story = message.reply_to.as_ref().and_then(|to| to.story.as_ref());
    let story =
        story.map(|story| format!("(about the story {})", story.url.as_deref().unwrap_or("that has ended")));
    let attached = message.attachments.iter();
    let attached = attached.map(|one| format!("[{} {}]", one.kind, one.url.as_deref().unwrap_or_default()));
    text.into_iter().chain(story).chain(attached).collect::<Vec<_>>().join(" ")
}

impl Customers {
    fn all(&self) -> MutexGuard<'_, HashMap<UserId, Customer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn sends(&self, user: &UserId, key: &str) {
        let mut all = self.all();
        let sent = &mut all.entry(user.clone()).or_default().sent;
        if !sent.iter().any(|known| known == key) {
            keep(sent, key.to_owned());
        }
    }

    /// An agent's view of a customer, as JSON.
    ///
    /// # Errors
    /// The store is unavailable: try again.
    pub async fn shown(&self, handover: &Handover, key: &ThreadKey) -> Result<Value, HandoverError> {
        let thread = handover.thread(key).await?;
        let owner = match thread.owner() {
            Owner::Us => "us",
            Owner::Other(_) => "other",
            Owner::Idle => "idle",
            _ => "unknown",
        };
        let all = self.all();
        let nobody = Customer::default();
        let Customer { agent_wanted, unanswered, sent, events, .. } = all.get(&key.user).unwrap_or(&nobody);
        let is_ours_to_answer = owner != "other" && !unanswered.is_empty();
        let waits = (*agent_wanted || is_ours_to_answer) && !thread.intervention_is_open();
        let sent = sent.iter().filter_map(|name| {
            let status = thread.message_status(&MessageKey::new(name).ok()?)?;
            let (state, reason) = match status {
                MessageStatus::Sent { .. } | MessageStatus::Settled => ("sent", None),
                MessageStatus::Failed(reason) => ("failed", Some(reason.to_string())),
                MessageStatus::Unknown { .. } => ("unknown", None),
                _ => ("waiting", None),
            };
            Some(json!({"key": name, "state": state, "reason": reason}))
        });
        Ok(json!({
            "owner": owner,
            "waiting_for_people": waits,
            "unanswered": unanswered.iter().map(words).collect::<Vec<_>>(),
            "sent": sent.collect::<Vec<_>>(),
            "events": events,
        }))
    }
}

#[async_trait]
impl Handler for Customers {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        let Notification { thread, id, notice, .. } = notification;
        // Only the ids, because the notice contains the customer's text.
        tracing::info!(%thread, ?id, "told");
        let mut all = self.all();
        let customer = all.entry(thread.user.clone()).or_default();
        customer.thread = Some(thread.clone());
        for message in notification.to_answer() {
            keep(&mut customer.unanswered, message.clone());
        }
        let event = match notice {
            Notice::Message { to_answer, .. } => format!("message to_answer={to_answer}"),
            Notice::ControlGained { note, .. } => with_note("control gained", note.as_ref()),
            Notice::ControlLost { note, .. } => with_note("control lost", note.as_ref()),
            Notice::ControlRequested { note, .. } => with_note("control requested", note.as_ref()),
            Notice::MessageSent { key, .. } => {
                customer.unanswered.clear();
                customer.agent_wanted = false;
                format!("sent {key}")
            }
            Notice::AnsweredElsewhere { by_person, .. } => {
                customer.unanswered.clear();
                customer.agent_wanted &= !by_person;
                format!("answered elsewhere by_person={by_person}")
            }
            Notice::Unsent { mid } => {
                customer.unanswered.retain(|message| message.mid.as_ref() != Some(mid));
                "unsent".to_owned()
            }
            Notice::Edited { mid, text, .. } => {
                let message =
                    customer.unanswered.iter_mut().find(|message| message.mid.as_ref() == Some(mid));
                if let Some(message) = message {
                    message.text = text.clone().map(Into::into);
                }
                "edited".to_owned()
            }
            Notice::Other { other, .. } => other.name.clone(),
            Notice::MessageFailed { key, reason } => format!("failed {key}: {reason}"),
            Notice::MessageUnknown { key, .. } => format!("unknown {key}"),
            Notice::Transferred { .. } => {
                customer.agent_wanted = false;
                "handed over".to_owned()
            }
            Notice::TransferFailed { reason, .. } => format!("hand-over failed: {reason}"),
            Notice::ControlNotGranted { report, .. } => format!("control not granted: {report}"),
            Notice::ActionRefused { why, .. } => format!("refused: {why}"),
            _ => "something else".to_owned(),
        };
        keep(&mut customer.events, event);
        Ok(Actions::none())
    }
}

#[async_trait]
impl IdentityLookup for Customers {
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey> {
        self.all().get(request.identity.as_ref()?)?.thread.clone()
    }

    async fn accepted(&self, thread: &ThreadKey, request: &HandoverRequest) {
        let event = format!("bot asks: {:?} {}", request.direction, request.thread_category_ids.join(" "));
        let mut all = self.all();
        let customer = all.entry(thread.user.clone()).or_default();
        customer.agent_wanted = request.direction == Direction::BotToAgent;
        keep(&mut customer.events, event.trim().to_owned());
    }
}
