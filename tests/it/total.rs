//! `Thread::step` is total: for any input, state and time it neither panics nor loops nor loses an accepted message, and it
//! comes to rest once calls succeed.

use std::time::Duration;

use messenger_handover::call::{
    Call, CallId, CallOutcome, Direction, Failure, FailureKind, InlineControl, MessageKey, MessagingType,
    OutgoingMessage, ThreadOwner,
};
use messenger_handover::event::{
    Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound, Other, Raw,
};
use messenger_handover::id::{AppId, MessageId, PAGE_INBOX, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::store::Records;
use messenger_handover::thread::{
    Actions, ClaimOrigin, Command, Config, Context, Handled, Input, MessageStatus, NoticeId, OnUnknown,
    Output, Reply, Target, Thread, Timeouts,
};
use messenger_handover::time::{Span, Timestamp};
use proptest::prelude::*;
use proptest::sample::select;

const US: u64 = 1;
const OTHER: u64 = 2;
const NOW: u64 = 1_790_000_000_000;

fn app() -> impl Strategy<Value = AppId> {
    select(vec![US, OTHER, 3, PAGE_INBOX]).prop_map(AppId::from)
}

fn stamp() -> impl Strategy<Value = Span> {
    prop_oneof![
        6 => (0_u64..200_000).prop_map(|ms| Span::from_platform(NOW + ms)),
        2 => (0_u64..200).prop_map(|seconds| Span::from_platform(NOW / 1000 + seconds)),
        1 => select(vec![Span::UNKNOWN, Span::from_platform(0), Span::at(Timestamp::MAX)]),
    ]
}

fn mid() -> impl Strategy<Value = Option<MessageId>> {
    prop::option::of((0_u8..6).prop_map(|n| MessageId::new(format!("m{n}")).unwrap()))
}

fn key() -> impl Strategy<Value = MessageKey> {
    (0_u8..6).prop_map(|n| MessageKey::new(format!("k{n}")).unwrap())
}

fn event() -> impl Strategy<Value = Event> {
    let change = || {
        let apps = (prop::option::of(app()), prop::option::of(app()));
        apps.prop_map(|(previous_owner, new_owner)| ControlChange::new(previous_owner, new_owner))
    };
    let inbound = (mid(), stamp(), any::<bool>()).prop_map(|(mid, at, postback)| {
        let mut inbound = Inbound::new(mid, at);
        (inbound.text, inbound.postback) = (Some("text".into()), postback);
        inbound
    });
    let echo = (mid(), prop::option::of(app()), prop::option::of(key()), any::<bool>());
    let echo = echo.prop_map(|(mid, app_id, key, ours)| {
        let mut echo = Echo::new(mid, app_id);
        echo.metadata = key.map(|key| key.to_metadata(&AppId::from(if ours { US } else { OTHER })));
        echo
    });
    let request = prop::option::of(app()).prop_map(|requested_by| {
        let mut request = ControlRequest::new(requested_by);
        request.metadata = Some("please".into());
        request
    });
    let other = any::<bool>().prop_map(|by_customer| {
        let mut other = Other::new("reaction", Raw::new("{}"));
        other.by_customer = by_customer;
        other
    });
    let changed = (0_u8..4, any::<bool>()).prop_map(|(n, unsent)| {
        let mid = MessageId::new(format!("m{n}")).unwrap();
        if unsent { EventKind::Unsent(mid) } else { EventKind::Edited { mid, text: None, number: 1 } }
    });
    let kind = prop_oneof![
        change().prop_map(EventKind::PassThreadControl),
        change().prop_map(EventKind::TakeThreadControl),
        request.prop_map(EventKind::RequestThreadControl),
        inbound.prop_map(EventKind::Inbound),
        echo.prop_map(EventKind::Echo),
        Just(EventKind::Read { watermark: None, mid: None }),
        other.prop_map(EventKind::Other),
        changed,
    ];
    let channel = select(vec![Channel::Messaging, Channel::Standby]);
    (channel, stamp(), kind).prop_map(|(channel, at, kind)| Event::new(channel, at, kind))
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Nobody), Just(Target::Desk), app().prop_map(Target::App)]
}

