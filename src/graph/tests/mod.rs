//! Tests of the client against a real HTTP server.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::GraphClient;
use crate::call::{Advice, FailureKind, MessagingType, OutgoingMessage, ThreadOwner};
use crate::control::HandoverClient;
use crate::http::{MAX_RESPONSE_BYTES, Transport, TransportError};
use crate::id::{AppId, MessageId, PageId, ThreadKey, UserId};

mod pace;
mod page;

const TOKEN: &str = "EAABpageToken";

fn thread() -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(20))
}

fn client(base_url: &str) -> GraphClient {
    GraphClient::builder()
        .base_url(base_url.parse().unwrap())
        .version("v22.0")
        .page(PageId::from(10), TOKEN.into())
        .page(PageId::from(11), "EAABother".into())
        .timeout(Duration::from_millis(500))
        .build()
        .unwrap()
}

async fn serving(answer: ResponseTemplate) -> (MockServer, GraphClient) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let client = client(&server.uri());
    (server, client)
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

async fn only_request(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "it is written in the call")]
fn assert_post(request: &Request, path: &str, body: Value) {
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", path));
    assert_eq!(request.url.query(), None);
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.body_json::<Value>().unwrap(), body);
}

#[tokio::test]
async fn each_control_call_has_its_documented_shape() {
    let success = || ok(json!({"success": true}));
    let to = json!({"id": "20"});

    let (server, client) = serving(success()).await;
    client.pass_thread_control(&thread(), Some(&AppId::from(7)), Some("why")).await.unwrap();
    let body = json!({"recipient": to, "target_app_id": "7", "metadata": "why"});
    assert_post(&only_request(&server).await, "/v22.0/me/pass_thread_control", body);

    let (server, client) = serving(success()).await;
    client.pass_thread_control(&thread(), None, None).await.unwrap();
    assert_post(&only_request(&server).await, "/v22.0/me/pass_thread_control", json!({"recipient": to}));

    let (server, client) = serving(success()).await;
    client.take_thread_control(&thread(), Some("m")).await.unwrap();
    let body = json!({"recipient": to, "metadata": "m"});
    assert_post(&only_request(&server).await, "/v22.0/me/take_thread_control", body);

    let (server, client) = serving(success()).await;
    let _pending = client.request_thread_control(&thread(), Some("m")).await.unwrap();
    let body = json!({"recipient": to, "metadata": "m"});
    assert_post(&only_request(&server).await, "/v22.0/me/request_thread_control", body);

    let (server, client) = serving(success()).await;
    client.release_thread_control(&thread()).await.unwrap();
    assert_post(&only_request(&server).await, "/v22.0/me/release_thread_control", json!({"recipient": to}));

    let (server, client) = serving(success()).await;
    client.extend_thread_control(&thread(), Duration::from_millis(3_600_999)).await.unwrap();
    let body = json!({"recipient": to, "duration": 3600});
    assert_post(&only_request(&server).await, "/v22.0/me/extend_thread_control", body);
}

#[tokio::test]
async fn messages_carry_type_tag_and_metadata() {
    let sent = || ok(json!({"recipient_id": "20", "message_id": "m_1"}));
    let (server, client) = serving(sent()).await;
    let message = OutgoingMessage::text("héllo").unwrap();
    let mid = client.send_message(&thread(), &message, Some("mho:7:k")).await.unwrap().mid;
    assert_eq!(mid, Some(MessageId::new("m_1").unwrap()));
    let body = json!({
        "messaging_type": "RESPONSE",
        "recipient": {"id": "20"},
        "message": {"text": "héllo", "metadata": "mho:7:k"},
    });
    assert_post(&only_request(&server).await, "/v22.0/me/messages", body);

    let (server, client) = serving(sent()).await;
    let message = message.with_messaging_type(MessagingType::HumanAgent);
    client.send_message(&thread(), &message, None).await.unwrap();
    let body = json!({
        "messaging_type": "MESSAGE_TAG",
        "tag": "HUMAN_AGENT",
        "recipient": {"id": "20"},
        "message": {"text": "héllo"},
    });
    assert_post(&only_request(&server).await, "/v22.0/me/messages", body);
}

#[tokio::test]
async fn reading_calls_put_the_bare_id_into_the_query_and_never_the_token() {
    let (server, client) = serving(ok(json!({"data": [{"thread_owner": {"app_id": 7}}]}))).await;
    let odd = ThreadKey::new(PageId::from(10), UserId::new("a/../b?c=d&e#f").unwrap());
    let owner = client.thread_owner(&odd).await.unwrap();
    assert_eq!(owner, ThreadOwner::App { app: AppId::from(7), expires: None });
    let request = only_request(&server).await;
    assert_eq!((request.method.as_str(), request.url.path()), ("GET", "/v22.0/me/thread_owner"));
    let pairs: Vec<_> = request.url.query_pairs().into_owned().collect();
    assert_eq!(pairs, [("recipient".to_owned(), "a/../b?c=d&e#f".to_owned())]);
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(request.body.is_empty() && !request.url.as_str().contains(TOKEN));

    let (server, client) = serving(ok(json!({"data": [{"id": "8", "name": "Inbox"}, {"id": 9}]}))).await;
    let receivers = client.secondary_receivers(&PageId::from(11)).await.unwrap();
    let read: Vec<_> = receivers.iter().map(|r| (r.app.to_string(), r.name.as_deref())).collect();
    assert_eq!(read, [("8".to_owned(), Some("Inbox")), ("9".to_owned(), None)]);
    let request = only_request(&server).await;
    assert_eq!(request.url.path(), "/v22.0/me/secondary_receivers");
    assert_eq!(request.headers["authorization"], "Bearer EAABother", "each Page has its own token");
}

