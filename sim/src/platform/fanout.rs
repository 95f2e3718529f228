//! The webhooks: their receivers and their channels.

use serde_json::{Map, Value, json};

use super::{Platform, Rules, ZeroConfig, is_inbox};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The array of a [webhook entry](messenger_handover::protocol#webhook-envelope) that holds an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// `messaging`: the app may answer.
    Messaging,
    /// `standby`: another app owns the thread.
    Standby,
}

impl Channel {
    /// The name of the array.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Messaging => "messaging",
            Self::Standby => "standby",
        }
    }
}

/// A pending webhook.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Delivery {
    /// The receiving app.
    pub app: AppId,
    /// The Page or account.
    pub page: PageId,
    /// The person; none for `app_roles` and `policy_enforcement`.
    pub user: Option<UserId>,
    /// The array that holds the item.
    pub channel: Channel,
    /// The kind of event: `message`, `postback`, `echo`, `delivery`, `read`, `reaction`, `edit`, `referral`, `optin`,
    /// `pass_thread_control`, `take_thread_control`, `request_thread_control`, `app_roles` or `policy_enforcement`.
    pub label: &'static str,
    /// The item of the array.
    pub item: Value,
    /// The entry's [`hop_context`](messenger_handover::protocol#hop-context), if any.
    pub hop_context: Option<Value>,
    /// The time at which the platform made it: `entry.time`.
    pub at: Timestamp,
}

/// An event whose sender is the customer.
pub(super) fn from_customer(key: &ThreadKey, now: Timestamp, name: &str, body: &Value) -> Value {
    let mut item = Map::new();
    item.insert("sender".to_owned(), json!({"id": key.user}));
    item.insert("recipient".to_owned(), json!({"id": key.page}));
    item.insert("timestamp".to_owned(), json!(now.as_millis()));
    item.insert(name.to_owned(), body.clone());
    Value::Object(item)
}

fn lose_metadata(echo: &mut Value) {
    if let Some(message) = echo.get_mut("message").and_then(Value::as_object_mut) {
        message.remove("metadata");
    }
}

impl Platform {
    /// Notifies one app of an event in a thread, if it is subscribed. Inboxes and apps that are only an id have no webhooks.
    pub(super) fn tell(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        channel: Channel,
        label: &'static str,
        item: Value,
        now: Timestamp,
    ) {
        let (app, page, user) = (app.clone(), key.page.clone(), Some(key.user.clone()));
        self.push(Delivery { app, page, user, channel, label, item, hop_context: None, at: now });
    }

    /// Sends [`app_roles`](messenger_handover::protocol#control-events), which has no sender and the Page as recipient.
    pub(super) fn tell_role(&mut self, page: &PageId, app: &AppId, role: &str, now: Timestamp) {
        let mut roles = Map::new();
        roles.insert(app.to_string(), json!([role]));
        let item = json!({"recipient": {"id": page}, "timestamp": now.as_millis(), "app_roles": roles});
        let (app, page, channel) = (app.clone(), page.clone(), Channel::Messaging);
        let (user, label, hop_context) = (None, "app_roles", None);
        self.push(Delivery { app, page, user, channel, label, item, hop_context, at: now });
    }

    pub(super) fn push(&mut self, delivery: Delivery) {
        let connected = self.pages.get(&delivery.page).is_some_and(|page| page.apps.contains(&delivery.app));
        let fields = self.fields_of(&delivery.page, &delivery.app);
        let subscribed = self.has_field(&delivery.page, &fields, delivery.label)
            && (delivery.channel == Channel::Messaging || fields.contains("standby"));
        if connected && subscribed && !is_inbox(&delivery.app) {
            self.outgoing.push(delivery);
        }
    }

    /// Notifies every app of the Page. `author` is the app that acted, if any, and reads its own event on `messaging`. `item` is
    /// made for each channel, because standby copies can hold less.
    pub(super) fn fan_out(
        &mut self,
        key: &ThreadKey,
        author: Option<&AppId>,
        label: &'static str,
        now: Timestamp,
        item: impl Fn(Channel) -> Value,
    ) {
        // While a lead ad asks its questions, no app gets a webhook (docs/protocol.md#lead-ads).
        if self.is_asked_by_meta(key) {
            return;
        }
        let apps = self.pages.get(&key.page).map(|page| page.apps.clone()).unwrap_or_default();
        for app in apps {
            let channel = self.channel(key, &app, author);
            let mut item = item(channel);
            if label == "echo" && self.echoes_lack_metadata(&key.page) {
                lose_metadata(&mut item);
            }
            self.tell(&app, key, channel, label, item, now);
        }
    }

    pub(super) fn channel(&self, key: &ThreadKey, app: &AppId, author: Option<&AppId>) -> Channel {
        let reads_on_messaging = author == Some(app)
            || match (self.rules(&key.page), self.holder(key)) {
                // Documented: all apps read on `messaging`, whoever owns the thread (docs/protocol.md#zero-config).
                (Rules::Routing { default_app: None }, _)
                    if self.switches.zero_config == ZeroConfig::Documented =>
                {
                    true
                }
                // The owner reads on `messaging`, the others on standby (docs/protocol.md#standby).
                (_, Some(owner)) => owner == *app,
                // Inferred: an idle thread is the default application's, because only that may send there
                // (docs/protocol.md#idle).
                (Rules::Routing { default_app: Some(default) }, None) => default == *app,
                // Idle without a primary receiver or a default application: all read on `messaging` (docs/protocol.md#idle).
                (_, None) => true,
            };
        if reads_on_messaging { Channel::Messaging } else { Channel::Standby }
    }
}
