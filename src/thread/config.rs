use std::collections::BTreeSet;
use std::time::Duration;

use super::broken::Broken;
use super::page::PageMemory;
use crate::id::{AppId, INSTAGRAM_INBOX, LEAD_ADS, META_AI, PAGE_INBOX};
use crate::policy::{Refused, Role, ThreadControlPolicy};
use crate::retry::{Backoff, Jitter};
use crate::time::Timestamp;

/// What a thread needs to know about its host. The same for all threads of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "switches, each of its own")]
pub struct Config {
    /// Our own app id, as control events name us.
    pub app: AppId,
    /// Which side we are.
    pub role: Role,
    /// Who is primary on a Page for which nothing else is set ([`Context::policy`]).
    pub policy: ThreadControlPolicy,
    /// The agent desk's app id, where we are a bot. ED does not publish it: it is in the
    /// `requested_owner_app_id` of its requests (facts §8.1).
    pub desk: Option<AppId>,
    /// Apps whose request for control is granted without asking the host: the desk and the inboxes
    /// (a person pressed "move to inbox") where we are a bot.
    pub trusted: BTreeSet<AppId>,
    /// Apps that never answer a request for control: Meta's inboxes, its AI and its lead ads (facts §2.7).
    /// To ask them is futile, so that nobody waits for it.
    pub silent: BTreeSet<AppId>,
    /// Whether ED's endpoint can be called.
    pub desk_endpoint: bool,
    /// Whether a bot under [`ThreadControlPolicy::BotPrimary`] takes control even from people.
    pub take_from_desk: bool,
    /// Whether an answer that the messaging window refused is sent once more as a person's, with the `HUMAN_AGENT` tag
    /// ([`MessagingType::HumanAgent`](crate::call::MessagingType::HumanAgent)).
    pub human_agent: bool,
    /// Whether the app is subscribed to `message_echoes`. Where it is not, nothing is waited for that cannot
    /// come: an answer whose outcome is unknown is reported so at once.
    pub echoes: bool,
    /// What to do with an answer that may or may not have arrived.
    pub on_unknown: OnUnknown,
    /// Whether the host is told what the platform reports as delivered and read: each costs a write.
    pub receipts: bool,
    /// What a claim does when its request stays unanswered.
    pub when_unanswered: Unanswered,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// How much one thread may remember.
    pub limits: Limits,
    /// What is deliberately wrong, for tests that must notice it.
    #[cfg(feature = "broken-designs")]
    #[doc(hidden)]
    pub broken: Option<super::Broken>,
}

impl Config {
    /// A configuration with the defaults of this crate: requests of the inboxes are trusted.
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
            on_unknown: OnUnknown::default(),
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

    /// Whether an app is where people answer, as a bot sees it: the desk, or one of Meta's inboxes.
    #[must_use]
    pub(super) fn is_of_people(&self, app: &AppId) -> bool {
        self.desk.as_ref() == Some(app) || is_inbox(app)
    }

    /// Names the desk's app and trusts its requests.
    #[must_use]
    pub fn with_desk(mut self, desk: AppId) -> Self {
        self.trusted.insert(desk.clone());
        self.desk = Some(desk);
        self
    }
}

/// Whether people answer in this app of Meta's.
pub(super) fn is_inbox(app: &AppId) -> bool {
    [PAGE_INBOX, INSTAGRAM_INBOX].into_iter().any(|inbox| *app == AppId::from(inbox))
}

/// What to do with an answer whose outcome is unknown and whose echo did not come (design §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnUnknown {
    /// Report it; answers behind it wait for the host's word.
    #[default]
    Hold,
    /// Send it again. The customer may read it twice, and its outcome says so.
    Resend,
}

/// What a claim does when the app that was asked for control says nothing within [`Timeouts::grant`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unanswered {
    /// It goes on to take control, unless the owner is one of Meta's own apps ([`Config::silent`]) or, for a bot, the desk. It
    /// succeeds where a Page admin has allowed this app to take control: so agents may interrupt. What a desk does.
    Take,
    /// It fails ([`NotGranted`](super::NotGranted)), and only an idle thread is taken. What a bot does.
    Fail,
}

/// Durations, all of them lower bounds: a thread acts at the next input after one has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Timeouts {
    /// How long a forwarded request may stay unanswered before `thread_owner` is read and the plan
    /// goes on. 30 s.
    pub grant: Duration,
    /// After this a call without an answer counts as lost: its process died. It may begin until half of this is
    /// over, so the other half is longer than the total timeout of the client, by more than the clocks of replicas
    /// differ. 60 s.
    pub call_lease: Duration,
    /// How long the echo of a message with unknown outcome is waited for. 30 s.
    pub echo_grace: Duration,
    /// How old an accepted answer may get before it fails as expired. It does not stand for the messaging window, which
    /// only the platform can judge. 24 h.
    pub answer_age: Duration,
    /// How long a Page's failure of `request` or `take` is remembered. 10 min.
    pub refusal_memory: Duration,
    /// How far our clock and the platform's may differ without a belief going wrong unnoticed. 5 s.
    pub clock_tolerance: Duration,
    /// How long a handler may work on a notice before it comes again. 60 s.
    pub notice_lease: Duration,
    /// The first pause after a passing fault; it doubles up to [`Self::backoff_max`]. 1 s.
    pub backoff: Duration,
    /// The longest pause after a passing fault. 60 s.
    pub backoff_max: Duration,
    /// For a bot: how long people who were asked for are waited for without a sign of them. Then it answers again. 24 h.
    pub people: Duration,
    /// For a bot: how long it stands back after a person has answered from an inbox or the phone app. Zero: not at all. 1 h.
    pub stand_back: Duration,
    /// How long the platform may deliver again what was not answered with 200: for this time duplicates are recognised,
    /// up to [`Limits::seen`] of a conversation. 1 h, after which Meta unsubscribes the app (facts §4.4).
    pub redelivery: Duration,
    /// How long a conversation is remembered in which nothing happens and nothing is under way: who owns it,
    /// which events were seen, how its answers ended, and what still waits for the host's word (held answers,
    /// requests for control). Then it is not kept any more, and an answer with an old key counts as new. An open
    /// intervention is kept. It lasts up to an eighth longer; `Duration::MAX` is for ever. 7 days.
    pub retention: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            grant: Duration::from_secs(30),
            call_lease: Duration::from_mins(1),
            echo_grace: Duration::from_secs(30),
            answer_age: Duration::from_hours(24),
            refusal_memory: Duration::from_mins(10),
            clock_tolerance: Duration::from_secs(5),
            notice_lease: Duration::from_mins(1),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            people: Duration::from_hours(24),
            stand_back: Duration::from_hours(1),
            redelivery: Duration::from_hours(1),
            retention: Duration::from_hours(7 * 24),
        }
    }
}

