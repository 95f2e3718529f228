//! The measured host: a bot in a separate process that reports its notifications to its parent, one per line.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, RawQuery, State};
use axum::http::{HeaderMap, Method, Response};
use axum::routing::any;
use messenger_handover::call::{MessageKey, OutgoingMessage};
use messenger_handover::event::Inbound;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::{BoxError, Handler, HandlerError, Handover, HandoverError, Notification};
use messenger_handover::id::{AppId, PageId};
use messenger_handover::policy::{Role, ThreadControlPolicy::BotPrimary};
use messenger_handover::store;
use messenger_handover::thread::{Actions, Limits, Notice, RefusedAction, Target, Timeouts};
use messenger_handover::webhook::{self, Verifier};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use url::Url;

use crate::platform::{BOT, BOT_TOKEN, DESK, PAGE, SECRET};

/// One message in this many is answered.
const ANSWERED: u64 = 20;
/// Number of reports that may wait to be written to the parent; beyond it the handler blocks.
const UNWRITTEN: usize = 10_000;

/// The configuration that the host reads from standard input as one line.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    pub graph: Url,
    /// The URL of the store.
    pub store: String,
    pub events_at_once: Option<usize>,
}

/// Commands from the parent: block the handler, and release it.
pub const HOLD: &str = "hold";
pub const GO_ON: &str = "go on";

/// A report, with the number of the customer's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Told { number: u64, ours: bool, notice: u64 },
    Accepted(u64),
    Delivered(u64),
    Failed(u64),
    Unknown(u64),
}

impl News {
    fn write(self, line: &mut Vec<u8>) {
        // Writing to a `String` cannot fail.
        let _ = match self {
            Self::Told { number, ours: true, notice } => writeln!(line, "ours {number} {notice}"),
            Self::Told { number, ours: false, notice } => writeln!(line, "theirs {number} {notice}"),
            Self::Accepted(number) => writeln!(line, "accepted {number}"),
            Self::Delivered(number) => writeln!(line, "delivered {number}"),
            Self::Failed(number) => writeln!(line, "failed {number}"),
            Self::Unknown(number) => writeln!(line, "unknown {number}"),
        };
    }

    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (what, number) = (words.next()?, words.next()?.parse().ok()?);
        Some(match what {
            "ours" | "theirs" => {
                Self::Told { number, ours: what == "ours", notice: words.next()?.parse().ok()? }
            }
            "accepted" => Self::Accepted(number),
            "delivered" => Self::Delivered(number),
            "failed" => Self::Failed(number),
            "unknown" => Self::Unknown(number),
            _ => return None,
        })
    }
}

/// The number of a message, which is the first word of its text.
fn number(inbound: &Inbound) -> Option<u64> {
    inbound.text.as_deref()?.split(' ').next()?.parse().ok()
}

struct Bot {
    news: mpsc::Sender<News>,
    may_end: watch::Receiver<bool>,
    /// The number of the message that each reply answers, by the reply's key.
    replies: Mutex<HashMap<String, u64>>,
}

impl Bot {
    fn replies(&self) -> MutexGuard<'_, HashMap<String, u64>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bot's replies. Each is reported before it is saved, because the notification is repeated until it is saved.
    async fn answers(&self, messages: &[Inbound]) -> Result<Actions, HandlerError> {
        let mut actions = Actions::none();
        for inbound in messages {
            if let Some(number) = number(inbound).filter(|number| number % ANSWERED == 0) {
                let answer = OutgoingMessage::text(format!("{number} Your parcel is on its way."))?;
                let mid = inbound.mid.as_ref().ok_or("a message without an id")?;
                self.replies().insert(format!("re:{mid}:0"), number);
                self.news.send(News::Accepted(number)).await?;
                actions = actions.and_reply_to(inbound, answer);
            }
            if inbound.text.as_deref().is_some_and(|text| text.contains("person")) {
                actions = actions.and_hand_over(Target::Desk);
            }
        }
        Ok(actions)
    }

    async fn ended(&self, key: &MessageKey, news: fn(u64) -> News) -> Result<(), BoxError> {
        let number = self.replies().get(key.as_str()).copied().ok_or("no reply of this bot")?;
        self.news.send(news(number)).await?;
        // Only an unknown outcome may be followed by another one; the map must not grow for ever.
        if !matches!(news(number), News::Unknown(_)) {
            self.replies().remove(key.as_str());
        }
        Ok(())
    }
}

