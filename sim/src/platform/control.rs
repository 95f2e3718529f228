//! The thread-control calls.

use std::time::Duration;

use serde_json::{Value, json};

use super::api::number;
use super::fanout::{Channel, from_customer};
use super::{ApiAnswer, Echoes, GraphError, Platform, RequestUnderDefaultApp, Rules, WEEK, is_inbox};
use messenger_handover::id::{AppId, PageId, ThreadKey};
use messenger_handover::time::Timestamp;

type Answer = Result<ApiAnswer, GraphError>;

impl Platform {
    /// [Passes](messenger_handover::protocol#pass) control: by the owner, or by any app while the thread is idle. Inferred: the
    /// latter for the Handover Protocol, and that parameters are checked before ownership.
    pub(super) fn pass(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        target: Option<&AppId>,
        metadata: Option<&str>,
        now: Timestamp,
    ) -> Answer {
        let target = match target {
            Some(target) => target.clone(),
            None => self.default_target(app, key).ok_or_else(|| GraphError::missing("target_app_id"))?,
        };
        // 100/2018164 (docs/protocol.md#pass). Inferred: the target must be connected to the Page.
        if !self.pages.get(&key.page).is_some_and(|page| page.apps.contains(&target)) {
            return Err(GraphError::no_such_target(&target));
        }
        let owner = self.holder(key);
        if owner.as_ref().is_some_and(|owner| owner != app) {
            return Err(GraphError::pass_by_stranger());
        }
        // The owner may not renew its control this way (docs/protocol.md#idle). Under the Handover Protocol inferred.
        if owner.as_ref() == Some(&target) {
            return Err(GraphError::already_owner());
        }
        self.lose_echoes(app, key);
        self.hand(key, owner.as_ref(), &target, metadata, now);
        Ok(ApiAnswer::Success)
    }

    /// The target of a [pass](messenger_handover::protocol#pass) without one. Handover Protocol: the primary receiver, which must
    /// itself name a target. Conversation Routing: the default application.
    fn default_target(&self, app: &AppId, key: &ThreadKey) -> Option<AppId> {
        match self.rules(&key.page) {
            Rules::Handover { primary } => primary.filter(|primary| primary != app),
            Rules::Routing { default_app } => default_app,
        }
    }

    /// Makes `target` the owner and notifies it, and nobody else ([pass](messenger_handover::protocol#pass)).
    fn hand(
        &mut self,
        key: &ThreadKey,
        from: Option<&AppId>,
        target: &AppId,
        metadata: Option<&str>,
        now: Timestamp,
    ) {
        self.give(key, target, now);
        let body = json!({"previous_owner_app_id": from, "new_owner_app_id": target});
        self.tell_control(target, key, "pass_thread_control", body, metadata, now);
    }

    fn tell_control(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        label: &'static str,
        mut body: Value,
        metadata: Option<&str>,
        now: Timestamp,
    ) {
        if let Some(metadata) = metadata {
            body["metadata"] = json!(metadata);
        }
        let item = from_customer(key, now, label, &body);
        self.tell(app, key, Channel::Messaging, label, item, now);
    }

    pub(super) fn take(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        metadata: Option<&str>,
        now: Timestamp,
    ) -> Answer {
        let owner = self.holder(key);
        let owns = owner.as_ref() == Some(app);
        match self.rules(&key.page) {
            // The primary receiver at any time, any app while idle (docs/protocol.md#handover-protocol); the refusal is inferred
            // (docs/protocol.md#refusals). Inferred: a take by the owner changes nothing.
            Rules::Handover { .. } if owns => return Ok(ApiAnswer::Success),
            Rules::Handover { primary } => {
                if owner.is_some() && primary.as_ref() != Some(app) {
                    return Err(GraphError::permission_denied());
                }
            }
            // Observed without a default application (docs/protocol.md#refusals).
            Rules::Routing { default_app: None } => return Err(GraphError::take_without_routing()),
            // Each app has a switch (docs/protocol.md#take); since 2024 the default application too (docs/protocol.md#timeline).
            Rules::Routing { default_app: Some(_) } => {
                if !self.apps.get(app).is_some_and(|app| app.may_take) {
                    return Err(GraphError::permission_denied());
                }
                // The owner may not renew its control this way (docs/protocol.md#take).
                if owns {
                    return Err(GraphError::already_owner());
                }
            }
        }
        self.seize(app, key, metadata, now);
        Ok(ApiAnswer::Success)
    }

    /// Makes `app` the owner and notifies the previous one. A [take](messenger_handover::protocol#take) from idle sends no
    /// webhook.
    pub(super) fn seize(&mut self, app: &AppId, key: &ThreadKey, metadata: Option<&str>, now: Timestamp) {
        let owner = self.holder(key);
        self.give(key, app, now);
        if let Some(owner) = owner.filter(|owner| owner != app) {
            // Meta's sample has the new owner as a number (docs/protocol.md#control-events).
            let body = json!({"previous_owner_app_id": owner, "new_owner_app_id": number(app)});
            self.tell_control(&owner, key, "take_thread_control", body, metadata, now);
        }
    }

