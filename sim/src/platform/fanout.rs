//! Which webhook goes to whom, on which channel.

use serde_json::{Map, Value, json};

use super::{Platform, Rules, ZeroConfig, is_inbox};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The array of a webhook entry that an item comes in (facts §4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Channel {
    /// `messaging`.
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

/// One webhook that waits to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Delivery {
    /// To which app.
    pub app: AppId,
    /// About which Page.
    pub page: PageId,
    /// About which person; `app_roles` is about none.
    pub user: Option<UserId>,
    /// In which array.
    pub channel: Channel,
    /// What it is: `message`, `postback`, `echo`, `delivery`, `read`, `pass_thread_control`,
    /// `take_thread_control`, `request_thread_control` or `app_roles`.
    pub label: &'static str,
    /// The item of the array.
    pub item: Value,
    /// What the entry says beside the array (facts §2.6).
    pub hop_context: Option<Value>,
    /// When the platform made it: `entry.time`.
    pub at: Timestamp,
}

/// An event from the customer, or about what the customer did.
pub(super) fn from_customer(key: &ThreadKey, now: Timestamp, name: &str, body: &Value) -> Value {
    let mut item = Map::new();
    item.insert("sender".to_owned(), json!({"id": key.user}));
    item.insert("recipient".to_owned(), json!({"id": key.page}));
    item.insert("timestamp".to_owned(), json!(now.as_millis()));
    item.insert(name.to_owned(), body.clone());
    Value::Object(item)
}

impl Platform {
    /// Tells one app about a thread, if it is subscribed. The inbox and apps that are only an id have
    /// no webhooks.
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

    /// `app_roles` (facts §4.6). It has no sender; its recipient is the Page.
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
        let subscribed = fields.contains(self.field_of(&delivery.page, delivery.label))
            && (delivery.channel == Channel::Messaging || fields.contains("standby"));
        if connected && subscribed && !is_inbox(&delivery.app) {
            self.outgoing.push(delivery);
        }
    }

    /// Tells every app of the Page about something in the conversation. `author` is the app that acted,
    /// if one did: it reads its own on `messaging`. `item` is made per channel, since standby copies
    /// can hold less.
    pub(super) fn fan_out(
        &mut self,
        key: &ThreadKey,
        author: Option<&AppId>,
        label: &'static str,
        now: Timestamp,
        item: impl Fn(Channel) -> Value,
    ) {
        // While a lead ad asks, nobody is told (facts §2.5).
        if self.is_asked_by_meta(key) {
            return;
        }
        let apps = self.pages.get(&key.page).map(|page| page.apps.clone()).unwrap_or_default();
        for app in apps {
            let channel = self.channel(key, &app, author);
            self.tell(&app, key, channel, label, item(channel), now);
        }
    }

    pub(super) fn channel(&self, key: &ThreadKey, app: &AppId, author: Option<&AppId>) -> Channel {
        let reads_on_messaging = author == Some(app)
            || match (self.rules(&key.page), self.holder(key)) {
                // Facts §2.1: everybody reads on `messaging`, whoever owns the thread.
                (Rules::Routing { default_app: None }, _) if self.zero_config == ZeroConfig::Documented => {
                    true
                }
                // Facts §1.1, §2.1: the owner on `messaging`, the others on standby.
                (_, Some(owner)) => owner == *app,
                // INF: an idle thread is the default application's; only it may send there.
                (Rules::Routing { default_app: Some(default) }, None) => default == *app,
                // Facts §1.1, §2.1: idle without anybody it would go to: all on `messaging`.
                (_, None) => true,
            };
        if reads_on_messaging { Channel::Messaging } else { Channel::Standby }
    }
}