#[async_trait]
impl Handler for Bot {
    async fn notify(&self, handover: &Handover, told: &Notification) -> Result<Actions, HandlerError> {
        let thread = &told.thread;
        if !*self.may_end.borrow() {
            self.may_end.clone().wait_for(|may| *may).await?;
        }
        match &told.notice {
            Notice::Message { inbound, to_answer: ours, .. } => {
                let Some(number) = number(inbound) else { return Ok(Actions::none()) };
                self.news.send(News::Told { number, ours: *ours, notice: told.id.0 }).await?;
            }
            Notice::MessageSent { key, .. } => self.ended(key, News::Delivered).await?,
            Notice::MessageFailed { key, reason } => {
                tracing::info!(%thread, %key, %reason, "failed");
                self.ended(key, News::Failed).await?;
            }
            // People have taken over the customer.
            Notice::ActionRefused { action: RefusedAction::Reply(key), .. } => {
                self.ended(key, News::Failed).await?;
            }
            Notice::MessageUnknown { key, .. } => {
                self.ended(key, News::Unknown).await?;
                but_for_refusals(handover.resume(thread, key.clone()).await)?;
            }
            _ => {}
        }
        self.answers(told.to_answer()).await
    }
}

fn but_for_refusals(done: Result<(), HandoverError>) -> Result<(), BoxError> {
    match done {
        Err(HandoverError::Refused(_)) => Ok(()),
        done => Ok(done?),
    }
}

async fn start(orders: Orders, bot: Bot) -> Result<Router, BoxError> {
    let graph = GraphClient::builder().base_url(orders.graph).timeout(Duration::from_millis(1500));
    let graph = graph.page(PageId::from(PAGE), BOT_TOKEN.into()).build()?;
    let mut timeouts = Timeouts::default();
    // Short, so that calls with an unknown outcome are resolved within the run.
    timeouts.echo_grace = Duration::from_secs(4);
    timeouts.backoff = Duration::from_millis(200);
    timeouts.backoff_max = Duration::from_secs(2);
    // Small limits, which are reached within seconds, so that memory growth after that shows a leak.
    let mut limits = Limits::default();
    (limits.finished, limits.seen) = (16, 256);
    let mut builder = Handover::builder(AppId::from(BOT), Role::Bot, BotPrimary, Arc::new(graph), bot)
        .store(store::open(&*orders.store).await?)
        .desk_app(AppId::from(DESK))
        .timeouts(timeouts)
        .limits(limits);
    if let Some(events) = orders.events_at_once {
        builder = builder.events_at_once(events);
    }
    let server = webhook::Endpoint::new(Verifier::new(SECRET.into()), "verify".into(), builder.start()?);
    let body = DefaultBodyLimit::max(webhook::DEFAULT_MAX_BODY);
    Ok(Router::new().route("/", any(hook)).layer(body).with_state(server))
}

async fn hook(
    server: State<webhook::Endpoint>,
    method: Method,
    query: RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response<String> {
    server.handle(&method, query.0.as_deref(), &headers, &body).await
}

/// Writes the reports to standard output in batches.
fn tell(mut news: mpsc::Receiver<News>) {
    std::thread::spawn(move || {
        let (mut some, mut lines) = (Vec::new(), Vec::new());
        while news.blocking_recv_many(&mut some, UNWRITTEN) > 0 {
            some.drain(..).for_each(|news| news.write(&mut lines));
            let mut out = std::io::stdout().lock();
            if out.write_all(&lines).and_then(|()| out.flush()).is_err() {
                return;
            }
            lines.clear();
            // Reports that arrive meanwhile go into the next batch.
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}

/// Serves until the parent ends or closes this process's standard input.
pub async fn run() -> Result<(), BoxError> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let (news, waiting) = mpsc::channel(UNWRITTEN);
    let (may, may_end) = watch::channel(true);
    let router =
        start(serde_json::from_str(&line)?, Bot { news, may_end, replies: Mutex::default() }).await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tell(waiting);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            match line.as_deref() {
                Ok(HOLD) => drop(may.send_replace(false)),
                Ok(GO_ON) => drop(may.send_replace(true)),
                _ => break,
            }
        }
        std::process::exit(0);
    });
    Ok(axum::serve(listener, router).await?)
}
