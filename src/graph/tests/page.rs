//! Tests of calls other than thread control, of tokens, proofs and rate limits.

use std::sync::Mutex;

use serde_json::Map;

use super::*;
use crate::call::{InlineControl, SenderAction};
use crate::graph::{Conversation, INSTAGRAM_FIELDS, MESSENGER_FIELDS, Platform, TokenError, TokenProvider};
use crate::secret::{AppSecret, PageToken};

fn page() -> PageId {
    PageId::from(10)
}

#[tokio::test]
async fn feature_status_subscription_and_conversation() {
    let status = json!({"messaging_feature_status": {"hop_v2": true, "msgr_multi_app": "false"}, "id": "10"});
    let (server, client) = serving(ok(status)).await;
    let read = client.messaging_feature_status(&page()).await.unwrap();
    assert_eq!((read.hop_v2, read.msgr_multi_app, read.ig_multi_app), (Some(true), Some(false), None));
    let request = only_request(&server).await;
    assert_eq!(
        (request.url.path(), request.url.query()),
        ("/v22.0/me", Some("fields=messaging_feature_status"))
    );

    let apps = json!({"data": [{"id": 7, "name": "Bot", "subscribed_fields": ["messages", {"name": "standby"}]},
        {"id": "8"}]});
    let (server, client) = serving(ok(apps)).await;
    let apps = client.subscribed_apps(&page()).await.unwrap();
    assert_eq!(
        (apps[0].app.clone(), apps[0].fields.clone()),
        (7.into(), vec!["messages".into(), "standby".into()])
    );
    assert!(apps[1].fields.is_empty());
    assert_eq!(only_request(&server).await.url.path(), "/v22.0/me/subscribed_apps");

    // Meta's sample has the string "true" (docs/protocol.md#call-answers).
    let (server, client) = serving(ok(json!({"success": "true"}))).await;
    client.subscribe(&page(), &MESSENGER_FIELDS).await.unwrap();
    let fields = "messages,messaging_postbacks,messaging_referrals,messaging_handovers,standby,message_echoes,\
                  message_edits";
    let body = json!({ "subscribed_fields": fields });
    assert_post(&only_request(&server).await, "/v22.0/me/subscribed_apps", body);
    assert!(!INSTAGRAM_FIELDS.contains(&"message_echoes"));
    for wrong in [&["messaging_handover"][..], &[]] {
        let error = client.subscribe(&page(), wrong).await.unwrap_err();
        assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::Invalid, false));
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 1, "nonsense is not sent");

    let (server, client) = serving(ok(json!({"data": [{"id": "t_1", "is_owner": true}]}))).await;
    let found = client.conversation(&thread(), Platform::Instagram).await.unwrap();
    let expected = Conversation { id: Some("t_1".into()), is_owner: Some(true), can_reply: None };
    assert_eq!(found, Some(expected));
    let request = only_request(&server).await;
    assert_eq!(request.url.path(), "/v22.0/me/conversations");
    assert_eq!(request.url.query(), Some("platform=instagram&user_id=20&fields=id%2Cis_owner%2Ccan_reply"));
    let (_server, client) = serving(ok(json!({"data": []}))).await;
    assert_eq!(client.conversation(&thread(), Platform::Messenger).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_is_looked_at_with_the_apps_own_and_shown_nowhere() {
    let answer = json!({"data": {"is_valid": false, "app_id": "7", "type": "PAGE", "profile_id": 10,
        "expires_at": 0, "data_access_expires_at": 1_800_000_000, "scopes": ["pages_messaging"],
        "error": {"code": 190, "subcode": 463, "message": format!("token {TOKEN} expired")}}});
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ok(answer)).mount(&server).await;
    let client = GraphClient::builder()
        .base_url(server.uri().parse().unwrap())
        .page(page(), TOKEN.into())
        .app(AppId::from(7), AppSecret::new("s3cret"))
        .build()
        .unwrap();
    let info = client.debug_token(&page()).await.unwrap();
    assert_eq!((info.valid, info.app.clone(), info.page.clone()), (false, Some(7.into()), Some(10.into())));
    assert_eq!((info.expires, info.scopes.len()), (None, 1));
    assert_eq!(info.data_access_expires.map(crate::time::Timestamp::as_millis), Some(1_800_000_000_000));
    let problem = info.problem.clone().unwrap();
    assert_eq!(problem.token_problem(), Some(crate::call::TokenProblem::Expired));
    assert!(!format!("{info:?}{client:?}").contains(TOKEN));
    let request = only_request(&server).await;
    assert_eq!(request.url.path(), "/v27.0/debug_token");
    assert_eq!(request.url.query(), Some(format!("input_token={TOKEN}").as_str()));
    assert_eq!(request.headers["authorization"], "Bearer 7|s3cret");

    let refused = json!({"error": {"message": format!("bad {TOKEN} or 7|s3cret"), "code": 190}});
    server.reset().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(400).set_body_json(refused)).mount(&server).await;
    let error = client.debug_token(&page()).await.unwrap_err();
    assert!(!format!("{error:?}{error}").contains("s3cret"), "{error}");
    assert_no_leak(&error);
}

