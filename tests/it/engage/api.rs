//! The client of Engage Digital's REST API.

use std::time::Duration;

use messenger_handover::call::FailureKind;
use messenger_handover::engage::Domain;
use messenger_handover::id::UserId;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{IDENTITY, SOURCE, answers, api, ed};
use crate::world::CUSTOMER;

#[tokio::test]
async fn engage_api_finds_people_and_their_interventions() {
    let ed = ed().await;
    let api = api(&ed);
    let person = UserId::from(CUSTOMER);
    let found = json!({"count": 3, "offset": 0, "limit": 150, "records": [
        {"id": "a", "foreign_id": CUSTOMER, "community_id": "c1", "identity_group_id": "g"},
        {"id": "b", "foreign_id": "somebody else"}, {"id": "c", "foreign_id": null},
    ]});
    Mock::given(path("/1.0/identities"))
        .and(query_param("foreign_id", CUSTOMER.to_string()))
        .and(query_param("source_id", SOURCE))
        .respond_with(ResponseTemplate::new(200).set_body_json(found))
        .mount(&ed)
        .await;
    let identities = api.identities(&person, Some(SOURCE)).await.unwrap();
    assert_eq!(identities.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(identities[0].group.as_deref(), Some("g"));
    let nobody = json!({"error": "not_found", "message": "Not found", "status": 404});
    answers(&ed, "/1.0/identities/nobody", 404, nobody).await;
    assert_eq!(api.identity("nobody").await.unwrap(), None);
    assert_eq!(api.identity(IDENTITY).await.unwrap().unwrap().foreign_id, Some(CUSTOMER.to_string()));

    // Two pages of results. In ED's sample, an open record has a `closed_at` and a localised status.
    let record = |id: usize, closed: Value| {
        json!({"id": id.to_string(), "identity_id": IDENTITY,
        "closed": closed, "closed_at": "2012-05-24T02:00:32Z", "status": "Fermée", "deferred_at": null})
    };
    let first: Vec<_> = (0..150).map(|id| record(id, json!(id % 50 != 0))).collect();
    let second = [
        record(150, json!(false)),
        json!({"id": "151", "identity_id": IDENTITY, "closed_at": null}),
        json!({"id": "152", "identity_id": IDENTITY, "closed_at": "2012-05-24T02:00:32Z"}),
        json!({"id": "153", "identity_id": "somebody else", "closed": false}),
    ];
    for (offset, page) in [("0", json!(first)), ("150", json!(second))] {
        Mock::given(path("/1.0/interventions"))
            .and(query_param("offset", offset))
            .and(query_param("limit", "150"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"limit": 150, "records": page})))
            .mount(&ed)
            .await;
    }
    let open = api.open_interventions(IDENTITY).await.unwrap();
    let open: Vec<_> = open.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(open, ["0", "50", "100", "150", "151"]);
}

#[tokio::test]
async fn engage_api_errors_name_a_remedy() {
    let ed = ed().await;
    let api = api(&ed);
    for (id, status, body, kind) in [
        ("a", 403, json!({"error": "forbidden"}), FailureKind::Permission),
        ("b", 409, json!({"error": "locked"}), FailureKind::Conflict),
        ("c", 429, json!({"error": "rate_limit_exceeded"}), FailureKind::RateLimited),
        ("d", 200, json!([]), FailureKind::Protocol),
        ("e", 502, json!("Bad gateway"), FailureKind::Transient),
    ] {
        Mock::given(method("PUT"))
            .and(path(format!("/1.0/interventions/{id}/close")))
            .respond_with(ResponseTemplate::new(status).set_body_json(body))
            .mount(&ed)
            .await;
        let error = api.close_intervention(id).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.may_have_acted(), matches!(id, "d" | "e"), "{error}");
        let waits = error.failure().retry_after;
        assert_eq!(waits, (status == 429).then_some(Duration::from_mins(1)));
    }
    Mock::given(method("PUT"))
        .and(path("/1.0/interventions/i1/close"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": "i1", "closed": true})))
        .mount(&ed)
        .await;
    assert!(!api.close_intervention("i1").await.unwrap().is_open());
    answers(&ed, "/1.0/interventions/i2", 200, json!({"id": "i2", "closed": false, "user_id": 7})).await;
    let one = api.intervention("i2").await.unwrap().unwrap();
    assert_eq!((one.is_open(), one.agent.as_deref()), (true, Some("7")));

    // A list whose pages never end, and a response that is not a list.
    let endless = json!({"limit": 1, "records": [{"id": "x", "identity_id": IDENTITY, "closed": false}]});
    Mock::given(path("/1.0/interventions"))
        .respond_with(ResponseTemplate::new(200).set_body_json(endless))
        .mount(&ed)
        .await;
    assert_eq!(api.open_interventions(IDENTITY).await.unwrap_err().kind(), FailureKind::Protocol);
    Mock::given(path("/1.0/identities"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"records": {}})))
        .mount(&ed)
        .await;
    let person = UserId::from(CUSTOMER);
    assert_eq!(api.identities(&person, None).await.unwrap_err().kind(), FailureKind::Protocol);
}

/// A 404 from a proxy instead of ED does not discard an event.
#[tokio::test]
async fn engage_api_404_of_a_proxy_is_an_error() {
    let ed = MockServer::start().await;
    let error = api(&ed).identity("x").await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Invalid);
    Mock::given(path("/1.0/identities/x"))
        .respond_with(ResponseTemplate::new(404).set_body_json(json!({"error": "not_found", "status": 404})))
        .mount(&ed)
        .await;
    assert_eq!(api(&ed).identity("x").await.unwrap(), None);
}

/// ED's error text repeats the URL of the call, including the encoded token.
#[tokio::test]
async fn engage_api_error_text_is_redacted() {
    let ed = MockServer::start().await;
    Mock::given(wiremock::matchers::any())
        .respond_with(|call: &wiremock::Request| {
            let words = format!("no route matches {} (token s3/cr+et==)", call.url);
            ResponseTemplate::new(400).set_body_json(json!({"error": "bad", "message": words}))
        })
        .mount(&ed)
        .await;
    let domain = Domain::new(&ed.uri().parse().unwrap(), "s3/cr+et==".into()).unwrap().token_in_query();
    let client = messenger_handover::bots_api::Client::from(domain);
    let error = client.bot_to_agent(&UserId::from(1)).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("no route matches") && !shown.contains("s3"), "{shown}");
}