#[tokio::test]
async fn a_path_in_the_base_url_is_kept() {
    let (server, _) = serving(ok(json!({"success": true}))).await;
    client(&format!("{}/graph/", server.uri())).release_thread_control(&thread()).await.unwrap();
    assert_eq!(only_request(&server).await.url.path(), "/graph/v22.0/me/release_thread_control");
}

#[tokio::test]
async fn a_page_without_a_token_makes_no_call_until_it_gets_one() {
    let (server, client) = serving(ok(json!({"success": true}))).await;
    let page = PageId::from(99);
    let stranger = ThreadKey::new(page.clone(), UserId::from(20));
    let error = client.take_thread_control(&stranger, None).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Token, false));
    assert_eq!(error.advice(), Advice::FixToken);
    assert!(error.to_string().contains("99"), "{error}");
    assert!(server.received_requests().await.unwrap().is_empty());

    client.set_page(page.clone(), "EAABnew".into()).unwrap();
    client.take_thread_control(&stranger, None).await.unwrap();
    assert!(client.remove_page(&page) && !client.remove_page(&page));
    assert!(client.take_thread_control(&stranger, None).await.is_err());
    assert_eq!(only_request(&server).await.headers["authorization"], "Bearer EAABnew");
}

#[tokio::test]
async fn the_real_refusal_of_a_send_by_a_non_owner() {
    let body = json!({"error": {
        "message": "(#10) Message failed to send because another app is controlling this thread now.",
        "type": "OAuthException", "code": 10, "error_subcode": 2_018_300, "fbtrace_id": "A",
    }});
    // A body with an error is an error with HTTP 200 too.
    for status in [400, 200] {
        let (_server, client) = serving(ResponseTemplate::new(status).set_body_json(&body)).await;
        let message = OutgoingMessage::text("hi").unwrap();
        let error = client.send_message(&thread(), &message, None).await.unwrap_err();
        assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::NotThreadOwner, false));
        assert_eq!((error.failure().code, error.failure().subcode), (Some(10), Some(2_018_300)));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::start().await;
    let away = ResponseTemplate::new(307).insert_header("location", elsewhere.uri().as_str());
    let (_server, client) = serving(away).await;
    let error = client.take_thread_control(&thread(), None).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Protocol, false));
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_timeout_leaves_open_whether_it_happened() {
    let (_server, client) = serving(ok(json!({"success": true})).set_delay(Duration::from_secs(5))).await;
    let error = client.take_thread_control(&thread(), None).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Transport, true));
    let source = error.source().and_then(|source| source.downcast_ref::<TransportError>()).unwrap();
    assert!(source.timed_out && source.may_have_sent);

    let error = client.thread_owner(&thread()).await.unwrap_err();
    assert!(!error.may_have_acted(), "reading does nothing");
    assert_no_leak(&error);
}

#[tokio::test]
async fn a_refused_connection_did_nothing() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for error in [
        client(&url).take_thread_control(&thread(), None).await.unwrap_err(),
        client(&url).thread_owner(&thread()).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Transport, false));
        assert_no_leak(&error);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_it_open() {
    use tokio::io::AsyncReadExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let hang_up = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 64]).await;
    };
    let client = client(&url);
    let at = thread();
    let (result, ()) = tokio::join!(client.take_thread_control(&at, None), hang_up);
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Transport, true));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let body = "x".repeat(MAX_RESPONSE_BYTES + 1);
    let (_server, client) = serving(ResponseTemplate::new(200).set_body_string(body)).await;
    let error = client.take_thread_control(&thread(), None).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Transport, true));
    let source = error.source().and_then(StdError::source).unwrap();
    assert!(source.is::<crate::http::BodyTooLarge>());
}

#[tokio::test]
async fn a_rate_limit_says_how_long_to_wait() {
    let body = json!({"error": {"message": "(#4) Application request limit reached", "code": 4}});
    let limited = ResponseTemplate::new(400).set_body_json(body).insert_header("retry-after", "17");
    let (_server, client) = serving(limited).await;
    let error = client.take_thread_control(&thread(), None).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::RateLimited);
    assert_eq!(error.failure().retry_after, Some(Duration::from_secs(17)));
}

#[tokio::test]
async fn another_transport_can_be_put_in_and_debug_shows_no_token() {
    #[derive(Debug)]
    struct Nothing;
    #[async_trait::async_trait]
    impl Transport for Nothing {
        async fn send(
            &self,
            request: http::Request<bytes::Bytes>,
        ) -> Result<http::Response<bytes::Bytes>, TransportError> {
            assert!(!format!("{request:?}").contains(TOKEN));
            Err(TransportError::not_sent("unplugged"))
        }
    }
    let builder = GraphClient::builder().page(PageId::from(10), TOKEN.into()).transport(Arc::new(Nothing));
    assert!(!format!("{builder:?}").contains(TOKEN));
    let client = builder.build().unwrap();
    assert!(!format!("{client:?}").contains(TOKEN));
    assert!(format!("{client:?}").contains("https://graph.facebook.com/"));
    let error = client.take_thread_control(&thread(), None).await.unwrap_err();
    assert!(!error.may_have_acted());
    let both = GraphClient::builder().transport(Arc::new(Nothing)).timeout(Duration::from_secs(1)).build();
    assert!(both.is_err());
}

/// Asserts that no text of the error and of its sources shows the token or the query.
#[track_caller]
fn assert_no_leak(error: &dyn StdError) {
    let mut next = Some(error);
    while let Some(error) = next {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN) && !shown.contains("recipient="), "{shown}");
        next = error.source();
    }
}
