//! The load of a run: customers and agents who write, faults, and kills.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::ProgressBar;
use messenger_handover::call::MessageKey;
use messenger_handover::handover::BoxError;
use messenger_handover::id::{PageId, UserId};
use messenger_sim::{Fault, FaultAction, Server};
use tokio::task::JoinSet;

use crate::account::Account;
use crate::fleet::Fleet;
use crate::{Options, PAGE};

/// One call in eight is refused, lost before or after it was made, or slow; one webhook in ten is duplicated, late or
/// reordered.
pub fn faults() -> Vec<Fault> {
    let fault = |on, action, chance, ms| {
        let mut fault = Fault::new(on, action);
        (fault.chance, fault.ms) = (Some(chance), Some(ms));
        fault
    };
    vec![
        fault("call", FaultAction::Refuse, 0.02, 0),
        fault("call", FaultAction::Status500, 0.01, 0),
        fault("call", FaultAction::TimeoutBefore, 0.01, 2000),
        fault("call", FaultAction::TimeoutAfter, 0.03, 2000),
        fault("call", FaultAction::Delay, 0.05, 200),
        fault("webhook", FaultAction::Duplicate, 0.04, 0),
        fault("webhook", FaultAction::Reorder, 0.03, 0),
        fault("webhook", FaultAction::Delay, 0.03, 100),
    ]
}

/// Shared by all conversations.
struct Desk {
    sim: Arc<Server>,
    fleet: Arc<Fleet>,
    account: Arc<Account>,
    bar: ProgressBar,
    accepted: Arc<AtomicU64>,
}

/// Runs customers and agents, and spreads the kills over the agents' messages. Returns the number of kills.
pub async fn run(
    options: &Options,
    rng: &mut fastrand::Rng,
    sim: &Arc<Server>,
    fleet: &Arc<Fleet>,
    account: &Arc<Account>,
    bar: &ProgressBar,
) -> Result<u64, BoxError> {
    let accepted = Arc::new(AtomicU64::new(0));
    let mut conversations = JoinSet::new();
    for user in 0..options.threads {
        let answers =
            options.messages / options.threads + u64::from(user < options.messages % options.threads);
        let desk = Desk {
            sim: Arc::clone(sim),
            fleet: Arc::clone(fleet),
            account: Arc::clone(account),
            bar: bar.clone(),
            accepted: Arc::clone(&accepted),
        };
        conversations.spawn(desk.conversation(user + 1, answers, rng.fork()));
    }
    let mut kills = 0;
    while kills < options.kills && !conversations.is_empty() {
        let due = accepted.load(Ordering::SeqCst) * (options.kills + 1) > (kills + 1) * options.messages;
        if due {
            tokio::time::sleep(Duration::from_millis(rng.u64(..50))).await;
            fleet.kill().await?;
            kills += 1;
            bar.set_message(format!("{kills} killed"));
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
            Some(ended) = conversations.join_next() => ended??,
        }
    }
    while let Some(ended) = conversations.join_next().await {
        ended??;
    }
    // The remaining kills happen while the backlog is processed.
    while kills < options.kills {
        tokio::time::sleep(Duration::from_millis(rng.u64(..500))).await;
        fleet.kill().await?;
        kills += 1;
    }
    Ok(kills)
}

impl Desk {
    async fn conversation(self, user: u64, answers: u64, mut rng: fastrand::Rng) -> Result<(), BoxError> {
        let (page, customer) = (PageId::from(PAGE), UserId::from(user));
        let writes = |text| self.account.wrote(&self.sim.customer_writes(&page, &customer, text));
        writes("hello");
        for turn in 0..answers {
            tokio::time::sleep(Duration::from_millis(rng.u64(..400))).await;
            match rng.u8(..10) {
                0 | 1 => writes("and another thing"),
                2 => writes("a person, please"),
                3 | 4 => self.until_taken(user, "open", "").await?,
                5 | 6 => self.until_taken(user, "close", "").await?,
                _ => {}
            }
            let key = MessageKey::new(format!("desk:{user}:{turn}"))?;
            self.until_taken(user, "answer", key.as_str()).await?;
            self.account.accepted(false, customer.clone(), key);
            self.accepted.fetch_add(1, Ordering::SeqCst);
            self.bar.inc(1);
        }
        self.until_taken(user, "close", "").await
    }

    /// Retries under the same key until accepted, as an agent's client does.
    async fn until_taken(&self, user: u64, action: &str, key: &str) -> Result<(), BoxError> {
        for _ in 0..300 {
            if self.fleet.agent(user, action, key).await {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("nobody takes in what the agent of {user} does: {action} {key}").into())
    }
}
