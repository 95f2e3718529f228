//! The steering calls of people in conversations and of Meta's own apps.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Platforms, Refused, by_the_platform, key, ok, read, refused};
use crate::platform::{GraphError, Platform, Speaker};
use crate::server::acts::{react, unsend};
use crate::server::inbox_replies as reply_in_the_inbox;
use crate::server::state::{Seen, Shared};
use messenger_handover::id::{AppId, MessageId, ThreadKey};
use messenger_handover::time::Timestamp;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reacted {
    mid: MessageId,
    /// Such as `love`; null takes the reaction back.
    reaction: Option<String>,
}

pub(super) async fn customer_reacts(
    shared: Platforms,
    Path((page, psid)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let (key, Reacted { mid, reaction }) = (key(&shared, &page, &psid)?, read(&body)?);
    said(&shared, &key, &mid)?;
    react(&shared, &key, &mid, reaction.as_deref());
    Ok(ok(&json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unsent {
    mid: MessageId,
}

pub(super) async fn customer_unsends(
    shared: Platforms,
    Path((page, psid)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let (key, Unsent { mid }) = (key(&shared, &page, &psid)?, read(&body)?);
    if said(&shared, &key, &mid)? != Speaker::Customer {
        return Err(refused(400, "a customer can unsend only messages of their own"));
    }
    unsend(&shared, &key, &mid);
    Ok(ok(&json!({})))
}

/// The author of a message of the conversation.
fn said(shared: &Shared, key: &ThreadKey, mid: &MessageId) -> Result<Speaker, Refused> {
    let state = shared.lock();
    let said = state.platform.conversation(&key.page, &key.user).iter().find(|said| said.mid == *mid);
    said.map(|said| said.from.clone()).ok_or_else(|| refused(404, format!("there is no message {mid}")))
}

pub(super) async fn inbox_replies(
    shared: Platforms,
    Path((page, psid)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let (key, Said { text }) = (key(&shared, &page, &psid)?, read(&body)?);
    match reply_in_the_inbox(&shared, &key, &text) {
        Ok(mid) => Ok(ok(&json!({"mid": mid}))),
        Err(refusal) => Err(by_the_platform(&refusal)),
    }
}

pub(super) async fn inbox_moves(shared: Platforms, Path((page, psid)): Path<(String, String)>) -> Answer {
    let key = key(&shared, &page, &psid)?;
    let act = |platform: &mut Platform, now| platform.inbox_move(&key.page, &key.user, now);
    match shared.act(Some(&key), act, |_| Seen::default()) {
        Ok(()) => Ok(ok(&json!({}))),
        Err(refusal) => Err(by_the_platform(&refusal)),
    }
}

/// Runs an act of Meta's own apps in a conversation.
fn of_meta(
    shared: &Arc<Shared>,
    (page, psid): &(String, String),
    act: impl FnOnce(&mut Platform, &ThreadKey, Timestamp) -> Result<(), GraphError>,
) -> Answer {
    let key = key(shared, page, psid)?;
    let done = shared.act(Some(&key), |platform, now| act(platform, &key, now), |_| Seen::default());
    done.map(|()| ok(&json!({}))).map_err(|refusal| by_the_platform(&refusal))
}

pub(super) async fn lead_begins(shared: Platforms, Path(at): Path<(String, String)>) -> Answer {
    of_meta(&shared, &at, |platform, key, now| platform.lead_ad_begins(&key.page, &key.user, now))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeadEnd {
    #[serde(default)]
    complete: bool,
    to: Option<AppId>,
    summary: Option<String>,
}

pub(super) async fn lead_ends(shared: Platforms, Path(at): Path<(String, String)>, body: Bytes) -> Answer {
    let LeadEnd { complete, to, summary } = read(&body)?;
    of_meta(&shared, &at, |platform, key, now| {
        platform.lead_ad_ends(&key.page, &key.user, complete, to.as_ref(), summary.as_deref(), now)
    })
}

pub(super) async fn ai_takes(shared: Platforms, Path(at): Path<(String, String)>) -> Answer {
    of_meta(&shared, &at, |platform, key, now| platform.ai_takes(&key.page, &key.user, now))
}

pub(super) async fn ai_answers(shared: Platforms, Path(at): Path<(String, String)>, body: Bytes) -> Answer {
    let Said { text } = read(&body)?;
    of_meta(&shared, &at, |platform, key, now| platform.ai_answers(&key.page, &key.user, &text, now))
}

pub(super) async fn ai_leaves(shared: Platforms, Path(at): Path<(String, String)>, body: Bytes) -> Answer {
    let Said { text } = read(&body)?;
    of_meta(&shared, &at, |platform, key, now| platform.ai_leaves(&key.page, &key.user, &text, now))
}
