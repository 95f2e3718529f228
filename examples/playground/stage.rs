//! The stage: the simulated platform, the bot and the desk, each behind HTTP, and a log of the traffic between them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::middleware;
use axum::routing::any;
use messenger_handover::prelude::*;
use messenger_handover::{bots_api, settings::Settings};
use messenger_sim::{App, Fault, FaultAction, Page, Platform, Rules, Server, Speaker};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

#[path = "../agent_desk/customers.rs"]
mod customers;

use super::traffic::{BOT, DESK, Log, watch};
use customers::Customers;

const PAGE: u64 = 10;
const CUSTOMERS: [(u64, &str); 3] = [(71, "Ana"), (72, "Ben"), (73, "Chidi")];
/// Time for calls under way when a host stops.
const GRACE: Duration = Duration::from_secs(2);

/// The rule sets of Meta.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleSet {
    Handover,
    Routing,
}

struct Bot;

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, _: &Handover, notification: &Notification) -> Result<Actions, HandlerError> {
        let mut actions = Actions::none();
        for message in notification.to_answer() {
            let text = message.text.as_deref().unwrap_or("[picture]");
            if text.to_lowercase().contains("person") {
                let reply = OutgoingMessage::text("I am a bot. A colleague will be with you in a moment.")?;
                actions = actions.and_reply_to(message, reply).and_hand_over(Target::Desk);
            } else {
                // The platform accepts at most 2,000 characters.
                let quoted: String = text.chars().take(100).collect();
                let reply = format!("I am a bot. You wrote “{quoted}”. Ask for a person to get one.");
                actions = actions.and_reply_to(message, OutgoingMessage::text(reply)?);
            }
        }
        Ok(actions)
    }
}

/// The bot's program, which can be stopped and started again.
#[derive(Clone)]
struct Program {
    settings: Settings,
    /// Outlives the program, as a database does.
    store: Arc<MemoryStore>,
    running: Arc<Mutex<Option<(Handover, webhook::Endpoint)>>>,
}

impl Program {
    fn running(&self) -> MutexGuard<'_, Option<(Handover, webhook::Endpoint)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<(), BoxError> {
        if self.running().is_some() {
            return Ok(());
        }
        let bot = self.settings.bot(Bot)?.timeouts(timeouts()).store(Arc::clone(&self.store)).start()?;
        let endpoint = self.settings.webhook(bot.clone());
        *self.running() = Some((bot, endpoint));
        Ok(())
    }

    async fn stop(&self) {
        let stopped = self.running().take();
        if let Some((bot, _)) = stopped {
            // Unfinished work continues from the store.
            let _ = bot.stop(GRACE).await;
        }
    }
}

/// Shorter than the defaults, so that a visitor sees how each wait ends.
fn timeouts() -> Timeouts {
    let [short, long] = [8, 60].map(Duration::from_secs);
    Timeouts::default().grant(short).echo_grace(short).stand_back(long)
}

pub struct Stage {
    policy: ThreadControlPolicy,
    rules: RuleSet,
    sim: Server,
    desk: Handover,
    customers: Customers,
    /// The texts of the agents' messages by their keys.
    texts: Mutex<HashMap<String, String>>,
    bot: Program,
    log: Log,
    servers: [JoinHandle<()>; 2],
}

