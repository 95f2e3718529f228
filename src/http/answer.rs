//! Reads the parts that all HTTP responses share: status, headers and error messages.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::transport::TransportError;
use crate::call::{Failure, FailureKind};
use crate::control::CallError;
use crate::secret::scrub;
use crate::time::Timestamp;

/// The longest part of a remote error message that is kept, in characters.
const MAX_MESSAGE_CHARS: usize = 500;

/// The `Authorization` header for a token, marked as sensitive; `None` if a header cannot carry the token.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The error of an exchange without a response. `acts` says that the call changes something; a call that reads never "may
/// have acted".
pub(crate) fn not_answered(error: TransportError, acts: bool) -> CallError {
    let failure = Failure::new(FailureKind::Transport, error.to_string());
    let failed = if acts && error.may_have_sent { CallError::unknown } else { CallError::refused };
    failed(failure).with_source(error)
}

/// Whether a call with this status may have acted: 5xx, and 302 and 303, with which a server may redirect after it has
/// acted. With other redirects and 4xx it has not.
pub(crate) fn is_unclear(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 302 | 303)
}

/// Puts a remote error message on one line of at most [`MAX_MESSAGE_CHARS`], without our secrets, because some messages
/// repeat a malformed token.
pub(crate) fn one_line(message: &str, secrets: &[&str]) -> String {
    let clean = scrub(message, secrets);
    let mut short: String = clean.chars().take(MAX_MESSAGE_CHARS).collect();
    if short.len() < clean.len() {
        short.push('…');
    }
    short.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads `Retry-After`, in seconds or as a date. A date is compared with the response's own `Date`.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    if let Some(seconds) = text(RETRY_AFTER).and_then(|text| text.parse().ok()) {
        return Some(Duration::from_secs(seconds));
    }
    let date = |name| httpdate::parse_http_date(text(name)?).ok();
    Some(date(RETRY_AFTER)?.duration_since(date(DATE)?).unwrap_or_default())
}

/// Parses a `Date` header.
pub(crate) fn date(header: &HeaderValue) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(header.to_str().ok()?).ok()?;
    Some(Timestamp::default().plus(date.duration_since(UNIX_EPOCH).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        let headers = |pairs: &[(_, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value): &(http::HeaderName, &str)| (name.clone(), value.parse().unwrap()))
                .collect()
        };
        let now = (DATE, "Wed, 21 Oct 2026 07:28:00 GMT");
        for (headers, expected) in [
            (headers(&[(RETRY_AFTER, " 120 ")]), Some(120)),
            (headers(&[(RETRY_AFTER, "Wed, 21 Oct 2026 07:29:00 GMT"), now.clone()]), Some(60)),
            (headers(&[(RETRY_AFTER, "Wed, 21 Oct 2026 07:27:00 GMT"), now.clone()]), Some(0)),
            (headers(&[(RETRY_AFTER, "Wed, 21 Oct 2026 07:29:00 GMT")]), None),
            (headers(&[(RETRY_AFTER, "soon"), now]), None),
            (HeaderMap::new(), None),
        ] {
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{headers:?}");
        }
    }

    #[test]
    fn words_are_short_and_hold_no_secret() {
        let said = one_line(&format!("bad token EAAB\n{}", "x".repeat(600)), &["EAAB", ""]);
        assert!(!said.contains("EAAB") && !said.contains('\n') && said.ends_with('…'), "{said}");
        assert_eq!(said.chars().count(), MAX_MESSAGE_CHARS + 1);
    }
}
