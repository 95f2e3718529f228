//! The simulated platform with its faults, and the desk as the other app of each conversation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use messenger_handover::control::HandoverClient;
use messenger_handover::graph::GraphClient;
use messenger_handover::handover::BoxError;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_sim::{self as sim, App, Fault, FaultAction, Page, Rules, Server, Wire};
use tokio::sync::mpsc;

use crate::account::Account;

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
pub const PAGE: u64 = 987_654_321_098_765;
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub const BOT_TOKEN: &str = "token-bot";
const DESK_TOKEN: &str = "token-desk";
const FIRST_USER: u64 = 7_000_000_000_000_000;
/// The longest time that an agent keeps control.
const AGENT_TAKES: u64 = 300;

/// One of the bot's calls in fourteen is refused, lost before or after it was made, or slow; one webhook in ten is
/// duplicated, late or reordered.
fn faults() -> Vec<Fault> {
    let fault = |on, action, chance, ms| {
        let mut fault = Fault::new(on, action);
        (fault.chance, fault.ms, fault.app) = (Some(chance), Some(ms), Some(AppId::from(BOT)));
        fault
    };
    vec![
        fault("call", FaultAction::Refuse, 0.01, 0),
        fault("call", FaultAction::Status500, 0.005, 0),
        fault("call", FaultAction::TimeoutBefore, 0.002, 2000),
        fault("call", FaultAction::TimeoutAfter, 0.005, 2000),
        fault("call", FaultAction::Delay, 0.05, 200),
        fault("webhook", FaultAction::Duplicate, 0.04, 0),
        fault("webhook", FaultAction::Reorder, 0.03, 0),
        fault("webhook", FaultAction::Delay, 0.03, 100),
    ]
}

pub struct Platform {
    pub sim: Server,
    /// Whether the desk has control, per customer.
    at_desk: Arc<[AtomicBool]>,
    desk: GraphClient,
}

pub fn user(customer: usize) -> u64 {
    FIRST_USER + customer as u64
}

fn thread(customer: usize) -> ThreadKey {
    ThreadKey::new(PageId::from(PAGE), UserId::from(user(customer)))
}

fn customer(user: &UserId) -> Option<usize> {
    let number: u64 = user.to_string().parse().ok()?;
    usize::try_from(number.checked_sub(FIRST_USER)?).ok()
}

impl Platform {
    /// Starts the platform. Its webhooks go to `callback`, the load balancer.
    pub async fn start(
        customers: usize,
        seed: u64,
        account: &Arc<Account>,
        callback: String,
    ) -> Result<Arc<Self>, BoxError> {
        let page = Page::new(PAGE, Rules::primary(BOT)).app(BOT, BOT_TOKEN).app(DESK, DESK_TOKEN);
        let platform = sim::Platform::new()
            .with_app(App::new(BOT, "bot", SECRET, "verify").callback(callback))
            .with_app(App::new(DESK, "desk", SECRET, "verify"))
            .with_page(page);
        let at_desk: Arc<[AtomicBool]> = (0..customers).map(|_| AtomicBool::new(false)).collect();
        let (handed, agents) = mpsc::unbounded_channel();
        let (account, owners) = (Arc::clone(account), Arc::clone(&at_desk));
        let observer = Arc::new(move |wire| match wire {
            Wire::Reached { text, .. } => {
                if let Some(number) = text.split(' ').next().and_then(|number| number.parse().ok()) {
                    account.reached(number);
                }
            }
            Wire::OwnerChanged { user, owner, .. } => {
                let Some(customer) = customer(&user).filter(|customer| *customer < owners.len()) else {
                    return;
                };
                let is_desk = owner == Some(AppId::from(DESK));
                owners[customer].store(is_desk, Ordering::Relaxed);
                if is_desk {
                    // At most one entry per conversation waits.
                    let _ = handed.send(customer);
                }
            }
            _ => {}
        });
        let sim = Server::builder(platform).observer(observer).faults(faults()).seed(seed).start().await?;
        let desk = GraphClient::builder().base_url(sim.url().parse()?);
        let desk = desk.page(PageId::from(PAGE), DESK_TOKEN.into()).build()?;
        let platform = Arc::new(Self { sim, at_desk, desk });
        tokio::spawn(Arc::clone(&platform).agents(agents));
        Ok(platform)
    }

    /// Whether the desk has control of the customer's conversation.
    pub fn is_at_desk(&self, customer: usize) -> bool {
        self.at_desk[customer].load(Ordering::Relaxed)
    }

    /// Sends a first message through the platform. The bot is primary, so it gets control.
    pub fn opens(&self, customer: usize, text: &str) {
        self.sim.customer_writes(&PageId::from(PAGE), &UserId::from(user(customer)), text);
    }

    /// An agent wants to write: the desk requests control from the bot.
    pub fn agent_asks(self: &Arc<Self>, customer: usize) {
        let platform = Arc::clone(self);
        tokio::spawn(async move {
            // A refusal means that the request is too late.
            let _ = platform.desk.request_thread_control(&thread(customer), None).await;
        });
    }

    /// Agents pass conversations back after a while.
    async fn agents(self: Arc<Self>, mut handed: mpsc::UnboundedReceiver<usize>) {
        while let Some(customer) = handed.recv().await {
            let platform = Arc::clone(&self);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(20..AGENT_TAKES))).await;
                let bot = AppId::from(BOT);
                while platform.is_at_desk(customer) {
                    if platform.desk.pass_thread_control(&thread(customer), Some(&bot), None).await.is_ok() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            });
        }
    }
}
