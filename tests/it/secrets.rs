//! No token, secret, signature, proof or message text appears in any log, error or `Debug` output.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use messenger_handover::bots_api;
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::engage::{self, Domain};
use messenger_handover::graph::GraphClient;
use messenger_handover::id::PageId;
use messenger_handover::policy::ThreadControlPolicy::BotPrimary;
use messenger_handover::routes::BodyLimits;
use messenger_handover::secret::{AppSecret, EdToken, EdWebhookSecret, PageToken, VerifyToken};
use messenger_handover::thread::Target;
use messenger_handover::webhook::{self, Verifier};
use messenger_sim::{self as sim, Rules};
use tokio::net::TcpListener;
use url::Url;

use crate::capture::Log;
use crate::hosts;
use crate::world::{
    BOT, BOT_SECRET, BOT_TOKEN, DESK, DESK_SECRET, DESK_TOKEN, Host, PAGE, Setup, VERIFY_TOKEN, World, bot,
    desk, thread,
};

/// One run through everything that handles a secret, with all log levels on.
#[tokio::test]
async fn secrets_are_never_logged_or_shown() {
    let log = Log::default();
    // Process-wide, so that the logs of the other tests are checked, too.
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    log::set_logger(Box::leak(Box::new(log.clone()))).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let (mut shown, mut stored) = (String::new(), String::new());
    everything(&mut shown, &mut stored).await;
    example_hosts(&mut shown).await;
    let log = log.text();
    for part in [
        "bots/handover",
        "a call of the Bots API was refused",
        "request_thread_control",
        // Lines of the host itself, of its dependencies, and of refused requests must be in the log.
        "::agent_desk::customers: told",
        "hyper_util::client",
        "log: reqwest",
        "reason=\"signature_mismatch\"",
    ] {
        assert!(log.contains(part), "the log shows too little to prove anything: no {part}");
    }
    assert!(shown.len() > 1000 && shown.contains("GraphClient"));
    assert!(stored.contains("PRIVATE") && !stored.contains("SECRET"));
    for text in [&log, &shown] {
        // All secrets and all message texts of these tests contain one of these words. A signature appears in a header only.
        for private in ["SECRET", "PRIVATE", "sha256="] {
            let found = text.match_indices(private).map(|(at, _)| at);
            let found = found.filter(|at| !text[*at..].starts_with("sha256=` and 64"));
            let shown = found.map(|at| {
                let from = (0..=at.saturating_sub(200)).rev().find(|at| text.is_char_boundary(*at));
                text[from.unwrap_or_default()..].chars().take(400).collect::<String>()
            });
            assert_eq!(shown.collect::<Vec<_>>(), Vec::<String>::new(), "{private}");
        }
    }
}

/// The example hosts, from the customer's first message to the end of the intervention, and a forged request.
async fn example_hosts(shown: &mut String) {
    let platform = sim::Platform::new()
        .with_app(sim::App::new(BOT, "Bot", BOT_SECRET, VERIFY_TOKEN))
        .with_app(sim::App::new(DESK, "Desk", DESK_SECRET, VERIFY_TOKEN))
        .with_page(sim::Page::new(PAGE, Rules::primary(BOT)).app(BOT, BOT_TOKEN).app(DESK, DESK_TOKEN));
    let sim = sim::Server::start(platform).await.unwrap();
    let serve = async |router: axum::Router| -> Url {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let limits = hosts::agent_desk::settings::serve::Limits::default();
        tokio::spawn(hosts::agent_desk::settings::serve::serve(
            listener,
            router,
            limits,
            std::future::pending(),
        ));
        url
    };
    let graph: Url = sim.url().parse().unwrap();
    let settings = hosts::settings(&desk(), BotPrimary, &graph, None);
    let _ = write!(shown, "{settings:?}");
    let (router, desks) =
        hosts::agent_desk::router(&settings, hosts::a_store(), BodyLimits::default()).unwrap();
    let desk_url = serve(router).await;
    let settings = hosts::settings(&bot(), BotPrimary, &graph, Some(&desk_url));
    let (router, bots) = hosts::bot::router(&settings, hosts::a_store(), BodyLimits::default()).unwrap();
    let bot_url = serve(router).await;
    for (app, url) in [(bot(), &bot_url), (desk(), &desk_url)] {
        sim.set_callback(&app, url.join("webhook").unwrap());
        sim.verify_webhook(&app).await.unwrap();
    }
    let said = || {
        let said = sim.conversation(&thread().page, &thread().user);
        said.iter().filter_map(|said| said.text().map(str::to_owned)).collect::<Vec<_>>()
    };
    let until = async |what: &str, so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !so() {
            assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}: {:?}", said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let agent = async |action: &str, text: &'static str| {
        let url = desk_url.join(&format!("agent/{}/{action}", thread().user)).unwrap();
        assert_eq!(client.post(url).body(text).send().await.unwrap().status(), 200, "{action}");
    };
    sim.customer_writes(&thread().page, &thread().user, "PRIVATE question");
    until("the bot answers", &|| said().iter().any(|text| text.starts_with("I am a bot. You"))).await;
    sim.customer_writes(&thread().page, &thread().user, "PRIVATE wish for a person");
    until("the bot hands over", &|| sim.owner(&thread().page, &thread().user) == Some(desk())).await;
    sim.customer_writes(&thread().page, &thread().user, "PRIVATE more");
    agent("open", "").await;
    agent("answer/ticket-1", "PRIVATE words of an agent").await;
    until("the agent answers", &|| said().iter().any(|text| text.ends_with("words of an agent"))).await;
    agent("close", "").await;
    until("released", &|| sim.owner(&thread().page, &thread().user).is_none()).await;
    // A forged request: wrong signature, wrong tokens.
    let body = "PRIVATE body of a stranger";
    let forged = webhook::sign(&"SECRET of another app".into(), body.as_bytes());
    let stranger = client.post(desk_url.join("webhook").unwrap()).body(body);
    let refused = stranger.header(webhook::SIGNATURE_HEADER, forged).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    for handover in [&desks, &bots] {
        let state = handover.thread(&thread()).await.unwrap();
        let _ = write!(shown, "{handover:?} {state:?}");
    }
}

