//! No token, secret or proof is in any log, error or `Debug`.

use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex};

use messenger_handover::bots_api;
use messenger_handover::engage::{self, Domain};
use messenger_handover::graph::GraphClient;
use messenger_handover::id::PageId;
use messenger_handover::policy::ThreadControlPolicy::BotPrimary;
use messenger_handover::secret::{AppSecret, EdToken, EdWebhookSecret, PageToken, VerifyToken};
use messenger_handover::sim::Rules;
use messenger_handover::thread::Target;
use messenger_handover::webhook::{self, Verifier};
use tracing_subscriber::fmt::MakeWriter;

use crate::world::{BOT, Setup, VERIFY_TOKEN, World, desk, thread};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// One run through everything that handles a secret, with the most talkative log there is.
#[tokio::test]
async fn no_secret_is_logged_or_shown() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // For the whole process: what the other tests log holds no secret either.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut shown = String::new();
    everything(&mut shown).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for part in ["bots/handover", "a call of the Bots API was refused", "request_thread_control"] {
        assert!(log.contains(part), "the log shows too little to prove anything: no {part}");
    }
    assert!(shown.len() > 1000 && shown.contains("GraphClient"));
    for text in [&log, &shown] {
        let at = text.find("SECRET");
        assert!(at.is_none(), "{}", &text[at.unwrap().saturating_sub(200)..at.unwrap() + 60]);
    }
}

async fn everything(shown: &mut String) {
    let world = World::start(Setup::new(Rules::primary(BOT), BotPrimary)).await;
    world.customer_writes("hello");
    world.rest().await;
    world.bot.send("a moment").await.unwrap();
    world.bot.handover.hand_over(&thread(), Target::Desk).await.unwrap();
    world.until("the desk has control", |world| world.owner() == Some(desk())).await;
    world.desk.send("hi").await.unwrap();
    world.desk.handover.close_intervention(&thread()).await.unwrap();
    world.until("released", |world| world.owner().is_none()).await;
    world.rest().await;

    // Wrong everywhere: tokens that nobody knows, servers that are not there.
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
    let server = webhook::Server::new(verifier, VERIFY_TOKEN.into(), world.desk.handover.clone());
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
    let _ = write!(shown, "{}", serde_json::to_string(&state).unwrap());
    world.sim.with_platform(|platform, _| {
        let _ = write!(shown, "{platform:?}");
    });
}
