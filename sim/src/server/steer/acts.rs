//! The steering calls of what a customer sends and does.

use std::fmt::Display;

use axum::body::Bytes;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Platforms, Refused, key, known_page, ok, read, refused};
use crate::platform::{CustomerMessage, InvalidAct, OptIn, PolicyAction, Referral};
use crate::server::acts::{attach, edit, enforce, follow, opt_in, press, send, write_as_edit};
use crate::server::state::Seen;
use messenger_handover::id::MessageId;

type At = Path<(String, String)>;

/// The refusal of an act: 404 for a message that does not exist, else 400.
fn invalid(why: &InvalidAct) -> Refused {
    refused(if matches!(why, InvalidAct::NoSuchMessage(_)) { 404 } else { 400 }, why as &dyn Display)
}

pub(super) async fn customer_writes(shared: Platforms, Path((page, psid)): At, body: Bytes) -> Answer {
    let (key, message): (_, CustomerMessage) = (key(&shared, &page, &psid)?, read(&body)?);
    let mid = send(&shared, &key, &message).map_err(|why| invalid(&why))?;
    Ok(ok(&json!({"mid": mid})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAsEdit {
    text: String,
    /// Whether the event names sender and recipient.
    #[serde(default = "yes")]
    parties: bool,
}

fn yes() -> bool {
    true
}

pub(super) async fn customer_writes_as_edit(
    shared: Platforms,
    Path((page, psid)): At,
    body: Bytes,
) -> Answer {
    let (key, WrittenAsEdit { text, parties }) = (key(&shared, &page, &psid)?, read(&body)?);
    let mid = write_as_edit(&shared, &key, &text, parties).map_err(|why| invalid(&why))?;
    Ok(ok(&json!({"mid": mid})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edited {
    mid: MessageId,
    text: String,
}

pub(super) async fn customer_edits(shared: Platforms, Path((page, psid)): At, body: Bytes) -> Answer {
    let (key, Edited { mid, text }) = (key(&shared, &page, &psid)?, read(&body)?);
    let edits = edit(&shared, &key, &mid, &text).map_err(|why| invalid(&why))?;
    Ok(ok(&json!({"num_edit": edits})))
}

pub(super) async fn customer_follows(shared: Platforms, Path((page, psid)): At, body: Bytes) -> Answer {
    let (key, referral): (_, Referral) = (key(&shared, &page, &psid)?, read(&body)?);
    follow(&shared, &key, &referral).map_err(|why| invalid(&why))?;
    Ok(ok(&json!({})))
}

pub(super) async fn customer_opts_in(shared: Platforms, Path((page, psid)): At, body: Bytes) -> Answer {
    let (key, optin): (_, OptIn) = (key(&shared, &page, &psid)?, read(&body)?);
    opt_in(&shared, &key, &optin).map_err(|why| invalid(&why))?;
    Ok(ok(&json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pressed {
    title: String,
    payload: String,
    /// The link or the ad, with a button that starts a conversation.
    referral: Option<Referral>,
}

pub(super) async fn customer_presses(shared: Platforms, Path((page, psid)): At, body: Bytes) -> Answer {
    let (key, Pressed { title, payload, referral }) = (key(&shared, &page, &psid)?, read(&body)?);
    Ok(ok(&json!({"mid": press(&shared, &key, &title, &payload, referral.as_ref())})))
}

pub(super) async fn customer_reads(shared: Platforms, Path((page, psid)): At) -> Answer {
    let key = key(&shared, &page, &psid)?;
    shared.act(
        Some(&key),
        |platform, now| platform.customer_reads(&key.page, &key.user, now),
        |()| Seen::default(),
    );
    Ok(ok(&json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attached {
    /// The kind, such as `image`.
    r#type: String,
    url: String,
}

pub(super) async fn customer_attaches(shared: Platforms, Path((page, psid)): At, body: Bytes) -> Answer {
    let (key, Attached { r#type: kind, url }) = (key(&shared, &page, &psid)?, read(&body)?);
    Ok(ok(&json!({"mid": attach(&shared, &key, &kind, &url)})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enforced {
    action: PolicyAction,
    reason: Option<String>,
}

pub(super) async fn policy_is_enforced(shared: Platforms, Path(page): Path<String>, body: Bytes) -> Answer {
    let (page, Enforced { action, reason }) = (known_page(&shared, &page)?, read(&body)?);
    enforce(&shared, &page, action, reason.as_deref()).map_err(|why| invalid(&why))?;
    Ok(ok(&json!({})))
}
