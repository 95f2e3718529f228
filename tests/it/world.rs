//! The test world: the simulated platform, a bot and a desk, each host with its own HTTP server. The hosts only record
//! their notifications; the test decides on all actions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery};
use axum::http::{HeaderMap, Method};
use axum::routing::any;
use messenger_handover::bots_api::{self, IdentityLookup};
use messenger_handover::call::HandoverRequest;
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{
    Accepted, Clock, Handler, HandlerError, Handover, HandoverError, Notification, SystemClock,
};
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::{MemoryStore, ThreadStore};
use messenger_handover::thread::{Actions, MessageStatus, Notice, Timeouts, Unanswered};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{self, Verifier};
use messenger_sim::{self as sim, Platform, Rules, Server, Wire};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use url::Url;

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
pub const PAGE: u64 = 10;
pub const CUSTOMER: u64 = 77;

pub const BOT_SECRET: &str = "SECRET-of-the-bot-app";
pub const DESK_SECRET: &str = "SECRET-of-the-desk-app";
pub const BOT_TOKEN: &str = "SECRET-page-token-of-the-bot";
pub const DESK_TOKEN: &str = "SECRET-page-token-of-the-desk";
pub const VERIFY_TOKEN: &str = "SECRET-verify-token";
pub const ED_TOKEN: &str = "SECRET-ed-token";

pub fn bot() -> AppId {
    AppId::from(BOT)
}

pub fn desk() -> AppId {
    AppId::from(DESK)
}

pub fn thread() -> ThreadKey {
    ThreadKey::new(PageId::from(PAGE), UserId::from(CUSTOMER))
}

/// A builder of HTTP clients for tests.
pub fn http() -> reqwest::ClientBuilder {
    // reqwest needs a process-wide TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

/// A clock that follows tokio's time.
pub struct Virtual(pub Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000).plus(self.0.elapsed())
    }
}

/// A handler that records the host's notifications in order.
#[derive(Clone, Default)]
pub struct Ear {
    told: Arc<Mutex<Vec<Notice>>>,
    /// Whether it decides about notices before they are saved.
    decides: bool,
}

#[async_trait]
impl Handler for Ear {
    async fn notify(&self, _: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.told.lock().unwrap().push(told.notice.clone());
        Ok(Actions::none())
    }

    fn decide(&self, _: &ThreadKey, notice: &Notice) -> Option<Actions> {
        self.decides.then(|| {
            self.told.lock().unwrap().push(notice.clone());
            Actions::none()
        })
    }
}

impl Ear {
    /// A handler that records notices before they are saved.
    pub fn that_decides() -> Self {
        Self { decides: true, ..Self::default() }
    }

    pub fn all(&self) -> Vec<Notice> {
        self.told.lock().unwrap().clone()
    }

    pub fn heard(&self, what: impl Fn(&Notice) -> bool) -> bool {
        self.told.lock().unwrap().iter().any(what)
    }
}

/// The desk's database, which knows one customer.
pub struct Known;

#[async_trait]
impl IdentityLookup for Known {
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey> {
        (request.identity == Some(UserId::from(CUSTOMER))).then(thread)
    }
}

pub struct Host {
    pub handover: Handover,
    pub ear: Ear,
    pub url: Url,
    server: JoinHandle<()>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Host {
    pub async fn send(&self, key: &str) -> Result<Accepted, HandoverError> {
        let message = OutgoingMessage::text(key).unwrap();
        self.handover.send(&thread(), MessageKey::new(key).unwrap(), message).await
    }

    pub async fn status(&self, key: &str) -> MessageStatus {
        let status = self.handover.message_status(&thread(), &MessageKey::new(key).unwrap()).await;
        status.unwrap().unwrap_or_else(|| panic!("{key} was never accepted"))
    }
}

pub struct Setup {
    pub platform: Platform,
    pub rules: Rules,
    pub policy: ThreadControlPolicy,
    pub desk_may_take: bool,
    /// The desk's action on an unanswered request, if not the default.
    pub when_unanswered: Option<Unanswered>,
    pub timeouts: Timeouts,
    /// Whether the bot grants the desk's requests by itself.
    pub bot_trusts: bool,
    /// Whether the desk sends with the `HUMAN_AGENT` tag after the window has closed.
    pub human_agent: bool,
    /// The stores of the bot and the desk.
    pub stores: [Arc<dyn ThreadStore>; 2],
    /// Lead of the hosts' clocks over the platform's.
    pub ahead: Duration,
    /// Makes the hosts' handlers.
    pub ear: fn() -> Ear,
}

/// A clock that is ahead.
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0)
    }
}

impl Setup {
    pub fn new(rules: Rules, policy: ThreadControlPolicy) -> Self {
        // Long enough for a loaded machine, short enough for a test.
        let mut timeouts = Timeouts::default();
        timeouts.grant = Duration::from_secs(2);
        timeouts.backoff = Duration::from_millis(20);
        let platform = Platform::new();
        let stores: [Arc<dyn ThreadStore>; 2] = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
        let ahead = Duration::ZERO;
        Self {
            platform,
            rules,
            policy,
            desk_may_take: false,
            when_unanswered: None,
            timeouts,
            bot_trusts: true,
            human_agent: false,
            stores,
            ahead,
            ear: Ear::default,
        }
    }
}

pub struct World {
    pub sim: Server,
    pub bot: Host,
    pub desk: Host,
    wires: Arc<Mutex<Vec<Wire>>>,
}

