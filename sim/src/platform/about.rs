//! What an app can ask about a Page, a conversation and a token.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{ApiAnswer, ApiCall, GraphError, Platform, Rules};
use messenger_handover::id::{AppId, PageId, ThreadKey};
use messenger_handover::time::Timestamp;

/// The permissions that a token has unless it says otherwise (facts §3.3).
pub const DEFAULT_SCOPES: [&str; 2] = ["pages_messaging", "pages_manage_metadata"];

/// The webhook fields there are (facts §4.1, from Meta's own list), as far as messaging goes, and those
/// that messaging apps set beside them.
pub const KNOWN_FIELDS: [&str; 24] = [
    "messages",
    "messaging_postbacks",
    "messaging_referrals",
    "messaging_handovers",
    "messaging_optins",
    "messaging_account_linking",
    "messaging_seen",
    "standby",
    "message_echoes",
    "message_reads",
    "message_deliveries",
    "message_reactions",
    "message_edits",
    "message_context",
    "messaging_customer_information",
    "messaging_game_plays",
    "messaging_payments",
    "messaging_policy_enforcement",
    "response_feedback",
    "send_cart",
    "feed",
    "leadgen",
    "mention",
    "live_videos",
];

impl Platform {
    /// The calls that are about no person.
    pub(super) fn about_page(
        &mut self,
        app: &AppId,
        page: &PageId,
        call: &ApiCall,
    ) -> Result<ApiAnswer, GraphError> {
        match call {
            ApiCall::SecondaryReceivers => self.secondary_receivers(app, page),
            ApiCall::Node => {
                let known = self.pages.get(page);
                let name = known.map(|page| &page.name);
                let mut node = json!({ "id": page, "name": name });
                if let Some(account) = known.and_then(|page| page.instagram.as_ref()) {
                    node["instagram_business_account"] = json!({ "id": account });
                }
                if self.is_instagram(page) {
                    node["user_id"] = json!(page);
                    node["username"] = json!(name);
                }
                Ok(ApiAnswer::Other(node))
            }
            ApiCall::FeatureStatus => Ok(self.feature_status(page)),
            ApiCall::SubscribedApps => Ok(self.subscribed_apps(page)),
            ApiCall::Subscribe { fields } => self.subscribe(app, page, fields),
            _ => Err(GraphError::missing("recipient")),
        }
    }

    /// Facts §2.1. What each flag means is not documented, so these readings are INF: routing is on, and
    /// there are several apps beside the inbox.
    fn feature_status(&self, page: &PageId) -> ApiAnswer {
        let apps = self.pages.get(page).map(|page| page.apps.len()).unwrap_or_default();
        let routing = matches!(self.rules(page), Rules::Routing { default_app: Some(_) });
        let status = json!({"hop_v2": routing, "msgr_multi_app": apps > 2, "ig_multi_app": false});
        ApiAnswer::Other(json!({"messaging_feature_status": status, "id": page}))
    }

    /// Every app that is subscribed to something (INF: with a Page token Graph may show fewer).
    fn subscribed_apps(&self, page: &PageId) -> ApiAnswer {
        let connected = self.pages.get(page).map(|page| page.apps.clone()).unwrap_or_default();
        let data = connected.iter().filter_map(|id| {
            let app = self.apps.get(id)?;
            let fields = self.fields_of(page, id);
            (!fields.is_empty()).then(|| json!({"id": id, "name": app.name, "subscribed_fields": fields}))
        });
        ApiAnswer::Other(json!({"data": data.collect::<Vec<_>>()}))
    }