#[tokio::test]
async fn the_proof_goes_along_and_pages_can_be_named() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ok(json!({"success": true, "data": []}))).mount(&server).await;
    let client = GraphClient::builder()
        .base_url(server.uri().parse().unwrap())
        .page(page(), "token".into())
        .app(AppId::from(7), AppSecret::new("key"))
        .address_pages_by_id()
        .build()
        .unwrap();
    let proof = "646b8eac0c4ae4178299c9bd924e2bf073dfb07e024901a8c864f65b9462bf0d";
    client.release_thread_control(&thread()).await.unwrap();
    client.thread_owner(&thread()).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.path(), "/v27.0/10/release_thread_control");
    assert_eq!(requests[0].url.query(), None);
    let body = json!({"recipient": {"id": "20"}, "appsecret_proof": proof});
    assert_eq!(requests[0].body_json::<Value>().unwrap(), body);
    assert_eq!(requests[1].url.query(), Some(format!("recipient=20&appsecret_proof={proof}").as_str()));
}

#[tokio::test]
async fn control_that_goes_with_a_message_is_always_named() {
    for (control, expected) in [
        (InlineControl::PassTo(AppId::from(9)), json!({"control_type": "pass", "app_id": "9"})),
        (InlineControl::Release, json!({"control_type": "release"})),
    ] {
        let (server, client) = serving(ok(json!({"recipient_id": "20", "message_id": 5}))).await;
        let message = OutgoingMessage::text("Bye").unwrap().then(control);
        let sent = client.send_message(&thread(), &message, None).await.unwrap();
        assert_eq!(sent.mid, Some(MessageId::new("5").unwrap()), "an id as a number");
        let body: Value = only_request(&server).await.body_json().unwrap();
        assert_eq!(body["thread_control"], expected);
    }
    let (server, client) = serving(ok(json!({"recipient_id": "20"}))).await;
    for control in
        [json!({}), json!({"app_id": "9"}), json!("pass"), json!({"control_type": "PASS"}), Value::Null]
    {
        let body = Map::from_iter([("thread_control".to_owned(), control)]);
        let error = client.send_raw(&thread(), body).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Invalid);
    }
    client.sender_action(&thread(), SenderAction::TypingOn).await.unwrap();
    let body = json!({"recipient": {"id": "20"}, "sender_action": "typing_on"});
    assert_post(&only_request(&server).await, "/v22.0/me/messages", body);
}

/// A provider that moves on to its next token each time one is refused.
#[derive(Debug, Default)]
struct Vault {
    refused: Mutex<Vec<String>>,
    away: bool,
}

#[async_trait::async_trait]
impl TokenProvider for Vault {
    async fn page_token(&self, page: &PageId) -> Result<PageToken, TokenError> {
        match (self.away, page) {
            (true, _) => Err(TokenError::Unavailable("the vault is sealed".into())),
            (_, page) if *page == super::page::page() => {
                Ok(PageToken::new(format!("EAABtoken{}", self.refused.lock().unwrap().len())))
            }
            _ => Err(TokenError::UnknownPage),
        }
    }

