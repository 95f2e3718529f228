//! Reads Graph's responses in all the shapes that were seen (docs/protocol.md#call-answers,
//! docs/protocol.md#error-envelope).

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::info::{Conversation, FeatureStatus, Receiver, SubscribedApp, TokenInfo};
use super::{codes, pace};
use crate::call::{Failure, FailureKind, ThreadOwner};
use crate::control::{CallError, Sent};
use crate::http::{is_unclear, one_line, retry_after};
use crate::secret::PageToken;
use crate::time::Span;

/// Returns the JSON of a success, or the call's error. `acts` says that the call changes something; a call that reads never
/// "may have acted". The secrets are removed from the platform's message.
pub(super) fn read(answer: &Response<Bytes>, acts: bool, secrets: &[&str]) -> Result<Value, CallError> {
    let status = answer.status();
    let json = serde_json::from_slice::<Value>(answer.body()).ok();
    // Errors also come with HTTP 200.
    if let Some(error) = json.as_ref().and_then(graph_error) {
        return Err(refused_by_graph(error, answer, acts, secrets));
    }
    if status.is_success() {
        return json.ok_or_else(|| not_understood(acts, "the answer is not JSON"));
    }
    let mut failure =
        Failure::new(codes::by_status(status), format!("HTTP {} without a Graph error", status.as_u16()));
    failure.retry_after = wait(answer.headers(), failure.kind);
    Err(call_error(failure, acts && is_unclear(status)))
}

/// Reads the response of an edge that returns nothing but success.
pub(super) fn success(answer: &Value) -> Result<(), CallError> {
    match bool_of(answer.get("success").unwrap_or(answer)) {
        Some(true) => Ok(()),
        Some(false) => {
            let failure = Failure::new(FailureKind::Invalid, "the platform answered success: false");
            Err(CallError::refused(failure))
        }
        None => Err(not_understood(true, "neither a success nor an error")),
    }
}

/// Reads the response of take, which in an older form was the thread's owner.
pub(super) fn taken(answer: &Value) -> Result<(), CallError> {
    let owner = answer.get("data").and_then(|data| data.get(0)).and_then(|first| first.get("thread_owner"));
    if owner.is_some_and(Value::is_object) { Ok(()) } else { success(answer) }
}

/// Reads the response of the Send API.
pub(super) fn sent(answer: &Value) -> Result<Sent, CallError> {
    if let Some(mid) = answer.get("message_id") {
        return Ok(Sent::new(lenient(mid)));
    }
    if answer.get("recipient_id").is_some() {
        return Ok(Sent::default());
    }
    success(answer).map(|()| Sent::default())
}

/// Reads the response of `thread_owner`. An empty `data` means idle; a missing one is an error.
pub(super) fn owner(answer: &Value) -> Result<ThreadOwner, CallError> {
    let wrong = || not_understood(false, "no thread owner in the answer");
    let owner = match answer.get("data") {
        Some(Value::Array(data)) => match data.first() {
            None => return Ok(ThreadOwner::Idle),
            Some(first) => first.get("thread_owner"),
        },
        // One source shows no `data` around it (docs/protocol.md#thread-owner).
        None => answer.get("thread_owner"),
        Some(_) => None,
    };
    let owner = owner.and_then(Value::as_object).ok_or_else(wrong)?;
    // 0 means no expiry. The unit is documented as seconds, but a stamp of milliseconds is recognised by its size.
    let expires = owner.get("expiration").and_then(int_of).and_then(|stamp| u64::try_from(stamp).ok());
    let expires = expires.filter(|stamp| *stamp > 0).map(|stamp| Span::from_platform(stamp).from);
    match owner.get("app_id") {
        // The thread is not idle, so it has an owner (inferred if `expiration` is missing too).
        None | Some(Value::Null) => Ok(ThreadOwner::Hidden { expires }),
        Some(Value::String(app)) if app.is_empty() => Ok(ThreadOwner::Hidden { expires }),
        Some(app) => Ok(ThreadOwner::App { app: lenient(app).ok_or_else(wrong)?, expires }),
    }
}

