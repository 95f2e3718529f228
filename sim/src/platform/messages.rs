//! The messages of apps.

use serde_json::{Value, json};

use super::echo::echo_of;
use super::fanout::from_customer;
use super::limits::{check_action, check_for, check_message};
use super::{
    ApiAnswer, DAY, GraphError, InlineControl, Platform, Rules, Said, Speaker, WEEK, ZeroConfig, is_inbox,
};
use messenger_handover::id::{AppId, MessageId, ThreadKey};
use messenger_handover::time::Timestamp;

impl Platform {
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
        check_message(message)?;
        check_for(self.is_instagram(&key.page), message)?;
        self.may_send(app, key, tag, now)?;
        let mut message = message.clone();
        let attachment_id = self.save_attachment(&key.page, &mut message)?;
        let mid = self.say(app, key, &message, now);
        // Runs after the message, and the response does not report how it ended (docs/protocol.md#send-with-control).
        let _ = match thread_control {
            Some(InlineControl::Pass(target)) => self.pass(app, key, target.as_ref(), None, now),
            Some(InlineControl::Release) => self.release(app, key),
            None => Ok(ApiAnswer::Success),
        };
        Ok(ApiAnswer::Sent { user: key.user.clone(), mid, attachment_id })
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
        Ok(self.say(app, key, message, now))
    }

    /// Shows a [sender action](messenger_handover::protocol#sender-actions). Inferred: it needs control and window like a
    /// message.
    pub(super) fn act(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        action: &str,
        now: Timestamp,
    ) -> Result<ApiAnswer, GraphError> {
        check_action(action)?;
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
            (Rules::Routing { default_app: None }, _)
                if self.switches.zero_config == ZeroConfig::Documented =>
            {
                true
            }
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
        self.window_is_open(app, key, tag, now)?;
        self.may_reach(key)
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
        let thread = self.threads.get(key);
        match thread.and_then(|thread| thread.last_customer) {
            Some(last) if now.since(last) < window => Ok(()),
            // Longer after an ad (docs/protocol.md#windows).
            Some(_) if thread.and_then(|thread| thread.ad_window).is_some_and(|end| now < end) => Ok(()),
            _ => Err(GraphError::outside_window()),
        }
    }

    /// Whether an app may use the tag. The inboxes need no approval.
    fn human_agent(&self, app: &AppId) -> bool {
        is_inbox(app) || self.apps.get(app).is_some_and(|app| app.human_agent)
    }

    /// Adds the message to the conversation, and sends [echoes](messenger_handover::protocol#echoes) and delivery
    /// [receipts](messenger_handover::protocol#receipts).
    fn say(&mut self, app: &AppId, key: &ThreadKey, message: &Value, now: Timestamp) -> MessageId {
        let mid = self.next_mid();
        let from = Speaker::App(app.clone());
        let said = Said::new(from, message.clone(), mid.clone(), now);
        self.thread_mut(key).said.push(said);
        // Under the Handover Protocol the owner's activity renews control, under Conversation Routing only the customer's
        // (docs/protocol.md#idle).
        if matches!(self.rules(&key.page), Rules::Handover { .. }) && self.holder(key).as_ref() == Some(app) {
            self.renew(key, now);
        }
        let mut echo = echo_of(message, &mid, app, &self.uploads);
        if self.echoes_lack_metadata(&key.page) {
            echo.remove("metadata");
        }
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
