//! Configuration of a thread: roles, timeouts, limits, and the context of a step.

use std::collections::BTreeSet;
use std::time::Duration;

use super::broken::Broken;
use super::page::PageMemory;
use crate::id::{AppId, INSTAGRAM_INBOX, LEAD_ADS, META_AI, PAGE_INBOX};
use crate::policy::{Refused, Role, ThreadControlPolicy};
use crate::retry::{Backoff, Jitter};
use crate::time::Timestamp;

/// The host's configuration, the same for all threads of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "switches, each of its own")]
pub struct Config {
    /// Our own app id, as control events name it.
    pub app: AppId,
    /// The host's side of the handover.
    pub role: Role,
    /// The default policy for Pages; [`Context::policy`] overrides it.
    pub policy: ThreadControlPolicy,
    /// The agent desk's app id, if we are a bot. Engage Digital [does not publish
    /// it](crate::protocol#engage-digital): it is the `requested_owner_app_id` of its first request.
    pub desk: Option<AppId>,
    /// Apps whose requests for control are granted without asking the host. For a bot: the desk, and the inboxes,
    /// from which a person pressed "move to inbox".
    pub trusted: BTreeSet<AppId>,
    /// Apps that never answer a request for control: Meta's [inboxes, AI and lead ads](crate::protocol#request). They
    /// are not asked, so that nobody waits in vain.
    pub silent: BTreeSet<AppId>,
    /// Whether Engage Digital's [endpoint](crate::protocol#ed-bots-endpoint) can be called.
    pub desk_endpoint: bool,
    /// Whether a bot under [`ThreadControlPolicy::BotPrimary`] takes control even from the desk.
    pub take_from_desk: bool,
    /// Whether a message that the messaging window refused is sent once more with the `HUMAN_AGENT` tag
    /// ([`MessagingType::HumanAgent`](crate::call::MessagingType::HumanAgent)).
    pub human_agent: bool,
    /// Whether the app is subscribed to `message_echoes`. If not, a message with an unknown outcome is reported at
    /// once.
    pub echoes: bool,
    /// The handling of messages that may or may not have been sent.
    pub on_unknown: OnUnknown,
    /// Whether the host is notified of delivery and read receipts. Each costs a write.
    pub receipts: bool,
    /// The next step of a claim whose request stays unanswered.
    pub when_unanswered: Unanswered,
    /// Durations and deadlines.
    pub timeouts: Timeouts,
    /// Bounds on the state of one thread.
    pub limits: Limits,
    /// The safeguard left out, for tests that must notice it.
    #[cfg(feature = "broken-designs")]
    #[doc(hidden)]
    pub broken: Option<super::Broken>,
}

impl Config {
    /// A configuration with this crate's defaults. A bot trusts requests of the inboxes.
    #[must_use]
    pub fn new(app: AppId, role: Role, policy: ThreadControlPolicy) -> Self {
        let trusted = match role {
            Role::Bot => BTreeSet::from([AppId::from(PAGE_INBOX), AppId::from(INSTAGRAM_INBOX)]),
            Role::Desk => BTreeSet::new(),
        };
        let metas_own = [PAGE_INBOX, INSTAGRAM_INBOX, LEAD_ADS].into_iter().chain(META_AI);
        Self {
            app,
            role,
            policy,
            desk: None,
            trusted,
            silent: metas_own.map(AppId::from).collect(),
            desk_endpoint: false,
            take_from_desk: false,
            human_agent: false,
            echoes: true,
            on_unknown: match role {
                Role::Desk => OnUnknown::Hold,
                Role::Bot => OnUnknown::Continue,
            },
            receipts: false,
            when_unanswered: match role {
                Role::Desk => Unanswered::Take,
                Role::Bot => Unanswered::Fail,
            },
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            #[cfg(feature = "broken-designs")]
            broken: None,
        }
    }

    /// Whether people answer in this app, as a bot sees it: the desk or one of Meta's inboxes.
    #[must_use]
    pub(super) fn is_of_people(&self, app: &AppId) -> bool {
        self.desk.as_ref() == Some(app) || is_inbox(app)
    }

