//! The doctor against the simulated platform.

use std::sync::Arc;
use std::time::Duration;

use ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::doctor::{Check, Doctor, Report, Verdict};
use messenger_handover::graph::{GraphClient, INSTAGRAM_FIELDS, MESSENGER_FIELDS};
use messenger_handover::http::ReqwestTransport;
use messenger_handover::id::{AppId, PAGE_INBOX, PageId, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::secret::AppSecret;
use messenger_sim::{ApiCall, App, Page, Platform, RequestUnderDefaultApp, Rules, Server};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::world::{
    BOT, BOT_SECRET, BOT_TOKEN, CUSTOMER, DESK, DESK_SECRET, DESK_TOKEN, PAGE, Setup, VERIFY_TOKEN, World,
    bot, desk,
};

pub async fn platform(rules: Rules, desk_may_take: bool) -> Server {
    platform_that(RequestUnderDefaultApp::Refused, rules, desk_may_take).await
}

async fn platform_that(requests: RequestUnderDefaultApp, rules: Rules, desk_may_take: bool) -> Server {
    let apps = |id, name, secret| App::new(id, name, secret, VERIFY_TOKEN);
    let platform = Platform::new()
        .with_request_under_default_app(requests)
        .with_app(apps(BOT, "Bot", BOT_SECRET))
        .with_app(apps(DESK, "Desk", DESK_SECRET).may_take(desk_may_take))
        .with_page(Page::new(PAGE, rules).app(BOT, BOT_TOKEN).app(DESK, DESK_TOKEN));
    let server = Server::start(platform).await.unwrap();
    server.customer_writes(&page(), &customer(), "Hello?");
    server
}

fn page() -> PageId {
    PageId::from(PAGE)
}

fn customer() -> UserId {
    UserId::from(CUSTOMER)
}

fn graph(server: &Server) -> GraphClient {
    let builder = GraphClient::builder().base_url(server.url().parse().unwrap());
    let builder = builder.app(desk(), AppSecret::new(DESK_SECRET));
    builder.page(page(), DESK_TOKEN.into()).build().unwrap()
}

/// A doctor for the desk.
fn doctor(server: &Server, policy: ThreadControlPolicy) -> Doctor {
    Doctor::new(graph(server), page(), desk(), Role::Desk, policy).peer(bot()).patience(Duration::ZERO)
}

#[track_caller]
fn found(report: &Report, check: Check) -> (Verdict, String) {
    let finding = report.of(check).unwrap_or_else(|| panic!("{check} was not looked at:\n{report}"));
    match finding.verdict {
        Verdict::Ok => assert_eq!(finding.remedy, None, "{finding:?}"),
        Verdict::Problem => assert!(finding.remedy.is_some(), "{finding:?}"),
        Verdict::Unknown => {}
    }
    assert!(!format!("{finding:?}").contains("SECRET"), "{finding:?}");
    (finding.verdict, finding.says.clone())
}

#[track_caller]
pub fn assert_found(report: &Report, check: Check, verdict: Verdict, words: &str) {
    let (is, says) = found(report, check);
    assert!(is == verdict && says.contains(words), "{check}: {is}, {says}");
}

#[tokio::test]
async fn doctor_finds_nothing_wrong_with_a_correct_page() {
    let server = platform(Rules::primary(DESK), false).await;
    let report = doctor(&server, EdPrimary).person(customer()).examine().await;
    assert_eq!(report.worst(), Verdict::Ok, "{report}");
    for check in [
        Check::Token,
        Check::Account,
        Check::Scopes,
        Check::Clock,
        Check::Subscription,
        Check::FeatureStatus,
        Check::Role,
        Check::Owner,
        Check::Conversation,
    ] {
        assert_eq!(found(&report, check).0, Verdict::Ok);
    }
}

#[tokio::test]
async fn doctor_bad_token_is_explained_and_skips_the_rest() {
    for (subcode, remedy) in [(463, "expired"), (460, "password"), (458, "removed")] {
        let server = platform(Rules::primary(DESK), false).await;
        server.with_platform(|platform, _| platform.end_token(&page(), &desk(), subcode));
        let report = doctor(&server, EdPrimary).examine().await;
        assert_found(&report, Check::Token, Verdict::Problem, "no good");
        let told = report.of(Check::Token).unwrap().remedy.clone().unwrap();
        assert!(told.contains(remedy), "{told}");
        assert_found(&report, Check::Subscription, Verdict::Unknown, "not looked at");
    }
    // A token of another app: this app may not inspect it, so the token inspects itself.
    let server = platform(Rules::primary(DESK), false).await;
    let url = server.url().parse().unwrap();
    let graph = GraphClient::builder().base_url(url).page(page(), BOT_TOKEN.into()).build().unwrap();
    let report = Doctor::new(graph, page(), desk(), Role::Desk, EdPrimary).examine().await;
    assert_found(&report, Check::Token, Verdict::Problem, "belongs to app 1001");
}

#[tokio::test]
async fn doctor_lists_missing_permissions_and_fields() {
    let server = platform(Rules::primary(DESK), false).await;
    server.with_platform(|platform, _| platform.set_scopes(&page(), &desk(), ["pages_messaging"]));
    let report = doctor(&server, EdPrimary).examine().await;
    assert_found(&report, Check::Scopes, Verdict::Problem, "lacks pages_manage_metadata");
    assert_eq!(found(&report, Check::Subscription).0, Verdict::Problem);

    let server = platform(Rules::primary(DESK), false).await;
    graph(&server).subscribe(&page(), &["messages", "message_echoes"]).await.unwrap();
    let report = doctor(&server, EdPrimary).examine().await;
    let missing = "messaging_postbacks, messaging_handovers, standby";
    assert_found(&report, Check::Subscription, Verdict::Problem, missing);
    graph(&server).subscribe(&page(), &MESSENGER_FIELDS).await.unwrap();
    let report = doctor(&server, EdPrimary).examine().await;
    assert_eq!(found(&report, Check::Subscription).0, Verdict::Ok);
}

#[tokio::test]
async fn doctor_compares_role_and_policy() {
    let server = platform(Rules::primary(BOT), false).await;
    let report = doctor(&server, EdPrimary).examine().await;
    assert_found(&report, Check::Role, Verdict::Problem, "secondary receiver");
    let report = doctor(&server, BotPrimary).examine().await;
    assert_found(&report, Check::Role, Verdict::Ok, "as the policy has it");
    let server = platform(Rules::primary(DESK), false).await;
    let stranger = doctor(&server, EdPrimary).peer(AppId::from(3)).examine().await;
    assert_found(&stranger, Check::Role, Verdict::Problem, "app 3, the other side");
    let remedy = stranger.of(Check::Role).unwrap().remedy.as_deref().unwrap();
    assert!(remedy.ends_with("see docs/setup.md"), "{remedy}");
}

#[tokio::test]
async fn doctor_shows_owner_and_window() {
    let look = async |server: &Server| doctor(server, NoPrimary).person(customer()).examine().await;
    let server = platform(Rules::default_app(BOT), false).await;
    assert_found(&look(&server).await, Check::Owner, Verdict::Unknown, "only the owner and the default");
    let server = platform(Rules::zero_config(), false).await;
    assert_found(&look(&server).await, Check::Owner, Verdict::Ok, "idle");
    let server = platform(Rules::primary(BOT), false).await;
    assert_found(&look(&server).await, Check::Owner, Verdict::Ok, "the other side");
    let server = platform(Rules::primary(PAGE_INBOX), false).await;
    assert_found(&look(&server).await, Check::Owner, Verdict::Problem, "never answers");
    server.advance(std::time::Duration::from_hours(25));
    assert_found(&look(&server).await, Check::Conversation, Verdict::Problem, "may not write");
}

/// A probe reports the available calls and leaves the owner unchanged.
#[tokio::test]
async fn doctor_probe_reports_take_and_request() {
    use Verdict::{Ok, Problem, Unknown};
    for (rules, may_take, policy, request, take, verdict, words) in [
        (Rules::primary(BOT), false, BotPrimary, Unknown, Unknown, Unknown, "whether the owner answers"),
        (Rules::primary(BOT), false, EdPrimary, Unknown, Unknown, Problem, "may not take control"),
        (Rules::no_primary(), false, NoPrimary, Ok, Ok, Ok, "can be had"),
        (Rules::zero_config(), false, NoPrimary, Ok, Ok, Ok, "can be had"),
        (Rules::default_app(BOT), true, BotPrimary, Unknown, Unknown, Unknown, "whether this app may take"),
        (Rules::primary(DESK), false, EdPrimary, Unknown, Unknown, Unknown, ""),
    ] {
        let server = platform(rules.clone(), may_take).await;
        let before = server.owner(&page(), &customer());
        let report = doctor(&server, policy).probe(customer()).examine().await;
        assert_eq!(found(&report, Check::Request).0, request, "{rules:?}\n{report}");
        assert_eq!(found(&report, Check::Take).0, take, "{rules:?}\n{report}");
        if words.is_empty() {
            assert!(report.of(Check::Policy).is_none(), "the thread is ours, so nothing was tried");
        } else {
            assert_found(&report, Check::Policy, verdict, words);
        }
        assert_eq!(server.owner(&page(), &customer()), before, "{rules:?}");
    }
}

/// In every configuration, a probe leaves the owner unchanged, and its finding about take matches the platform's
/// behaviour.
#[tokio::test]
async fn doctor_probe_is_right_in_every_configuration() {
    let all = [
        Rules::primary(BOT),
        Rules::primary(DESK),
        Rules::no_primary(),
        Rules::default_app(BOT),
        Rules::default_app(DESK),
        Rules::zero_config(),
    ];
    // One transport for all, because reading the root certificates takes longer than the whole examination.
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let (mut takes, mut refusals, mut problems) = (0, 0, 0);
    for rules in all {
        for requests in [RequestUnderDefaultApp::Refused, RequestUnderDefaultApp::SilentSuccess] {
            for may_take in [true, false] {
                // The owner by the rules, the bot, or the Page inbox.
                for owner in [None, Some(bot()), Some(AppId::from(PAGE_INBOX))] {
                    let server = platform_that(requests, rules.clone(), may_take).await;
                    let call = |server: &Server, app: &AppId, call: ApiCall| {
                        server.with_platform(|platform, now| platform.call(app, &page(), &call, now).is_ok())
                    };
                    if let Some(target) = owner {
                        let by = server.owner(&page(), &customer()).unwrap_or_else(bot);
                        let pass = ApiCall::Pass { user: customer(), target: Some(target), metadata: None };
                        call(&server, &by, pass);
                    }
                    let graph = GraphClient::builder().base_url(server.url().parse().unwrap());
                    let graph = graph.page(page(), DESK_TOKEN.into()).transport(transport.clone());
                    let graph = graph.build().unwrap();
                    let before = server.owner(&page(), &customer());
                    for policy in [BotPrimary, EdPrimary, NoPrimary] {
                        let case = format!("{rules:?} {requests:?} {may_take} {before:?} {policy}");
                        let doctor = Doctor::new(graph.clone(), page(), desk(), Role::Desk, policy);
                        let doctor = doctor.patience(Duration::ZERO);
                        let report = doctor.peer(bot()).probe(customer()).examine().await;
                        assert_eq!(server.owner(&page(), &customer()), before, "{case}\n{report}");
                        for finding in &report.findings {
                            found(&report, finding.check);
                        }
                        problems += usize::from(report.worst() == Verdict::Problem);
                        let Some(take) = report.of(Check::Take) else { continue };
                        let truth = || {
                            let done =
                                call(&server, &desk(), ApiCall::Take { user: customer(), metadata: None });
                            if done {
                                // Restore the owner.
                                let back = match &before {
                                    Some(app) => ApiCall::Pass {
                                        user: customer(),
                                        target: Some(app.clone()),
                                        metadata: None,
                                    },
                                    None => ApiCall::Release { user: customer() },
                                };
                                assert!(call(&server, &desk(), back), "{case}");
                            }
                            done
                        };
                        if take.says.starts_with("this app may take") {
                            assert!(truth(), "{case}\n{report}");
                            takes += 1;
                        } else if take.says.starts_with("not available") {
                            assert!(!truth(), "{case}\n{report}");
                            refusals += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(takes > 20 && refusals > 20 && problems > 20, "{takes} {refusals} {problems}");
}

/// The desk is the default application and another app owns the thread: the probe returns control to that app.
#[tokio::test]
async fn doctor_probe_returns_control_that_it_took() {
    for may_take in [true, false] {
        let server = platform(Rules::default_app(DESK), may_take).await;
        server.with_platform(|platform, now| {
            let pass = ApiCall::Pass { user: customer(), target: Some(bot()), metadata: None };
            platform.call(&desk(), &page(), &pass, now).unwrap();
        });
        let report = doctor(&server, EdPrimary).probe(customer()).examine().await;
        assert_eq!(server.owner(&page(), &customer()), Some(bot()), "{report}");
        if may_take {
            assert_found(&report, Check::Take, Verdict::Ok, "may take");
            assert_found(&report, Check::Policy, Verdict::Ok, "requests do not exist");
        } else {
            assert_found(&report, Check::Policy, Verdict::Problem, "neither request nor take");
        }
    }
}

/// A doctor for the bot, as the primary receiver and as the default application.
#[tokio::test]
async fn doctor_examines_for_a_bot() {
    let doctor = |server: &Server, policy| {
        let builder = GraphClient::builder().base_url(server.url().parse().unwrap());
        let graph = builder.page(page(), BOT_TOKEN.into()).build().unwrap();
        Doctor::new(graph, page(), bot(), Role::Bot, policy).peer(desk())
    };
    for rules in [Rules::primary(BOT), Rules::default_app(BOT)] {
        let server = platform(rules, false).await;
        let report = doctor(&server, BotPrimary).person(customer()).examine().await;
        assert_eq!(report.worst(), Verdict::Ok, "{report}");
        assert_found(&report, Check::Owner, Verdict::Ok, "this app");
    }
    let server = platform(Rules::primary(DESK), false).await;
    let report = doctor(&server, BotPrimary).examine().await;
    assert_found(&report, Check::Role, Verdict::Problem, "secondary receiver");
    let report = doctor(&server, EdPrimary).person(customer()).examine().await;
    assert_eq!(report.worst(), Verdict::Ok, "{report}");
    assert_found(&report, Check::Owner, Verdict::Ok, "the other side");
}

/// Instagram has another permission and no field for echoes (docs/protocol.md#page-subscriptions).
#[tokio::test]
async fn doctor_examines_an_instagram_account() {
    let server = platform(Rules::default_app(DESK), false).await;
    let examine = async || doctor(&server, EdPrimary).instagram().person(customer()).examine().await;
    let report = examine().await;
    assert_found(&report, Check::Scopes, Verdict::Problem, "lacks instagram_manage_messages or");
    for scope in ["instagram_manage_messages", "instagram_business_manage_messages"] {
        let scopes = [scope, "pages_manage_metadata"];
        server.with_platform(|platform, _| platform.set_scopes(&page(), &desk(), scopes));
        graph(&server).subscribe(&page(), &INSTAGRAM_FIELDS).await.unwrap();
        let report = examine().await;
        assert_eq!(report.worst(), Verdict::Ok, "{report}");
    }
}

/// Under a default application, a request can be accepted without effect (docs/protocol.md#request).
#[tokio::test]
async fn doctor_probe_detects_a_request_without_effect() {
    let server = platform_that(RequestUnderDefaultApp::SilentSuccess, Rules::default_app(BOT), false).await;
    let report = doctor(&server, NoPrimary).probe(customer()).examine().await;
    assert_found(&report, Check::Request, Verdict::Unknown, "accepted, which is not control");
    assert_found(&report, Check::Policy, Verdict::Unknown, "whether the owner answers");
    assert_eq!(server.owner(&page(), &customer()), Some(bot()));
}

#[expect(clippy::disallowed_methods, reason = "the doctor compares with the real clock")]
fn seconds_from_now(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// A platform with a wrong clock and an expiring token, which the simulator does not offer.
async fn odd_platform(date: i64, expires_at: i64) -> Report {
    let server = MockServer::start().await;
    let token = json!({"data": {
        "app_id": DESK, "type": "PAGE", "profile_id": PAGE, "is_valid": true, "expires_at": expires_at,
        "scopes": ["pages_messaging", "pages_manage_metadata"],
    }});
    let date = std::time::UNIX_EPOCH + std::time::Duration::from_secs(date.try_into().unwrap());
    let date = httpdate::fmt_http_date(date);
    Mock::given(path("/v27.0/debug_token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(token))
        .mount(&server)
        .await;
    Mock::given(path("/v27.0/me"))
        .respond_with(
            ResponseTemplate::new(200).insert_header("date", date).set_body_json(json!({"id": PAGE})),
        )
        .mount(&server)
        .await;
    let builder = GraphClient::builder().base_url(server.uri().parse().unwrap());
    let graph = builder.page(page(), DESK_TOKEN.into()).build().unwrap();
    Doctor::new(graph, page(), desk(), Role::Desk, EdPrimary).examine().await
}

#[tokio::test]
async fn doctor_reports_clock_skew_and_token_expiry() {
    let report = odd_platform(seconds_from_now(0), 0).await;
    assert_found(&report, Check::Clock, Verdict::Ok, "agree");
    assert_found(&report, Check::Token, Verdict::Ok, "does not end");
    // A missing response leaves the verdict unknown.
    assert_eq!(found(&report, Check::Subscription).0, Verdict::Unknown);
    for off in [-3600, 3600] {
        let report = odd_platform(seconds_from_now(off), seconds_from_now(90_000)).await;
        assert_found(&report, Check::Clock, Verdict::Problem, " s off the platform's");
        assert_found(&report, Check::Token, Verdict::Problem, "ends in 2");
    }
    let report = odd_platform(seconds_from_now(0), seconds_from_now(60 * 86_400 + 60)).await;
    assert_found(&report, Check::Token, Verdict::Ok, "another 60 days");
}

/// A live bot that trusts the desk grants the request a moment later.
#[tokio::test]
async fn doctor_probe_returns_control_that_a_bot_grants() {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    let graph = GraphClient::builder().base_url(world.sim.url().parse().unwrap());
    let graph = graph.page(page(), DESK_TOKEN.into()).build().unwrap();
    let doctor = Doctor::new(graph, page(), desk(), Role::Desk, BotPrimary).peer(bot());
    let report = doctor.probe(customer()).examine().await;
    assert_found(&report, Check::Request, Verdict::Ok, "granted");
    assert_found(&report, Check::Policy, Verdict::Ok, "can be had");
    world.rest().await;
    assert_eq!(world.owner(), Some(bot()), "{report}");
}

/// Take succeeds but its response is lost: the doctor reads the owner afterwards.
#[tokio::test]
async fn doctor_reads_the_owner_after_a_take_without_response() {
    for (owner, expected) in [(DESK, Verdict::Ok), (BOT, Verdict::Unknown)] {
        let server = MockServer::start().await;
        let answer = |what: &str, status, body: serde_json::Value| {
            let answer = ResponseTemplate::new(status).set_body_json(body);
            Mock::given(wiremock::matchers::path_regex(what)).respond_with(answer).mount(&server)
        };
        let token = json!({"data": {"app_id": DESK, "type": "PAGE", "profile_id": PAGE, "is_valid": true}});
        answer("debug_token", 200, token).await;
        answer("take_thread_control", 502, json!({})).await;
        let refused = json!({"error": {"message": "(#100) no", "code": 100, "type": "OAuthException"}});
        answer("request_thread_control", 400, refused).await;
        let owned = |app: u64| json!({"data": [{"thread_owner": {"app_id": app}}]});
        let before = ResponseTemplate::new(200).set_body_json(owned(BOT));
        Mock::given(wiremock::matchers::path_regex("thread_owner"))
            .respond_with(before)
            .up_to_n_times(1)
            .with_priority(1)
            .mount(&server)
            .await;
        answer("thread_owner", 200, owned(owner)).await;
        answer("pass_thread_control", 200, json!({"success": true})).await;
        let builder = GraphClient::builder().base_url(server.uri().parse().unwrap());
        let graph = builder.page(page(), DESK_TOKEN.into()).build().unwrap();
        let doctor = Doctor::new(graph, page(), desk(), Role::Desk, EdPrimary).peer(bot());
        let report = doctor.probe(customer()).examine().await;
        assert_eq!(found(&report, Check::Take).0, expected, "{report}");
        let calls = server.received_requests().await.unwrap();
        let given = calls.iter().any(|call| call.url.path().ends_with("/pass_thread_control"));
        assert_eq!(given, owner == DESK, "{report}");
    }
}
