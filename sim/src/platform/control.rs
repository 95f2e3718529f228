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
    /// Facts §1.2, §2.4: by the owner, or by anyone when the thread is idle. For the handover protocol
    /// the latter is INF from the newer page. Parameters are checked before ownership (INF).
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
        // Facts §5.3: 100/2018164. That the target must be connected to the Page is INF.
        if !self.pages.get(&key.page).is_some_and(|page| page.apps.contains(&target)) {
            return Err(GraphError::no_such_target(&target));
        }
        let owner = self.holder(key);
        if owner.as_ref().is_some_and(|owner| owner != app) {
            return Err(GraphError::pass_by_stranger());
        }
        // Facts §2.4: the owner may not lengthen its lease so. Under handover INF.
        if owner.as_ref() == Some(&target) {
            return Err(GraphError::already_owner());
        }
        self.lose_echoes(app, key);
        self.hand(key, owner.as_ref(), &target, metadata, now);
        Ok(ApiAnswer::Success)
    }

    /// Where a pass without a target goes. Handover: from a secondary receiver to the primary, and the
    /// primary must name one (facts §1.2). Routing: to the default application (facts §2.4).
    fn default_target(&self, app: &AppId, key: &ThreadKey) -> Option<AppId> {
        match self.rules(&key.page) {
            Rules::Handover { primary } => primary.filter(|primary| primary != app),
            Rules::Routing { default_app } => default_app,
        }
    }

    /// Makes `target` the owner and tells it so (facts §1.3: pass goes to the new owner).
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
            // Facts §1.2: the primary at any time, anyone when idle. The refusal is facts §5.2 (3P).
            // That taking one's own thread changes nothing is INF.
            Rules::Handover { .. } if owns => return Ok(ApiAnswer::Success),
            Rules::Handover { primary } => {
                if owner.is_some() && primary.as_ref() != Some(app) {
                    return Err(GraphError::permission_denied());
                }
            }
            // Facts §2.4, §5.2.
            Rules::Routing { default_app: None } => return Err(GraphError::take_without_routing()),
            // Facts §2.1: the per-app switch, for the default application too since 2024 (facts §0).
            Rules::Routing { default_app: Some(_) } => {
                if !self.apps.get(app).is_some_and(|app| app.may_take) {
                    return Err(GraphError::permission_denied());
                }
                // Facts §2.4: not to prolong one's own lease.
                if owns {
                    return Err(GraphError::already_owner());
                }
            }
        }
        self.seize(app, key, metadata, now);
        Ok(ApiAnswer::Success)
    }

    /// Makes `app` the owner and tells the previous one; a take from idle tells nobody (facts §1.3,
    /// §2.4).
    pub(super) fn seize(&mut self, app: &AppId, key: &ThreadKey, metadata: Option<&str>, now: Timestamp) {
        let owner = self.holder(key);
        self.give(key, app, now);
        if let Some(owner) = owner.filter(|owner| owner != app) {
            // Meta's take sample has the new owner as a number (facts §4.6).
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
        // Facts §2.1: not available; the shape is unknown.
        if matches!(rules, Rules::Routing { default_app: Some(_) }) {
            return match self.request_under_default_app {
                RequestUnderDefaultApp::Refused => Err(GraphError::request_under_default_app()),
                RequestUnderDefaultApp::SilentSuccess => Ok(ApiAnswer::Success),
            };
        }
        if owner.as_ref() == Some(app) {
            return Err(GraphError::already_owner());
        }
        let asked = match rules {
            // Facts §1.2, §1.3: the primary is asked, even about an idle thread or a third app's.
            Rules::Handover { primary: Some(primary) } if primary != *app => Some(primary),
            // The primary itself asks: the owner is (DESIGN §1). Idle: there is nobody to ask, and it
            // can take (INF).
            Rules::Handover { primary: Some(_) } => owner,
            // Facts §2.4: the owner is asked; idle: granted at once, and a pass tells so.
            Rules::Handover { primary: None } | Rules::Routing { .. } => {
                if owner.is_none() {
                    self.hand(key, None, app, metadata, now);
                }
                owner
            }
        };
        if let Some(asked) = asked {
            // Meta's sample has a number here (facts §4.6).
            let body = json!({"requested_owner_app_id": number(app)});
            self.tell_control(&asked, key, "request_thread_control", body, metadata, now);
        }
        // "Sent", never "granted"; the inbox and silent apps do not answer (facts §2.7).
        Ok(ApiAnswer::Success)
    }

    /// Facts §1.2, §2.4: by the owner; nobody is told.
    pub(super) fn release(&mut self, app: &AppId, key: &ThreadKey) -> Answer {
        if self.holder(key).as_ref() != Some(app) {
            return Err(GraphError::release_by_stranger());
        }
        self.lose_echoes(app, key);
        self.thread_mut(key).lease = None;
        Ok(ApiAnswer::Success)
    }

    /// Facts §2.4: by the owner, for at most 7 days. The messaging window does not move (INF).
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

    /// Facts §1.2 (handover: any app of the Page sees all), §2.4 (routing: the owner and the default
    /// application see all, others only that there is an owner).
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

    /// Facts §1.2: meant for the primary; §5.3 (2018234): not for the secondary receivers. Without
    /// roles any app sees the others (INF).
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

    fn name_of(&self, app: &AppId) -> Option<String> {
        if is_inbox(app) {
            let inbox = if *app == super::inbox() { "Page Inbox" } else { "Instagram Inbox" };
            return Some(inbox.to_owned());
        }
        self.apps.get(app).map(|app| app.name.clone())
    }

    /// Facts §4.8: the echo of a message whose sender gave control away at once may never reach it.
    fn lose_echoes(&mut self, app: &AppId, key: &ThreadKey) {
        if self.echoes == Echoes::LostWhenControlLeaves && self.holder(key).as_ref() == Some(app) {
            self.outgoing.retain(|waiting| {
                waiting.label != "echo"
                    || waiting.app != *app
                    || waiting.page != key.page
                    || waiting.user.as_ref() != Some(&key.user)
            });
        }
    }
}