    /// Whether this app is the desk, as far as is known.
    pub(super) fn may_be_desk(&self, app: &AppId) -> bool {
        self.desk.as_ref().is_none_or(|desk| desk == app)
    }

    /// Sets the desk's app id and trusts its requests.
    #[must_use]
    pub fn with_desk(mut self, desk: AppId) -> Self {
        self.trusted.insert(desk.clone());
        self.desk = Some(desk);
        self
    }
}

/// Whether this app is one of Meta's inboxes.
pub(super) fn is_inbox(app: &AppId) -> bool {
    [PAGE_INBOX, INSTAGRAM_INBOX].into_iter().any(|inbox| *app == AppId::from(inbox))
}

/// The handling of a message whose outcome is unknown and whose echo did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnUnknown {
    /// Report it as unknown; the messages behind it, and a release, wait for `Handover::resume`
    /// ([`Command::Continue`](super::Command::Continue)). The default of a desk, where a person can look.
    Hold,
    /// Report it as unknown, and go on with the messages behind it. The default of a bot, which has nobody to ask.
    Continue,
    /// Send it again. The customer may read it twice, and the outcome says so (`maybe_doubled`).
    Resend,
}

/// The next step of a claim when the asked app stays silent for [`Timeouts::grant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unanswered {
    /// Take control, unless the owner is one of Meta's own apps ([`Config::silent`]) or, for a bot, the desk. The
    /// take succeeds if a Page admin allows it for this app, so that agents can interrupt. The default of a desk.
    Take,
    /// Fail with [`NotGranted`](super::NotGranted); only an idle thread is taken. The default of a bot.
    Fail,
}

/// One setter for each field.
macro_rules! setters {
    ($type:ident { $($field:ident: $of:ty),* $(,)? }) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $of) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters!(Timeouts {
    grant: Duration,
    call_lease: Duration,
    echo_grace: Duration,
    message_age: Duration,
    refusal_memory: Duration,
    clock_tolerance: Duration,
    notice_lease: Duration,
    backoff: Duration,
    backoff_max: Duration,
    people: Duration,
    stand_back: Duration,
    redelivery: Duration,
    retention: Duration,
});

setters!(Limits {
    messages: usize,
    notices: usize,
    unanswered: usize,
    seen: usize,
    finished: usize,
    attempts: u32,
    set_aside: usize,
    requests: u32,
});