/// Reads the response of `secondary_receivers`.
pub(super) fn receivers(answer: &Value) -> Result<Vec<Receiver>, CallError> {
    let data = answer.get("data").and_then(Value::as_array);
    let data = data.ok_or_else(|| not_understood(false, "no list of receivers in the answer"))?;
    data.iter()
        .map(|app| {
            let id = app.get("id").and_then(lenient);
            let id = id.ok_or_else(|| not_understood(false, "a receiver without an id"))?;
            Ok(Receiver::new(id, app.get("name").and_then(Value::as_str).map(str::to_owned)))
        })
        .collect()
}

/// Reads the response of `messaging_feature_status`.
pub(super) fn feature_status(answer: &Value) -> Result<FeatureStatus, CallError> {
    let status = answer.get("messaging_feature_status").filter(|status| status.is_object());
    let status = status.ok_or_else(|| not_understood(false, "no messaging_feature_status in the answer"))?;
    let flag = |name: &str| status.get(name).and_then(bool_of);
    Ok(FeatureStatus {
        hop_v2: flag("hop_v2"),
        msgr_multi_app: flag("msgr_multi_app"),
        ig_multi_app: flag("ig_multi_app"),
    })
}

/// Reads the response of `GET subscribed_apps`.
pub(super) fn subscribed_apps(answer: &Value) -> Result<Vec<SubscribedApp>, CallError> {
    let data = answer.get("data").and_then(Value::as_array);
    let data = data.ok_or_else(|| not_understood(false, "no list of apps in the answer"))?;
    data.iter()
        .map(|app| {
            let id = app.get("id").and_then(lenient);
            let id = id.ok_or_else(|| not_understood(false, "an app without an id"))?;
            let fields = app.get("subscribed_fields").and_then(Value::as_array);
            // Older versions wrapped each name into an object.
            let name =
                |field: &Value| field.as_str().or_else(|| field.get("name")?.as_str()).map(str::to_owned);
            Ok(SubscribedApp {
                app: id,
                name: app.get("name").and_then(Value::as_str).map(str::to_owned),
                fields: fields.into_iter().flatten().filter_map(name).collect(),
            })
        })
        .collect()
}

/// Reads the response of `conversations` for one person.
pub(super) fn conversation(answer: &Value) -> Result<Option<Conversation>, CallError> {
    let data = answer.get("data").and_then(Value::as_array);
    let data = data.ok_or_else(|| not_understood(false, "no list of conversations in the answer"))?;
    Ok(data.first().map(|found| Conversation {
        id: found.get("id").and_then(Value::as_str).map(str::to_owned),
        is_owner: found.get("is_owner").and_then(bool_of),
        can_reply: found.get("can_reply").and_then(bool_of),
    }))
}

/// Reads the response of `debug_token`.
pub(super) fn token_info(answer: &Value, token: &PageToken) -> Result<TokenInfo, CallError> {
    let wrong = || not_understood(false, "nothing about a token in the answer");
    let data = answer.get("data").filter(|data| data.is_object()).ok_or_else(wrong)?;
    let valid = data.get("is_valid").and_then(bool_of).ok_or_else(wrong)?;
    // 0 means never.
    let time = |name: &str| {
        let seconds = u64::try_from(int_of(data.get(name)?)?).ok().filter(|seconds| *seconds > 0)?;
        Some(Span::from_platform(seconds).from)
    };
    let problem = data.get("error").and_then(Value::as_object).map(|error| {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let mut failure = Failure::new(FailureKind::Token, one_line(message, &[token.expose_secret()]));
        failure.code = error.get("code").and_then(int_of);
        failure.subcode = error.get("subcode").or_else(|| error.get("error_subcode")).and_then(int_of);
        failure
    });
    let scopes = data.get("scopes").and_then(Value::as_array);
    Ok(TokenInfo {
        valid,
        app: data.get("app_id").and_then(lenient),
        page: data.get("profile_id").and_then(lenient),
        kind: data.get("type").and_then(Value::as_str).map(str::to_owned),
        expires: time("expires_at"),
        data_access_expires: time("data_access_expires_at"),
        scopes: scopes.into_iter().flatten().filter_map(|scope| Some(scope.as_str()?.to_owned())).collect(),
        problem,
    })
}

