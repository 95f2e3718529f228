//! The messages of customers and of apps.

use std::time::Duration;

use serde_json::{Value, json};

use super::config::EntryPoint;
use super::fanout::{Channel, from_customer};
use super::{
    ApiAnswer, DAY, GraphError, InlineControl, Platform, Rules, Said, Speaker, WEEK, ZeroConfig, is_inbox,
};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The longest text of a message, in characters (docs/protocol.md#sends).
const MAX_TEXT: usize = 2000;

impl Platform {
    /// The customer writes, and the Page can address them from then on. On a Page that is not configured no app gets a webhook.
    pub fn customer_writes(&mut self, page: &PageId, user: &UserId, text: &str, now: Timestamp) -> MessageId {
        self.customer_enters(page, user, text, EntryPoint::Social, now)
    }

    /// The customer writes, having come by an [entry point](messenger_handover::protocol#routing): an
    /// [idle](messenger_handover::protocol#idle) thread goes to the app of its route. An entry point that the rules do not
    /// route has no effect.
    pub fn customer_enters(
        &mut self,
        page: &PageId,
        user: &UserId,
        text: &str,
        entry: EntryPoint,
        now: Timestamp,
    ) -> MessageId {
        self.customer_sends(page, user, json!({"text": text}), entry, now)
    }

    /// The customer sends an attachment of a kind such as `image`, whose content is at `url`.
    pub fn customer_attaches(
        &mut self,
        page: &PageId,
        user: &UserId,
        kind: &str,
        url: &str,
        now: Timestamp,
    ) -> MessageId {
        let message = json!({"attachments": [{"type": kind, "payload": {"url": url}}]});
        self.customer_sends(page, user, message, EntryPoint::Social, now)
    }

    fn customer_sends(
        &mut self,
        page: &PageId,
        user: &UserId,
        message: Value,
        entry: EntryPoint,
        now: Timestamp,
    ) -> MessageId {
        let key = ThreadKey::new(page.clone(), user.clone());
        let mut body = message.clone();
        let mid = self.customer_acts(&key, message, entry, now);
        body["mid"] = json!(mid);
        let item = from_customer(&key, now, "message", &body);
        self.fan_out(&key, None, "message", now, |_| item.clone());
        mid
    }

    /// The customer [unsends](messenger_handover::protocol#unsent-and-edited) a message. Inferred: that neither routes an idle
    /// thread nor prolongs control.
    pub fn customer_unsends(&mut self, page: &PageId, user: &UserId, mid: &MessageId, now: Timestamp) {
        let key = ThreadKey::new(page.clone(), user.clone());
        if let Some(said) = self.said_mut(&key, mid) {
            said.unsent = true;
        }
        let item = from_customer(&key, now, "message", &json!({"mid": mid, "is_deleted": true}));
        self.fan_out(&key, None, "message", now, |_| item.clone());
    }

    /// The customer presses a button. Copies on [standby](messenger_handover::protocol#standby) have neither payload nor title,
    /// but the app that sent the button gets the whole postback even where another app owns the thread. Inferred: a press counts
    /// like a message for window and owner.
    pub fn customer_presses(
        &mut self,
        page: &PageId,
        user: &UserId,
        title: &str,
        payload: &str,
        now: Timestamp,
    ) -> MessageId {
        let key = ThreadKey::new(page.clone(), user.clone());
        let sender = self.who_sent_button(&key, payload);
        let mid = self.customer_acts(&key, json!({"text": title}), EntryPoint::Social, now);
        let whole =
            from_customer(&key, now, "postback", &json!({"mid": mid, "title": title, "payload": payload}));
        let stripped = from_customer(&key, now, "postback", &json!({"mid": mid}));
        self.fan_out(&key, sender.as_ref(), "postback", now, |channel| match channel {
            Channel::Messaging => whole.clone(),
            Channel::Standby => stripped.clone(),
        });
        mid
    }

    /// The customer has read everything. Only apps subscribed to the receipts get a webhook.
    pub fn customer_reads(&mut self, page: &PageId, user: &UserId, now: Timestamp) {
        let key = ThreadKey::new(page.clone(), user.clone());
        self.lapse(&key, now);
        let body = self.read_receipt(&key, now);
        let item = from_customer(&key, now, "read", &body);
        self.fan_out(&key, None, "read", now, |_| item.clone());
    }

    /// The new owner of an idle thread and the duration of its control: a day, unless the route of an ad sets another.
    fn first(&self, key: &ThreadKey, entry: EntryPoint) -> Option<(AppId, Duration)> {
        let route = || self.pages.get(&key.page)?.routes.get(&entry).cloned();
        match self.rules(&key.page) {
            Rules::Handover { primary } => primary.map(|app| (app, DAY)),
            Rules::Routing { default_app: Some(default) } => Some(route().unwrap_or((default, DAY))),
            Rules::Routing { default_app: None } => route().filter(|_| entry == EntryPoint::Campaign),
        }
    }

    fn customer_acts(
        &mut self,
        key: &ThreadKey,
        message: Value,
        entry: EntryPoint,
        now: Timestamp,
    ) -> MessageId {
        self.meets(key);
        self.lapse(key, now);
        if self.holder(key).is_none() {
            // An idle thread goes to the primary or to the default application (docs/protocol.md#idle). Inferred: no webhook says
            // so (docs/protocol.md#routing).
            if let Some((first, control)) = self.first(key, entry) {
                self.give(key, &first, now);
                // Any control action starts a new day, which ends a longer control (docs/protocol.md#ads).
                if let Some(lease) = &mut self.thread_mut(key).lease {
                    lease.expires = now.plus(control);
                }
            }
        }
        self.renew(key, now);
        let mid = self.next_mid();
        let thread = self.thread_mut(key);
        thread.last_customer = Some(now);
        thread.said.push(Said::new(Speaker::Customer, message, mid.clone(), now));
        mid
    }

    fn who_sent_button(&self, key: &ThreadKey, payload: &str) -> Option<AppId> {
        let said = &self.threads.get(key)?.said;
        said.iter().rev().find_map(|said| match &said.from {
            Speaker::App(app) if holds_payload(&said.message, payload) => Some(app.clone()),
            _ => None,
        })
    }

    /// The [Send API](messenger_handover::protocol#sends). Inferred: control is checked before the window.
    pub(super) fn send(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        message: &Value,
        tag: Option<&str>,
        thread_control: Option<&InlineControl>,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        // Documented with a default application only; the refusal otherwise is inferred (docs/protocol.md#send-with-control).
        let routing = matches!(self.rules(&key.page), Rules::Routing { default_app: Some(_) });
        if thread_control.is_some() && !routing {
            return Err(GraphError::invalid("thread_control", "Conversation Routing is not enabled"));
        }
        let mid = self.speak(app, key, message, tag, now)?;
        // Runs after the message, and the response does not report how it ended (docs/protocol.md#send-with-control).
        let _ = match thread_control {
            Some(InlineControl::Pass(target)) => self.pass(app, key, target.as_ref(), None, now),
            Some(InlineControl::Release) => self.release(app, key),
            None => Ok(ApiAnswer::Success),
        };
        Ok(ApiAnswer::Sent { user: key.user.clone(), mid })
    }

    /// Sends a message if control and window allow it.
    pub(super) fn speak(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        message: &Value,
        tag: Option<&str>,
        now: Timestamp,
    ) -> Result<MessageId, GraphError> {
        check_message(message)?;
        self.may_send(app, key, tag, now)?;
        Ok(self.say(app, key, message.clone(), now))
    }

    /// Shows a [sender action](messenger_handover::protocol#sender-actions). Inferred: it needs control and window like a
    /// message.
    pub(super) fn act(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        self.may_send(app, key, None, now)?;
        Ok(ApiAnswer::Acted { user: key.user.clone() })
    }

    fn may_send(
        &self,
        app: &AppId,
        key: &ThreadKey,
        tag: Option<&str>,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let allowed = match (self.rules(&key.page), self.holder(key)) {
            // Documented: all apps may send (docs/protocol.md#zero-config).
            (Rules::Routing { default_app: None }, _) if self.zero_config == ZeroConfig::Documented => true,
            // Only the owner, so not even the primary receiver (docs/protocol.md#handover-protocol, docs/protocol.md#routing).
            (_, Some(owner)) => owner == *app,
            // Only the default application (docs/protocol.md#idle). Inferred: the refusal is that of an owned thread.
            (Rules::Routing { default_app: Some(default) }, None) => default == *app,
            // Idle without either: any app (docs/protocol.md#idle).
            (_, None) => true,
        };
        if !allowed {
            return Err(GraphError::controlled_by_another_app());
        }
        self.window_is_open(app, key, tag, now)
    }

    /// Checks the messaging [window](messenger_handover::protocol#windows), which is independent of control.
    pub(super) fn window_is_open(
        &self,
        app: &AppId,
        key: &ThreadKey,
        tag: Option<&str>,
        now: Timestamp,
    ) -> Result<(), GraphError> {
        let window = match tag {
            None => DAY,
            Some("HUMAN_AGENT") if self.human_agent(app) => WEEK,
            Some("HUMAN_AGENT") => return Err(GraphError::no_human_agent()),
            // Other tags ended in 2026 (docs/protocol.md#windows).
            Some(_) => return Err(GraphError::invalid("tag", "this message tag is not supported")),
        };
        let last = self.threads.get(key).and_then(|thread| thread.last_customer);
        match last {
            Some(last) if now.since(last) < window => Ok(()),
            _ => Err(GraphError::outside_window()),
        }
    }

    /// Whether an app may use the tag. The inboxes need no approval.
    fn human_agent(&self, app: &AppId) -> bool {
        is_inbox(app) || self.apps.get(app).is_some_and(|app| app.human_agent)
    }

    /// Adds the message to the conversation, and sends [echoes](messenger_handover::protocol#echoes) and delivery
    /// [receipts](messenger_handover::protocol#receipts).
    fn say(&mut self, app: &AppId, key: &ThreadKey, message: Value, now: Timestamp) -> MessageId {
        let mid = self.next_mid();
        let from = Speaker::App(app.clone());
        let said = Said::new(from, message.clone(), mid.clone(), now);
        self.thread_mut(key).said.push(said);
        // Under the Handover Protocol the owner's activity renews control, under Conversation Routing only the customer's
        // (docs/protocol.md#idle).
        if matches!(self.rules(&key.page), Rules::Handover { .. }) && self.holder(key).as_ref() == Some(app) {
            self.renew(key, now);
        }
        let mut echo = message;
        echo["mid"] = json!(mid);
        echo["is_echo"] = json!(true);
        echo["app_id"] = super::api::number(app);
        let item = json!({
            "sender": {"id": key.page},
            "recipient": {"id": key.user},
            "timestamp": now.as_millis(),
            "message": echo,
        });
        self.fan_out(key, Some(app), "echo", now, |_| item.clone());
        if self.is_instagram(&key.page) {
            // Instagram has no delivery receipts (docs/protocol.md#receipts).
            return mid;
        }
        let receipt = json!({"mids": [mid], "watermark": now.as_millis()});
        let item = from_customer(key, now, "delivery", &receipt);
        self.fan_out(key, Some(app), "delivery", now, |_| item.clone());
        mid
    }
}

/// Checks a message object. Graph refuses with code 100; the [limits](messenger_handover::protocol#sends) are Messenger's, the
/// wording is assumed.
pub(super) fn check_message(message: &Value) -> Result<(), GraphError> {
    let Some(fields) = message.as_object() else {
        return Err(GraphError::invalid("message", "must be an object"));
    };
    match (fields.get("text"), fields.get("attachment").or_else(|| fields.get("attachments"))) {
        (Some(text), _) => match text.as_str().map(|text| text.chars().count()) {
            Some(1..=MAX_TEXT) => {}
            _ => return Err(GraphError::invalid("message[text]", "must hold 1 to 2000 characters")),
        },
        (None, Some(_)) => {}
        (None, None) => {
            return Err(GraphError::invalid("message", "must provide a text or an attachment"));
        }
    }
    match fields.get("metadata") {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(GraphError::invalid("message[metadata]", "must be a string")),
    }
}

fn holds_payload(message: &Value, payload: &str) -> bool {
    match message {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            (name == "payload" && value.as_str() == Some(payload)) || holds_payload(value, payload)
        }),
        Value::Array(items) => items.iter().any(|item| holds_payload(item, payload)),
        _ => false,
    }
}
