//! The acts of the customer and of Meta, with the events that the observer sees of them.

use std::sync::Arc;

use super::state::{Seen, Shared};
use super::{Server, Wire, key};
use crate::platform::{CustomerMessage, InvalidAct, OptIn, Platform, PolicyAction, Referral};
use messenger_handover::id::{MessageId, PageId, ThreadKey, UserId};

/// The acts of the customer and of Meta's policy. Each of them reports what it does to the observer.
impl Server {
    /// The customer writes: [`Platform::customer_writes`].
    #[allow(clippy::must_use_candidate, reason = "an act of a test, rarely asked for its id")]
    pub fn customer_writes(&self, page: &PageId, user: &UserId, text: &str) -> MessageId {
        let act = |platform: &mut Platform, now| platform.customer_writes(page, user, text, now);
        self.shared.act(Some(&key(page, user)), act, |_| wrote(&key(page, user), text))
    }

    /// The customer sends a message: [`Platform::customer_sends`].
    ///
    /// # Errors
    /// [`InvalidAct`] as there.
    pub fn customer_sends(
        &self,
        page: &PageId,
        user: &UserId,
        message: &CustomerMessage,
    ) -> Result<MessageId, InvalidAct> {
        send(&self.shared, &key(page, user), message)
    }

    /// The customer writes, and Instagram sends an edit in place of the message: [`Platform::customer_writes_as_edit`].
    ///
    /// # Errors
    /// [`InvalidAct`] as there.
    pub fn customer_writes_as_edit(
        &self,
        page: &PageId,
        user: &UserId,
        text: &str,
        parties: bool,
    ) -> Result<MessageId, InvalidAct> {
        write_as_edit(&self.shared, &key(page, user), text, parties)
    }

    /// The customer edits a message: [`Platform::customer_edits`].
    ///
    /// # Errors
    /// [`InvalidAct`] as there.
    pub fn customer_edits(
        &self,
        page: &PageId,
        user: &UserId,
        mid: &MessageId,
        text: &str,
    ) -> Result<u32, InvalidAct> {
        edit(&self.shared, &key(page, user), mid, text)
    }

    /// The customer opens the conversation by a link or an ad: [`Platform::customer_follows`].
    ///
    /// # Errors
    /// [`InvalidAct`] as there.
    pub fn customer_follows(
        &self,
        page: &PageId,
        user: &UserId,
        referral: &Referral,
    ) -> Result<(), InvalidAct> {
        follow(&self.shared, &key(page, user), referral)
    }

    /// The customer opts in to messages: [`Platform::customer_opts_in`].
    ///
    /// # Errors
    /// [`InvalidAct`] as there.
    pub fn customer_opts_in(&self, page: &PageId, user: &UserId, optin: &OptIn) -> Result<(), InvalidAct> {
        opt_in(&self.shared, &key(page, user), optin)
    }

    /// The customer presses a button: [`Platform::customer_presses`].
    #[allow(clippy::must_use_candidate, reason = "an act of a test, rarely asked for its id")]
    pub fn customer_presses(&self, page: &PageId, user: &UserId, title: &str, payload: &str) -> MessageId {
        press(&self.shared, &key(page, user), title, payload, None)
    }

    /// The customer presses a button that starts a conversation: [`Platform::customer_starts`].
    #[allow(clippy::must_use_candidate, reason = "an act of a test, rarely asked for its id")]
    pub fn customer_starts(
        &self,
        page: &PageId,
        user: &UserId,
        title: &str,
        payload: &str,
        referral: &Referral,
    ) -> MessageId {
        press(&self.shared, &key(page, user), title, payload, Some(referral))
    }

    /// The customer reads: [`Platform::customer_reads`].
    pub fn customer_reads(&self, page: &PageId, user: &UserId) {
        let act = |platform: &mut Platform, now| platform.customer_reads(page, user, now);
        self.shared.act(Some(&key(page, user)), act, |()| Seen::default());
    }

    /// The customer unsends a message: [`Platform::customer_unsends`].
    pub fn customer_unsends(&self, page: &PageId, user: &UserId, mid: &MessageId) {
        unsend(&self.shared, &key(page, user), mid);
    }

    /// The customer sends an attachment: [`Platform::customer_attaches`].
    #[allow(clippy::must_use_candidate, reason = "an act of a test, rarely asked for its id")]
    pub fn customer_attaches(&self, page: &PageId, user: &UserId, kind: &str, url: &str) -> MessageId {
        attach(&self.shared, &key(page, user), kind, url)
    }

    /// The customer reacts to a message: [`Platform::customer_reacts`].
    pub fn customer_reacts(&self, page: &PageId, user: &UserId, mid: &MessageId, reaction: Option<&str>) {
        react(&self.shared, &key(page, user), mid, reaction);
    }

    /// Meta enforces its policy on a Page: [`Platform::enforce_policy`].
    ///
    /// # Errors
    /// [`InvalidAct`] as there.
    pub fn enforce_policy(
        &self,
        page: &PageId,
        action: PolicyAction,
        reason: Option<&str>,
    ) -> Result<(), InvalidAct> {
        enforce(&self.shared, page, action, reason)
    }
}

