//! The checks of the configuration when the service starts.

use std::time::Duration;

use foldhash::HashMap;

use crate::id::PageId;
use crate::policy::{Role, ThreadControlPolicy};
use crate::thread::{Config, Limits, Timeouts};

/// An invalid configuration. Change the setting that the text names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is not an id. Correct it.
    #[error("{setting}: {why}")]
    InvalidId {
        /// The setting.
        setting: &'static str,
        /// The reason.
        why: String,
    },
    /// [`Builder::desk_app`](super::Builder::desk_app) is our own app id.
    #[error("the desk's app id is our own: a handover has two sides")]
    DeskIsUs,
    /// A desk was configured with settings that only a bot has.
    #[error(
        "only a bot has a desk to hand over to: a desk calls neither `desk_app`, `desk_endpoint` and \
         `without_desk_endpoint` nor `dangerously_take_from_desk`"
    )]
    DeskHasNoDesk,
    /// A bot under [`ThreadControlPolicy::EdPrimary`] has no desk's endpoint, so that it could never ask for control.
    #[error(
        "{}a bot under {} asks the desk for control: call `desk_endpoint`, or `without_desk_endpoint` if it speaks only \
         when control is passed to it",
        on(page.as_ref()), ThreadControlPolicy::EdPrimary
    )]
    NoDeskEndpoint {
        /// The Page, if the policy was set with [`Builder::page_policy`](super::Builder::page_policy).
        page: Option<PageId>,
    },
    /// Both [`Builder::desk_endpoint`](super::Builder::desk_endpoint) and
    /// [`Builder::without_desk_endpoint`](super::Builder::without_desk_endpoint) were called.
    #[error("`desk_endpoint` and `without_desk_endpoint` contradict each other: call one of them")]
    DeskEndpointAndNone,
    /// [`Builder::dangerously_take_from_desk`](super::Builder::dangerously_take_from_desk), but the bot is primary on no Page.
    #[error(
        "`dangerously_take_from_desk` is for a bot under {}, and no Page is: leave it out, or set the policy",
        ThreadControlPolicy::BotPrimary
    )]
    TakesAsSecondary,
    /// [`Builder::dangerously_take_from_desk`](super::Builder::dangerously_take_from_desk) without a desk.
    #[error("`dangerously_take_from_desk` takes from no desk: call `desk_app` or `desk_endpoint`")]
    TakesFromNoDesk,
    /// [`Builder::human_agent`](super::Builder::human_agent) was called for a bot.
    #[error("`human_agent` is for what people write: only a desk calls it")]
    BotIsNoPerson,
    /// One of the [`Timeouts`] is invalid.
    #[error("timeout {setting} {problem}")]
    Timeout {
        /// The name of the field.
        setting: &'static str,
        /// The rule that it breaks.
        problem: &'static str,
    },
    /// One of the [`Limits`] is 0.
    #[error("limit {0} must be at least 1")]
    Limit(&'static str),
    /// [`Builder::start`](super::Builder::start) was called outside a tokio runtime.
    #[error("no tokio runtime is running here")]
    NoRuntime,
}

fn on(page: Option<&PageId>) -> String {
    page.map(|page| format!("Page {page}: ")).unwrap_or_default()
}

pub(super) fn check(
    config: &Config,
    page_policies: &HashMap<PageId, ThreadControlPolicy>,
    without_desk_endpoint: bool,
) -> Result<(), BuildError> {
    check_desk(config, page_policies, without_desk_endpoint)?;
    check_timeouts(config.role, &config.timeouts)?;
    check_limits(config.limits)
}

/// Checks that each policy can work with the desk's settings.
///
/// A bot under `BotPrimary` or `NoPrimary` needs no desk, because it gets control from the platform and may hand over to an
/// inbox or to nobody.
fn check_desk(
    config: &Config,
    page_policies: &HashMap<PageId, ThreadControlPolicy>,
    without_desk_endpoint: bool,
) -> Result<(), BuildError> {
    let Config { role, desk, desk_endpoint, take_from_desk, human_agent, .. } = config;
    if desk.as_ref() == Some(&config.app) {
        return Err(BuildError::DeskIsUs);
    }
    let has_desk = desk.is_some() || *desk_endpoint;
    if *role == Role::Desk {
        let is_wrong = has_desk || without_desk_endpoint || *take_from_desk;
        return if is_wrong { Err(BuildError::DeskHasNoDesk) } else { Ok(()) };
    }
    if *human_agent {
        return Err(BuildError::BotIsNoPerson);
    }
    if *desk_endpoint && without_desk_endpoint {
        return Err(BuildError::DeskEndpointAndNone);
    }
    let mut pages: Vec<_> = page_policies.iter().map(|(page, policy)| (Some(page), *policy)).collect();
    pages.sort_unstable();
    pages.insert(0, (None, config.policy));
    let needs_endpoint = |policy| policy == ThreadControlPolicy::EdPrimary;
    if !desk_endpoint
        && !without_desk_endpoint
        && let Some((page, _)) = pages.iter().find(|(_, policy)| needs_endpoint(*policy))
    {
        return Err(BuildError::NoDeskEndpoint { page: page.cloned() });
    }
    if *take_from_desk && !pages.iter().any(|(_, policy)| *policy == ThreadControlPolicy::BotPrimary) {
        return Err(BuildError::TakesAsSecondary);
    }
    if *take_from_desk && !has_desk {
        return Err(BuildError::TakesFromNoDesk);
    }
    Ok(())
}