/// Durations. All are lower bounds, because a thread acts at the next input after one has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timeouts {
    /// The time for a forwarded request to be answered, before `thread_owner` is read and the claim goes on. 30 s.
    pub grant: Duration,
    /// The lease of a call: a call without an outcome counts as lost after it, because its process died. A call may
    /// start in the first half, so the second half must exceed the client's total timeout plus the difference between
    /// the replicas' clocks. 60 s.
    pub call_lease: Duration,
    /// The time to wait for the echo of a message with an unknown outcome. 30 s.
    pub echo_grace: Duration,
    /// The age at which an accepted message expires. It does not stand for the messaging window, which only the
    /// platform can judge. 24 h.
    pub message_age: Duration,
    /// The time for which a Page's refusal of `request`, `take` or control inside a send counts. 10 min.
    pub refusal_memory: Duration,
    /// The tolerated difference between our clock and the platform's. 5 s.
    pub clock_tolerance: Duration,
    /// The lease of a notice: the time for its handler before it is put out again. 60 s.
    pub notice_lease: Duration,
    /// The first pause after a passing fault; it doubles up to [`Self::backoff_max`]. 1 s.
    pub backoff: Duration,
    /// The longest pause after a passing fault. 60 s.
    pub backoff_max: Duration,
    /// For a bot: the time without a sign of the people who were asked for, after which it answers again. 24 h.
    pub people: Duration,
    /// For a bot: the time it stands back after a person answered without taking control, as from the phone app. Zero
    /// turns this off. 1 h.
    pub stand_back: Duration,
    /// The time in which the platform may [redeliver](crate::protocol#redelivery) an event. Duplicates are recognised
    /// for this long, up to [`Limits::seen`] for each conversation. 1 h, after which Meta unsubscribes the app.
    pub redelivery: Duration,
    /// The time after which a conversation at rest is dropped, with its owner, its digests, the outcomes of its
    /// messages, and anything that waits for the host (held messages, requests for control). A message with an old
    /// key counts as new then. A conversation with an open intervention is not dropped. The real time is up to an
    /// eighth longer; `Duration::MAX` keeps conversations without limit. 7 days.
    pub retention: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            grant: Duration::from_secs(30),
            call_lease: Duration::from_secs(60),
            echo_grace: Duration::from_secs(30),
            message_age: Duration::from_secs(24 * 60 * 60),
            refusal_memory: Duration::from_secs(10 * 60),
            clock_tolerance: Duration::from_secs(5),
            notice_lease: Duration::from_secs(60),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            people: Duration::from_secs(24 * 60 * 60),
            stand_back: Duration::from_secs(60 * 60),
            redelivery: Duration::from_secs(60 * 60),
            retention: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// Bounds on the state of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// The most messages that wait; one more is refused. 100.
    pub messages: usize,
    /// The most notices that the host has not acknowledged. At this number new events are refused, so that the
    /// platform redelivers them, and so are commands of which the host would be notified. A delivery that begins
    /// below the limit is accepted as a whole, so that a large one ends: the queue holds at most this many, one
    /// delivery, and the notices that follow from the handler's own actions. 256.
    pub notices: usize,
    /// The most unanswered customer messages stored for the next time we gain control; older ones are only counted.
    /// 64.
    pub unanswered: usize,
    /// The most digests of messages for recognising duplicates within [`Timeouts::redelivery`], in 8 bytes each (11
    /// in a record); and as many of control events and of keys of sent messages. All digests of one delivery are
    /// stored, even if there are more. 4096.
    pub seen: usize,
    /// The most finished messages whose outcome is stored by key. Older ones are
    /// [`MessageStatus::Settled`](super::MessageStatus::Settled) for [`Timeouts::redelivery`]. 64.
    pub finished: usize,
    /// The most attempts to notify the handler of one notice. If none returned `Ok`, the notice is set aside
    /// ([`SetAside`](super::SetAside)). 20: with the default pauses a quarter of an hour for a handler that fails at
    /// once.
    pub attempts: u32,
    /// The most notices set aside; the oldest is dropped for one more. 32.
    pub set_aside: usize,
    /// The most requests of one claim, by `request_thread_control` or at the desk's endpoint, at growing intervals
    /// within [`Timeouts::grant`]. Several, because one webhook may be lost. 3.
    pub requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages: 100,
            notices: 256,
            unanswered: 64,
            seen: 4096,
            finished: 64,
            attempts: 20,
            set_aside: 32,
            requests: 3,
        }
    }
}

/// The arguments of a step: the host's configuration and the Page's state.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The host's configuration.
    pub config: &'a Config,
    /// The policy of this Page.
    pub policy: ThreadControlPolicy,
    /// The refusals of this Page.
    pub page: PageMemory,
    /// The spread of this step's waits; [`Jitter::NONE`] makes them repeatable.
    pub jitter: Jitter,
    /// The first number for calls, notices, claims and transfers of a fresh thread. It must grow with time, so that
    /// the numbers of a dropped conversation are not used again.
    pub ids_from: u64,
    /// Whether calls and notices may be started. `false` while the host shuts down, because another process goes on.
    pub begins: bool,
    /// Whether the event's delivery began when there was room for notices
    /// ([`Thread::has_room`](super::Thread::has_room)). The rest of it is accepted then, however long the queue has
    /// become.
    pub has_room: bool,
}

impl<'a> Context<'a> {
    /// A context for a Page without known refusals, with the configuration's policy.
    #[must_use]
    pub fn new(config: &'a Config) -> Self {
        Self {
            config,
            policy: config.policy,
            page: PageMemory::default(),
            jitter: Jitter::NONE,
            ids_from: 0,
            begins: true,
            has_room: false,
        }
    }

    /// The deadline of a request made at `at` that is not repeated.
    pub(super) fn grant_until(&self, at: Timestamp) -> Timestamp {
        self.asked_until(at, 1, 1)
    }

