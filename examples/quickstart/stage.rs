//! The stage: the simulated platform and two hosts, each with its own HTTP server, and a record of the traffic
//! between them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use messenger_handover::prelude::*;
use messenger_handover::routes::BodyLimits;
use messenger_handover::settings::SettingsError;
use messenger_sim::{self as sim, Platform, RequestUnderDefaultApp, Rules, Server, Wire};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use url::{Url, form_urlencoded};

use super::diagram::{Arrow, Kind, Lifeline};

#[path = "../agent_desk/main.rs"]
#[allow(dead_code, reason = "its main is for running it alone")]
mod agent_desk;
#[path = "../bot.rs"]
#[allow(dead_code, reason = "its main is for running it alone")]
#[allow(clippy::duplicate_mod, reason = "each host is also an example of its own, with its own settings")]
mod bot;

const BOT: u64 = 1001;
const ED: u64 = 2002;
const PAGE: u64 = 10;
const CUSTOMER: u64 = 77;
const ED_TOKEN: &str = "ed-api-token";
const APP_SECRET: &str = "app-secret";
const VERIFY_TOKEN: &str = "verify-token";

/// The timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// Any remaining traffic arrives within this time.
const QUIET: Duration = Duration::from_millis(150);

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Arrow>>>);

/// The configuration of a stage.
pub struct Setup {
    pub rules: Rules,
    pub policy: ThreadControlPolicy,
    /// The switch "take control of conversations" of ED's app.
    pub ed_may_take: bool,
    pub request: RequestUnderDefaultApp,
}

pub struct Stage {
    sim: Server,
    desk_url: Url,
    agent: reqwest::Client,
    record: Record,
    servers: [JoinHandle<()>; 2],
}

pub fn bot_app() -> AppId {
    AppId::from(BOT)
}

pub fn ed_app() -> AppId {
    AppId::from(ED)
}

/// The settings of a host, as its environment would hold them.
fn settings(
    policy: ThreadControlPolicy,
    graph: &Url,
    app: u64,
    desk: Option<&Url>,
) -> Result<Settings, SettingsError> {
    let token = if app == ED { "ed-page-token" } else { "bot-page-token" };
    Settings::from_variables(|name| {
        Some(match name {
            "APP_ID" => app.to_string(),
            "APP_SECRET" => APP_SECRET.to_owned(),
            "VERIFY_TOKEN" => VERIFY_TOKEN.to_owned(),
            "PAGE_ID" => PAGE.to_string(),
            "PAGE_TOKEN" => token.to_owned(),
            "POLICY" => policy.to_string(),
            "GRAPH_URL" => graph.to_string(),
            "ED_TOKEN" => ED_TOKEN.to_owned(),
            "ED_URL" => desk?.to_string(),
            "DESK_APP_ID" => desk.map(|_| ED.to_string())?,
            _ => return None,
        })
    })
}

impl Stage {
    pub async fn start(setup: Setup) -> Result<Self, BoxError> {
        let record = Record::default();
        let app = |id: u64, name: &str| sim::App::new(id, name, APP_SECRET, VERIFY_TOKEN);
        let platform = Platform::new()
            .with_app(app(BOT, "Bot"))
            .with_app(app(ED, "ED").may_take(setup.ed_may_take))
            .with_page(sim::Page::new(PAGE, setup.rules).app(BOT, "bot-page-token").app(ED, "ed-page-token"))
            .with_request_under_default_app(setup.request);
        let observer = record.clone();
        let sim = Server::builder(platform).observer(Arc::new(move |wire| observer.wire(wire))).start();
        let sim = sim.await?;
        let graph_url: Url = sim.url().parse()?;

        let memory = || Arc::new(MemoryStore::new());
        let desk = settings(setup.policy, &graph_url, ED, None)?;
        let (router, _) = agent_desk::router(&desk, memory(), BodyLimits::default())?;
        let router = router.layer(middleware::from_fn_with_state(record.clone(), watch));
        let (desk_url, desk_server) = serve(router).await?;
        let bot = settings(setup.policy, &graph_url, BOT, Some(&desk_url))?;
        let (router, _) = bot::router(&bot, memory(), BodyLimits::default())?;
        let (bot_url, bot_server) = serve(router).await?;

        for (app, url) in [(bot_app(), &bot_url), (ed_app(), &desk_url)] {
            sim.set_callback(&app, url.join("webhook")?);
            sim.verify_webhook(&app).await?;
        }
        let servers = [desk_server, bot_server];
        // reqwest needs a process-wide TLS provider, even for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { sim, desk_url, agent: reqwest::Client::builder().no_proxy().build()?, record, servers })
    }

    pub fn customer_writes(&self, text: &str) {
        self.sim.customer_writes(&PageId::from(PAGE), &UserId::from(CUSTOMER), text);
    }

