//! The customer's acts: messages, buttons, unsent messages, receipts.

use std::time::Duration;

use serde_json::{Value, json};

use super::config::EntryPoint;
use super::fanout::{Channel, from_customer};
use super::utterance::Referral;
use super::{DAY, DeletedFlag, Platform, Rules, Said, Speaker, WEEK};
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
        let key = ThreadKey::new(page.clone(), user.clone());
        self.sends(&key, &json!({"text": text}), entry, now)
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
        let key = ThreadKey::new(page.clone(), user.clone());
        let message = json!({"attachments": [{"type": kind, "payload": {"url": url}}]});
        self.sends(&key, &message, EntryPoint::Social, now)
    }

    /// The customer sends a message object.
    pub(super) fn sends(
        &mut self,
        key: &ThreadKey,
        message: &Value,
        entry: EntryPoint,
        now: Timestamp,
    ) -> MessageId {
        let mid = self.customer_acts(key, message.clone(), entry, now);
        let mut body = message.clone();
        body["mid"] = json!(mid);
        let item = from_customer(key, now, "message", &body);
        self.fan_out(key, None, "message", now, |_| item.clone());
        mid
    }

    /// The customer [unsends](messenger_handover::protocol#unsent-and-edited) a message. Inferred: that neither routes an idle
    /// thread nor prolongs control.
    pub fn customer_unsends(&mut self, page: &PageId, user: &UserId, mid: &MessageId, now: Timestamp) {
        let key = ThreadKey::new(page.clone(), user.clone());
        if let Some(said) = self.said_mut(&key, mid) {
            said.unsent = true;
        }
        let flag = match self.switches.is_deleted {
            DeletedFlag::Boolean => json!(true),
            DeletedFlag::Text => json!("true"),
        };
        let item = from_customer(&key, now, "message", &json!({"mid": mid, "is_deleted": flag}));
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
        self.customer_starts(page, user, title, payload, None, now)
    }

    /// As [`Self::customer_presses`]; a button that starts a conversation can carry the
    /// [referral](messenger_handover::protocol#reply-to-and-referrals) of a link or an ad, which is its entry point. Inferred:
    /// copies on standby have no referral either.
    pub fn customer_starts(
        &mut self,
        page: &PageId,
        user: &UserId,
        title: &str,
        payload: &str,
        referral: Option<&Referral>,
        now: Timestamp,
    ) -> MessageId {
        let key = ThreadKey::new(page.clone(), user.clone());
        let sender = self.who_sent_button(&key, payload);
        let entry = referral.map_or(EntryPoint::Social, Referral::entry);
        if referral.is_some_and(Referral::is_ad) {
            self.thread_mut(&key).clicked_ad = true;
        }
        let mid = self.customer_acts(&key, json!({"text": title}), entry, now);
        let mut body = json!({"mid": mid, "title": title, "payload": payload});
        if let Some(referral) = referral {
            body["referral"] = referral.body();
        }
        let whole = from_customer(&key, now, "postback", &body);
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

    /// Adds a message of the customer to the conversation. The first one after a click on an ad opens a window of up to 7 days
    /// ([windows](messenger_handover::protocol#windows)); that it always is 7 days is inferred.
    pub(super) fn customer_acts(
        &mut self,
        key: &ThreadKey,
        message: Value,
        entry: EntryPoint,
        now: Timestamp,
    ) -> MessageId {
        let clicked_ad = std::mem::take(&mut self.thread_mut(key).clicked_ad);
        let of_ad = clicked_ad && entry == EntryPoint::Social;
        self.customer_arrives(key, if of_ad { EntryPoint::Campaign } else { entry }, now);
        let mid = self.next_mid();
        let thread = self.thread_mut(key);
        if clicked_ad {
            thread.ad_window = Some(now.plus(WEEK));
        }
        thread.said.push(Said::new(Speaker::Customer, message, mid.clone(), now));
        mid
    }

    /// The effects of every act of the customer that counts like a message: it routes an idle thread, prolongs control and opens the
    /// window.
    pub(super) fn customer_arrives(&mut self, key: &ThreadKey, entry: EntryPoint, now: Timestamp) {
        self.meets(key);
        self.reached_by(key);
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
        self.thread_mut(key).last_customer = Some(now);
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
