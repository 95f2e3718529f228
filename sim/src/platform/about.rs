//! The calls that read or configure a Page, a conversation or a token.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{ApiAnswer, ApiCall, GraphError, KNOWN_FIELDS, Platform, Rules};
use messenger_handover::id::{AppId, PageId};

/// The permissions of a token by default ([tokens](messenger_handover::protocol#tokens)).
pub const DEFAULT_SCOPES: [&str; 2] = ["pages_messaging", "pages_manage_metadata"];

impl Platform {
    /// Handles the calls that name no person.
    pub(super) fn about_page(
        &mut self,
        app: &AppId,
        page: &PageId,
        call: &ApiCall,
    ) -> Result<ApiAnswer, GraphError> {
        match call {
            ApiCall::SecondaryReceivers => self.secondary_receivers(app, page),
            ApiCall::Node { fields } => Ok(ApiAnswer::Other(self.page_node(app, page, fields))),
            ApiCall::Message { mid, fields } => self.message_node(page, mid, fields),
            ApiCall::Upload { message } => self.upload(page, message),
            ApiCall::Moderate { users, actions } => self.moderate(page, users, actions),
            ApiCall::FeatureStatus => {
                let status = self.feature_flags(page);
                Ok(ApiAnswer::Other(json!({"messaging_feature_status": status, "id": page})))
            }
            ApiCall::SubscribedApps => Ok(self.subscribed_apps(page)),
            ApiCall::Subscribe { fields } => self.subscribe(app, page, fields),
            _ => Err(GraphError::missing("recipient")),
        }
    }

    /// `messaging_feature_status`. Meta does not explain its [flags](messenger_handover::protocol#feature-status), so these
    /// readings are inferred: routing is on, and there are several apps beside the inbox.
    pub(super) fn feature_flags(&self, page: &PageId) -> serde_json::Value {
        let apps = self.pages.get(page).map(|page| page.apps.len()).unwrap_or_default();
        let routing = matches!(self.rules(page), Rules::Routing { default_app: Some(_) });
        json!({"hop_v2": routing, "msgr_multi_app": apps > 2, "ig_multi_app": false})
    }

    /// Lists every subscribed app. Inferred: with a Page token Graph may list fewer
    /// ([subscriptions](messenger_handover::protocol#page-subscriptions)).
    fn subscribed_apps(&self, page: &PageId) -> ApiAnswer {
        let connected = self.pages.get(page).map(|page| page.apps.clone()).unwrap_or_default();
        let data = connected.iter().filter_map(|id| {
            let app = self.apps.get(id)?;
            let fields = self.fields_of(page, id);
            (!fields.is_empty()).then(|| json!({"id": id, "name": app.name, "subscribed_fields": fields}))
        });
        ApiAnswer::Other(json!({"data": data.collect::<Vec<_>>()}))
    }

    /// Replaces an app's [subscriptions](messenger_handover::protocol#page-subscriptions) on a Page.
    fn subscribe(&mut self, app: &AppId, page: &PageId, fields: &[String]) -> Result<ApiAnswer, GraphError> {
        if let Some(unknown) = fields
            .iter()
            .find(|field| !KNOWN_FIELDS.contains(&field.as_str()) && !self.is_own_field(page, field))
        {
            let why = format!("{unknown:?} is not one of the webhook fields");
            return Err(GraphError::invalid("subscribed_fields", &why));
        }
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.subscribed.insert(app.clone(), fields.iter().cloned().collect());
        }
        // A string, as in Meta's sample (docs/protocol.md#call-answers).
        Ok(ApiAnswer::Other(json!({"success": "true"})))
    }

    /// Removes all of an app's subscriptions on a Page. Does nothing if there is no such Page.
    pub fn unsubscribe(&mut self, page: &PageId, app: &AppId) {
        if let Some(page) = Arc::make_mut(&mut self.pages).get_mut(page) {
            page.subscribed.insert(app.clone(), BTreeSet::new());
        }
    }

    /// An app's subscriptions on a Page: those it set there, or else those of the [`App`](super::App).
    pub(super) fn fields_of(&self, page: &PageId, app: &AppId) -> BTreeSet<String> {
        let own = self.pages.get(page).and_then(|page| page.subscribed.get(app));
        own.or_else(|| self.apps.get(app).map(|app| self.fields_for(page, app))).cloned().unwrap_or_default()
    }

    /// `debug_token`: an app can only inspect its own tokens.
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
}

/// Reads for the server and its steering calls.
impl Platform {
    pub(crate) fn has_page(&self, page: &PageId) -> bool {
        self.pages.contains_key(page)
    }

    /// Whether an app is subscribed to any field of a Page.
    pub(crate) fn is_subscribed(&self, page: &PageId, app: &AppId) -> bool {
        !self.fields_of(page, app).is_empty()
    }

    /// Replaces this platform, but keeps the counters of ids, so that no id is used twice.
    pub(crate) fn begin_anew(&mut self, fresh: Self) {
        let (messages, refusals) = (self.messages, self.refusals);
        *self = Self { messages, refusals, ..fresh };
    }

    /// The secrets to remove from transcripts.
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

    /// Apps, Pages and people, without secrets.
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
            let people = page.people.iter().map(|(id, name)| {
                json!({"id": id, "name": name, "availability": self.availability(&page.id, id)})
            });
            json!({"id": page.id, "name": page.name, "rules": rules, "default_app": first,
                "instagram": page.instagram, "is_instagram": self.is_instagram(&page.id), "apps": page.apps,
                "restriction": page.restriction, "hides_thread_owner": page.hides_thread_owner, "ai_app": page.ai,
                "subscriptions": self.subscriptions(&page.id),
                "people": people.collect::<Vec<_>>()})
        });
        json!({"apps": apps.collect::<Vec<_>>(), "pages": pages.collect::<Vec<_>>(), "switches": self.switches})
    }
}
