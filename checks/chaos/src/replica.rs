//! A replica: a process that is both a desk and a bot, over stores shared with the other replicas. It is killed without warning.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::routing::{any, post};
use messenger_handover::bots_api::{self, IdentityLookup};
use messenger_handover::call::HandoverRequest;
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::event::Inbound;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{
    BoxError, Builder, Handler, HandlerError, Handover, HandoverError, Notification,
};
use messenger_handover::id::{AppId, MessageId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy::BotPrimary};
use messenger_handover::thread::{
    Actions, CommandRefused, FailReason, Notice, RefusedAction, Target, Timeouts,
};
use messenger_handover::webhook::{self, Verifier};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::forwarding::Forwarding;
use crate::storage::{Reported, Storage};
use crate::{BOT, DESK, SECRET, TOKEN};

/// The configuration that a replica reads from standard input as one line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    pub page: PageId,
    pub graph: Url,
    /// The URL of the load balancer, which also receives the reports.
    pub parent: Url,
    pub storage: Storage,
}

/// A report of a replica to its parent, repeated until it is acknowledged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct News {
    pub bot: bool,
    pub user: UserId,
    pub key: MessageKey,
    pub what: What,
    /// The process, and the number of its write conflicts so far.
    pub process: u32,
    pub conflicts: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The host was notified of the customer's message whose id is the key.
    Heard,
    Accepted,
    Delivered,
    /// The name of the failure, and its reason in words.
    Failed(String, String),
    Unknown,
}

/// Reports to the parent.
#[derive(Debug)]
pub struct Reporter {
    bot: bool,
    parent: Url,
    client: reqwest::Client,
    pub conflicts: AtomicU64,
    /// The messages that were reported as accepted.
    accepted: Mutex<HashSet<(ThreadKey, MessageKey)>>,
}

impl Reporter {
    /// Reports the messages that wait in a conversation that was saved.
    pub async fn saved(&self, thread: &ThreadKey, waiting: impl Iterator<Item = &MessageKey>) {
        let is_new = |key: &MessageKey| {
            self.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert((thread.clone(), key.clone()))
        };
        let new: Vec<_> = waiting.filter(|key| is_new(key)).cloned().collect();
        for key in new {
            if let Err(error) = self.tell(thread, &key, What::Accepted).await {
                tracing::warn!(%thread, %key, %error, "its acceptance could not be reported");
            }
        }
    }

    async fn tell(&self, thread: &ThreadKey, key: &MessageKey, what: What) -> Result<(), BoxError> {
        let news = News {
            bot: self.bot,
            user: thread.user.clone(),
            key: key.clone(),
            what,
            process: std::process::id(),
            conflicts: self.conflicts.load(Ordering::SeqCst),
        };
        let post = self.client.post(self.parent.join("/news")?).body(serde_json::to_vec(&news)?);
        post.send().await?.error_for_status()?;
        Ok(())
    }
}

struct Host(Arc<Reporter>);

impl Host {
    async fn tell(&self, thread: &ThreadKey, key: &MessageKey, what: What) -> Result<(), BoxError> {
        self.0.tell(thread, key, what).await
    }

    /// The bot's replies. They are accepted when they are saved: a decision that is not saved may turn out otherwise the next time.
    fn answers(messages: &[Inbound]) -> Result<Actions, BoxError> {
        let mut actions = Actions::none();
        for inbound in messages {
            let Some(mid) = &inbound.mid else { continue };
            let key = reply_key(mid)?;
            actions = actions.and_reply_to(inbound, OutgoingMessage::text(format!("bot:{key}"))?);
            if inbound.text.as_deref().is_some_and(|text| text.contains("person")) {
                actions = actions.and_hand_over(Target::Desk);
            }
        }
        Ok(actions)
    }