/// Bounds of what one thread keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Answers that wait. One more is refused. 100.
    pub answers: usize,
    /// Notices that the host has not acknowledged. At this number new events are refused, so that the platform delivers them
    /// again, and so are commands of which the host would be notified. A delivery that begins below it is taken in whole, so
    /// that a large one ends: the queue holds this many and one delivery at most, and what the handler sends while
    /// it deals with them. 256.
    pub notices: usize,
    /// Customer messages kept for whoever gains control next; older ones are counted only. 64.
    pub unanswered: usize,
    /// Messages of the last [`Timeouts::redelivery`] remembered to recognise duplicates, in 8 bytes each (11 in a record);
    /// and as many control events, and keys of answers that were sent. Those of a delivery that is larger are all
    /// remembered. 4096.
    pub seen: usize,
    /// Finished answers whose outcome can be asked for by key. Older ones are [`MessageStatus::Settled`](super::MessageStatus)
    /// for [`Timeouts::redelivery`]. 64.
    pub finished: usize,
    /// How often the handler is told one notice. If it has not returned `Ok` by then, the notice is set aside
    /// ([`SetAside`](super::SetAside)) and the next one is told. 20, which with the default pauses is a quarter of an hour for a
    /// handler that fails at once.
    pub attempts: u32,
    /// Notices that were set aside and the host has not dismissed. The oldest is dropped for one more. 32.
    pub set_aside: usize,
    /// How often one claim asks for control with `request_thread_control` or at the desk's endpoint, at growing distances
    /// within [`Timeouts::grant`], before silence counts as an answer: one webhook may be lost. 3.
    pub requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answers: 100,
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

/// What is given to each step: the host's configuration and what is known of the Page.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// Who is primary on this Page.
    pub policy: ThreadControlPolicy,
    /// What is known of the Page.
    pub page: PageMemory,
    /// Spreads the waits of this step; [`Jitter::NONE`] where they must be repeatable.
    pub jitter: Jitter,
    /// What is numbered in a fresh thread (calls, notices, claims, hand-overs) is numbered from here on. It grows
    /// with time, so that no number of a conversation that was forgotten comes again.
    pub ids_from: u64,
    /// Calls and notices may be begun. Where not, the host is about to stop: another process goes on.
    pub begins: bool,
    /// The events are of a delivery that began when there was room for notices ([`Thread::has_room`](super::Thread::has_room)):
    /// the rest of it is taken in, however long the queue has become.
    pub has_room: bool,
}

impl<'a> Context<'a> {
    /// A context for a Page of which nothing is known, under the configuration's policy.
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

    /// Until when a request that was made at `at` may stay unanswered, where nothing is asked twice.
    pub(super) fn grant_until(&self, at: Timestamp) -> Timestamp {
        self.asked_until(at, 1, 1)
    }

    /// Until when the `nth` request of a claim may stay unanswered, of so many: later ones are given more time, and all
    /// together [`Timeouts::grant`].
    pub(super) fn asked_until(&self, at: Timestamp, nth: u32, of: u32) -> Timestamp {
        if self.config.is(Broken::WaitsForTheGrant) || self.config.is(Broken::KeepsRequest) {
            return Timestamp::MAX;
        }
        let (nth, of) = (u64::from(nth.clamp(1, of.max(1))), u64::from(of.max(1)));
        let part = self.config.timeouts.grant.as_millis().saturating_mul(u128::from(2 * nth));
        let part = part / u128::from(of * (of + 1));
        at.plus(Duration::from_millis(u64::try_from(part).unwrap_or(u64::MAX)))
    }

    /// How calls and notices are tried again.
    pub(super) fn backoff(&self) -> Backoff {
        let Timeouts { backoff, backoff_max, .. } = self.config.timeouts;
        Backoff { first: backoff, longest: backoff_max, ..Backoff::default() }
    }

    /// What counts as refused now, from the Page's memory and the thread's own.
    pub(super) fn refused(&self, own: &PageMemory, now: Timestamp) -> Refused {
        let holds = |what: fn(&PageMemory) -> Option<Timestamp>| self.is_remembered(own, what, now);
        Refused { request: holds(|memory| memory.request_refused), take: holds(|memory| memory.take_refused) }
    }

    /// Whether control may go with a message, as far as is known.
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
    /// Whether the thread is broken in this way.
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

    /// What a Page refused is remembered for a while, and not beyond a change of roles, whoever remembers it.
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