    /// Replaces what the app is subscribed to on the Page (facts §4.1).
    fn subscribe(&mut self, app: &AppId, page: &PageId, fields: &[String]) -> Result<ApiAnswer, GraphError> {
        if let Some(unknown) = fields.iter().find(|field| !KNOWN_FIELDS.contains(&field.as_str())) {
            let why = format!("{unknown:?} is not one of the webhook fields");
            return Err(GraphError::invalid("subscribed_fields", &why));
        }
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.subscribed.insert(app.clone(), fields.iter().cloned().collect());
        }
        // As in Meta's sample: the string (facts §3.4).
        Ok(ApiAnswer::Other(json!({"success": "true"})))
    }

    /// Ends what an app is subscribed to on a Page. Nothing happens if there is no such Page.
    pub fn unsubscribe(&mut self, page: &PageId, app: &AppId) {
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.subscribed.insert(app.clone(), BTreeSet::new());
        }
    }

    /// What an app is subscribed to on a Page: what it set there, else what the test gave it.
    pub(super) fn fields_of(&self, page: &PageId, app: &AppId) -> BTreeSet<String> {
        let own = self.pages.get(page).and_then(|page| page.subscribed.get(app));
        own.or_else(|| self.apps.get(app).map(|app| &app.fields)).cloned().unwrap_or_default()
    }

    /// Facts §2.9: `is_owner` is only there with Conversation Routing.
    pub(super) fn conversation_of(&self, app: &AppId, key: &ThreadKey, now: Timestamp) -> ApiAnswer {
        let Some(thread) = self.threads.get(key) else { return ApiAnswer::Other(json!({"data": []})) };
        let in_window = thread.last_customer.is_some_and(|last| now.since(last) < super::DAY);
        let mut found = json!({"id": format!("t_{}", key.user), "can_reply": in_window});
        if matches!(self.rules(&key.page), Rules::Routing { default_app: Some(_) }) {
            found["is_owner"] = json!(self.holder(key).as_ref() == Some(app));
        }
        ApiAnswer::Other(json!({"data": [found]}))
    }

    /// `debug_token`: only an app may look at its own tokens.
    pub(crate) fn debug_token(&self, asking: &AppId, inspected: &str) -> serde_json::Value {
        let found = self.pages.values().find_map(|page| {
            let token = page.tokens.iter().find(|known| known.token.expose_secret() == inspected)?;
            (token.app == *asking).then_some((page, token))
        });
        let Some((page, token)) = found else {
            let error = json!({"code": 190, "message": "The access token could not be decrypted"});
            return json!({"data": {"is_valid": false, "error": error, "scopes": []}});
        };
        let mut data = json!({
            "app_id": token.app, "type": "PAGE", "profile_id": page.id, "is_valid": token.ended.is_none(),
            "application": self.apps.get(&token.app).map(|app| &app.name), "expires_at": 0,
            "data_access_expires_at": 0, "scopes": token.scopes,
        });
        if let Some(subcode) = token.ended {
            let message = GraphError::token_ended(subcode).message;
            data["error"] = json!({"code": 190, "subcode": subcode, "message": message});
        }
        json!({ "data": data })
    }

    /// Ends the token of an app for a Page with one of Graph's subcodes: 463 expired, 460 password changed,
    /// 458 app removed (facts §5.3). Nothing happens if there is no such token.
    pub fn end_token(&mut self, page: &PageId, app: &AppId, subcode: i64) {
        let tokens =
            Arc::make_mut(&mut self.pages).get_mut(page).into_iter().flat_map(|page| &mut page.tokens);
        for token in tokens.filter(|token| token.app == *app) {
            token.ended = Some(subcode);
        }
    }

    /// Takes permissions from, or gives them to, the token of an app. Nothing happens if there is none.
    pub fn set_scopes(&mut self, page: &PageId, app: &AppId, scopes: &[&str]) {
        let tokens =
            Arc::make_mut(&mut self.pages).get_mut(page).into_iter().flat_map(|page| &mut page.tokens);
        for token in tokens.filter(|token| token.app == *app) {
            token.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        }
    }
}

/// What the server and its steering look at.
impl Platform {
    pub(crate) fn has_page(&self, page: &PageId) -> bool {
        self.pages.contains_key(page)
    }

    /// All conversations of a Page, the last written first (facts §2.9).
    pub(crate) fn conversations(&self, page: &PageId) -> serde_json::Value {
        let mut found: Vec<_> = self.threads.iter().filter(|(key, _)| key.page == *page).collect();
        found.sort_by_key(|(_, thread)| std::cmp::Reverse(thread.last_customer));
        let found = found.iter().map(|(key, _)| {
            json!({"id": format!("t_{}", key.user), "participants": {"data": [{"id": key.user}, {"id": key.page}]}})
        });
        json!({"data": found.collect::<Vec<_>>()})
    }

    /// Whether an app is subscribed to anything of a Page.
    pub(crate) fn is_subscribed(&self, page: &PageId, app: &AppId) -> bool {
        !self.fields_of(page, app).is_empty()
    }

    /// Becomes as another one, but for the ids that were given: none comes twice.
    pub(crate) fn begin_anew(&mut self, fresh: Self) {
        let (messages, refusals) = (self.messages, self.refusals);
        *self = Self { messages, refusals, ..fresh };
    }

    /// What must stand in no transcript.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let apps = self.apps.values();
        let of_apps = apps.flat_map(|app| [app.secret.expose_secret(), app.verify_token.expose_secret()]);
        let tokens = self.pages.values().flat_map(|page| &page.tokens);
        of_apps.chain(tokens.map(|access| access.token.expose_secret())).map(str::to_owned).collect()
    }

    pub(crate) fn rules_of(&self, page: &PageId) -> Rules {
        self.rules(page)
    }

    pub(crate) fn is_connected(&self, page: &PageId, app: &AppId) -> bool {
        self.pages.get(page).is_some_and(|page| page.apps.contains(app))
    }

    /// Apps, Pages and people, without a secret.
    pub(crate) fn shown(&self) -> serde_json::Value {
        let apps = self.apps.values().map(|app| {
            json!({"id": app.id, "name": app.name, "callback_url": app.callback, "may_take": app.may_take,
                "human_agent": app.human_agent, "fields": app.fields})
        });
        let pages = self.pages.values().map(|page| {
            let (rules, first) = match &page.rules {
                Rules::Handover { primary } => ("handover", primary),
                Rules::Routing { default_app } => ("routing", default_app),
            };
            let people = page.people.iter().map(|(id, name)| json!({"id": id, "name": name}));
            json!({"id": page.id, "name": page.name, "rules": rules, "default_app": first,
                "instagram": page.instagram, "is_instagram": self.is_instagram(&page.id), "apps": page.apps,
                "people": people.collect::<Vec<_>>()})
        });
        let switches = json!({"request_under_default_app": self.request_under_default_app,
            "zero_config": self.zero_config, "echoes": self.echoes});
        json!({"apps": apps.collect::<Vec<_>>(), "pages": pages.collect::<Vec<_>>(), "switches": switches})
    }
}
