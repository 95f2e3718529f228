//! What Graph knows of a Page, a token and a conversation.

use crate::call::Failure;
use crate::id::{AppId, PageId};
use crate::time::Timestamp;

/// The Graph version that is used if none is set: the current one of November 2026 (facts §3.1).
pub const DEFAULT_VERSION: &str = "v27.0";

/// The webhook fields that a handover on Messenger needs (facts §4.1). The names are plural: the
/// singular ones on one of Meta's pages do not exist.
pub const MESSENGER_FIELDS: [&str; 8] = [
    "messages",
    "messaging_postbacks",
    "messaging_referrals",
    "messaging_handovers",
    "standby",
    "message_echoes",
    "message_reads",
    "message_deliveries",
];

/// The webhook fields that a handover on Instagram needs. Echoes come with `messages`; there are no
/// delivery receipts (facts §4.1, §4.8).
pub const INSTAGRAM_FIELDS: [&str; 6] = [
    "messages",
    "messaging_postbacks",
    "messaging_referrals",
    "messaging_handovers",
    "messaging_seen",
    "standby",
];

/// Which of Meta's messaging platforms a conversation is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Platform {
    /// Messenger
    #[default]
    Messenger,
    /// Instagram
    Instagram,
}

/// `messaging_feature_status` (facts §2.1). Meta does not say what each flag means: show them to people,
/// and let behaviour decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FeatureStatus {
    /// `hop_v2`
    pub hop_v2: Option<bool>,
    /// `msgr_multi_app`
    pub msgr_multi_app: Option<bool>,
    /// `ig_multi_app`
    pub ig_multi_app: Option<bool>,
}

/// An app that gets a Page's webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribedApp {
    /// The app.
    pub app: AppId,
    /// Its name, if the platform told.
    pub name: Option<String>,
    /// The fields that it is subscribed to.
    pub fields: Vec<String>,
}

/// A conversation as the Conversations API shows it (facts §2.9).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Conversation {
    /// Meta's own id of it, `t_…`.
    pub id: Option<String>,
    /// Whether our app owns it. Only there with Conversation Routing.
    pub is_owner: Option<bool>,
    /// Whether the Page may write, as far as window and person go.
    pub can_reply: Option<bool>,
}

/// What `debug_token` tells of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Whether it is good now.
    pub valid: bool,
    /// The app it was made for.
    pub app: Option<AppId>,
    /// The Page it speaks for (`profile_id`).
    pub page: Option<PageId>,
    /// `PAGE`, `USER`, `SYSTEM_USER`, …
    pub kind: Option<String>,
    /// When it ends; none if it does not.
    pub expires: Option<Timestamp>,
    /// When the app's access to data ends; none if it does not.
    pub data_access_expires: Option<Timestamp>,
    /// The permissions that it carries.
    pub scopes: Vec<String>,
    /// What is wrong with it, where it is not good.
    pub problem: Option<Failure>,
}

/// An app that shares a Page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receiver {
    /// Its id.
    pub app: AppId,
    /// Its name, if the platform told.
    pub name: Option<String>,
}

impl Receiver {
    /// An app with its name.
    #[must_use]
    pub fn new(app: AppId, name: Option<String>) -> Self {
        Self { app, name }
    }
}
