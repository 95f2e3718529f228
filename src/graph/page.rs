//! The calls about a Page, a token and a conversation, beyond thread control.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::body::Control;
use super::client::GraphClient;
use super::info::{Conversation, FeatureStatus, Platform, Receiver, SubscribedApp, TokenInfo};
use super::request::{EdgeCall, Node};
use super::response;
use super::tokens::Auth;
use crate::call::{Failure, FailureKind};
use crate::control::{CallError, Sent};
use crate::id::{PageId, ThreadKey};

impl GraphClient {
    /// `extend_thread_control`: keeps control of a thread of ours for so long, at most 7 days, sent
    /// in whole seconds.
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotThreadOwner`] if we do not own the thread.
    pub async fn extend_thread_control(
        &self,
        thread: &ThreadKey,
        duration: Duration,
    ) -> Result<(), CallError> {
        let body = Control { duration: Some(duration.as_secs()), ..Control::default() };
        response::success(&self.post_to(thread, "extend_thread_control", &body).await?)
    }

    /// `GET secondary_receivers`: the apps that share the Page, as the primary receiver may see them.
    /// It is about a Page, so it takes no person.
    /// The first page of the answer is read: 25 apps by Graph's default, more than a Page has.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn secondary_receivers(&self, page: &PageId) -> Result<Vec<Receiver>, CallError> {
        let query = [("fields", "id,name")];
        response::receivers(&self.read(page, "secondary_receivers", &query).await?.json)
    }

    /// `GET /me?fields=messaging_feature_status`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn messaging_feature_status(&self, page: &PageId) -> Result<FeatureStatus, CallError> {
        let query = [("fields", "messaging_feature_status")];
        response::feature_status(&self.read(page, "", &query).await?.json)
    }

    /// `GET subscribed_apps`: which apps get the Page's webhooks, and which fields. Needs
    /// `pages_manage_metadata`.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn subscribed_apps(&self, page: &PageId) -> Result<Vec<SubscribedApp>, CallError> {
        response::subscribed_apps(&self.read(page, "subscribed_apps", &[]).await?.json)
    }

    /// `POST subscribed_apps`: subscribes our app to these fields, and to no others: the call replaces
    /// what was set before. [`MESSENGER_FIELDS`] and [`INSTAGRAM_FIELDS`] are what a handover needs.
    ///
    /// # Errors
    /// [`CallError`]; [`FailureKind::Invalid`] for no field at all, and for the singular names
    /// `messaging_handover` and `messaging_referral`, without asking the platform.
    pub async fn subscribe(&self, page: &PageId, fields: &[&str]) -> Result<(), CallError> {
        let singular = |field: &&&str| matches!(**field, "messaging_handover" | "messaging_referral");
        if let Some(field) = fields.iter().find(singular) {
            let words = format!("there is no webhook field {field}: the name is plural");
            return Err(CallError::refused(Failure::new(FailureKind::Invalid, words)));
        }
        if fields.is_empty() {
            let words = "a subscription to no fields would end all webhooks";
            return Err(CallError::refused(Failure::new(FailureKind::Invalid, words)));
        }
        let body = Map::from_iter([("subscribed_fields".to_owned(), fields.join(",").into())]);
        response::success(&self.post(page, "subscribed_apps", &body).await?)
    }

    /// The conversation with a person, if there is one: whether our app owns it and whether the Page
    /// may write (facts §2.9; at most 2 calls a second for each Page, facts §6).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn conversation(
        &self,
        thread: &ThreadKey,
        platform: Platform,
    ) -> Result<Option<Conversation>, CallError> {
        let platform = match platform {
            Platform::Messenger => "messenger",
            Platform::Instagram => "instagram",
        };
        let user = thread.user.to_string();
        let query = [("platform", platform), ("user_id", &user), ("fields", "id,is_owner,can_reply")];
        response::conversation(&self.read(&thread.page, "conversations", &query).await?.json)
    }

    /// `GET debug_token` for the token of a Page. It asks with the app's own token where the client
    /// knows [`app`](super::GraphClientBuilder::app), and else with the Page's (INF: a token may look at
    /// itself). The token travels in the query, as Graph wants it: no error and no log shows it.
    ///
    /// # Errors
    /// [`CallError`]. A token that is no good is no error.
    pub async fn debug_token(&self, page: &PageId) -> Result<TokenInfo, CallError> {
        let inspected = self.auth(page).await?;
        let asking = match self.app() {
            // A proof of the app's own token is not asked for.
            Some(app) => Auth::new(app.token(), None).map(Arc::new).ok_or_else(|| {
                CallError::refused(Failure::new(FailureKind::Token, "the app's secret is no token"))
            })?,
            None => Arc::clone(&inspected),
        };
        let query = [("input_token", inspected.token.expose_secret())];
        let request = EdgeCall::read(page, Node::Root, "debug_token", &query);
        let answer = self.once(&request, &asking, Some(&inspected)).await?;
        response::token_info(&answer.json, &inspected.token)
    }

    /// `POST messages` with a body of your own: whatever the Send API takes that this crate has no type
    /// for. `recipient` is added. A `thread_control` without a known `control_type` is refused: the
    /// platform would release control (facts §3.5).
    ///
    /// # Errors
    /// [`CallError`]. Where [`CallError::may_have_acted`] the customer may have got it.
    pub async fn send_raw(
        &self,
        thread: &ThreadKey,
        mut body: Map<String, Value>,
    ) -> Result<Sent, CallError> {
        if let Some(control) = body.get("thread_control") {
            let kind = control.get("control_type").and_then(Value::as_str);
            if !matches!(kind, Some("pass" | "release")) {
                let words = "thread_control without a control_type of pass or release would release control";
                return Err(CallError::refused(Failure::new(FailureKind::Invalid, words)));
            }
        }
        // Those are added, and must not be there twice.
        body.remove("recipient");
        if self.app().is_some() {
            body.remove("appsecret_proof");
        }
        response::sent(&self.post_to(thread, "messages", &body).await?)
    }
}