/// The customer wrote, if the act succeeded.
fn wrote_if<R>(outcome: &Result<R, InvalidAct>, key: &ThreadKey, text: &str) -> Seen {
    outcome.as_ref().map(|_| wrote(key, text)).unwrap_or_default()
}

fn wrote(key: &ThreadKey, text: &str) -> Seen {
    let (page, user, text) = (key.page.clone(), key.user.clone(), text.to_owned());
    Seen { before: Some(Wire::CustomerWrote { page, user, text }), after: None }
}

fn acted(key: &ThreadKey, mid: &MessageId, act: &'static str) -> Seen {
    let (page, user, mid) = (key.page.clone(), key.user.clone(), mid.clone());
    Seen { before: Some(Wire::CustomerActed { page, user, mid, act }), after: None }
}

fn came(key: &ThreadKey, act: &'static str, detail: String) -> Seen {
    let (page, user) = (key.page.clone(), key.user.clone());
    Seen { before: Some(Wire::CustomerCame { page, user, act, detail }), after: None }
}

pub(super) fn send(
    shared: &Arc<Shared>,
    key: &ThreadKey,
    message: &CustomerMessage,
) -> Result<MessageId, InvalidAct> {
    let act = |platform: &mut Platform, now| platform.customer_sends(&key.page, &key.user, message, now);
    shared.act(Some(key), act, |outcome| wrote_if(outcome, key, &message.shown()))
}

pub(super) fn write_as_edit(
    shared: &Arc<Shared>,
    key: &ThreadKey,
    text: &str,
    parties: bool,
) -> Result<MessageId, InvalidAct> {
    let act = |platform: &mut Platform, now| {
        platform.customer_writes_as_edit(&key.page, &key.user, text, parties, now)
    };
    shared.act(Some(key), act, |outcome| wrote_if(outcome, key, text))
}

pub(super) fn edit(
    shared: &Arc<Shared>,
    key: &ThreadKey,
    mid: &MessageId,
    text: &str,
) -> Result<u32, InvalidAct> {
    let act = |platform: &mut Platform, now| platform.customer_edits(&key.page, &key.user, mid, text, now);
    shared
        .act(Some(key), act, |outcome| outcome.as_ref().map(|_| acted(key, mid, "edit")).unwrap_or_default())
}

pub(super) fn follow(shared: &Arc<Shared>, key: &ThreadKey, referral: &Referral) -> Result<(), InvalidAct> {
    let act = |platform: &mut Platform, now| platform.customer_follows(&key.page, &key.user, referral, now);
    let seen = || came(key, "referral", referral.shown());
    shared.act(Some(key), act, |outcome| outcome.as_ref().map(|()| seen()).unwrap_or_default())
}

pub(super) fn opt_in(shared: &Arc<Shared>, key: &ThreadKey, optin: &OptIn) -> Result<(), InvalidAct> {
    let act = |platform: &mut Platform, now| platform.customer_opts_in(&key.page, &key.user, optin, now);
    let seen = || came(key, "optin", optin.shown().to_owned());
    shared.act(Some(key), act, |outcome| outcome.as_ref().map(|()| seen()).unwrap_or_default())
}

pub(super) fn press(
    shared: &Arc<Shared>,
    key: &ThreadKey,
    title: &str,
    payload: &str,
    referral: Option<&Referral>,
) -> MessageId {
    let act = |platform: &mut Platform, now| {
        platform.customer_starts(&key.page, &key.user, title, payload, referral, now)
    };
    shared.act(Some(key), act, |_| wrote(key, title))
}

pub(super) fn attach(shared: &Arc<Shared>, key: &ThreadKey, kind: &str, url: &str) -> MessageId {
    let act = |platform: &mut Platform, now| platform.customer_attaches(&key.page, &key.user, kind, url, now);
    shared.act(Some(key), act, |_| wrote(key, &format!("[{kind}]")))
}

pub(super) fn unsend(shared: &Arc<Shared>, key: &ThreadKey, mid: &MessageId) {
    let act = |platform: &mut Platform, now| platform.customer_unsends(&key.page, &key.user, mid, now);
    shared.act(Some(key), act, |()| acted(key, mid, "unsend"));
}

pub(super) fn react(shared: &Arc<Shared>, key: &ThreadKey, mid: &MessageId, reaction: Option<&str>) {
    let act =
        |platform: &mut Platform, now| platform.customer_reacts(&key.page, &key.user, mid, reaction, now);
    shared.act(Some(key), act, |()| acted(key, mid, if reaction.is_some() { "react" } else { "unreact" }));
}

pub(super) fn enforce(
    shared: &Arc<Shared>,
    page: &PageId,
    action: PolicyAction,
    reason: Option<&str>,
) -> Result<(), InvalidAct> {
    let act = |platform: &mut Platform, now| platform.enforce_policy(page, action, reason, now);
    shared.act(None, act, |outcome| {
        let reason = reason.map(str::to_owned);
        let wire = Wire::PolicyEnforced { page: page.clone(), action: action.name(), reason };
        Seen { before: outcome.is_ok().then_some(wire), after: None }
    })
}
