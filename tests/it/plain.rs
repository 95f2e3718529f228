//! The plain forms of the endpoints' calls respond exactly as the forms with the types of `http`.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use messenger_handover::plain::PlainResponse;
use messenger_handover::store::MemoryStore;
use messenger_handover::webhook::{SIGNATURE_HEADER, Verifier, sign};
use messenger_handover::{bots_api, engage, webhook};

use crate::refused::{Nobody, handover};
use crate::world::{DESK_SECRET, ED_TOKEN, Known, VERIFY_TOKEN};

/// The headers of a request in plain types.
pub fn plain(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// The same response in plain types.
fn same(response: Response<String>) -> PlainResponse {
    let (mut head, body) = response.into_parts();
    let text = |value: HeaderValue| value.to_str().unwrap().to_owned();
    let content_type = text(head.headers.remove("content-type").unwrap());
    let headers = head.headers.into_iter().map(|(name, value)| (name.unwrap().to_string(), text(value)));
    PlainResponse { status: head.status.as_u16(), content_type, headers: headers.collect(), body }
}

/// A request, and the status of the response.
struct Case(u16, Method, String, Vec<(&'static str, Vec<u8>)>, Vec<u8>);

impl Case {
    fn headers(&self) -> HeaderMap {
        let header = |(name, value): &(&'static str, Vec<u8>)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
        };
        self.3.iter().map(header).collect()
    }

    /// The headers as they were sent: names in any case, and duplicates.
    fn plain(&self) -> Vec<(&str, &[u8])> {
        self.3.iter().map(|(name, value)| (*name, value.as_slice())).collect()
    }
}

fn post(status: u16, headers: Vec<(&'static str, Vec<u8>)>, body: &[u8]) -> Case {
    Case(status, Method::POST, String::new(), headers, body.to_vec())
}

fn others() -> Vec<Case> {
    let handshake = |token: &str| format!("hub.mode=subscribe&hub.challenge=115&hub.verify_token={token}");
    let get = |status, query| Case(status, Method::GET, query, Vec::new(), Vec::new());
    vec![
        get(200, handshake(VERIFY_TOKEN)),
        get(403, handshake("a-guess")),
        get(403, String::new()),
        Case(405, Method::PUT, String::new(), Vec::new(), Vec::new()),
        Case(405, Method::from_bytes(b"post").unwrap(), String::new(), Vec::new(), Vec::new()),
    ]
}

/// Makes each request in both forms, as a host does: if the head is refused, the body is not read.
macro_rules! compare {
    ($endpoint:expr, $cases:expr) => {
        for case in $cases {
            let Case(status, method, query, _, body) = &case;
            let (headers, sent) = (case.headers(), case.plain());
            let expected = match $endpoint.check_head(method, &headers) {
                Ok(()) => $endpoint.handle(method, Some(query), &headers, body).await,
                Err(refused) => refused,
            };
            let response = match $endpoint.check_head_plain(method.as_str(), &sent) {
                Ok(()) => $endpoint.handle_plain(method.as_str(), Some(query), &sent, body).await,
                Err(refused) => refused,
            };
            assert_eq!((response.status, &response), (*status, &same(expected)), "{:?}", case.3);
        }
    };
}

#[tokio::test]
async fn plain_webhook_responds_alike() {
    let verifier = Verifier::new(DESK_SECRET.into()).max_body(1000);
    let store = Arc::new(MemoryStore::new());
    let endpoint = webhook::Endpoint::new(verifier, VERIFY_TOKEN.into(), handover(store));
    let body = br#"{"object":"page","entry":[]}"#;
    let right = |name| (name, sign(&DESK_SECRET.into(), body).into_bytes());
    let wrong = || (SIGNATURE_HEADER, sign(&"another".into(), body).into_bytes());
    let length = |length: &str| ("Content-Length", length.as_bytes().to_vec());
    let cases = vec![
        post(200, vec![right(SIGNATURE_HEADER)], body),
        post(200, vec![("Accept", b"*/*".to_vec()), right("X-HUB-Signature-256"), length("28")], body),
        post(401, vec![], body),
        post(401, vec![wrong()], body),
        // The first one counts.
        post(200, vec![right(SIGNATURE_HEADER), wrong()], body),
        post(401, vec![wrong(), right(SIGNATURE_HEADER)], body),
        post(401, vec![(SIGNATURE_HEADER, b"sha256=\xff".to_vec()), right(SIGNATURE_HEADER)], body),
        post(413, vec![right(SIGNATURE_HEADER), length("1001")], body),
        post(413, vec![right(SIGNATURE_HEADER), length("99999999999999999999")], &[b' '; 1001]),
        post(413, vec![right(SIGNATURE_HEADER)], &[b' '; 1001]),
        post(400, vec![(SIGNATURE_HEADER, sign(&DESK_SECRET.into(), b"[]").into_bytes())], b"[]"),
    ];
    compare!(endpoint, cases.into_iter().chain(others()));
}

#[tokio::test]
async fn plain_events_of_engage_digital_are_responded_to_alike() {
    let verifier = engage::Verifier::new("the secret".into()).max_body(1000);
    let handover = handover(Arc::new(MemoryStore::new()));
    let endpoint = engage::Endpoint::new(verifier, VERIFY_TOKEN.into(), handover, Nobody);
    let body = br#"{"events":[]}"#;
    let secret = |secret: &[u8]| ("X-Dimelo-Secret", secret.to_vec());
    let cases = vec![
        post(200, vec![secret(b"the secret")], body),
        post(200, vec![("x-dimelo-SECRET", b"the secret".to_vec()), secret(b"a guess")], body),
        post(401, vec![secret(b"a guess"), secret(b"the secret")], body),
        post(401, vec![secret("the secr\u{e9}t".as_bytes())], body),
        post(401, vec![], body),
        post(413, vec![secret(b"the secret"), ("content-length", b"1001".to_vec())], body),
        post(413, vec![secret(b"the secret")], &[b' '; 1001]),
        post(400, vec![secret(b"the secret")], b"[]"),
    ];
    compare!(endpoint, cases.into_iter().chain(others()));
}

#[tokio::test(start_paused = true)]
async fn plain_calls_of_the_bots_api_are_responded_to_alike() {
    let endpoint = bots_api::Endpoint::new(ED_TOKEN.into(), handover(Arc::new(MemoryStore::new())), Known);
    let bearer = |token: &str| ("AUTHORIZATION", format!("Bearer {token}").into_bytes());
    let unknown = "identity_foreign_id=1&from=bot&to=agent&type=messenger";
    let call = |status, query: &str, headers| Case(status, Method::POST, query.to_owned(), headers, vec![]);
    for case in [
        call(404, unknown, vec![bearer(ED_TOKEN)]),
        call(404, &format!("{unknown}&access_token={ED_TOKEN}"), vec![bearer(ED_TOKEN), bearer(ED_TOKEN)]),
        // All tokens have to be right.
        call(401, unknown, vec![bearer(ED_TOKEN), bearer("a guess")]),
        call(401, unknown, vec![bearer("a guess"), bearer(ED_TOKEN)]),
        call(401, unknown, vec![bearer(ED_TOKEN), ("authorization", b"Bearer \xff".to_vec())]),
        call(401, &format!("{unknown}&access_token=a"), vec![bearer(ED_TOKEN)]),
        call(401, unknown, vec![("authorization", b"Basic x".to_vec())]),
        call(401, unknown, vec![]),
        call(400, "from=bot", vec![bearer(ED_TOKEN)]),
        Case(405, Method::GET, String::new(), vec![], vec![]),
    ] {
        let Case(status, method, query, ..) = &case;
        let expected = same(endpoint.handle(method, Some(query), &case.headers()).await);
        let response = endpoint.handle_plain(method.as_str(), Some(query), &case.plain()).await;
        assert_eq!((response.status, &response), (*status, &expected), "{query}");
    }
}
