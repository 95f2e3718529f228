//! The types that Graph's reading calls return: Pages' apps, tokens, conversations, feature flags.

use crate::call::Failure;
use crate::id::{AppId, PageId};
use crate::time::Timestamp;

/// The default version of the Graph API, current in November 2026 ([versions](crate::protocol#versions)).
pub const DEFAULT_VERSION: &str = "v27.0";

/// The webhook fields that a handover on Messenger needs ([subscriptions](crate::protocol#page-subscriptions)). With
/// `Builder::receipts` add `message_deliveries` and `message_reads`, which double the events. The names are plural: a
/// Page's subscription does not accept the singular names that Meta's routing page prints.
pub const MESSENGER_FIELDS: [&str; 7] = [
    "messages",
    "messaging_postbacks",
    "messaging_referrals",
    "messaging_handovers",
    "standby",
    "message_echoes",
    "message_edits",
];

/// The webhook fields that a handover on Instagram needs ([subscriptions](crate::protocol#page-subscriptions)). Echoes
/// come with `messages`. With `Builder::receipts` add `messaging_seen`; there are [no delivery
/// receipts](crate::protocol#receipts). The object `instagram` of an app's own subscription has the singular names
/// `messaging_handover` and `messaging_referral` instead.
pub const INSTAGRAM_FIELDS: [&str; 5] =
    ["messages", "messaging_postbacks", "messaging_referrals", "messaging_handovers", "standby"];

/// The messaging platform of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Platform {
    /// Messenger
    #[default]
    Messenger,
    /// Instagram
    Instagram,
}

/// The flags of [`messaging_feature_status`](crate::protocol#feature-status). Meta does not explain them: show them to
/// people, and let the platform's responses decide.
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
    /// The app's id.
    pub app: AppId,
    /// The app's name, if the platform sends it.
    pub name: Option<String>,
    /// The webhook fields that the app is subscribed to.
    pub fields: Vec<String>,
}

/// A conversation as the [Conversations API](crate::protocol#conversations-api) shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Conversation {
    /// Meta's id of the conversation, `t_…`.
    pub id: Option<String>,
    /// Whether our app owns the thread; `None` without Conversation Routing.
    pub is_owner: Option<bool>,
    /// Whether the messaging window is open and the person can be written to.
    pub can_reply: Option<bool>,
}

/// The result of `debug_token` for one token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenInfo {
    /// Whether the token is valid now.
    pub valid: bool,
    /// The app that the token was issued to.
    pub app: Option<AppId>,
    /// The Page that the token belongs to (`profile_id`).
    pub page: Option<PageId>,
    /// The token's type: `PAGE`, `USER`, `SYSTEM_USER`, …
    pub kind: Option<String>,
    /// The token's expiry, or `None` if it never expires.
    pub expires: Option<Timestamp>,
    /// The end of the app's access to data, or `None` if it does not end.
    pub data_access_expires: Option<Timestamp>,
    /// The token's permissions.
    pub scopes: Vec<String>,
    /// The reason why the token is invalid.
    pub problem: Option<Failure>,
}

/// An app that shares a Page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receiver {
    /// The app's id.
    pub app: AppId,
    /// The app's name, if the platform sends it.
    pub name: Option<String>,
}

impl Receiver {
    /// Creates a receiver from its id and name.
    #[must_use]
    pub fn new(app: AppId, name: Option<String>) -> Self {
        Self { app, name }
    }
}
