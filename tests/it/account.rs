//! The doctor's account check: it names the Page or Instagram account that a token belongs to.

use messenger_handover::doctor::{Check, Doctor, Report, Verdict};
use messenger_handover::graph::GraphClient;
use messenger_handover::id::PageId;
use messenger_handover::policy::{Role, ThreadControlPolicy::EdPrimary};
use messenger_sim::Rules;
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::doctor::{assert_found, platform};
use crate::world::{DESK, DESK_TOKEN, desk};

/// A mock of Graph for one token. `debug_token` names no account, and every edge under `me` works.
async fn with_token_of(me: serde_json::Value, page: u64, instagram: bool) -> Report {
    let server = MockServer::start().await;
    let token = json!({"data": {"app_id": DESK, "type": "PAGE", "is_valid": true, "expires_at": 0,
        "scopes": ["pages_messaging", "pages_manage_metadata", "instagram_manage_messages"]}});
    let answer = |at: &str, body: serde_json::Value| {
        let answer = ResponseTemplate::new(200).set_body_json(body);
        Mock::given(path(at)).respond_with(answer).with_priority(9).mount(&server)
    };
    answer("/v27.0/debug_token", token).await;
    let of_a_page = me.get("user_id").is_none();
    answer("/v27.0/me", me).await;
    // Graph refuses to read fields that another kind of account has.
    let fields = if of_a_page { "user_id" } else { "instagram_business_account" };
    let unknown = json!({"error": {"code": 100, "type": "OAuthException",
        "message": format!("(#100) Tried accessing nonexisting field ({fields})")}});
    Mock::given(path("/v27.0/me"))
        .and(move |request: &wiremock::Request| request.url.query().unwrap_or_default().contains(fields))
        .respond_with(ResponseTemplate::new(400).set_body_json(unknown))
        .with_priority(1)
        .mount(&server)
        .await;
    let builder = GraphClient::builder().base_url(server.uri().parse().unwrap());
    let graph = builder.page(PageId::from(page), DESK_TOKEN.into()).build().unwrap();
    let doctor = Doctor::new(graph, PageId::from(page), desk(), Role::Desk, EdPrimary);
    if instagram { doctor.instagram().examine().await } else { doctor.examine().await }
}

/// A token of another Page makes every call succeed, but for that other Page.
#[tokio::test]
async fn doctor_names_the_account_of_the_token() {
    use Verdict::{Ok, Problem, Unknown};
    let (shop, account) = (json!({"id": "10", "name": "Shop"}), json!({"id": "77"}));
    let linked = json!({"id": "10", "name": "Shop", "instagram_business_account": account});
    let connected = json!({"id": "10", "connected_instagram_account": account});
    let own = json!({"id": "5", "user_id": "77", "username": "shop"});
    for (me, page, instagram, verdict, words) in [
        (&shop, 10, false, Ok, "the token speaks for 10 (Shop)"),
        (&shop, 123, false, Problem, "this token belongs to Page 10 (Shop), but PAGE_ID is 123"),
        (&json!({"name": "Shop"}), 10, false, Unknown, "does not say whose"),
        // An Instagram account, through the token of its linked Page.
        (&linked, 77, true, Ok, "the token speaks for the Instagram account 77"),
        (&connected, 77, true, Ok, "the token speaks for the Instagram account 77"),
        (&linked, 123, true, Problem, "belongs to Page or account 10 (Shop), but PAGE_ID is 123"),
        (&shop, 77, true, Problem, "belongs to Page or account 10 (Shop), but PAGE_ID is 77"),
        (&linked, 10, true, Unknown, "must be configured with that id"),
        (&shop, 10, true, Ok, "the token speaks for 10 (Shop)"),
        // Instagram Login: the account's own token, with an app-scoped id and the real id.
        (&own, 77, true, Ok, "the token speaks for the Instagram account 77"),
        (&own, 123, true, Problem, "belongs to Page or account 5 (shop), but PAGE_ID is 123"),
    ] {
        let report = with_token_of(me.clone(), page, instagram).await;
        assert_found(&report, Check::Account, verdict, words);
        let finding = report.of(Check::Account).unwrap();
        if verdict == Problem {
            assert!(finding.remedy.as_deref().unwrap().contains("/me/accounts"), "{finding:?}");
        }
    }

    // The simulated platform names the owner of a token too, for a Page and for its Instagram account.
    let server = platform(Rules::primary(DESK), false).await;
    let elsewhere = GraphClient::builder().base_url(server.url().parse().unwrap());
    let elsewhere = elsewhere.page(PageId::from(123), DESK_TOKEN.into()).build().unwrap();
    let doctor = Doctor::new(elsewhere, PageId::from(123), desk(), Role::Desk, EdPrimary);
    let report = doctor.examine().await;
    assert_found(&report, Check::Account, Verdict::Problem, "but PAGE_ID is 123");
    // The printed form.
    let line = report.to_string();
    assert!(line.contains("account       PROBLEM          this token belongs to Page 10"), "{line}");
}
