//! What the customer does: messages, buttons, unsent messages, receipts.

use std::time::Duration;

use serde_json::{Value, json};

use super::config::EntryPoint;
use super::fanout::{Channel, from_customer};
use super::{DAY, Platform, Rules, Said, Speaker};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

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