    async fn hear(&self, handover: &Handover, told: &Notification) -> Result<(), BoxError> {
        let thread = &told.thread;
        match &told.notice {
            Notice::MessageSent { key, .. } => self.tell(thread, key, What::Delivered).await,
            Notice::MessageFailed { key, reason } => {
                tracing::info!(%thread, %key, %reason, "failed");
                self.tell(thread, key, What::Failed(name(reason).to_owned(), reason.to_string())).await
            }
            // People took over meanwhile.
            Notice::ActionRefused { action: RefusedAction::Reply(key), why } => {
                let name = if *why == CommandRefused::WithPeople { "taken_by_people" } else { "refused" };
                self.tell(thread, key, What::Failed(name.to_owned(), why.to_string())).await
            }
            Notice::MessageUnknown { key, .. } => {
                self.tell(thread, key, What::Unknown).await?;
                // No person decides here, so the messages behind the unknown one continue.
                match handover.resume(thread, key.clone()).await {
                    // A late echo has already resolved it.
                    Err(HandoverError::Refused(_)) => Ok(()),
                    ended => Ok(ended?),
                }
            }
            Notice::Message { inbound: Inbound { mid: Some(mid), .. }, .. } => {
                self.tell(thread, &MessageKey::new(mid.to_string())?, What::Heard).await
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Handler for Host {
    async fn notify(&self, handover: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        self.hear(handover, told).await?;
        let answers = if self.0.bot { told.to_answer() } else { &[] };
        // The notification is repeated until what comes of it is saved.
        for mid in answers.iter().filter_map(|inbound| inbound.mid.as_ref()) {
            self.tell(&told.thread, &reply_key(mid)?, What::Accepted).await?;
        }
        Ok(Self::answers(answers)?)
    }

    /// Decides about every second message. A host should not block here; a report has to arrive before the decision is saved.
    fn decide(&self, thread: &ThreadKey, notice: &Notice) -> Option<Actions> {
        let Notice::Message { inbound: Inbound { mid: Some(mid), .. }, .. } = notice else { return None };
        if mid.to_string().bytes().map(u32::from).sum::<u32>().is_multiple_of(2) {
            return None;
        }
        let heard = MessageKey::new(mid.to_string()).ok()?;
        let deciding = async {
            self.tell(thread, &heard, What::Heard).await?;
            Self::answers(if self.0.bot { notice.to_answer() } else { &[] })
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(deciding)).ok()
    }
}

/// The key that [`Actions::and_reply_to`] gives the only reply to a message.
fn reply_key(mid: &MessageId) -> Result<MessageKey, BoxError> {
    Ok(MessageKey::new(format!("re:{mid}:0"))?)
}

fn name(reason: &FailReason) -> &'static str {
    match reason {
        // No step is permitted: people have the conversation, and a bot does not take control from them.
        FailReason::NotGranted(report) if report.steps.is_empty() => "taken_by_people",
        FailReason::WithPeople => "taken_by_people",
        FailReason::NotGranted(_) => "not_granted",
        FailReason::OutsideWindow(_) => "outside_window",
        FailReason::RecipientUnavailable(_) => "recipient_unavailable",
        FailReason::Rejected(_) => "rejected",
        FailReason::Expired => "expired",
        FailReason::Cancelled => "cancelled",
        _ => "other",
    }
}

/// An identity lookup that knows everybody who writes.
struct Identities(PageId);

#[async_trait]
impl IdentityLookup for Identities {
    async fn conversation(&self, request: &HandoverRequest) -> Option<ThreadKey> {
        Some(ThreadKey::new(self.0.clone(), request.identity.clone()?))
    }
}

struct App {
    page: PageId,
    desk: Handover,
    desk_hook: webhook::Endpoint,
    bot_hook: webhook::Endpoint,
    bots_api: bots_api::Endpoint,
}

/// Short timeouts, so that work of a killed process is resumed within the run.
fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.grant = Duration::from_secs(20);
    timeouts.call_lease = Duration::from_secs(4);
    timeouts.echo_grace = Duration::from_secs(4);
    timeouts.notice_lease = Duration::from_secs(4);
    timeouts.backoff = Duration::from_millis(200);
    timeouts.backoff_max = Duration::from_secs(2);
    timeouts
}

async fn app(orders: Orders) -> Result<App, BoxError> {
    // reqwest needs a process-wide TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    let builder = async |bot: bool| -> Result<Builder, BoxError> {
        let name = if bot { "bot" } else { "desk" };
        let graph =
            GraphClient::builder().base_url(orders.graph.clone()).timeout(Duration::from_millis(1500));
        let graph = graph.page(orders.page.clone(), format!("{TOKEN}-{name}").into()).build()?;
        let reporter = Arc::new(Reporter {
            bot,
            parent: orders.parent.clone(),
            client: client.clone(),
            conflicts: AtomicU64::new(0),
            accepted: Mutex::default(),
        });
        let store =
            Forwarding(Reported { inner: orders.storage.open(name).await?, reporter: Arc::clone(&reporter) });
        let host = Host(reporter);
        let (app, role) = if bot { (BOT, Role::Bot) } else { (DESK, Role::Desk) };
        let builder = Handover::builder(AppId::from(app), role, BotPrimary, Arc::new(graph), host);
        Ok(builder.store(Arc::new(store)).timeouts(timeouts()))
    };
    let desk = builder(false).await?.start()?;
    let ed = bots_api::Client::new(&orders.parent, TOKEN.into())?;
    let bot = builder(true).await?.desk_app(AppId::from(DESK)).desk_endpoint(Arc::new(ed)).start()?;
    let hook = |name: &str, handover: &Handover| {
        webhook::Endpoint::new(
            Verifier::new(format!("{SECRET}-{name}").into()),
            TOKEN.into(),
            handover.clone(),
        )
    };
    Ok(App {
        desk_hook: hook("desk", &desk),
        bot_hook: hook("bot", &bot),
        bots_api: bots_api::Endpoint::new(TOKEN.into(), desk.clone(), Identities(orders.page.clone())),
        page: orders.page,
        desk,
    })
}

async fn hook(
    app: State<Arc<App>>,
    Path(name): Path<String>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    let hook = if name == "bot" { &app.bot_hook } else { &app.desk_hook };
    hook.handle(&method, query.as_deref(), &headers, &body).await
}

async fn bots(
    app: State<Arc<App>>,
    method: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response<String> {
    app.bots_api.handle(&method, query.as_deref(), &headers).await
}

/// An agent's action: `open`, `close`, or `answer` with a key that is also the text.
async fn agent(
    app: State<Arc<App>>,
    Path((user, action)): Path<(String, String)>,
    key: String,
) -> (StatusCode, String) {
    let act = async {
        let thread = ThreadKey::new(app.page.clone(), UserId::new(user)?);
        match action.as_str() {
            "open" => app.desk.open_intervention(&thread).await?,
            "close" => app.desk.close_intervention(&thread).await?,
            _ => drop(app.desk.send(&thread, MessageKey::new(&key)?, OutgoingMessage::text(&key)?).await?),
        }
        Ok::<_, BoxError>(())
    };
    match act.await {
        Ok(()) => (StatusCode::OK, String::new()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// Serves until it is killed; prints its port as a line.
pub async fn run() -> Result<(), BoxError> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let app = app(serde_json::from_str(&line)?).await?;
    let router = Router::new()
        .route("/hook/{app}", any(hook))
        .route(bots_api::PATH, any(bots))
        .route("/agent/{user}/{action}", post(agent))
        .with_state(Arc::new(app));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    // The replica exits with its parent.
    tokio::task::spawn_blocking(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    axum::serve(listener, router).await?;
    Ok(())
}
