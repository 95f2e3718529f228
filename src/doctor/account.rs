//! Compares the Page or account of the token with the configured id.

use super::{Check, Doctor, Report};
use crate::graph::{Platform, TokenOwner};

impl Doctor {
    /// Checks that the token belongs to this Page, because with another Page's token all calls work, for the other Page.
    pub(super) async fn look_at_account(&self, report: &mut Report) {
        match self.graph.token_owner(&self.page, self.platform).await {
            Ok(owner) => self.judge_account(&owner, report),
            Err(error) => report.failed(Check::Account, "whom the token speaks for", &error),
        }
    }

    fn judge_account(&self, owner: &TokenOwner, report: &mut Report) {
        let Some(id) = &owner.id else {
            return report.unknown(Check::Account, "the platform does not say whose token it is", None);
        };
        let called = owner.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let accounts = owner.instagram.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let instagram = self.platform == Platform::Instagram;
        if instagram && owner.instagram.contains(&self.page) {
            let says = format!("the token speaks for the Instagram account {}", self.page);
            return report.ok(Check::Account, says, Some(format!("/me is {id}{called}")));
        }
        if *id != self.page {
            let what = if instagram { "Page or account" } else { "Page" };
            let says = format!("this token belongs to {what} {id}{called}, but PAGE_ID is {}", self.page);
            let evidence = (!accounts.is_empty()).then(|| format!("its Instagram account is {accounts}"));
            let remedy = "configure the id that the token belongs to, or get the token of the configured one from \
                          /me/accounts";
            return report.problem(Check::Account, says, remedy, evidence);
        }
        if instagram && !accounts.is_empty() {
            let says = format!(
                "the id is the Page's; where webhooks name its Instagram account {accounts}, the host must be \
                 configured with that id"
            );
            return report.unknown(Check::Account, says, Some(format!("/me is {id}{called}")));
        }
        report.ok(Check::Account, format!("the token speaks for {id}{called}"), None);
    }
}