fn check_limits(limits: Limits) -> Result<(), BuildError> {
    let Limits { messages, notices, unanswered, seen, finished, attempts, set_aside, requests } = limits;
    for (setting, is_none) in [
        ("messages", messages == 0),
        ("notices", notices == 0),
        ("unanswered", unanswered == 0),
        ("seen", seen == 0),
        ("finished", finished == 0),
        ("attempts", attempts == 0),
        ("set_aside", set_aside == 0),
        ("requests", requests == 0),
    ] {
        if is_none {
            return Err(BuildError::Limit(setting));
        }
    }
    Ok(())
}

fn check_timeouts(role: Role, timeouts: &Timeouts) -> Result<(), BuildError> {
    let Timeouts {
        grant,
        call_lease,
        echo_grace: _,
        message_age,
        refusal_memory: _,
        clock_tolerance,
        notice_lease,
        backoff,
        backoff_max,
        people,
        stand_back: _,
        redelivery,
        retention,
    } = *timeouts;
    // Without a pause a failing call would be retried without end; without a lease a call would count as lost while it runs.
    for (setting, value) in [
        ("grant", grant),
        ("call_lease", call_lease),
        ("message_age", message_age),
        ("notice_lease", notice_lease),
        ("backoff", backoff),
        ("people", people),
        ("retention", retention),
    ] {
        if value < Duration::from_millis(1) {
            return Err(BuildError::Timeout { setting, problem: "must be at least a millisecond" });
        }
    }
    for (setting, is_wrong, problem) in [
        ("backoff_max", backoff_max < backoff, "must not be shorter than backoff"),
        ("clock_tolerance", clock_tolerance > Duration::from_secs(24 * 60 * 60), "must be at most a day"),
        ("retention", retention < redelivery, "must not be shorter than redelivery"),
        ("retention", role == Role::Bot && retention < people, "must not be shorter than people"),
    ] {
        if is_wrong {
            return Err(BuildError::Timeout { setting, problem });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::AppId;
    use crate::policy::{Believed, ClaimStep, Refused, Situation, plan};
    use ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};

    #[test]
    fn timeouts_that_contradict_each_other_are_refused() {
        type Change = fn(&mut Timeouts);
        let longer_people: Change = |timeouts| timeouts.people = timeouts.retention * 2;
        let cases: [(Role, Change, Option<&str>); 6] = [
            (Role::Bot, |_| {}, None),
            (Role::Bot, longer_people, Some("retention")),
            // A desk waits for no people.
            (Role::Desk, longer_people, None),
            (Role::Desk, |timeouts| timeouts.redelivery = timeouts.retention * 2, Some("retention")),
            (Role::Desk, |timeouts| timeouts.backoff = timeouts.backoff_max * 2, Some("backoff_max")),
            (Role::Desk, |timeouts| timeouts.grant = Duration::ZERO, Some("grant")),
        ];
        for (role, change, refused) in cases {
            let mut timeouts = Timeouts::default();
            change(&mut timeouts);
            let setting = match check_timeouts(role, &timeouts) {
                Err(BuildError::Timeout { setting, .. }) => Some(setting),
                other => other.map(|()| None).unwrap(),
            };
            assert_eq!(setting, refused, "{role:?}");
        }
    }

    const PAGE: u64 = 10;

    /// One combination of all settings that the check reads.
    #[derive(Debug, Clone, Copy)]
    #[expect(clippy::struct_excessive_bools, reason = "independent switches")]
    struct Cell {
        role: Role,
        policy: ThreadControlPolicy,
        page: Option<ThreadControlPolicy>,
        app: bool,
        endpoint: bool,
        take: bool,
        without: bool,
        human_agent: bool,
    }

    impl Cell {
        fn check(self) -> Result<(), BuildError> {
            let mut config = Config::new(AppId::from(1), self.role, self.policy);
            config.desk = self.app.then(|| AppId::from(2));
            config.desk_endpoint = self.endpoint;
            config.take_from_desk = self.take;
            config.human_agent = self.human_agent;
            let pages = self.page.map(|policy| (PageId::from(PAGE), policy)).into_iter().collect();
            check(&config, &pages, self.without)
        }

        fn code(self) -> char {
            match self.check() {
                Ok(()) => '.',
                Err(BuildError::NoDeskEndpoint { page: None }) => 'a',
                Err(BuildError::NoDeskEndpoint { page: Some(page) }) if page == PageId::from(PAGE) => 'p',
                Err(BuildError::DeskEndpointAndNone) => 'c',
                Err(BuildError::TakesAsSecondary) => 's',
                Err(BuildError::TakesFromNoDesk) => 'w',
                Err(BuildError::BotIsNoPerson) => 'h',
                Err(BuildError::DeskHasNoDesk) => 'd',
                Err(other) => panic!("{self:?}: {other}"),
            }
        }
    }

    fn all() -> impl Iterator<Item = Cell> {
        let pages = [None, Some(BotPrimary), Some(EdPrimary), Some(NoPrimary)];
        (0..2 * 3 * 4 * 32_usize).map(move |number| {
            let (bits, rest) = (number % 32, number / 32);
            let bit = |at: usize| bits >> at & 1 == 1;
            Cell {
                role: [Role::Bot, Role::Desk][rest % 2],
                policy: ThreadControlPolicy::ALL[rest / 2 % 3],
                page: pages[rest / 6],
                app: bit(0),
                endpoint: bit(1),
                take: bit(2),
                without: bit(3),
                human_agent: bit(4),
            }
        })
    }

    /// The results for bots, by the policy and the policy of one Page. Columns: `dangerously_take_from_desk` (t) and
    /// `without_desk_endpoint` (w). The four signs of a cell: no desk, `desk_app`, `desk_endpoint`, both.
    #[rustfmt::skip]
    const TABLE: [(ThreadControlPolicy, Option<ThreadControlPolicy>, [&str; 4]); 12] = [
        //                                -       t       w       t w
        (BotPrimary, None,             ["....", "w...", "..cc", "w.cc"]),
        (BotPrimary, Some(BotPrimary), ["....", "w...", "..cc", "w.cc"]),
        (BotPrimary, Some(EdPrimary),  ["pp..", "pp..", "..cc", "w.cc"]),
        (BotPrimary, Some(NoPrimary),  ["....", "w...", "..cc", "w.cc"]),
        (EdPrimary,  None,             ["aa..", "aass", "..cc", "sscc"]),
        (EdPrimary,  Some(BotPrimary), ["aa..", "aa..", "..cc", "w.cc"]),
        (EdPrimary,  Some(EdPrimary),  ["aa..", "aass", "..cc", "sscc"]),
        (EdPrimary,  Some(NoPrimary),  ["aa..", "aass", "..cc", "sscc"]),
        (NoPrimary,  None,             ["....", "ssss", "..cc", "sscc"]),
        (NoPrimary,  Some(BotPrimary), ["....", "w...", "..cc", "w.cc"]),
        (NoPrimary,  Some(EdPrimary),  ["pp..", "ppss", "..cc", "sscc"]),
        (NoPrimary,  Some(NoPrimary),  ["....", "ssss", "..cc", "sscc"]),
    ];

    #[test]
    fn build_checks_every_combination() {
        let mut cells = 0;
        for cell in all() {
            let expected = match cell {
                Cell { role: Role::Desk, app, endpoint, take, without, .. } => {
                    if app || endpoint || take || without { 'd' } else { '.' }
                }
                Cell { human_agent: true, .. } => 'h',
                Cell { policy, page, app, endpoint, take, without, .. } => {
                    let row = TABLE.iter().find(|row| (row.0, row.1) == (policy, page)).unwrap().2;
                    let signs = row[usize::from(take) + 2 * usize::from(without)].as_bytes();
                    char::from(signs[usize::from(app) + 2 * usize::from(endpoint)])
                }
            };
            assert_eq!(cell.code(), expected, "{cell:?}");
            cells += 1;
        }
        assert_eq!(cells, 768);
    }

    /// A bot is accepted exactly if its plan has a usable step for a customer who writes for the first time.
    #[test]
    fn build_accepts_bots_that_can_get_control() {
        for cell in
            all().filter(|cell| cell.role == Role::Bot && !(cell.take || cell.without || cell.human_agent))
        {
            let speaks = |policy| {
                let owner = if policy == EdPrimary { Believed::Desk } else { Believed::Idle };
                let refused = Refused::default();
                let steps =
                    plan(Situation { role: cell.role, policy, owner, refused, take_from_desk: false });
                steps.iter().any(|planned| planned.step != ClaimStep::AskDesk || cell.endpoint)
            };
            let speaks = speaks(cell.policy) && cell.page.is_none_or(speaks);
            assert_eq!(cell.check().is_ok(), speaks, "{cell:?}");
        }
    }

    #[test]
    fn build_errors_name_the_call_that_is_missing() {
        let page = Some(PageId::from(PAGE));
        for (error, words) in [
            (
                BuildError::NoDeskEndpoint { page: None },
                "a bot under ed_primary asks the desk for control: call `desk_endpoint`, or `without_desk_endpoint` if \
                 it speaks only when control is passed to it",
            ),
            (
                BuildError::NoDeskEndpoint { page },
                "Page 10: a bot under ed_primary asks the desk for control: call",
            ),
            (BuildError::TakesAsSecondary, "is for a bot under bot_primary"),
            (BuildError::TakesFromNoDesk, "call `desk_app` or `desk_endpoint`"),
            (BuildError::DeskEndpointAndNone, "call one of them"),
            (BuildError::BotIsNoPerson, "only a desk calls it"),
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