fn command() -> impl Strategy<Value = Command> {
    let control = prop_oneof![
        3 => Just(None),
        1 => Just(Some(InlineControl::Release)),
        1 => app().prop_map(|app| Some(InlineControl::PassTo(app))),
    ];
    let types = vec![MessagingType::Response, MessagingType::HumanAgent];
    let send = (key(), control, select(types)).prop_map(|(key, control, messaging_type)| {
        let message = OutgoingMessage::text("answer").unwrap().with_messaging_type(messaging_type);
        Command::Send { key, message: control.into_iter().fold(message, OutgoingMessage::then) }
    });
    let origins = vec![ClaimOrigin::Intervention, ClaimOrigin::BotAsked, ClaimOrigin::Host];
    let at = prop::option::of((0_u64..200_000).prop_map(|ms| Timestamp::from_millis(NOW + ms)));
    prop_oneof![
        4 => send,
        1 => Just(Command::OpenIntervention),
        1 => Just(Command::CloseIntervention),
        1 => (any::<bool>(), at).prop_map(|(open, at)| Command::InterventionReported { open, at }),
        1 => select(origins).prop_map(|origin| Command::Claim { origin, note: None }),
        2 => (target(), prop::option::of("[a-z]{0,9}")).prop_map(|(target, note)| Command::Transfer { target, note: note.map(Into::into) }),
        1 => Just(Command::ResumeBot),
        1 => app().prop_map(Command::Grant),
        1 => app().prop_map(Command::Refuse),
        1 => key().prop_map(Command::Continue),
        1 => key().prop_map(Command::Cancel),
    ]
}

fn handled() -> impl Strategy<Value = Handled> {
    let reply = |actions: Actions| actions.and_reply(OutgoingMessage::text("reply").unwrap());
    let actions = (0..3_usize, prop::option::of(target())).prop_map(move |(replies, target)| {
        let actions = (0..replies).fold(Actions::none(), |actions, _| reply(actions));
        Handled::Done(target.into_iter().fold(actions, Actions::and_hand_over))
    });
    prop_oneof![3 => actions, 1 => Just(Handled::Retry), 1 => Just(Handled::Skip)]
}

fn failure() -> impl Strategy<Value = Failure> {
    use FailureKind::*;
    let kinds = vec![
        NotThreadOwner,
        PlatformFlow,
        NotAvailable,
        OutsideWindow,
        RecipientUnavailable,
        Token,
        Permission,
        Invalid,
        RateLimited,
        Restricted,
        Transient,
        Transport,
        Protocol,
        Conflict,
    ];
    let waits = prop::option::of((0_u64..10_000_000).prop_map(Duration::from_secs));
    (select(kinds), waits).prop_map(|(kind, wait)| {
        let mut failure = Failure::new(kind, "no");
        failure.retry_after = wait;
        failure
    })
}

/// Any outcome, including those that no call of that kind has.
fn result() -> impl Strategy<Value = CallOutcome> {
    let expires = prop::option::of((0_u64..100_000_000).prop_map(|ms| Timestamp::from_millis(NOW + ms)));
    let owner = prop_oneof![
        (app(), expires.clone()).prop_map(|(app, expires)| ThreadOwner::App { app, expires }),
        expires.prop_map(|expires| ThreadOwner::Hidden { expires }),
        Just(ThreadOwner::Idle),
    ];
    prop_oneof![
        3 => Just(CallOutcome::Done),
        2 => Just(CallOutcome::Forwarded),
        3 => mid().prop_map(CallOutcome::Sent),
        4 => owner.prop_map(CallOutcome::Owner),
        4 => failure().prop_map(CallOutcome::Refused),
        2 => failure().prop_map(CallOutcome::Unknown),
        1 => (0_u64..10_000_000).prop_map(|ms| CallOutcome::HeldBack(Duration::from_millis(ms))),
    ]
}

