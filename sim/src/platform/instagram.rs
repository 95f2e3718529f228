//! The differences of Instagram: fields, receipts, the inbox and the refusals.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::config::{App, Kind};
use super::{EchoMetadata, GraphError, Platform};
use messenger_handover::id::{AppId, INSTAGRAM_INBOX, PAGE_INBOX, PageId, ThreadKey, UserId};
use messenger_handover::time::Timestamp;

/// The webhook fields of the object `instagram` for messaging
/// ([subscriptions](messenger_handover::protocol#page-subscriptions)).
pub const INSTAGRAM_FIELDS: [&str; 8] = [
    "messages",
    "messaging_postbacks",
    "messaging_handover",
    "messaging_referral",
    "messaging_seen",
    "message_edit",
    "message_reactions",
    "standby",
];

/// The fields that differ in number: the name of the object `page`, and that of `instagram`.
const RENAMED: [(&str, &str); 3] = [
    ("messaging_handovers", "messaging_handover"),
    ("messaging_referrals", "messaging_referral"),
    ("message_edits", "message_edit"),
];

/// Whether an app is one of Meta's inboxes, which have no webhooks.
pub(super) fn is_inbox(app: &AppId) -> bool {
    [AppId::from(PAGE_INBOX), AppId::from(INSTAGRAM_INBOX)].contains(app)
}

impl Platform {
    pub(crate) fn is_instagram(&self, account: &PageId) -> bool {
        self.pages.get(account).is_some_and(|page| page.kind == Kind::Instagram)
    }

    /// Whether an account uses Instagram Login, whose webhooks come as [`changes`](messenger_handover::protocol#webhook-envelope)
    /// (inferred).
    pub(crate) fn is_instagram_login(&self, account: &PageId) -> bool {
        self.pages.get(account).is_some_and(|page| page.kind == Kind::Instagram && !page.tokens.is_empty())
    }

    /// The account of the conversation that a call with a Page's token is about: a Page's
    /// [path](messenger_handover::protocol#graph-paths) also serves the people of its Instagram account.
    pub(crate) fn account_of(&self, page: &PageId, user: Option<&UserId>) -> PageId {
        let linked = self.pages.get(page).and_then(|page| page.instagram.as_ref());
        let of_instagram = linked.filter(|account| {
            let account = self.pages.get(account);
            user.is_some_and(|user| account.is_some_and(|account| account.people.contains_key(user)))
        });
        of_instagram.unwrap_or(page).clone()
    }

    /// The Instagram account of a Page, if `id` is its id.
    pub(crate) fn linked_account(&self, page: &PageId, id: &str) -> Option<PageId> {
        let account = self.pages.get(page)?.instagram.as_ref()?;
        (*account == *id).then(|| account.clone())
    }

    pub(crate) fn inbox_of(&self, account: &PageId) -> AppId {
        AppId::from(if self.is_instagram(account) { INSTAGRAM_INBOX } else { PAGE_INBOX })
    }

    /// The [field](messenger_handover::protocol#page-subscriptions) that an app must be subscribed to. Standby also needs
    /// `standby`; that this does not replace the event's own field is inferred.
    pub(crate) fn field_of(&self, account: &PageId, label: &str) -> &'static str {
        let instagram = self.is_instagram(account);
        let field = match label {
            "message" => "messages",
            "postback" => "messaging_postbacks",
            "echo" if instagram => "messages",
            "echo" => "message_echoes",
            "delivery" => "message_deliveries",
            "read" if instagram => "messaging_seen",
            "read" => "message_reads",
            "reaction" => "message_reactions",
            "edit" => "message_edits",
            "referral" => "messaging_referrals",
            "optin" => "messaging_optins",
            "policy_enforcement" => "messaging_policy_enforcement",
            _ => "messaging_handovers",
        };
        match RENAMED.iter().find(|(of_page, _)| instagram && *of_page == field) {
            Some((_, own)) => own,
            None => field,
        }
    }

    /// Whether these fields have the one of an event. An app of the simulator may have one list for both objects, so on
    /// Instagram the Page's name of a field counts too.
    pub(super) fn has_field(&self, account: &PageId, fields: &BTreeSet<String>, label: &str) -> bool {
        let own = self.field_of(account, label);
        let of_page =
            RENAMED.iter().find(|(_, of_instagram)| *of_instagram == own).map(|(of_page, _)| *of_page);
        fields.contains(own) || of_page.is_some_and(|of_page| fields.contains(of_page))
    }

    /// Whether `subscribed_apps` of an account takes a field by Instagram's name.
    pub(super) fn is_own_field(&self, account: &PageId, field: &str) -> bool {
        self.is_instagram(account) && INSTAGRAM_FIELDS.contains(&field)
    }

    /// The fields that an app has for the object of an account.
    pub(super) fn fields_for<'a>(&self, account: &PageId, app: &'a App) -> &'a BTreeSet<String> {
        let own = app.instagram_fields.as_ref().filter(|_| self.is_instagram(account));
        own.unwrap_or(&app.fields)
    }

    /// Sets an app's fields of the object `instagram`, or with `None` makes them those of its Pages; see
    /// [`App::instagram_fields`]. Subscriptions by calls end. Does nothing if there is no such app.
    pub fn set_instagram_fields(&mut self, app: &AppId, fields: Option<BTreeSet<String>>) {
        if let Some(known) = Arc::make_mut(&mut self.apps).get_mut(app) {
            known.instagram_fields = fields;
        }
        let accounts = Arc::make_mut(&mut self.pages).values_mut();
        for account in accounts.filter(|account| account.kind == Kind::Instagram) {
            account.subscribed.remove(app);
        }
    }

    /// Whether the echoes of an account lack `metadata`: see [`EchoMetadata`].
    pub(super) fn echoes_lack_metadata(&self, account: &PageId) -> bool {
        self.switches.echo_metadata == EchoMetadata::MissingOnInstagram && self.is_instagram(account)
    }

    /// A [read receipt](messenger_handover::protocol#receipts): `{watermark}`, on Instagram `{mid}`.
    pub(super) fn read_receipt(&self, key: &ThreadKey, now: Timestamp) -> Value {
        if !self.is_instagram(&key.page) {
            return json!({"watermark": now.as_millis()});
        }
        let last = self.threads.get(key).and_then(|thread| thread.said.last());
        json!({"mid": last.map(|said| &said.mid)})
    }

    /// Replaces the refusals that Instagram words in its own way: [not the owner](messenger_handover::protocol#refusals),
    /// [outside the window, unknown person](messenger_handover::protocol#error-codes); under
    /// [Instagram Login](messenger_handover::protocol#instagram-login) with its own type and status.
    pub(super) fn in_the_words_of(&self, account: &PageId, refusal: GraphError) -> GraphError {
        let Some(page) = self.pages.get(account).filter(|page| page.kind == Kind::Instagram) else {
            return refusal;
        };
        let own = match refusal.subcode {
            Some(2_018_300) => GraphError::new(
                100,
                Some(2_534_037),
                "(#100) The action is invalid since it's not the thread owner.",
            ),
            Some(2_018_278) => {
                GraphError::new(10, Some(2_534_022), "(#10) This message is sent outside of allowed window.")
            }
            Some(2_018_001) => {
                GraphError::new(100, Some(2_534_014), "(#100) The requested user cannot be found.")
            }
            _ => refusal,
        };
        if page.tokens.is_empty() {
            return own;
        }
        let status = if own.subcode == Some(2_534_022) { 403 } else { own.status };
        GraphError { kind: "IGApiException", status, ..own }
    }
}
