//! The checks that make a request and a take, because no call reads whether a Page allows them.

use std::time::{Duration, Instant};

use super::{Check, Doctor, Report};
use crate::call::{Failure, ThreadOwner};
use crate::control::{CallError, Forwarded, HandoverClient};
use crate::id::ThreadKey;

/// The poll interval of the owner. A grant within this time counts as granted at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The outcome of a probing call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tried {
    /// The call gave control.
    Granted,
    /// The call was accepted, but gave no control in time.
    Accepted,
    /// The call is not available to this app on this Page.
    NotAvailable(Failure),
    /// The call shows nothing about the configuration.
    Unknown,
}

impl Doctor {
    pub(super) async fn try_claims(&self, thread: &ThreadKey, owner: &ThreadOwner, report: &mut Report) {
        if self.is_ours(owner) {
            let says = "not tried: this app owns the thread already, and is refused for that";
            report.unknown(Check::Request, says, None);
            return report.unknown(Check::Take, says, None);
        }
        let request = self.try_request(thread, owner, report).await;
        let take = if request == Tried::Granted {
            report.ok(Check::Take, "not tried: the request gave control, so it is not needed", None);
            Tried::Unknown
        } else {
            self.try_take(thread, owner, report).await
        };
        self.judge_policy(&request, &take, report);
    }

    async fn try_request(&self, thread: &ThreadKey, owner: &ThreadOwner, report: &mut Report) -> Tried {
        match self.graph.request_thread_control(thread, Some("doctor: a probe")).await {
            Ok(Forwarded { .. }) => {}
            // The request may have been forwarded, and may be granted.
            Err(error) if error.may_have_acted() => {}
            Err(error) => return refused(Check::Request, &error, report),
        }
        let begun = Instant::now();
        loop {
            if matches!(self.graph.thread_owner(thread).await, Ok(now) if self.is_ours(&now)) {
                let says = if begun.elapsed() < AT_ONCE { "granted at once" } else { "granted by the owner" };
                report.ok(Check::Request, says, None);
                self.give_back(thread, owner, report).await;
                return Tried::Granted;
            }
            let left = self.patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left.min(AT_ONCE)).await;
        }
        let says = "accepted, which is not control: nobody has answered yet, and whether anybody will cannot \
                    be known from here";
        report.unknown(Check::Request, says, None);
        Tried::Accepted
    }

    async fn try_take(&self, thread: &ThreadKey, owner: &ThreadOwner, report: &mut Report) -> Tried {
        if matches!(owner, ThreadOwner::Hidden { .. }) {
            let says = "not tried: the owner is hidden, so that control could not be given back";
            report.unknown(Check::Take, says, None);
            return Tried::Unknown;
        }
        match self.graph.take_thread_control(thread, Some("doctor: a probe")).await {
            Ok(()) => {}
            Err(error) if error.may_have_acted() => match self.graph.thread_owner(thread).await {
                Ok(now) if self.is_ours(&now) => {}
                Ok(_) => return refused(Check::Take, &error, report),
                Err(_) => {
                    let says = "the take was not answered, and where control is now cannot be read";
                    let remedy = "look at the thread, and release or pass it by hand";
                    report.problem(Check::Take, says, remedy, Some(error.to_string()));
                    return Tried::Unknown;
                }
            },
            Err(error) => return refused(Check::Take, &error, report),
        }
        report.ok(Check::Take, "this app may take control here", None);
        self.give_back(thread, owner, report).await;
        Tried::Granted
    }

    /// Gives control back to the previous owner, or releases it.
    async fn give_back(&self, thread: &ThreadKey, owner: &ThreadOwner, report: &mut Report) {
        let given = match owner {
            ThreadOwner::App { app, .. } => {
                self.graph.pass_thread_control(thread, Some(app), Some("doctor: a probe")).await
            }
            ThreadOwner::Hidden { .. } | ThreadOwner::Idle => self.graph.release_thread_control(thread).await,
        };
        if let Err(error) = given {
            let says = "the probe could not give control back";
            let remedy = "release or pass this thread by hand";
            report.problem(Check::Owner, says, remedy, Some(error.to_string()));
        }
    }

    /// Reports whether the policy's claim plan can succeed at all.
    fn judge_policy(&self, request: &Tried, take: &Tried, report: &mut Report) {
        let refused = |tried: &Tried| match tried {
            Tried::NotAvailable(failure) => Some(failure.clone()),
            _ => None,
        };
        match (refused(request), refused(take)) {
            (Some(request), Some(take)) => {
                let says = "this app can neither request nor take control on this Page";
                let evidence = Some(format!("request: {request}; take: {take}"));
                report.problem(Check::Policy, says, take.remedy(), evidence);
            }
            (None, Some(take)) if self.is_primary() => {
                let says = format!("the policy is {}, but this app may not take control", self.policy);
                let remedy = "make this app the primary receiver or the default application, or use the policy \
                              no_primary";
                report.problem(Check::Policy, says, remedy, Some(take.to_string()));
            }
            (Some(request), None) if *take == Tried::Granted => {
                let says = "control is taken here; requests do not exist with a default application";
                report.ok(Check::Policy, says, Some(request.to_string()));
            }
            (Some(request), None) => {
                let says = "requests do not exist here, and whether this app may take is not known";
                report.unknown(Check::Policy, says, Some(request.to_string()));
            }
            (None, _) if [request, take].contains(&&Tried::Granted) => {
                report.ok(Check::Policy, "control can be had", None);
            }
            (None, _) => {
                let says = "control depends on whether the owner answers the request";
                report.unknown(Check::Policy, says, None);
            }
        }
    }
}

fn refused(check: Check, error: &CallError, report: &mut Report) -> Tried {
    if error.kind().means_not_available() {
        let failure = error.failure().clone();
        // The outcome of the other call decides whether this is a problem.
        report.unknown(check, "not available to this app on this Page", Some(failure.to_string()));
        return Tried::NotAvailable(failure);
    }
    report.failed(check, "the probe's answer", error);
    Tried::Unknown
}