async fn say(host: &Host, text: &str) {
    let key = MessageKey::new(format!("key-{}", text.len())).unwrap();
    host.handover.send(&thread(), key, OutgoingMessage::text(text).unwrap()).await.unwrap();
}

/// `stored` collects the places that may hold message texts: a stored thread and the simulated platform.
async fn everything(shown: &mut String, stored: &mut String) {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("PRIVATE hello");
    world.rest().await;
    say(&world.bot, "PRIVATE a moment").await;
    world.bot.handover.hand_over(&thread(), Target::Desk).await.unwrap();
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    say(&world.desk, "PRIVATE hi").await;
    world.desk.handover.close_intervention(&thread()).await.unwrap();
    world.until("released", |world| world.owner().is_none()).await;
    world.rest().await;

    // Calls with unknown tokens and to servers that do not exist.
    let gone = "http://127.0.0.1:1/".parse().unwrap();
    let mut client = |base: url::Url, token: &str| {
        let graph = GraphClient::builder().base_url(base).page(PageId::from(10), token.into()).build();
        let graph = graph.unwrap();
        let _ = write!(shown, "{graph:?}");
        graph
    };
    let clients =
        [client(world.sim.url().parse().unwrap(), "SECRET-wrong-token"), client(gone, "SECRET-token")];
    for graph in &clients {
        let error = messenger_handover::control::HandoverClient::thread_owner(graph, &thread()).await;
        let error = error.unwrap_err();
        let _ = write!(shown, "{error} {error:?} {:?}", std::error::Error::source(&error));
    }
    for (url, token) in
        [(&world.desk.url, "SECRET-wrong"), (&"http://127.0.0.1:1/".parse().unwrap(), "SECRET")]
    {
        for in_query in [false, true] {
            let mut domain = Domain::new(url, token.into()).unwrap();
            if in_query {
                domain = domain.token_in_query();
            }
            let endpoint = bots_api::Client::from(domain);
            let error = endpoint.bot_to_agent(&thread().user).await.unwrap_err();
            let _ = write!(shown, "{endpoint:?} {error} {error:?} {:?}", std::error::Error::source(&error));
        }
    }
    let verifier = Verifier::new("SECRET".into()).with_previous("SECRET".into());
    let refused = verifier.verify(Some("sha256=00"), b"{}").unwrap_err();
    let handshake = webhook::handshake(&VERIFY_TOKEN.into(), "hub.verify_token=SECRET-guess").unwrap_err();
    let _ = write!(shown, "{verifier:?} {refused} {refused:?} {handshake} {handshake:?}");
    let eds = engage::Verifier::new("SECRET".into()).with_previous("SECRET".into());
    let refused = eds.verify(Some("SECRET-guess"), b"{}").unwrap_err();
    let _ = write!(shown, "{eds:?} {refused} {refused:?}");
    let server = webhook::Endpoint::new(verifier, VERIFY_TOKEN.into(), world.desk.handover.clone());
    let _ = write!(shown, "{server:?} {:?} {:?}", world.desk.handover, world.sim);
    let _ = write!(
        shown,
        "{:?} {:?} {:?} {:?} {:?}",
        EdWebhookSecret::new("SECRET"),
        AppSecret::new("SECRET"),
        PageToken::new("SECRET"),
        EdToken::new("SECRET"),
        VerifyToken::new("SECRET")
    );
    let state = world.desk.handover.thread(&thread()).await.unwrap();
    let _ = write!(shown, "{state:?}");
    let _ = write!(stored, "{}", serde_json::to_string(&state).unwrap());
    world.sim.with_platform(|platform, _| {
        let _ = write!(stored, "{platform:?}");
    });
}