/// Finds Graph's error object, in its envelope or bare as in some clients' captures (docs/protocol.md#error-envelope).
fn graph_error(json: &Value) -> Option<&Map<String, Value>> {
    let bare =
        json.get("type").is_some_and(Value::is_string) && json.get("code").is_some_and(Value::is_number);
    let error = match json.get("error") {
        Some(error) => error.as_object(),
        None => json.as_object().filter(|_| bare),
    };
    error.filter(|error| error.contains_key("code") || error.contains_key("message"))
}

fn refused_by_graph(
    error: &Map<String, Value>,
    answer: &Response<Bytes>,
    acts: bool,
    secrets: &[&str],
) -> CallError {
    let status = answer.status();
    let code = error.get("code").and_then(int_of);
    let subcode = error.get("error_subcode").and_then(int_of);
    let is_transient = error.get("is_transient").and_then(bool_of).unwrap_or(false);
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let kind = codes::classify(code, subcode, message, is_transient, status);
    let mut failure = Failure::new(kind, one_line(message, secrets));
    failure.code = code;
    failure.subcode = subcode;
    failure.retry_after = wait(answer.headers(), kind);
    // A fault of Graph's own can occur after it has acted; every other error means that it has not.
    call_error(failure, acts && kind == FailureKind::Transient)
}

fn not_understood(may_have_acted: bool, what: &str) -> CallError {
    call_error(Failure::new(FailureKind::Protocol, what), may_have_acted)
}

fn call_error(failure: Failure, may_have_acted: bool) -> CallError {
    if may_have_acted { CallError::unknown(failure) } else { CallError::refused(failure) }
}

/// The time to retry after: `Retry-After`, or for a rate limit the longest estimate of the usage headers
/// (docs/protocol.md#rate-limits).
fn wait(headers: &HeaderMap, kind: FailureKind) -> Option<Duration> {
    retry_after(headers)
        .or_else(|| if kind == FailureKind::RateLimited { pace::regain(headers) } else { None })
}

