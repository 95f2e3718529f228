//! Keeps other sites in a browser on this machine from steering the platform.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::refused;

/// Refuses the requests of pages that this server did not serve. Programs send none of the headers that are looked at.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    if is_foreign(request.headers()) {
        return refused(403, "a page of another site may not steer the platform").into_response();
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    let other_origin =
        text(header::ORIGIN).is_some_and(|origin| origin.split_once("://").map(|it| it.1) != Some(host));
    // A browser may be told that a stranger's name is this machine.
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = matches!(name, "localhost" | "127.0.0.1" | "[::1]");
    let by_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
    other_origin || by_browser && !is_local
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_other_sites_are_foreign_and_programs_are_not() {
        let headers = |all: &[(&'static str, &'static str)]| -> HeaderMap {
            all.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
        };
        for (foreign, all) in [
            (false, &[("host", "127.0.0.1:8080")][..]),
            (false, &[("host", "simulator:8080")]),
            (
                false,
                &[
                    ("host", "localhost:8080"),
                    ("origin", "http://localhost:8080"),
                    ("sec-fetch-site", "same-origin"),
                ],
            ),
            (false, &[("host", "[::1]:8080"), ("sec-fetch-site", "none")]),
            (true, &[("host", "127.0.0.1:8080"), ("origin", "https://evil.example")]),
            (true, &[("host", "127.0.0.1:8080"), ("origin", "null")]),
            (true, &[("host", "evil.example:8080"), ("origin", "http://evil.example:8080")]),
            (true, &[("host", "evil.example:8080"), ("sec-fetch-site", "same-origin")]),
        ] {
            assert_eq!(is_foreign(&headers(all)), foreign, "{all:?}");
        }
    }
}
