//! The steering calls about the access of apps: tokens, subscriptions, and the handshake of a callback.

use axum::body::Bytes;
use axum::extract::Path;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Change, Platforms, Refused, known_page, ok, read, refused};
use crate::server::handshake;
use crate::server::state::Shared;
use messenger_handover::id::{AppId, PageId};

/// The subcodes with which a token can end ([tokens](messenger_handover::protocol#tokens)).
const ENDS: [i64; 3] = [458, 460, 463];

/// A change of the tokens of an app for a Page. A missing field keeps its value; an `ended` of null makes them valid again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenChange {
    #[serde(default)]
    ended: Change<i64>,
    scopes: Option<Vec<String>>,
}

pub(super) async fn change_token(
    shared: Platforms,
    Path((page, app)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let ((page, app), change): (_, TokenChange) = (names(&shared, &page, &app)?, read(&body)?);
    let mut state = shared.lock();
    if !state.platform.has_token(&page, &app) {
        return Err(refused(404, format!("app {app} has no token for {page}")));
    }
    if let Change::To(ended) = change.ended {
        if ended.is_some_and(|subcode| !ENDS.contains(&subcode)) {
            return Err(refused(400, format!("ended must be null or one of {ENDS:?}")));
        }
        state.platform.end_token(&page, &app, ended);
    }
    if let Some(scopes) = change.scopes {
        state.platform.set_scopes(&page, &app, scopes);
    }
    drop(state);
    Ok(ok(&json!({})))
}

/// Whether an app gets webhooks from a Page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionChange {
    subscribed: bool,
}

pub(super) async fn change_subscription(
    shared: Platforms,
    Path((page, app)): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let ((page, app), change): (_, SubscriptionChange) = (names(&shared, &page, &app)?, read(&body)?);
    let mut state = shared.lock();
    if !state.platform.is_connected(&page, &app) {
        return Err(refused(404, format!("app {app} is not connected to {page}")));
    }
    if change.subscribed {
        state.platform.subscribe_again(&page, &app);
    } else {
        state.platform.unsubscribe(&page, &app);
    }
    drop(state);
    Ok(ok(&json!({})))
}

/// Verifies the callback of an app as Meta does.
pub(super) async fn verify(shared: Platforms, Path(app): Path<String>) -> Answer {
    let app = app_id(&app)?;
    handshake::verify(&shared, &app).await.map_err(|error| refused(422, error))?;
    Ok(ok(&json!({"verified": true})))
}

fn names(shared: &Shared, page: &str, app: &str) -> Result<(PageId, AppId), Refused> {
    Ok((known_page(shared, page)?, app_id(app)?))
}

fn app_id(app: &str) -> Result<AppId, Refused> {
    AppId::new(app).map_err(|error| refused(400, error))
}