#[derive(Debug, Clone)]
enum What {
    Told(Input),
    /// The outcome of the call under way, if any.
    Answer(CallOutcome),
    /// The outcome of an old call, or of a call that was never made.
    Stray(u64, CallOutcome),
    Notice(Handled),
    /// Milliseconds that pass; may be negative.
    Time(i64),
    Again,
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        6 => event().prop_map(|event| What::Told(Input::Event(event))),
        4 => command().prop_map(|command| What::Told(Input::Command(command))),
        6 => result().prop_map(What::Answer),
        1 => (0_u64..60, result()).prop_map(|(id, result)| What::Stray(id, result)),
        1 => (0_u64..60, handled()).prop_map(|(id, handled)| {
            What::Told(Input::NoticeHandled { notice: NoticeId(id), handled })
        }),
        4 => handled().prop_map(What::Notice),
        2 => Just(What::Told(Input::Wake)),
        3 => select(vec![-100_000_000, -1_000, 1, 999, 5_000, 31_000, 61_000, 90_000_000]).prop_map(What::Time),
        1 => Just(What::Again),
    ]
}

/// Durations, including some that no builder accepts.
fn extreme() -> impl Strategy<Value = Duration> {
    select(vec![Duration::ZERO, Duration::from_millis(1), Duration::from_hours(1_000_000), Duration::MAX])
}

fn config() -> impl Strategy<Value = Config> {
    let roles = select(vec![Role::Bot, Role::Desk]);
    let policies = select(ThreadControlPolicy::ALL.to_vec());
    let durations = || prop::collection::vec(prop::option::weighted(0.1, extreme()), 11);
    let on_unknown = select(vec![OnUnknown::Hold, OnUnknown::Continue, OnUnknown::Resend]);
    let parts = (roles, policies, on_unknown, any::<[bool; 4]>(), durations());
    parts.prop_map(|(role, policy, on_unknown, [endpoint, echoes, takes, human_agent], durations)| {
        let mut config = Config::new(AppId::from(US), role, policy);
        let Timeouts { grant, call_lease, echo_grace, refusal_memory, clock_tolerance, .. } =
            &mut config.timeouts;
        let first = [grant, call_lease, echo_grace, refusal_memory, clock_tolerance];
        first.into_iter().zip(&durations).for_each(|(timeout, drawn)| *timeout = drawn.unwrap_or(*timeout));
        let Timeouts { notice_lease, backoff, backoff_max, redelivery, message_age, retention, .. } =
            &mut config.timeouts;
        let rest = [notice_lease, backoff, backoff_max, redelivery];
        rest.into_iter()
            .zip(&durations[5..])
            .for_each(|(timeout, drawn)| *timeout = drawn.unwrap_or(*timeout));
        // A lifetime of zero would rightly delete the thread at once.
        for (timeout, drawn) in [message_age, retention].into_iter().zip(&durations[9..]) {
            *timeout = drawn.filter(|drawn| !drawn.is_zero()).map_or(*timeout, |_| Duration::MAX);
        }
        (config.on_unknown, config.echoes, config.human_agent) = (on_unknown, echoes, human_agent);
        if role == Role::Bot {
            config = config.with_desk(AppId::from(OTHER));
            (config.desk_endpoint, config.take_from_desk) = (endpoint, takes);
        }
        (config.limits.messages, config.limits.notices) = (4, 8);
        (config.limits.seen, config.limits.unanswered, config.limits.finished) = (6, 4, 4);
        config
    })
}

struct Machine {
    config: Config,
    thread: Thread,
    now: Timestamp,
    call: Option<(CallId, Call)>,
    notice: Option<NoticeId>,
    /// Keys of accepted messages without a final status so far.
    open: Vec<MessageKey>,
}