    /// An agent's action through the desk's own HTTP interface: `open`, `answer/KEY`, `close`.
    pub async fn agent(&self, action: &str, text: &str) -> Result<(), BoxError> {
        let url = self.desk_url.join(&format!("agent/{CUSTOMER}/{action}"))?;
        let answer = self.agent.post(url).body(text.to_owned()).timeout(PATIENCE).send().await?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await?.into()) }
    }

    /// The agent's view of the customer.
    pub async fn shown(&self) -> Result<Value, BoxError> {
        let url = self.desk_url.join(&format!("agent/{CUSTOMER}"))?;
        let shown = self.agent.get(url).timeout(PATIENCE).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&shown.bytes().await?)?)
    }

    /// The messages that the customer can read, in order.
    pub fn conversation(&self) -> Vec<String> {
        let said = self.sim.conversation(&PageId::from(PAGE), &UserId::from(CUSTOMER));
        said.iter().filter_map(|said| said.text().map(str::to_owned)).collect()
    }

    pub fn owner(&self) -> Option<AppId> {
        self.sim.owner(&PageId::from(PAGE), &UserId::from(CUSTOMER))
    }

    /// Number of webhooks that the platform gave up on.
    pub fn dropped(&self) -> u64 {
        self.sim.dropped()
    }

    pub fn arrows(&self) -> Vec<Arrow> {
        self.record.lock().clone()
    }

    /// Waits until a condition holds and the traffic has stopped; `false` on timeout.
    pub async fn wait_until(&self, so: impl Fn(&Self) -> bool) -> bool {
        let start = Instant::now();
        let (mut seen, mut since) = (0, start);
        while start.elapsed() < PATIENCE {
            let now = self.record.lock().len();
            if now != seen || !so(self) {
                (seen, since) = (now, Instant::now());
            } else if since.elapsed() >= QUIET && self.sim.settled(QUIET).await {
                return true;
            }
            sleep(Duration::from_millis(10)).await;
        }
        false
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

async fn serve(router: Router) -> Result<(Url, JoinHandle<()>), BoxError> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/", listener.local_addr()?).parse()?;
    let serving = async move {
        if let Err(error) = axum::serve(listener, router).await {
            eprintln!("a host's server stopped: {error}");
        }
    };
    Ok((url, tokio::spawn(serving)))
}

/// Records requests to the desk's own HTTP interface. Webhooks are recorded where they are sent.
async fn watch(State(record): State<Record>, request: Request, next: Next) -> Result<Response, String> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.map_err(|error| error.to_string())?;
    let path = parts.uri.path().to_owned();
    let action = path.strip_prefix(&format!("/agent/{CUSTOMER}/"));
    if let Some(action) = action {
        let label = match action.split_once('/').unwrap_or((action, "")).0 {
            "open" => "opens the intervention".to_owned(),
            "close" => "closes the intervention".to_owned(),
            _ => format!("answers {:?}", String::from_utf8_lossy(&body)),
        };
        record.arrow(Lifeline::Agent, Lifeline::Ed, label, Kind::Step);
    } else if path == bots_api::PATH {
        // The other parameters (customer id, type and app) are the same in every call.
        let query = parts.uri.query().unwrap_or_default();
        let told: Vec<_> = form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == "from" || name == "to")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let label = format!("{} {path}?{}", parts.method, told.join("&"));
        record.arrow(Lifeline::Bot, Lifeline::Ed, label, Kind::Step);
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    if path == bots_api::PATH {
        record.arrow(Lifeline::Ed, Lifeline::Bot, answer.status().to_string(), Kind::Reply);
    }
    Ok(answer)
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Arrow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrow(&self, from: Lifeline, to: Lifeline, label: String, kind: Kind) {
        self.lock().push(Arrow { from, to, label, kind, refused: false, owner: None });
    }

    fn wire(&self, wire: Wire) {
        use Lifeline::{Customer, Meta};
        match wire {
            Wire::CustomerWrote { text, .. } => self.arrow(Customer, Meta, format!("{text:?}"), Kind::Step),
            Wire::Reached { text, .. } => self.arrow(Meta, Customer, format!("{text:?}"), Kind::Step),
            Wire::Call { app, edge, method, detail, outcome, status, .. } => {
                let detail = match (edge.as_str(), detail) {
                    ("pass_thread_control", Some(app)) => format!(" to {}", owner_name(app.parse().ok())),
                    (_, Some(text)) => format!(" {text:?}"),
                    (_, None) => String::new(),
                };
                let refused = outcome.as_ref().err();
                let why = refused.map(|why| format!(": {status} (#{})", why.code)).unwrap_or_default();
                let kind = if method == "GET" { Kind::Detail } else { Kind::Step };
                let (from, label) = (lifeline(&app), format!("{edge}{detail}{why}"));
                let refused = refused.is_some();
                self.lock().push(Arrow { from, to: Meta, label, kind, refused, owner: None });
            }
            Wire::OwnerChanged { owner, .. } => {
                // The observer reported the cause of the change just before.
                let mut arrows = self.lock();
                let cause = arrows.iter_mut().rfind(|arrow| arrow.from == Meta || arrow.to == Meta);
                if let Some(cause) = cause {
                    cause.owner = Some(owner_name(owner));
                }
            }
            Wire::Webhook { app, label, channel, attempt, .. } => {
                let control = label.ends_with("_thread_control");
                let kind = if control { Kind::Step } else { Kind::Detail };
                let channel = if control { String::new() } else { format!(" on {}", channel.name()) };
                let again = if attempt > 1 { format!(", attempt {attempt}") } else { String::new() };
                self.arrow(Meta, lifeline(&app), format!("webhook {label}{channel}{again}"), kind);
            }
            // The value is not printed, because it may contain a message's text.
            _ => eprintln!("one thing on the wire is of a new kind, and not drawn"),
        }
    }
}

fn lifeline(app: &AppId) -> Lifeline {
    if *app == bot_app() { Lifeline::Bot } else { Lifeline::Ed }
}

fn owner_name(app: Option<AppId>) -> &'static str {
    match app {
        None => "idle",
        Some(app) if app == bot_app() => "Bot",
        Some(app) if app == ed_app() => "ED",
        Some(_) => "another app",
    }
}
