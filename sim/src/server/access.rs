//! The callers: tokens, proofs, and the calls about them.

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use super::deliver::sign;
use super::params::{self, Params};
use super::state::Shared;
use crate::platform::{GraphError, Platform};
use messenger_handover::id::{AppId, PageId};
use messenger_handover::secret::AppSecret;

/// The validity that an exchanged token claims to have, in seconds: 60 days.
const EXCHANGED: u64 = 60 * 24 * 60 * 60;

/// The answer to a call about the caller itself, and the app and the Page of its token.
pub(super) type Answered = (AppId, Option<PageId>, Value);

/// The app, if it calls about itself with its own token.
pub(super) fn own_app(shared: &Shared, node: &str, params: &Params) -> Option<AppId> {
    let app = shared.lock().platform.authenticate_app(token_of(params).ok()?)?;
    (app == *node).then_some(app)
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn token_of(params: &Params) -> Result<&str, GraphError> {
    params.get("access_token").and_then(Value::as_str).ok_or_else(GraphError::bad_token)
}

/// `debug_token`, with the app's own token or one of its valid Page tokens.
pub(super) fn debug_token(shared: &Shared, params: &Params) -> Result<Answered, GraphError> {
    token_of(params)?;
    let inspected = params.get("input_token").and_then(Value::as_str);
    let inspected = inspected.ok_or_else(|| GraphError::missing("input_token"))?;
    let (app, page) = either(shared, params)?;
    let body = shared.lock().platform.debug_token(&app, inspected);
    Ok((app, page, body))
}

/// `me/accounts`, with the app's own token or one of its valid Page tokens.
pub(super) fn accounts(shared: &Shared, params: &Params) -> Result<Answered, GraphError> {
    let (app, page) = either(shared, params)?;
    let (fields, limit) = (params::fields(params)?, params::limit(params)?);
    let body = shared.lock().platform.accounts(&app, &fields, limit);
    Ok((app, page, body))
}

/// `oauth/access_token` with the credentials of an app: its own token, or a token of its that is exchanged for one of longer
/// validity. The simulator's tokens do not expire by time, so the exchanged one is the same. The flow with a code, which needs a
/// person and a browser, is not modelled. All of it is general knowledge.
pub(super) fn access_token(shared: &Shared, params: &Params) -> Result<Answered, GraphError> {
    let text = |name: &str| match params.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => Err(GraphError::missing(name)),
    };
    let (client, secret) = (text("client_id")?, text("client_secret")?);
    let state = shared.lock();
    let id = AppId::new(&client).map_err(|_| GraphError::no_such_app())?;
    let app = state.platform.app(&id).ok_or_else(GraphError::no_such_app)?;
    if app.secret.expose_secret() != secret {
        return Err(GraphError::wrong_secret());
    }
    let body = match text("grant_type")?.as_str() {
        "client_credentials" => json!({"access_token": format!("{client}|{secret}"), "token_type": "bearer"}),
        "fb_exchange_token" => {
            let token = text("fb_exchange_token")?;
            if state.platform.authenticate(&token)?.0 != id {
                return Err(GraphError::bad_token());
            }
            json!({"access_token": token, "token_type": "bearer", "expires_in": EXCHANGED})
        }
        _ => {
            let why = "must be client_credentials or fb_exchange_token";
            return Err(GraphError::invalid("grant_type", why));
        }
    };
    Ok((id, None, body))
}

/// The caller by its app's own token, or by a valid Page token.
fn either(shared: &Shared, params: &Params) -> Result<(AppId, Option<PageId>), GraphError> {
    let own = shared.lock().platform.authenticate_app(token_of(params)?);
    match own {
        Some(app) => Ok((app, None)),
        None => authenticate(shared, params).map(|(app, page)| (app, Some(page))),
    }
}

/// Reads the caller from its [token](messenger_handover::protocol#tokens), as Bearer or as a parameter, and checks the proof if
/// there is one.
pub(super) fn authenticate(shared: &Shared, params: &Params) -> Result<(AppId, PageId), GraphError> {
    let token = token_of(params)?;
    let state = shared.lock();
    let (app, page) = state.platform.authenticate(token)?;
    check_proof(&state.platform, &app, token, params)?;
    Ok((app, page))
}

fn check_proof(platform: &Platform, app: &AppId, token: &str, params: &Params) -> Result<(), GraphError> {
    let Some(proof) = params.get("appsecret_proof") else { return Ok(()) };
    let good = |secret: &AppSecret| proof.as_str() == Some(sign(secret, token.as_bytes()).as_str());
    if platform.app(app).is_some_and(|app| good(&app.secret)) {
        return Ok(());
    }
    Err(GraphError::invalid("appsecret_proof", "does not fit the token"))
}