impl Machine {
    fn step(&mut self, input: Input) -> Reply {
        let cx = Context::new(&self.config);
        let key = match &input {
            Input::Command(Command::Send { key, .. }) => Some(key.clone()),
            _ => None,
        };
        let mut out = Vec::new();
        let reply = self.thread.step(&cx, input, self.now, &mut out);
        if reply == Reply::Accepted {
            self.open.extend(key);
        }
        let calls = out.iter().filter(|output| matches!(output, Output::Call { .. })).count();
        assert!(calls <= 1, "one call at a time: {out:?}");
        let is_claim = |output: &Output| {
            let Output::Call { call, .. } = output else { return false };
            matches!(
                call,
                Call::TakeThreadControl | Call::RequestThreadControl | Call::AskDesk(Direction::AgentToBot)
            )
        };
        let is_silent = self.config.role == Role::Bot && self.thread.people_are_busy();
        let for_a_message = self.thread.waiting_messages().next().is_some();
        assert!(!is_silent || for_a_message || !out.iter().any(is_claim), "a claim beside people: {out:?}");
        for output in out {
            match output {
                Output::Call { id, call, .. } => self.call = Some((id, call)),
                Output::Notice { id, .. } => self.notice = Some(id),
                _ => {}
            }
        }
        for key in &self.open {
            assert!(self.thread.message_status(key).is_some(), "{key} was accepted and is forgotten");
        }
        let waiting = |key: &MessageKey| self.thread.message_status(key) == Some(MessageStatus::Waiting);
        self.open.retain(waiting);
        assert!(
            self.thread.next_wake(&cx).is_some() || self.thread.is_at_rest(),
            "what waits has a wake time: {:#?}",
            self.thread
        );
        let key = ThreadKey::new(PageId::from(10), UserId::from(77));
        let record = Records::new().encode(&key, &self.thread).unwrap();
        assert!(record.len() < 40_000, "it grows without a bound");
        assert_eq!(Records::new().decode(&key, &record).unwrap(), self.thread);
        reply
    }

    fn act(&mut self, what: What, before: &mut Option<Input>) {
        let input = match what {
            What::Told(input) => input,
            What::Answer(result) => {
                let Some((call, _)) = self.call.take() else { return };
                Input::CallEnded { call, outcome: result }
            }
            What::Stray(id, result) => Input::CallEnded { call: CallId(id), outcome: result },
            What::Notice(handled) => {
                let Some(notice) = self.notice.take() else { return };
                Input::NoticeHandled { notice, handled }
            }
            What::Time(ms) => {
                let by = Duration::from_millis(ms.unsigned_abs());
                self.now = if ms < 0 { self.now.minus(by) } else { self.now.plus(by) };
                return;
            }
            What::Again => {
                let Some(input) = before.clone() else { return };
                input
            }
        };
        *before = Some(input.clone());
        self.step(input);
    }

    /// Lets every call succeed and time pass.
    fn recover(&mut self) {
        for _ in 0..400 {
            if let Some(notice) = self.notice.take() {
                self.step(Input::NoticeHandled { notice, handled: Handled::done() });
            } else if let Some((call, made)) = self.call.take() {
                let us = || ThreadOwner::App { app: AppId::from(US), expires: None };
                let result = match made {
                    Call::SendMessage { .. } => CallOutcome::Sent(None),
                    Call::RequestThreadControl => CallOutcome::Forwarded,
                    Call::ThreadOwner => CallOutcome::Owner(us()),
                    _ => CallOutcome::Done,
                };
                self.step(Input::CallEnded { call, outcome: result });
            } else if self.thread.is_at_rest() {
                return;
            } else {
                let wake = self.thread.next_wake(&Context::new(&self.config)).unwrap();
                self.now = self.now.max(wake);
                self.step(Input::Wake);
            }
        }
        panic!("it never comes to rest: {:#?}", self.thread);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn total_thread_continues_after_any_input(config in config(), acts in prop::collection::vec(what(), 0..120)) {
        let (thread, now) = (Thread::new(), Timestamp::from_millis(NOW));
        let mut machine = Machine { config, thread, now, call: None, notice: None, open: Vec::new() };
        let mut before = None;
        for act in acts {
            machine.act(act, &mut before);
        }
        machine.recover();
        prop_assert!(machine.open.is_empty(), "{:?} have no end", machine.open);
    }

    /// The outcome of a call that was never made, or a repeated outcome, changes no more than the passing of time does.
    #[test]
    fn total_stray_outcomes_change_nothing(config in config(), acts in prop::collection::vec(what(), 0..60), stray in result()) {
        let (thread, now) = (Thread::new(), Timestamp::from_millis(NOW));
        let mut machine = Machine { config, thread, now, call: None, notice: None, open: Vec::new() };
        for act in acts {
            machine.act(act, &mut None);
        }
        let input = Input::CallEnded { call: CallId(u64::MAX), outcome: stray };
        let mut woken = machine.thread.clone();
        let _ = woken.step(&Context::new(&machine.config), Input::Wake, machine.now, &mut Vec::new());
        prop_assert_eq!(machine.step(input), Reply::Ignored);
        prop_assert_eq!(&machine.thread, &woken);
    }
}