    /// The deadline of the `nth` of `of` requests of a claim. Later ones get more time, and all together
    /// [`Timeouts::grant`].
    pub(super) fn asked_until(&self, at: Timestamp, nth: u32, of: u32) -> Timestamp {
        if self.config.is(Broken::WaitsForTheGrant) || self.config.is(Broken::KeepsRequest) {
            return Timestamp::MAX;
        }
        let (nth, of) = (u64::from(nth.clamp(1, of.max(1))), u64::from(of.max(1)));
        let part = self.config.timeouts.grant.as_millis().saturating_mul(u128::from(2 * nth));
        let part = part / u128::from(of * (of + 1));
        at.plus(Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX)))
    }

    /// The backoff of calls and notices.
    pub(super) fn backoff(&self) -> Backoff {
        let Timeouts { backoff, backoff_max, .. } = self.config.timeouts;
        Backoff { first: backoff, longest: backoff_max, ..Backoff::default() }
    }

    /// The refusals that count now, of the Page and of this thread.
    pub(super) fn refused(&self, own: &PageMemory, now: Timestamp) -> Refused {
        let holds = |what: fn(&PageMemory) -> Option<Timestamp>| self.is_remembered(own, what, now);
        Refused { request: holds(|memory| memory.request_refused), take: holds(|memory| memory.take_refused) }
    }

    /// Whether control can go inside a send, as far as is known.
    pub(super) fn has_inline_control(&self, own: &PageMemory, now: Timestamp) -> bool {
        !self.is_remembered(own, |memory| memory.inline_refused, now)
    }

    fn is_remembered(
        &self,
        own: &PageMemory,
        what: fn(&PageMemory) -> Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        [what(&self.page), what(own)].into_iter().flatten().any(|at| {
            now.since(at) < self.config.timeouts.refusal_memory
                && self.page.forgotten.is_none_or(|forgotten| at > forgotten)
                && own.forgotten.is_none_or(|forgotten| at > forgotten)
        })
    }
}

impl Config {
    /// Whether this safeguard is left out.
    #[cfg(feature = "broken-designs")]
    pub(super) fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    #[cfg(not(feature = "broken-designs"))]
    #[allow(clippy::unused_self, reason = "it takes a look where the feature is on")]
    pub(super) const fn is(&self, _: Broken) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::PageCall;
    use super::*;

    /// Refusals expire after a while or at a change of roles, for the Page and for the thread.
    #[test]
    fn refusals_are_remembered_for_a_while() {
        let config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
        let at = Timestamp::from_millis(1_700_000_000_000);
        let refused = |page: PageMemory, own: PageMemory, now| {
            let cx = Context { page, ..Context::new(&config) };
            let Refused { request, take } = cx.refused(&own, now);
            (request, take, !cx.has_inline_control(&own, now))
        };
        let mut memory = PageMemory::default();
        let none = PageMemory::default();
        assert_eq!(refused(none, none, at), (false, false, false));
        memory.refuses(PageCall::Request, at);
        assert_eq!(refused(memory, none, at), (true, false, false));
        memory.refuses(PageCall::Take, at);
        memory.refuses(PageCall::InlineControl, at);
        let end = at.plus(config.timeouts.refusal_memory);
        for (page, own) in [(memory, none), (none, memory)] {
            assert_eq!(refused(page, own, end.minus(Duration::from_millis(1))), (true, true, true));
            assert_eq!(refused(page, own, end), (false, false, false));
        }
        let ms = Duration::from_millis(1);
        for (roles_changed, remembered) in [(at.minus(ms), true), (at, false), (at.plus(ms), false)] {
            let changed = PageMemory { forgotten: Some(roles_changed), ..none };
            for (page, own) in [(memory, changed), (changed, memory)] {
                assert_eq!(refused(page, own, at).0, remembered, "{roles_changed:?}");
            }
        }
    }

    #[test]
    fn pauses_are_those_of_the_configuration() {
        let mut config = Config::new(AppId::from(1), Role::Desk, ThreadControlPolicy::BotPrimary);
        config.timeouts.backoff = Duration::from_secs(7);
        config.timeouts.backoff_max = Duration::from_secs(20);
        let backoff = Context::new(&config).backoff();
        let waits = [1, 2, 3].map(|faults| backoff.wait(faults, None, Jitter::NONE).as_secs());
        assert_eq!(waits, [7, 14, 20]);
    }
}