    async fn refused(&self, _: &PageId, token: &PageToken) {
        self.refused.lock().unwrap().push(token.expose_secret().to_owned());
    }
}

#[tokio::test]
async fn a_token_that_was_replaced_meanwhile_is_used_once_more() {
    use wiremock::matchers::header;
    let server = MockServer::start().await;
    let old = json!({"error": {"message": "expired", "code": 190, "error_subcode": 463}});
    let old = ResponseTemplate::new(401).set_body_json(old);
    Mock::given(header("authorization", "Bearer EAABtoken0")).respond_with(old.clone()).mount(&server).await;
    let new = ok(json!({"success": true}));
    Mock::given(header("authorization", "Bearer EAABtoken1")).respond_with(new).mount(&server).await;
    let vault = Arc::new(Vault::default());
    let build = |vault: &Arc<Vault>| {
        let builder = GraphClient::builder().base_url(server.uri().parse().unwrap());
        builder.tokens(vault.clone()).build().unwrap()
    };
    build(&vault).take_thread_control(&thread(), None).await.unwrap();
    assert_eq!(*vault.refused.lock().unwrap(), ["EAABtoken0"]);
    assert_eq!(server.received_requests().await.unwrap().len(), 2);

    // The new token is refused too, so the client gives up.
    server.reset().await;
    Mock::given(any()).respond_with(old).mount(&server).await;
    let error = build(&vault).take_thread_control(&thread(), None).await.unwrap_err();
    assert_eq!(error.failure().token_problem(), Some(crate::call::TokenProblem::Expired));
    assert_eq!(server.received_requests().await.unwrap().len(), 2);

    let stranger = ThreadKey::new(PageId::from(99), UserId::from(20));
    let error = build(&vault).thread_owner(&stranger).await.unwrap_err();
    assert_eq!((error.kind(), error.advice()), (FailureKind::Token, Advice::FixToken));
    let away = Arc::new(Vault { away: true, ..Vault::default() });
    let error = build(&away).thread_owner(&thread()).await.unwrap_err();
    assert_eq!((error.advice(), error.may_have_acted()), (Advice::RetryLater, false));
}

#[tokio::test]
async fn a_reached_limit_stops_the_next_call_before_it_is_made() {
    let usage = r#"{"10":[{"type":"messenger","call_count":100,"estimated_time_to_regain_access":3}]}"#;
    let limited = json!({"error": {"message": "(#80006) too many", "code": 80_006}});
    let limited = ResponseTemplate::new(400).set_body_json(limited);
    let (server, client) = serving(limited.insert_header("x-business-use-case-usage", usage)).await;
    let error = client.thread_owner(&thread()).await.unwrap_err();
    assert_eq!(error.failure().retry_after, Some(Duration::from_mins(3)));
    let message = OutgoingMessage::text("hi").unwrap();
    let error = client.send_message(&thread(), &message, None).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::RateLimited, false));
    let wait = error.failure().retry_after.unwrap();
    assert!(wait > Duration::from_secs(170) && wait <= Duration::from_mins(3), "{wait:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
    // Calls for another Page of the same client go on.
    let other = ThreadKey::new(PageId::from(11), UserId::from(20));
    let _ = client.thread_owner(&other).await.unwrap_err();
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn instagram_login_has_its_own_errors() {
    let body = json!({"error": {"message": "(#10) outside", "type": "IGApiException", "code": 10,
        "error_subcode": 2_534_022, "fbtrace_id": "A"}});
    let (_server, client) = serving(ResponseTemplate::new(403).set_body_json(body)).await;
    let message = OutgoingMessage::text("hi").unwrap();
    let error = client.send_message(&thread(), &message, None).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_acted()), (FailureKind::OutsideWindow, false));
    let instagram = GraphClient::builder().instagram_login().build().unwrap();
    assert!(format!("{instagram:?}").contains("https://graph.instagram.com"));
}
