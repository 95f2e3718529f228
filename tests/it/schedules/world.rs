//! Both hosts with the platform, and the delivery of its webhooks.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{HeaderMap, Method};
use messenger_handover::bots_api::{self, IdentityLookup};
use messenger_handover::call::HandoverRequest;
use messenger_handover::engage::Domain;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::Handover;
use messenger_handover::id::{AppId, PageId, ThreadKey};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::ThreadStore;
use messenger_handover::thread::Timeouts;
use messenger_handover::webhook::{self, SIGNATURE_HEADER, Verifier, sign};
use messenger_sim::{self as sim, Delivery, Platform, Rules};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::ground::{BOT, DESK, Ground, PAGE};
use super::host::{Ear, Host, Life, Process, Side};
use super::store::Store;
use super::wire::{ToDesk, ToPlatform};

pub const TOKEN: &str = "t";

/// The configuration of the Page and the hosts.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "switches, each of its own")]
pub struct Setup {
    pub rules: Rules,
    pub bot: ThreadControlPolicy,
    pub desk: ThreadControlPolicy,
    pub desk_may_take: bool,
    pub endpoint: bool,
    pub bot_trusts: bool,
    /// Number of processes per host.
    pub replicas: usize,
    /// Clock skew of the hosts' first processes in milliseconds; `others` is the skew of all further processes.
    pub skews: [i64; 2],
    pub others: i64,
    /// Longest time that the platform holds webhooks back, in milliseconds. A webhook that is held back can still be lost.
    pub held_ms: u64,
    /// Whether the handlers react to notifications.
    pub lively: bool,
}

impl Setup {
    pub fn new(rules: Rules, policy: ThreadControlPolicy) -> Self {
        Self {
            rules,
            bot: policy,
            desk: policy,
            desk_may_take: false,
            endpoint: true,
            bot_trusts: true,
            replicas: 1,
            skews: [0, 0],
            others: 0,
            held_ms: 0,
            lively: false,
        }
    }
}

pub struct World {
    pub ground: Arc<Ground>,
    pub bot: Arc<Host>,
    pub desk: Arc<Host>,
    setup: Setup,
}

/// The desk's database, which knows every customer and responds after a delay.
struct Everybody(Arc<Ground>);

#[async_trait]
impl IdentityLookup for Everybody {
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey> {
        self.0.way().await;
        Some(ThreadKey::new(PageId::from(PAGE), request.identity.clone()?))
    }
}

impl World {
    pub fn start(setup: Setup, platform: Platform, rng: fastrand::Rng, rate: u32) -> Arc<Self> {
        let platform = platform
            .with_app(sim::App::new(BOT, "Bot", "s", "v"))
            .with_app(sim::App::new(DESK, "Desk", "s", "v").may_take(setup.desk_may_take))
            .with_page(sim::Page::new(PAGE, setup.rules.clone()).app(BOT, "b").app(DESK, "d"));
        let ground = Arc::new(Ground::new(platform, rng, rate));
        let host =
            |side, app: u64, secret| Arc::new(Host::new(side, AppId::from(app), secret, Arc::clone(&ground)));
        let bot = host(Side::Bot, BOT, "secret of the bot");
        let desk = host(Side::Desk, DESK, "secret of the desk");
        let world = Arc::new(Self { ground, bot, desk, setup });
        for _ in 0..world.setup.replicas {
            world.run(Side::Desk);
            world.run(Side::Bot);
        }
        tokio::spawn(Self::carry_post(Arc::downgrade(&world)));
        world
    }

    pub fn host(&self, side: Side) -> &Arc<Host> {
        match side {
            Side::Bot => &self.bot,
            Side::Desk => &self.desk,
        }
    }

    /// Starts a new process of a host; with all replicas running, one of them ends.
    pub fn run(&self, side: Side) {
        let (host, ground, life) = (self.host(side), &self.ground, Life::default());
        let wire = ToPlatform { ground: Arc::clone(ground), app: host.app.clone(), life: life.clone() };
        let graph = GraphClient::builder()
            .base_url("http://127.0.0.1/".parse().unwrap())
            .page(PageId::from(PAGE), TOKEN.into())
            .transport(Arc::new(wire))
            .build()
            .unwrap();
        let (book, lively) = (Arc::clone(&host.book), self.setup.lively);
        let ear = Ear { side, ground: Arc::clone(ground), book: book.clone(), life: life.clone(), lively };
        let kept = Arc::clone(&host.kept);
        let store = Store { ground: Arc::clone(ground), book, kept, life: life.clone() };
        let (role, policy, skew) = match side {
            Side::Bot => (Role::Bot, self.setup.bot, self.setup.skews[0]),
            Side::Desk => (Role::Desk, self.setup.desk, self.setup.skews[1]),
        };
        let mut timeouts = Timeouts::default();
        timeouts.message_age = Duration::from_mins(30);
        let mut builder = Handover::builder(host.app.clone(), role, policy, Arc::new(graph), ear)
            .timeouts(timeouts)
            .store(Arc::new(store))
            .clock(ground.clock(if host.has_process() { skew + self.setup.others } else { skew }));
        if side == Side::Bot {
            builder = builder.desk_app(AppId::from(DESK));
            if self.setup.endpoint {
                builder = builder.desk_endpoint(Arc::new(self.bots_api(life.clone())));
            } else {
                builder = builder.without_desk_endpoint();
            }
            if !self.setup.bot_trusts {
                builder = builder.trust_nobody();
            }
        }
        let handover = builder.start().unwrap();
        let verifier = Verifier::new(host.secret.into());
        let webhook = webhook::Endpoint::new(verifier, "v".into(), handover.clone());
        let bots_api = bots_api::Endpoint::new(TOKEN.into(), handover.clone(), Everybody(Arc::clone(ground)));
        host.run(Process { life, handover, webhook, bots_api }, self.setup.replicas);
    }

