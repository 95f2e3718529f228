//! Calls about a Page, a token or a conversation, other than thread control.

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
    /// Moves the expiry of our control with `extend_thread_control` ([extend](crate::protocol#extend)).
    /// `duration` is at most 7 days and is sent in whole seconds.
    ///
    /// # Errors
    /// [`CallError`] with [`FailureKind::NotThreadOwner`] if our app does not own the thread: claim control first.
    pub async fn extend_thread_control(
        &self,
        thread: &ThreadKey,
        duration: Duration,
    ) -> Result<(), CallError> {
        let body = Control { duration: Some(duration.as_secs()), ..Control::default() };
        response::success(&self.post_to(thread, "extend_thread_control", &body).await?)
    }

    /// Lists the apps that share the Page with `GET secondary_receivers`
    /// ([secondary receivers](crate::protocol#secondary-receivers)). Only the primary receiver may call it.
    /// Reads the first page of the list, by Graph's default 25 apps.
    ///
    /// # Errors
    /// [`CallError`]; subcode 2018234 if our app is a secondary receiver, 2018171 if it has no role on the Page.
    pub async fn secondary_receivers(&self, page: &PageId) -> Result<Vec<Receiver>, CallError> {
        let query = [("fields", "id,name")];
        response::receivers(&self.read(page, "secondary_receivers", &query).await?.json)
    }

    /// Reads the Page's [feature flags](crate::protocol#feature-status) with `GET /me?fields=messaging_feature_status`.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn messaging_feature_status(&self, page: &PageId) -> Result<FeatureStatus, CallError> {
        let query = [("fields", "messaging_feature_status")];
        response::feature_status(&self.read(page, "", &query).await?.json)
    }

    /// Lists the apps that get the Page's webhooks, with their fields, with `GET subscribed_apps`
    /// ([subscriptions](crate::protocol#page-subscriptions)). The token needs `pages_manage_metadata`.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
    pub async fn subscribed_apps(&self, page: &PageId) -> Result<Vec<SubscribedApp>, CallError> {
        response::subscribed_apps(&self.read(page, "subscribed_apps", &[]).await?.json)
    }

    /// Subscribes our app to the Page's webhooks with `POST subscribed_apps`
    /// ([subscriptions](crate::protocol#page-subscriptions)). Pass the full list, because the call replaces the fields
    /// that were set before. [`MESSENGER_FIELDS`](super::MESSENGER_FIELDS) and
    /// [`INSTAGRAM_FIELDS`](super::INSTAGRAM_FIELDS) hold the fields that a handover needs.
    ///
    /// # Errors
    /// [`CallError`]. [`FailureKind::Invalid`], without a call, for an empty list and for the singular names
    /// `messaging_handover` and `messaging_referral`: a Page's subscription accepts only the plural ones. (The object
    /// `instagram` of an app's own subscription has singular names.)
    pub async fn subscribe(&self, page: &PageId, fields: &[&str]) -> Result<(), CallError> {
        let singular = |field: &&&str| matches!(**field, "messaging_handover" | "messaging_referral");
        if let Some(field) = fields.iter().find(singular) {
            let words = format!("invalid webhook field {field}: a Page's subscription has the plural name");
            return Err(CallError::refused(Failure::new(FailureKind::Invalid, words)));
        }
        if fields.is_empty() {
            let words = "a subscription to no fields would end all webhooks";
            return Err(CallError::refused(Failure::new(FailureKind::Invalid, words)));
        }
        let body = Map::from_iter([("subscribed_fields".to_owned(), fields.join(",").into())]);
        response::success(&self.post(page, "subscribed_apps", &body).await?)
    }

    /// Reads whether our app owns the conversation with a person and whether the Page may write to them
    /// ([Conversations API](crate::protocol#conversations-api)); `None` if there is no conversation. Make at most
    /// [2 calls a second](crate::protocol#rate-limits) for each Page.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::advice`] says what to do.
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

    /// Inspects the [token](crate::protocol#tokens) of a Page with `GET debug_token`. The call uses the app's own token
    /// if the client has the [`app`](super::GraphClientBuilder::app), else the Page's token (inferred: a token may inspect
    /// itself). Graph wants the inspected token in the query; no error and no log shows it.
    ///
    /// # Errors
    /// [`CallError`]. An invalid token is not an error: see [`TokenInfo::valid`].
    pub async fn debug_token(&self, page: &PageId) -> Result<TokenInfo, CallError> {
        let inspected = self.auth(page).await?;
        let asking = match self.app() {
            // Graph does not require a proof for the app's own token.
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

    /// Sends a body of your own with `POST messages`, for the parts of the Send API that this crate has no type for.
    /// The client adds `recipient`, and `appsecret_proof` if it has the app's secret.
    ///
    /// # Errors
    /// [`CallError`]. [`FailureKind::Invalid`], without a call, for a `thread_control` whose `control_type` is neither
    /// `pass` nor `release`, because the platform would
    /// [release control](crate::protocol#send-with-control). If [`CallError::may_have_acted`], the customer may have
    /// received the message: do not send it again before you know.
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
        // The client adds these fields itself.
        body.remove("recipient");
        if self.app().is_some() {
            body.remove("appsecret_proof");
        }
        response::sent(&self.post_to(thread, "messages", &body).await?)
    }
}