    pub(super) fn request(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        metadata: Option<&str>,
        now: Timestamp,
    ) -> Answer {
        let owner = self.holder(key);
        let rules = self.rules(&key.page);
        // Not available; the response is unknown (docs/protocol.md#request).
        if matches!(rules, Rules::Routing { default_app: Some(_) }) {
            return match self.switches.request_under_default_app {
                RequestUnderDefaultApp::Refused => Err(GraphError::request_under_default_app()),
                RequestUnderDefaultApp::SilentSuccess => Ok(ApiAnswer::Success),
            };
        }
        if owner.as_ref() == Some(app) {
            return Err(GraphError::already_owner());
        }
        let asked = match rules {
            // The primary is asked, even about an idle thread or a third app's (docs/protocol.md#request).
            Rules::Handover { primary: Some(primary) } if primary != *app => Some(primary),
            // The primary itself requests, so the owner is asked (docs/protocol.md#request). Inferred: while idle nobody is
            // asked, because the primary can take.
            Rules::Handover { primary: Some(_) } => owner,
            // The owner is asked; while idle control is granted at once, with a pass webhook (docs/protocol.md#request).
            Rules::Handover { primary: None } | Rules::Routing { .. } => {
                if owner.is_none() {
                    self.hand(key, None, app, metadata, now);
                }
                owner
            }
        };
        if let Some(asked) = asked {
            // Meta's sample has a number here (docs/protocol.md#control-events).
            let body = json!({"requested_owner_app_id": number(app)});
            self.tell_control(&asked, key, "request_thread_control", body, metadata, now);
        }
        // Success means forwarded, never granted: inboxes and silent apps do not react (docs/protocol.md#request).
        Ok(ApiAnswer::Success)
    }

    /// [Releases](messenger_handover::protocol#release) control: by the owner, without a webhook.
    pub(super) fn release(&mut self, app: &AppId, key: &ThreadKey) -> Answer {
        if self.holder(key).as_ref() != Some(app) {
            return Err(GraphError::release_by_stranger());
        }
        self.lose_echoes(app, key);
        self.thread_mut(key).lease = None;
        Ok(ApiAnswer::Success)
    }

    /// [Extends](messenger_handover::protocol#extend) control: by the owner, to at most 7 days from now. Inferred: the messaging
    /// window does not move.
    pub(super) fn extend(
        &mut self,
        app: &AppId,
        key: &ThreadKey,
        duration: Duration,
        now: Timestamp,
    ) -> Answer {
        if duration.is_zero() || duration > WEEK {
            return Err(GraphError::invalid("duration", "must be between 1 and 604800 seconds"));
        }
        match &mut self.thread_mut(key).lease {
            Some(lease) if lease.app == *app => lease.expires = now.plus(duration),
            _ => return Err(GraphError::extend_by_stranger()),
        }
        Ok(ApiAnswer::Success)
    }

    /// Reads the [owner](messenger_handover::protocol#thread-owner). Handover Protocol: any app of the Page sees it. Conversation
    /// Routing: the owner and the default application see it, others only see that there is one.
    pub(super) fn thread_owner(&self, app: &AppId, key: &ThreadKey) -> ApiAnswer {
        let Some(lease) = self.threads.get(key).and_then(|thread| thread.lease.as_ref()) else {
            return ApiAnswer::NoOwner;
        };
        let sees_all = match self.rules(&key.page) {
            Rules::Handover { .. } => true,
            Rules::Routing { default_app } => lease.app == *app || default_app.as_ref() == Some(app),
        };
        ApiAnswer::Owner { app: sees_all.then(|| lease.app.clone()), expiration: lease.expires }
    }

    /// Lists the [other apps](messenger_handover::protocol#secondary-receivers) for the primary receiver; secondary receivers get
    /// 2018234. Inferred: without roles any app sees the others.
    pub(super) fn secondary_receivers(&self, app: &AppId, page: &PageId) -> Answer {
        if let Rules::Handover { primary: Some(primary) } = self.rules(page)
            && primary != *app
        {
            return Err(GraphError::secondary_may_not_see());
        }
        let connected = self.pages.get(page).map(|page| page.apps.clone()).unwrap_or_default();
        let others = connected.into_iter().filter(|other| other != app);
        Ok(ApiAnswer::Receivers(others.map(|app| (app.clone(), self.name_of(&app))).collect()))
    }

    pub(super) fn name_of(&self, app: &AppId) -> Option<String> {
        if is_inbox(app) {
            let inbox = if *app == super::page_inbox() { "Page Inbox" } else { "Instagram Inbox" };
            return Some(inbox.to_owned());
        }
        self.apps.get(app).map(|app| app.name.clone())
    }

    /// Drops pending echoes of an app that gives control away ([echoes](messenger_handover::protocol#echoes)), if so configured.
    fn lose_echoes(&mut self, app: &AppId, key: &ThreadKey) {
        if self.switches.echoes == Echoes::LostWhenControlLeaves && self.holder(key).as_ref() == Some(app) {
            self.outgoing.retain(|waiting| {
                waiting.label != "echo"
                    || waiting.app != *app
                    || waiting.page != key.page
                    || waiting.user.as_ref() != Some(&key.user)
            });
        }
    }
}
