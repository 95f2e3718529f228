//! The checks that only read.

use std::time::Duration;

use super::{Check, Doctor, Report, clock_tolerance, now};
use crate::call::{FailureKind, ThreadOwner};
use crate::control::HandoverClient;
use crate::graph::{Platform, TokenInfo};
use crate::id::ThreadKey;

/// A token that expires within this time is a problem.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The subcode for a secondary receiver, which may not see the others (docs/protocol.md#secondary-receivers).
const SECONDARY_MAY_NOT_SEE: i64 = 2_018_234;
/// The subcode for an app without a role on the Page (docs/protocol.md#secondary-receivers).
const NO_ROLE: i64 = 2_018_171;

impl Doctor {
    /// Checks the token. Returns whether the other checks can use it.
    pub(super) async fn look_at_token(&self, report: &mut Report) -> bool {
        let info = match self.graph.debug_token(&self.page).await {
            Ok(info) => info,
            Err(error) if error.kind() == FailureKind::Token => {
                let (remedy, evidence) = (error.failure().remedy(), error.to_string());
                report.problem(Check::Token, "the Page's token is no good", remedy, Some(evidence));
                return false;
            }
            // The token may still work for the other checks.
            Err(error) => {
                report.failed(Check::Token, "the Page's token", &error);
                return true;
            }
        };
        if !info.valid {
            let remedy = info.problem.as_ref().map_or("replace the Page's access token", |why| why.remedy());
            let evidence = info.problem.as_ref().map(ToString::to_string);
            report.problem(Check::Token, "the Page's token is no good", remedy, evidence);
            return false;
        }
        self.judge_token(&info, report);
        self.judge_scopes(&info, report);
        true
    }

    fn judge_token(&self, info: &TokenInfo, report: &mut Report) {
        let other_page =
            self.platform == Platform::Messenger && info.page.as_ref().is_some_and(|page| *page != self.page);
        if let Some(app) = info.app.as_ref().filter(|app| **app != self.app) {
            let says = format!("the token belongs to app {app}, not to {}", self.app);
            let remedy = "use a token that was made for this app: people's ids and control are the app's own";
            return report.problem(Check::Token, says, remedy, None);
        }
        if other_page {
            let says = "the token speaks for another Page";
            let evidence = info.page.as_ref().map(|page| format!("profile_id {page}"));
            let remedy = "get the token of this Page from /me/accounts";
            return report.problem(Check::Token, says, remedy, evidence);
        }
        if let Some(kind) = info.kind.as_deref().filter(|kind| *kind == "USER") {
            let says = "the token is a person's, not the Page's";
            let remedy = "get the token of this Page from /me/accounts";
            return report.problem(Check::Token, says, remedy, Some(format!("type {kind}")));
        }
        let ends = [info.expires, info.data_access_expires].into_iter().flatten().min();
        match ends.map(|ends| ends.since(now())) {
            Some(left) if left < SOON => {
                let says = format!("the token or its access to data ends in {} hours", left.as_secs() / 3600);
                let remedy = "renew it now, from a long-lived user token or a system user";
                report.problem(Check::Token, says, remedy, None);
            }
            Some(left) => {
                let says = format!("good for another {} days", left.as_secs() / 86_400);
                report.ok(Check::Token, says, None);
            }
            None => report.ok(Check::Token, "good, and does not end", None),
        }
    }

    fn judge_scopes(&self, info: &TokenInfo, report: &mut Report) {
        let needed: &[&[&str]] = match self.platform {
            Platform::Messenger => &[&["pages_messaging"], &["pages_manage_metadata"]],
            // By Facebook Login or by Instagram Login (docs/protocol.md#tokens).
            Platform::Instagram => &[&["instagram_manage_messages", "instagram_business_manage_messages"]],
        };
        let has = |scope: &&str| info.scopes.iter().any(|known| known == scope);
        let missing: Vec<_> =
            needed.iter().filter(|any| !any.iter().any(has)).map(|any| any.join(" or ")).collect();
        let evidence = Some(info.scopes.join(", "));
        if missing.is_empty() {
            report.ok(Check::Scopes, "the token carries what is needed", evidence);
        } else {
            let says = format!("the token lacks {}", missing.join(" and "));
            let remedy =
                "ask for the permission when the Page is connected, and have the app approved for it";
            report.problem(Check::Scopes, says, remedy, evidence);
        }
    }

    pub(super) async fn look_at_clock(&self, report: &mut Report) {
        let before = now();
        let theirs = match self.graph.platform_time(&self.page).await {
            Ok(Some(theirs)) => theirs,
            Ok(None) => {
                return report.unknown(Check::Clock, "the platform's answer has no date", None);
            }
            Err(error) => return report.failed(Check::Clock, "the platform's clock", &error),
        };
        let after = now();
        // The platform's date is in whole seconds.
        let (earliest, latest) = (theirs, theirs.plus(Duration::from_secs(1)));
        let off = before.since(latest).max(earliest.since(after));
        if off > clock_tolerance() {
            let says = format!("our clock is {} s off the platform's", off.as_secs());
            let remedy = "keep this machine's clock with NTP: events and answers are ordered by it";
            report.problem(Check::Clock, says, remedy, Some(format!("theirs {theirs}, ours {after}")));
        } else {
            report.ok(Check::Clock, "our clock and the platform's agree", None);
        }
    }

