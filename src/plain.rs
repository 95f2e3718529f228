//! Responses and headers in plain types, for a framework that does not use the types of `http` 1, such as actix-web.
//!
//! Each endpoint has a method `handle_plain`, and `check_head_plain` if it reads bodies. They do the same as `handle` and
//! `check_head`. A handler in any framework:
//!
//! ```
//! use messenger_handover::plain::PlainResponse;
//! use messenger_handover::webhook::{DEFAULT_MAX_BODY, Endpoint};
//!
//! # struct Request { method: String, query: Option<String>, headers: Vec<(String, String)> }
//! # impl Request { async fn read_body(&self, _longest: usize) -> Option<Vec<u8>> { None } }
//! # struct Response;
//! # impl Response {
//! #     fn new(_status: u16) -> Self { Self }
//! #     fn header(self, _name: &str, _value: &str) -> Self { self }
//! #     fn body(self, _body: String) -> Self { self }
//! # }
//! async fn webhook(endpoint: &Endpoint, request: Request) -> Response {
//!     let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
//!     let headers: Vec<_> = headers.collect();
//!     // Most requests of strangers are refused before their body is read.
//!     if let Err(refused) = endpoint.check_head_plain(&request.method, &headers) {
//!         return to_response(refused);
//!     }
//!     let Some(body) = request.read_body(DEFAULT_MAX_BODY).await else {
//!         return Response::new(413);
//!     };
//!     to_response(endpoint.handle_plain(&request.method, request.query.as_deref(), &headers, &body).await)
//! }
//!
//! fn to_response(plain: PlainResponse) -> Response {
//!     let response = Response::new(plain.status).header("content-type", &plain.content_type);
//!     let response = plain.headers.iter().fold(response, |response, (name, value)| response.header(name, value));
//!     response.body(plain.body)
//! }
//! ```

use http::Response;
use http::header::CONTENT_TYPE;

/// The response to send back, in plain types.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "send it back"]
pub struct PlainResponse {
    /// The HTTP status.
    pub status: u16,
    /// The value of the header `content-type`.
    pub content_type: String,
    /// Names and values of the further headers, such as `allow` of a 405.
    pub headers: Vec<(String, String)>,
    /// The body, which may be empty.
    pub body: String,
}

impl PlainResponse {
    pub(crate) fn of(response: Response<String>) -> Self {
        let (head, body) = response.into_parts();
        let (mut content_type, mut headers) = (String::new(), Vec::new());
        for (name, value) in &head.headers {
            let value = value.to_str().unwrap_or_default().to_owned();
            if name == CONTENT_TYPE {
                content_type = value;
            } else {
                headers.push((name.as_str().to_owned(), value));
            }
        }
        Self { status: head.status.as_u16(), content_type, headers, body }
    }
}

/// The values of a header. One that is not text counts as empty, so that it is refused as malformed and not as missing.
pub(crate) fn values<'a>(headers: &'a [(&'a str, &'a [u8])], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |(header, _)| header.eq_ignore_ascii_case(name));
    named.map(|(_, value)| text(value).unwrap_or_default())
}

/// The text of a header's value, by the rule of `http::HeaderValue::to_str`, so that both kinds of calls decide alike.
fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn plain_headers_are_read_like_a_header_map() {
        let odd = [b"a".as_slice(), b"", b"\xff", "\u{e9}".as_bytes(), b"a\tb c~"];
        let plain = odd.map(|value| ("X-Odd", value));
        let map: HeaderMap = odd
            .map(|value| (HeaderName::from_static("x-odd"), HeaderValue::from_bytes(value).unwrap()))
            .into_iter()
            .collect();
        let expected: Vec<_> = map.get_all("x-odd").iter().map(|v| v.to_str().unwrap_or_default()).collect();
        assert_eq!(values(&plain, "x-odd").collect::<Vec<_>>(), expected);
        assert_eq!(values(&plain, "x-od").count(), 0);
    }

    #[test]
    fn plain_responses_keep_every_header() {
        let response = Response::builder().status(405).header(CONTENT_TYPE, "text/plain");
        let response = response.header("allow", "GET, POST").header("retry-after", "7").body("no".to_owned());
        let headers = [("allow", "GET, POST"), ("retry-after", "7")];
        let expected = PlainResponse {
            status: 405,
            content_type: "text/plain".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: "no".to_owned(),
        };
        assert_eq!(PlainResponse::of(response.unwrap()), expected);
    }
}
