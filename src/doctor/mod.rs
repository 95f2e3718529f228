//! Why a Page does not hand over: what an operator can ask.
//!
//! ```no_run
//! use messenger_handover::doctor::{Doctor, Verdict};
//! use messenger_handover::graph::GraphClient;
//! use messenger_handover::policy::{Role, ThreadControlPolicy};
//!
//! # async fn ask(graph: GraphClient) -> Result<(), Box<dyn std::error::Error>> {
//! let (page, app) = ("234554838031189".parse()?, "140586622674265".parse()?);
//! let doctor = Doctor::new(graph, page, app, Role::Desk, ThreadControlPolicy::BotPrimary);
//! let report = doctor.person("1739141089378194".parse()?).examine().await;
//! println!("{report}");
//! assert_ne!(report.worst(), Verdict::Problem);
//! # Ok(())
//! # }
//! ```
//!
//! Everything but [`Doctor::probe`] only reads.

mod account;
mod checks;
mod probe;
mod report;

pub use report::{Check, Finding, Report, Verdict};

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::call::ThreadOwner;
use crate::graph::{GraphClient, Platform};
use crate::id::{AppId, PageId, ThreadKey, UserId};
use crate::policy::{Role, ThreadControlPolicy};
use crate::thread::{Config, Timeouts};
use crate::time::Timestamp;

/// Examines one Page from the side of one app.
#[derive(Debug, Clone)]
#[must_use]
pub struct Doctor {
    graph: GraphClient,
    page: PageId,
    app: AppId,
    role: Role,
    policy: ThreadControlPolicy,
    platform: Platform,
    peer: Option<AppId>,
    silent: BTreeSet<AppId>,
    person: Option<UserId>,
    probe: bool,
    patience: Duration,
}

/// How long a probe waits for the answer to its request, if nothing else is set.
const PATIENCE: Duration = Duration::from_secs(10);

impl Doctor {
    /// Examines `page` for `app`, which is this side of the handover, where the host is configured with
    /// this policy. The client must have the Page's token; with
    /// [`app`](crate::graph::GraphClientBuilder::app) it can look at tokens that are no good any more.
    pub fn new(
        graph: GraphClient,
        page: PageId,
        app: AppId,
        role: Role,
        policy: ThreadControlPolicy,
    ) -> Self {
        let silent = Config::new(app.clone(), role, policy).silent;
        let (platform, peer, person) = (Platform::default(), None, None);
        Self {
            graph,
            page,
            app,
            role,
            policy,
            platform,
            peer,
            silent,
            person,
            probe: false,
            patience: PATIENCE,
        }
    }

    /// The account is one on Instagram: other webhook fields and permissions are needed.
    pub fn instagram(mut self) -> Self {
        self.platform = Platform::Instagram;
        self
    }

    /// The app on the other side: the desk's for a bot, the bot's for a desk.
    pub fn peer(mut self, app: AppId) -> Self {
        self.peer = Some(app);
        self
    }

    /// Also looks at the conversation with this person.
    pub fn person(mut self, user: UserId) -> Self {
        self.person = Some(user);
        self
    }

    /// Also tries what request and take answer in the conversation with this person. **This changes
    /// things**: control may move for a moment, and the owner is asked for it. What was taken or granted is
    /// given back, as far as it comes within [`patience`](Self::patience); where it could not be, nothing is
    /// taken. Use a conversation of your own.
    pub fn probe(mut self, user: UserId) -> Self {
        self.person = Some(user);
        self.probe = true;
        self
    }

    /// How long a probe waits for what the owner makes of its request, 10 s. What is granted later stays with
    /// this app.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Examines the Page. Never fails: what cannot be found out is a finding.
    ///
    /// Dropping the future while it probes may leave control where the probe moved it.
    pub async fn examine(&self) -> Report {
        let mut report = Report::default();
        let good = self.look_at_token(&mut report).await;
        if !good {
            for check in
                [Check::Account, Check::Subscription, Check::FeatureStatus, Check::Role, Check::Clock]
            {
                report.unknown(check, "not looked at: the token is no good", None);
            }
            return report;
        }
        self.look_at_account(&mut report).await;
        self.look_at_clock(&mut report).await;
        self.look_at_subscription(&mut report).await;
        self.look_at_features(&mut report).await;
        self.look_at_role(&mut report).await;
        if let Some(user) = &self.person {
            let thread = ThreadKey::new(self.page.clone(), user.clone());
            let owner = self.look_at_owner(&thread, &mut report).await;
            self.look_at_conversation(&thread, &mut report).await;
            if let (true, Some(owner)) = (self.probe, owner) {
                self.try_claims(&thread, &owner, &mut report).await;
            }
        }
        report
    }

    fn is_primary(&self) -> bool {
        matches!(
            (self.role, self.policy),
            (Role::Bot, ThreadControlPolicy::BotPrimary) | (Role::Desk, ThreadControlPolicy::EdPrimary)
        )
    }

    fn is_ours(&self, owner: &ThreadOwner) -> bool {
        matches!(owner, ThreadOwner::App { app, .. } if *app == self.app)
    }
}

/// How far the clocks may differ without a belief going wrong unnoticed.
fn clock_tolerance() -> Duration {
    Timeouts::default().clock_tolerance
}

#[expect(clippy::disallowed_methods, reason = "the doctor compares our clock with the platform's")]
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
