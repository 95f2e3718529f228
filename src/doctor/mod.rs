//! Diagnoses why handovers fail on a Page, for operators.
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
//! All checks only read, except those of [`Doctor::probe`].

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

/// Examines one Page from the side of one app. Set it up, then call [`examine`](Self::examine).
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

/// The default time that a probe waits for the grant of its request.
const PATIENCE: Duration = Duration::from_secs(10);

impl Doctor {
    /// Creates a doctor for `page`. `app`, `role` and `policy` are those of the host's own configuration. The client must
    /// have the Page's token; with [`app`](crate::graph::GraphClientBuilder::app) it can also inspect an invalid token.
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

    /// Examines an Instagram account, which needs other webhook fields and permissions.
    pub fn instagram(mut self) -> Self {
        self.platform = Platform::Instagram;
        self
    }

    /// Sets the app on the other side of the handover: the desk's for a bot, the bot's for a desk.
    pub fn peer(mut self, app: AppId) -> Self {
        self.peer = Some(app);
        self
    }

    /// Also examines the conversation with this person.
    pub fn person(mut self, user: UserId) -> Self {
        self.person = Some(user);
        self
    }

    /// Also makes a request and a take in the conversation with this person. Use a conversation of your own, because this
    /// **changes things**: the owner receives the request, and control may move for a moment. Control that is taken, or
    /// granted within [`patience`](Self::patience), is given back. A thread whose owner is hidden is not taken, because
    /// control could not be given back.
    pub fn probe(mut self, user: UserId) -> Self {
        self.person = Some(user);
        self.probe = true;
        self
    }

    /// Sets how long a probe waits for the grant of its request, by default 10 s. Control that is granted later stays with
    /// this app.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Examines the Page and returns the report. Never fails: a check that cannot be made is a finding.
    ///
    /// If the future is dropped while it probes, control may stay where the probe moved it.
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

/// The clock difference that the state machine tolerates.
fn clock_tolerance() -> Duration {
    Timeouts::default().clock_tolerance
}

#[expect(clippy::disallowed_methods, reason = "the doctor compares our clock with the platform's")]
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