impl World {
    pub async fn start(setup: Setup) -> Self {
        let Setup { platform, rules, policy, desk_may_take, timeouts, bot_trusts, .. } = setup;
        let Setup { human_agent, stores, ahead, .. } = setup;
        let [bots, desks] = stores;
        let platform = platform
            .with_app(sim::App::new(BOT, "Bot", BOT_SECRET, VERIFY_TOKEN))
            .with_app(sim::App::new(DESK, "Desk", DESK_SECRET, VERIFY_TOKEN).may_take(desk_may_take))
            .with_page(sim::Page::new(PAGE, rules).app(BOT, BOT_TOKEN).app(DESK, DESK_TOKEN));
        let wires = Arc::<Mutex<Vec<Wire>>>::default();
        let seen = Arc::clone(&wires);
        let sim = Server::builder(platform).observer(Arc::new(move |wire| seen.lock().unwrap().push(wire)));
        let sim = sim.start().await.unwrap();
        let client = |token: &str| {
            let graph = GraphClient::builder().base_url(sim.url().parse().unwrap());
            Arc::new(graph.page(PageId::from(PAGE), token.into()).build().unwrap())
        };

        let ear = (setup.ear)();
        let handover = Handover::builder(desk(), Role::Desk, policy, client(DESK_TOKEN), ear.clone());
        let handover = match setup.when_unanswered {
            Some(unanswered) => handover.when_unanswered(unanswered),
            None => handover,
        };
        let handover = handover.timeouts(timeouts).store(desks).clock(Ahead(ahead)).human_agent(human_agent);
        let handover = handover.start().unwrap();
        let server = bots_api::Endpoint::new(ED_TOKEN.into(), handover.clone(), Known);
        let desk = host(handover, ear, DESK_SECRET, Some(server)).await;

        let ear = (setup.ear)();
        let endpoint = bots_api::Client::new(&desk.url, ED_TOKEN.into()).unwrap();
        let builder = Handover::builder(bot(), Role::Bot, policy, client(BOT_TOKEN), ear.clone());
        let builder =
            builder.timeouts(timeouts).store(bots).desk_app(self::desk()).desk_endpoint(Arc::new(endpoint));
        let builder = builder.clock(Ahead(ahead));
        let builder = if bot_trusts { builder } else { builder.trust_nobody() };
        let bot = host(builder.start().unwrap(), ear, BOT_SECRET, None).await;

        for (app, host) in [(self::bot(), &bot), (self::desk(), &desk)] {
            sim.set_callback(&app, host.url.join("webhook").unwrap());
            sim.verify_webhook(&app).await.unwrap();
        }
        Self { sim, bot, desk, wires }
    }

    pub fn customer_writes(&self, text: &str) {
        self.sim.customer_writes(&PageId::from(PAGE), &UserId::from(CUSTOMER), text);
    }

    pub fn owner(&self) -> Option<AppId> {
        self.sim.owner(&PageId::from(PAGE), &UserId::from(CUSTOMER))
    }

    /// The messages that the customer can read, in order.
    pub fn conversation(&self) -> Vec<String> {
        let said = self.sim.conversation(&PageId::from(PAGE), &UserId::from(CUSTOMER));
        said.iter().map(|said| said.text().unwrap().to_owned()).collect()
    }

    /// The traffic so far, in order.
    pub fn wires(&self) -> Vec<Wire> {
        self.wires.lock().unwrap().clone()
    }

    pub fn forget_wires(&self) {
        self.wires.lock().unwrap().clear();
    }

    /// The calls of one app that change something, with the code of a failure if any.
    pub fn calls(&self, by: &AppId) -> Vec<String> {
        let wires = self.wires.lock().unwrap();
        let calls = wires.iter().filter_map(|wire| match wire {
            Wire::Call { app, edge, method: "POST", outcome, .. } if app == by => {
                let code = outcome.as_ref().err().map(|why| format!(" #{}", why.code)).unwrap_or_default();
                Some(format!("{edge}{code}"))
            }
            _ => None,
        });
        calls.collect()
    }

    /// Waits for a condition, with a timeout; panics with the traffic if it expires.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        so: impl Fn(&Self) -> bool + 'a,
    ) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            while !so(self) {
                if begun.elapsed() > Duration::from_secs(20) {
                    let wires = self.wires.lock().unwrap().clone();
                    panic!("{caller}: never: {what}; seen: {wires:#?}");
                }
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until both hosts are at rest and no webhook is under way.
    pub async fn rest(&self) {
        let begun = Instant::now();
        loop {
            let before = self.wires.lock().unwrap().len();
            assert!(self.sim.settled(Duration::from_secs(20)).await, "webhooks go on for ever");
            let bot = self.bot.handover.thread(&thread()).await.unwrap();
            let desk = self.desk.handover.thread(&thread()).await.unwrap();
            if bot.is_at_rest() && desk.is_at_rest() && self.wires.lock().unwrap().len() == before {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "never at rest: {bot:#?} {desk:#?}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn host(handover: Handover, ear: Ear, secret: &str, bots: Option<bots_api::Endpoint>) -> Host {
    let webhook = webhook::Endpoint::new(Verifier::new(secret.into()), VERIFY_TOKEN.into(), handover.clone());
    let mut router = Router::new().route(
        "/webhook",
        any(|method: Method, RawQuery(query): RawQuery, headers: HeaderMap, body: Bytes| async move {
            webhook.handle(&method, query.as_deref(), &headers, &body).await
        }),
    );
    if let Some(bots) = bots {
        router = router.route(
            bots_api::PATH,
            any(|method: Method, RawQuery(query): RawQuery, headers: HeaderMap| async move {
                bots.handle(&method, query.as_deref(), &headers).await
            }),
        );
    }
    // The crate's own limit must apply.
    let router = router.layer(DefaultBodyLimit::disable());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Host { handover, ear, url, server }
}