    pub(super) async fn look_at_subscription(&self, report: &mut Report) {
        let apps = match self.graph.subscribed_apps(&self.page).await {
            Ok(apps) => apps,
            Err(error) => return report.failed(Check::Subscription, "the webhook subscription", &error),
        };
        let remedy = "subscribe the app with the full list of fields (GraphClient::subscribe)";
        let Some(own) = apps.iter().find(|app| app.app == self.app) else {
            let others: Vec<_> = apps.iter().map(|app| app.app.to_string()).collect();
            let evidence = format!("subscribed: {}", others.join(", "));
            let says = "this app gets no webhooks of the Page";
            return report.problem(Check::Subscription, says, remedy, Some(evidence));
        };
        let needed: &[&str] = match self.platform {
            Platform::Messenger => {
                &["messages", "messaging_postbacks", "messaging_handovers", "standby", "message_echoes"]
            }
            Platform::Instagram => &["messages", "messaging_postbacks", "messaging_handovers", "standby"],
        };
        let missing: Vec<_> =
            needed.iter().copied().filter(|field| !own.fields.iter().any(|known| known == field)).collect();
        let evidence = Some(own.fields.join(", "));
        if missing.is_empty() {
            report.ok(Check::Subscription, "all fields that a handover needs", evidence);
        } else {
            // A Page's subscription has plural names only (docs/protocol.md#page-subscriptions).
            let says = format!("not subscribed to {}", missing.join(", "));
            report.problem(Check::Subscription, says, remedy, evidence);
        }
    }

    pub(super) async fn look_at_features(&self, report: &mut Report) {
        match self.graph.messaging_feature_status(&self.page).await {
            Ok(status) => {
                let says = "readable; Meta does not say what the flags mean, so behaviour decides";
                report.ok(Check::FeatureStatus, says, Some(format!("{status:?}")));
            }
            Err(error) => report.failed(Check::FeatureStatus, "messaging_feature_status", &error),
        }
    }

    /// Finds our role out: only the primary receiver may list the secondary ones (docs/protocol.md#secondary-receivers).
    pub(super) async fn look_at_role(&self, report: &mut Report) {
        let primary = self.is_primary();
        match self.graph.secondary_receivers(&self.page).await {
            Ok(apps) => {
                let names = apps.iter().map(|app| match &app.name {
                    Some(name) => format!("{name} ({})", app.app),
                    None => app.app.to_string(),
                });
                let evidence = Some(format!("other apps: {}", names.collect::<Vec<_>>().join(", ")));
                match self.peer.as_ref().filter(|peer| !apps.iter().any(|app| app.app == **peer)) {
                    Some(peer) => {
                        let says = format!("app {peer}, the other side of the handover, is not on the Page");
                        let remedy = "connect it under Page settings, Advanced messaging";
                        report.problem(Check::Role, says, remedy, evidence);
                    }
                    None => report.ok(Check::Role, "the Page's other apps are visible", evidence),
                }
            }
            Err(error) if error.failure().subcode == Some(SECONDARY_MAY_NOT_SEE) => {
                let evidence = Some(error.to_string());
                if primary {
                    let says = format!("this app is a secondary receiver, but the policy is {}", self.policy);
                    let remedy =
                        "make it primary under Page settings, Advanced messaging, or change the policy";
                    report.problem(Check::Role, says, remedy, evidence);
                } else {
                    report.ok(Check::Role, "a secondary receiver, as the policy has it", evidence);
                }
            }
            Err(error) if error.failure().subcode == Some(NO_ROLE) => {
                let says = "this app is not connected to the Page";
                let remedy = error.failure().remedy();
                report.problem(Check::Role, says, remedy, Some(error.to_string()));
            }
            Err(error) => report.failed(Check::Role, "secondary_receivers", &error),
        }
    }

    pub(super) async fn look_at_owner(&self, thread: &ThreadKey, report: &mut Report) -> Option<ThreadOwner> {
        let owner = match self.graph.thread_owner(thread).await {
            Ok(owner) => owner,
            Err(error) => {
                report.failed(Check::Owner, "thread_owner", &error);
                return None;
            }
        };
        match &owner {
            ThreadOwner::App { app, .. } if *app == self.app => report.ok(Check::Owner, "this app", None),
            ThreadOwner::App { app, .. } if self.silent.contains(app) => {
                let says = format!("app {app}: one of Meta's own, which never answers a request");
                let remedy = "a person takes over in Meta Business Suite and moves the conversation, or an admin \
                              sets a default application and lets this app take control";
                report.problem(Check::Owner, says, remedy, None);
            }
            ThreadOwner::App { app, .. } if self.peer.as_ref() == Some(app) => {
                report.ok(Check::Owner, format!("app {app}, the other side"), None);
            }
            ThreadOwner::App { app, .. } => {
                report.ok(Check::Owner, format!("app {app}, a third one"), None);
            }
            ThreadOwner::Hidden { .. } => {
                let says = "another app; which one, only the owner and the default application may see";
                report.unknown(Check::Owner, says, None);
            }
            ThreadOwner::Idle => report.ok(Check::Owner, "nobody: the thread is idle", None),
        }
        Some(owner)
    }

    pub(super) async fn look_at_conversation(&self, thread: &ThreadKey, report: &mut Report) {
        let found = match self.graph.conversation(thread, self.platform).await {
            Ok(found) => found,
            Err(error) => return report.failed(Check::Conversation, "the conversation", &error),
        };
        let Some(found) = found else {
            return report.unknown(
                Check::Conversation,
                "the Page has no conversation with this person",
                None,
            );
        };
        let evidence = Some(format!("is_owner {:?}, can_reply {:?}", found.is_owner, found.can_reply));
        match found.can_reply {
            Some(true) => report.ok(Check::Conversation, "the Page may write", evidence),
            Some(false) => {
                let remedy = FailureKind::OutsideWindow.remedy();
                report.problem(Check::Conversation, "the Page may not write now", remedy, evidence);
            }
            None => report.unknown(Check::Conversation, "the platform does not say who may write", evidence),
        }
    }
}