impl Stage {
    pub async fn start(policy: ThreadControlPolicy, rule_set: RuleSet) -> Result<Self, BoxError> {
        use ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
        let first = match policy {
            BotPrimary => Some(BOT),
            EdPrimary => Some(DESK),
            NoPrimary => None,
        };
        let rules = match (rule_set, first) {
            (RuleSet::Handover, Some(first)) => Rules::primary(first),
            (RuleSet::Handover, None) => Rules::no_primary(),
            (RuleSet::Routing, Some(first)) => Rules::default_app(first),
            (RuleSet::Routing, None) => Rules::zero_config(),
        };
        // Secrets differ in each run, because other programs of this machine can reach the ports.
        let secret = format!("{:032x}", fastrand::u128(..));
        let fields = ["messages", "messaging_handovers", "standby", "message_echoes", "message_reactions"];
        let app = |id: u64, name: &str| App::new(id, name, secret.clone(), secret.clone()).fields(fields);
        let (bot_token, desk_token) = (format!("bot-{secret}"), format!("desk-{secret}"));
        let page = Page::new(PAGE, rules).app(BOT, bot_token.clone()).app(DESK, desk_token.clone());
        let page = CUSTOMERS.into_iter().fold(page, |page, (id, _)| page.person(id));
        let platform = Platform::new()
            .with_app(app(BOT, "Bot"))
            .with_app(app(DESK, "Desk").may_take(true))
            .with_page(page);
        let log = Log::default();
        let sink = log.clone();
        let sink = move |line: &str| sink.write(serde_json::from_str(line).unwrap_or_default());
        let sim = Server::builder(platform).transcript(Arc::new(sink)).start().await?;

        let settings = |app: u64, token: &str, ed_url: Option<&Url>| {
            let desk = ed_url.map(|_| AppId::from(DESK));
            serde_json::from_value::<Settings>(json!({
                "app_id": AppId::from(app), "app_secret": secret, "verify_token": secret, "page_id": PageId::from(PAGE),
                "page_token": token, "policy": policy, "graph_url": sim.url(), "ed_url": ed_url, "ed_token": secret,
                "desk_app_id": desk,
            }))
        };
        let customers = Customers::default();
        let desk_settings = settings(DESK, &desk_token, None)?;
        let desk = desk_settings.desk(customers.clone())?.timeouts(timeouts()).start()?;
        let bots = bots_api::Endpoint::new(secret.clone().into(), desk.clone(), customers.clone());
        let router = Routes::new().webhook(desk_settings.webhook(desk.clone())).bots_api(bots).into_router();
        let router = router.layer(middleware::from_fn_with_state(log.clone(), watch));
        let (desk_url, desk_server) = serve(router).await?;

        let bot_settings = settings(BOT, &bot_token, Some(&desk_url))?;
        let bot = Program { settings: bot_settings, store: Arc::default(), running: Arc::default() };
        bot.start()?;
        let (bot_url, bot_server) =
            serve(Router::new().fallback(any(to_bot)).with_state(bot.clone())).await?;
        for (app, url) in [(BOT, &bot_url), (DESK, &desk_url)] {
            sim.set_callback(&app.into(), url.join("webhook")?);
            sim.verify_webhook(&app.into()).await?;
        }
        let servers = [desk_server, bot_server];
        Ok(Self { policy, rules: rule_set, sim, desk, customers, texts: Mutex::default(), bot, log, servers })
    }

    pub async fn stop(&self) {
        let ((), _) = tokio::join!(self.bot.stop(), self.desk.stop(GRACE));
    }

    /// Everything that the page shows, with the lines of the log from number `after` on.
    pub async fn shown(&self, after: usize) -> Result<Value, BoxError> {
        let mut customers = Vec::new();
        for (id, name) in CUSTOMERS {
            let key = ThreadKey::new(PageId::from(PAGE), UserId::from(id));
            let said = self.sim.conversation(&key.page, &key.user);
            let said = said.iter().map(|said| {
                let from = if let Speaker::App(app) = &said.from { app.to_string() } else { "customer".to_owned() };
                json!({"from": from, "text": said.text(), "mid": said.mid, "unsent": said.unsent, "reaction": said.reaction})
            });
            let mut desk = self.customers.shown(&self.desk, &key).await?;
            desk["open"] = json!(self.desk.thread(&key).await?.intervention_is_open());
            for message in desk["sent"].as_array_mut().into_iter().flatten() {
                let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
                message["text"] = json!(message["key"].as_str().and_then(|key| texts.get(key)));
            }
            customers
                .push(json!({"id": key.user, "name": name, "owner": self.sim.owner(&key.page, &key.user),
                "said": said.collect::<Vec<_>>(), "desk": desk}));
        }
        let (next, lines) = self.log.after(after);
        Ok(json!({"policy": self.policy, "rules": self.rules, "bot_is_down": self.bot.running().is_none(),
            "customers": customers, "next": next, "lines": lines}))
    }