fn bool_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn int_of(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

fn lenient<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;
    use crate::time::Timestamp;
    use serde_json::json;

    const SECRETS: [&str; 2] = ["EAABsecret", ""];

    fn answer(status: u16, body: &str) -> Response<Bytes> {
        Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
    }

    #[test]
    fn owners_in_every_shape() {
        let app = |id: u64, expires: Option<u64>| ThreadOwner::App {
            app: AppId::from(id),
            expires: expires.map(Timestamp::from_millis),
        };
        let hidden =
            |expires: Option<u64>| ThreadOwner::Hidden { expires: expires.map(Timestamp::from_millis) };
        let data = |owner: Value| json!({ "data": [{ "thread_owner": owner }] });
        for (body, expected) in [
            (data(json!({"app_id": 7, "expiration": 1_700_000_000})), app(7, Some(1_700_000_000_000))),
            (data(json!({"app_id": "7", "expiration": "1700000000"})), app(7, Some(1_700_000_000_000))),
            (data(json!({"app_id": "7"})), app(7, None)),
            (data(json!({"app_id": "7", "expiration": 0})), app(7, None)),
            (data(json!({"expiration": 1_700_000_000})), hidden(Some(1_700_000_000_000))),
            (data(json!({"app_id": null})), hidden(None)),
            (data(json!({"app_id": ""})), hidden(None)),
            (json!({"data": []}), ThreadOwner::Idle),
            (json!({"thread_owner": {"app_id": 7}}), app(7, None)),
        ] {
            assert_eq!(owner(&body).unwrap(), expected, "{body}");
        }
        for body in [
            json!({}),
            json!({"data": null}),
            json!({"data": {}}),
            json!({"data": [{}]}),
            json!({"data": [null]}),
            json!({"success": true}),
            json!([]),
            data(json!({"app_id": {}})),
        ] {
            let error = owner(&body).unwrap_err();
            assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Protocol, false), "{body}");
        }
    }

    #[test]
    fn success_in_every_shape() {
        for body in [json!({"success": true}), json!({"success": "true"}), json!(true), json!("true")] {
            assert!(success(&body).is_ok() && taken(&body).is_ok(), "{body}");
        }
        let old = json!({"data": [{"thread_owner": {"app_id": "7", "expiration": 1}}]});
        assert!(taken(&old).is_ok());
        assert!(success(&old).unwrap_err().may_have_acted());
        for body in [json!({"success": false}), json!({"success": "false"}), json!(false)] {
            let error = taken(&body).unwrap_err();
            assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Invalid, false), "{body}");
        }
        for body in [json!({}), json!([]), json!({"success": null}), json!("ok"), json!({"data": []})] {
            let error = taken(&body).unwrap_err();
            assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Protocol, true), "{body}");
        }
        assert_eq!(sent(&json!({"recipient_id": "1"})).unwrap(), Sent::default());
        assert_eq!(sent(&json!({"message_id": ""})).unwrap(), Sent::default());
        assert!(sent(&json!({})).unwrap_err().may_have_acted());
    }

    #[test]
    fn what_may_have_acted() {
        use FailureKind::*;
        let error =
            |code: i64| format!(r#"{{"error":{{"message":"m","type":"OAuthException","code":{code}}}}}"#);
        for (status, body, kind, may_act) in [
            (400, error(-1), Transient, true),
            (400, error(1), Transient, true),
            (503, error(2), Transient, true),
            (400, error(1200), Transient, true),
            (200, error(190), Token, false),
            (500, error(27), NotAvailable, false),
            (400, r#"{"message":"m","type":"OAuthException","code":4}"#.to_owned(), RateLimited, false),
            (200, String::new(), Protocol, true),
            (200, "<html>login</html>".to_owned(), Protocol, true),
            (502, "<html>bad gateway</html>".to_owned(), Transient, true),
            (500, r#"{"error":"Internal Server Error"}"#.to_owned(), Transient, true),
            (404, "<html>nothing</html>".to_owned(), Protocol, false),
            (403, "<html>blocked</html>".to_owned(), Protocol, false),
            (408, String::new(), Transient, false),
            (429, String::new(), RateLimited, false),
            (308, String::new(), Protocol, false),
            (303, String::new(), Protocol, true),
        ] {
            let error = read(&answer(status, &body), true, &SECRETS).unwrap_err();
            assert_eq!((error.kind(), error.may_have_acted()), (kind, may_act), "{status} {body}");
            let error = read(&answer(status, &body), false, &SECRETS).unwrap_err();
            assert!(!error.may_have_acted(), "reading does nothing: {status} {body}");
        }
        let null = read(&answer(200, r#"{"success":true,"error":null}"#), true, &SECRETS);
        assert!(success(&null.unwrap()).is_ok());
    }

    #[test]
    fn words_are_short_and_without_the_token() {
        let long = "é".repeat(600);
        let body =
            json!({"error": {"message": format!("Malformed access token EAABsecret\n{long}"), "code": 190}});
        let error = read(&answer(400, &body.to_string()), true, &SECRETS).unwrap_err();
        let message = &error.failure().message;
        assert!(message.starts_with("Malformed access token [redacted] é"), "{message}");
        assert_eq!(message.chars().count(), 501);
        assert!(!format!("{error:?}{error}").contains("EAAB"));
    }

    #[test]
    fn how_long_to_wait() {
        let wait = |name: &str, value: &str, kind| {
            let mut headers = HeaderMap::new();
            headers
                .insert(http::header::DATE, http::HeaderValue::from_static("Wed, 21 Oct 2026 07:27:30 GMT"));
            headers.insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
            super::wait(&headers, kind).map(|wait| wait.as_secs())
        };
        let usage = r#"{"1":[{"type":"messenger","estimated_time_to_regain_access":19}]}"#;
        assert_eq!(wait("retry-after", "30", FailureKind::Transient), Some(30));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT", FailureKind::Transient), Some(30));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2020 07:28:00 GMT", FailureKind::Transient), Some(0));
        assert_eq!(wait("retry-after", "soon", FailureKind::Transient), None);
        assert_eq!(wait("x-business-use-case-usage", usage, FailureKind::RateLimited), Some(19 * 60));
        assert_eq!(wait("x-business-use-case-usage", usage, FailureKind::Invalid), None);
        assert_eq!(wait("x-business-use-case-usage", "[]", FailureKind::RateLimited), None);
    }
}