    /// The bot's client of the desk's endpoint.
    pub fn bots_api(&self, life: Life) -> bots_api::Client {
        let (ground, desk) = (Arc::clone(&self.ground), Arc::downgrade(&self.desk));
        let (url, wire) = ("http://127.0.0.1/".parse().unwrap(), ToDesk { ground, desk, life });
        Domain::with_transport(&url, TOKEN.into(), Arc::new(wire)).unwrap().into()
    }

    /// Delivers the platform's webhooks until the world is dropped.
    async fn carry_post(world: Weak<Self>) {
        let Some(ground) = world.upgrade().map(|world| Arc::clone(&world.ground)) else { return };
        loop {
            ground.posted.notified().await;
            let Some(world) = world.upgrade() else { return };
            let held = ground.rng().u64(0..=world.setup.held_ms);
            sleep(Duration::from_millis(held)).await;
            for delivery in ground.take_outgoing() {
                let host = if delivery.app == world.bot.app { &world.bot } else { &world.desk };
                for _ in 0..=u8::from(ground.unlucky(0.5)) {
                    tokio::spawn(Self::deliver(Arc::clone(host), delivery.clone()));
                }
            }
        }
    }

    /// Redelivers until the host accepts, as Meta does.
    async fn deliver(host: Arc<Host>, delivery: Delivery) {
        let _under_way = host.ground.begins();
        let (body, headers) = request(&delivery, host.secret);
        loop {
            host.ground.way().await;
            let process = host.process();
            let handled = process.webhook.handle(&Method::POST, None, &headers, body.as_bytes());
            if let Some(answer) = process.life.during(handled).await
                && answer.status() == 200
            {
                return;
            }
            let pause = host.ground.rng().u64(500..10_000);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    pub fn conversation(&self, thread: &ThreadKey) -> Vec<String> {
        self.ground.platform(|platform, _| {
            let said = platform.conversation(&thread.page, &thread.user);
            said.iter().map(|said| said.text().unwrap().to_owned()).collect()
        })
    }

    pub fn owner(&self, thread: &ThreadKey) -> Option<AppId> {
        self.ground.platform(|platform, now| platform.owner(&thread.page, &thread.user, now))
    }

    /// Waits until all threads are at rest. Returns those that are not within `within`.
    pub async fn settle(&self, threads: &[ThreadKey], within: Duration) -> Vec<(Side, ThreadKey)> {
        let begun = tokio::time::Instant::now();
        loop {
            sleep(Duration::from_secs(5)).await;
            let mut busy = Vec::new();
            for host in [&self.bot, &self.desk] {
                let saved = host.kept.load(threads).await.unwrap();
                let restless = threads
                    .iter()
                    .zip(saved)
                    .filter(|(_, saved)| !saved.thread.as_ref().unwrap().is_at_rest());
                busy.extend(restless.map(|(thread, _)| (host.side, thread.clone())));
            }
            if (busy.is_empty() && self.ground.under_way() == 0) || begun.elapsed() > within {
                return busy;
            }
        }
    }
}

/// The body and headers of a delivery as Meta posts it.
fn request(delivery: &Delivery, secret: &str) -> (String, HeaderMap) {
    let entry = json!({
        "id": delivery.page, "time": delivery.at.as_millis(), (delivery.channel.name()): [delivery.item],
    });
    signed(&json!({"object": "page", "entry": [entry]}), secret)
}

pub fn signed(body: &Value, secret: &str) -> (String, HeaderMap) {
    let body = body.to_string();
    let signature = sign(&secret.into(), body.as_bytes()).parse().unwrap();
    let headers = HeaderMap::from_iter([(SIGNATURE_HEADER.parse().unwrap(), signature)]);
    (body, headers)
}