    pub async fn act(&self, Deed { customer: user, act }: Deed) -> Result<(), BoxError> {
        if !CUSTOMERS.iter().any(|(id, _)| user == UserId::from(*id)) {
            return Err("there is no such customer".into());
        }
        let page = PageId::from(PAGE);
        let thread = ThreadKey::new(page.clone(), user.clone());
        match act {
            Act::Write { text } => drop(self.sim.customer_writes(&page, &user, &text)),
            Act::Attach => {
                drop(self.sim.customer_attaches(&page, &user, "image", "https://example.com/picture.jpg"));
            }
            Act::React { mid, reaction } => self.sim.customer_reacts(&page, &user, &mid, reaction.as_deref()),
            Act::Unsend { mid } => self.sim.customer_unsends(&page, &user, &mid),
            Act::Open => {
                self.log.note(Some(&user), "an agent opens the conversation at the desk");
                self.desk.open_intervention(&thread).await?;
            }
            Act::Answer { text } => {
                let message = OutgoingMessage::text(text.clone())?;
                let key = format!("agent-{:016x}", fastrand::u64(..));
                self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), text);
                self.customers.sends(&user, &key);
                self.desk.send(&thread, MessageKey::new(key)?, message).await?;
            }
            Act::Resume { key } => self.desk.resume(&thread, key).await?,
            Act::Close => {
                self.log.note(Some(&user), "the agent closes the conversation");
                self.desk.close_intervention(&thread).await?;
                // Engage Digital reports it to the bot, because Meta sends no webhook for a release.
                let bot = self.bot.running().as_ref().map(|(bot, _)| bot.clone());
                if let Some(bot) = bot {
                    let (user, words) = (user.to_string(), "people are done");
                    self.log.host([DESK, BOT], Some(&user), words, "intervention.closed", false);
                    bot.intervention_closed(&thread, None).await?;
                }
            }
            Act::Inbox { text } => drop(self.sim.inbox_replies(&page, &user, &text)?),
            Act::LoseWebhook => self.sim.add_fault(Fault::new("webhook", FaultAction::Lose).times(1))?,
            Act::LoseResponse => {
                let mut response = Fault::new("call:messages", FaultAction::TimeoutAfter).times(1);
                response.ms = Some(500);
                for mut fault in [response, Fault::new("webhook:echo", FaultAction::Lose).times(1)] {
                    fault.app = Some(DESK.into());
                    self.sim.add_fault(fault)?;
                }
            }
            Act::BotDown { down: true } => {
                self.log.note(None, "the bot goes down");
                self.bot.stop().await;
            }
            Act::BotDown { down: false } => {
                self.log.note(None, "the bot is up again");
                self.bot.start()?;
            }
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

/// An act of a person on the page, in the conversation of one customer.
#[derive(Debug, Deserialize)]
pub struct Deed {
    customer: UserId,
    #[serde(flatten)]
    act: Act,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Act {
    Write {
        text: String,
    },
    Attach,
    React {
        mid: MessageId,
        reaction: Option<String>,
    },
    Unsend {
        mid: MessageId,
    },
    Open,
    Answer {
        text: String,
    },
    /// Lets the messages behind one with an unknown outcome continue.
    Resume {
        key: MessageKey,
    },
    Close,
    /// A person answers in Meta's own inbox.
    Inbox {
        text: String,
    },
    LoseWebhook,
    /// Meta sends the agent's next message, but neither its response nor the echo arrives.
    LoseResponse,
    BotDown {
        down: bool,
    },
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

/// The bot's webhook; 503 while the bot is down.
async fn to_bot(
    State(bot): State<Program>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response<String>, StatusCode> {
    let endpoint = bot.running().as_ref().map(|(_, endpoint)| endpoint.clone());
    let endpoint = endpoint.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(endpoint.handle(&method, query.as_deref(), &headers, &body).await)
}
