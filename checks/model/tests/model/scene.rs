//! A small world as stateright explores it: its hosts, and the actions that are possible next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use messenger_handover::id::{AppId, INSTAGRAM_INBOX, PAGE_INBOX};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{Broken, Config, Context, OnUnknown};
use messenger_handover::time::Timestamp;
use messenger_sim::{App, Echoes, Page, Platform, Rules};
use stateright::{Model, Property};

use crate::budget::Budget;
use crate::draw::Picture;
use crate::judge;
use crate::seen::Seen;
use crate::state::{Decision, Host, Person, Side, State};
use crate::turn::Turn;

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
const START: u64 = 1_790_000_000_000;
/// Few, so that notices are set aside soon.
const ATTEMPTS: u32 = 2;

/// The fate of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Nothing,
    /// The platform never receives the call; the caller cannot tell the difference.
    Call,
    /// The platform acts, but its response is lost.
    Answer,
    /// The platform acts, but the caller's process has ended.
    Process,
    /// The host holds the call back.
    HeldBack,
    /// The platform refuses the call for a while.
    ForNow,
}

/// The end of a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Done,
    Retry,
    Skip,
    /// Without a result, because its process ended.
    Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    CustomerWrites,
    CustomerUnsends,
    Send(Side),
    /// A last message of the bot with a pass to the desk, or a release if false.
    Farewell(bool),
    Open,
    Close,
    WantPerson,
    BackToBot,
    /// A host claims control without a message.
    Claim(Side),
    /// A host releases control.
    Release(Side),
    /// Engage Digital's agents begin or end to serve the customer, and the hosts get reports.
    Engage,
    Disengage,
    /// One of the reports on their way arrives.
    Report(Side, usize),
    /// A host grants or refuses the other app's request for control.
    Grant(Side),
    Refuse(Side),
    /// A host cancels one of its messages.
    Cancel(Side, usize),
    /// The bot's host says that people are done.
    Resume,
    /// A host has dealt with a notice that was set aside.
    Dismiss(Side),
    /// The host resumes the messages behind one with an unknown outcome.
    Continue(Side),
    InboxReplies,
    InboxMoves,
    Day,
    Deliver(Side),
    Double(Side),
    Overtake(Side),
    LosePost(Side),
    Make(Side, Loss),
    /// The response to a call arrives.
    Answer(Side),
    /// A handler ends.
    Handle(Side, How),
    /// Time passes until the next wake time.
    Wait,
    /// A process crashes; the flag says whether the call under way was made.
    Crash(Side, bool),
}

#[derive(Debug, Clone)]
pub struct Scene {
    pub rules: Rules,
    pub bot: Config,
    pub desk: Config,
    pub budget: Budget,
    platform: Platform,
    may_take: bool,
    seen: Arc<[AtomicBool; Seen::ALL.len()]>,
}

impl Scene {
    /// A world without an ED endpoint for the bot, and with the switch on that lets both apps take control.
    pub fn new(rules: Rules, policy: ThreadControlPolicy, budget: Budget) -> Self {
        let mut bot = Config::new(AppId::from(BOT), Role::Bot, policy).with_desk(AppId::from(DESK));
        let mut desk = Config::new(AppId::from(DESK), Role::Desk, policy);
        // Without expiry, because expiry would add a state for each moment at which a thread can come to rest.
        (bot.timeouts.retention, desk.timeouts.retention) = (Duration::MAX, Duration::MAX);
        if budget.bot_failures + budget.desk_failures > 0 {
            (bot.limits.attempts, desk.limits.attempts) = (ATTEMPTS, ATTEMPTS);
        }
        if budget.decisions > 0 {
            bot.trusted.clear();
        }
        Self {
            rules,
            bot,
            desk,
            budget,
            platform: Platform::new(),
            may_take: true,
            seen: Arc::new([const { AtomicBool::new(false) }; Seen::ALL.len()]),
        }
    }

    /// Gives the desk another policy than the bot.
    pub fn desk_policy(mut self, policy: ThreadControlPolicy) -> Self {
        self.desk.policy = policy;
        self
    }

    /// Lets the bot call ED's endpoint.
    pub fn endpoint(mut self) -> Self {
        self.bot.desk_endpoint = true;
        self
    }

    /// Turns off the Page's switch that lets apps take control.
    pub fn without_take(mut self) -> Self {
        self.may_take = false;
        self
    }

    /// Sets the simulator's choices for undocumented behaviour.
    pub fn platform(mut self, choose: impl FnOnce(Platform) -> Platform) -> Self {
        self.platform = choose(self.platform);
        self
    }

    /// Whether the platform sends an echo for every message.
    pub fn has_echoes(&self) -> bool {
        self.platform.switches().echoes == Echoes::Always
    }

    /// Makes both hosts resend messages whose outcome stays unknown.
    pub fn resends(mut self) -> Self {
        (self.bot.on_unknown, self.desk.on_unknown) = (OnUnknown::Resend, OnUnknown::Resend);
        self
    }

    /// Gives both hosts this defect.
    pub fn broken(mut self, broken: Broken) -> Self {
        (self.bot.broken, self.desk.broken) = (Some(broken), Some(broken));
        self
    }

    pub fn config(&self, side: Side) -> &Config {
        match side {
            Side::Bot => &self.bot,
            Side::Desk => &self.desk,
        }
    }

    pub fn saw(&self, what: Seen) {
        let seen = &self.seen[what as usize];
        if !seen.load(Ordering::Relaxed) {
            seen.store(true, Ordering::Relaxed);
        }
    }

    pub fn seen(&self) -> Vec<Seen> {
        Seen::ALL.into_iter().filter(|what| self.seen[*what as usize].load(Ordering::Relaxed)).collect()
    }

    /// The next moment at which something is due.
    pub fn wake(&self, state: &State) -> Option<Timestamp> {
        let wake = |side| {
            let (config, host) = (self.config(side), state.of(side));
            host.thread.next_wake(&Context { page: host.page, ..Context::new(config) })
        };
        let asked = state.asked.as_ref().map(|asked| asked.until);
        let wakes = [wake(Side::Bot), wake(Side::Desk), asked].into_iter().flatten();
        wakes.filter(|wake| *wake != Timestamp::MAX).min()
    }

    /// Draws a schedule.
    pub fn draw(&self, actions: impl IntoIterator<Item = Action>) -> String {
        let mut picture = Picture::default();
        let mut state = self.first();
        picture.customer("question 0");
        for action in actions {
            Turn { scene: self, state: &mut state, picture: Some(&mut picture) }.act(action);
        }
        picture.text()
    }

    /// Whether this host is independent of the others: its next action affects nobody else, and others can only add to its
    /// queue of webhooks. Then one order of its next action and theirs represents all orders.
    fn is_alone(&self, side: Side, state: &State) -> bool {
        let (host, mut left) = (state.of(side), state.left);
        // Reports arrive in any order, so a later one opens another way.
        let reports = left.reports() > 0 || state.engaged;
        let shared = left.late + left.losses + left.crashes == 0 && !reports;
        // The bot's call of ED's endpoint changes the desk, and the desk's response changes the bot.
        let apart = match side {
            Side::Bot => state.asked.is_none(),
            Side::Desk => !self.bot.desk_endpoint,
        };
        let overtaking = host.post.len() > 1 || *left.faults(side) == 0;
        shared && apart && overtaking && !host.post.is_empty() && !host.is_calling()
    }

    fn actions_of(&self, side: Side, state: &State, actions: &mut Vec<Action>) {
        let (host, mut left) = (state.of(side), state.left);
        let faults = *left.faults(side) > 0;
        let mut may = |so: bool, action| {
            if so {
                actions.push(action);
            }
        };
        match side {
            Side::Bot => {
                may(left.bot > 0, Action::Send(side));
                may(left.farewells > 0, Action::Farewell(true));
                may(left.farewells > 0, Action::Farewell(false));
                may(left.persons > 0, Action::WantPerson);
                may(left.resumes > 0 && state.person != Person::NotWanted, Action::Resume);
            }
            Side::Desk => {
                let engaged = host.thread.intervention_is_open();
                may(left.desk > 0, Action::Send(side));
                may(left.interventions > 0 && !engaged, Action::Open);
                may(engaged, Action::Close);
                may(left.backs > 0, Action::BackToBot);
            }
        }
        may(left.claims > 0, Action::Claim(side));
        may(left.releases > 0, Action::Release(side));
        if left.decisions > 0 {
            let waits = host.thread.waiting_requests().next().is_some();
            may(waits, Action::Grant(side));
            may(waits || host.decision == Decision::Granted, Action::Refuse(side));
        }
        for (at, key) in host.accepted.iter().enumerate().filter(|_| left.cancels > 0) {
            may(host.waits(key), Action::Cancel(side, at));
        }
        for at in 0..host.reports.len() {
            may(true, Action::Report(side, at));
        }
        may(!host.aside.is_empty(), Action::Dismiss(side));
        let (waiting, call) = (host.post.len(), host.call.is_some());
        may(waiting > 0, Action::Deliver(side));
        may(waiting > 0 && faults, Action::Double(side));
        may(waiting > 1 && faults, Action::Overtake(side));
        may(waiting > 0 && left.losses > 0, Action::LosePost(side));
        may(call, Action::Make(side, Loss::Nothing));
        may(call && faults, Action::Make(side, Loss::Call));
        may(call && faults, Action::Make(side, Loss::Answer));
        may(call && left.delays > 0, Action::Make(side, Loss::HeldBack));
        may(call && left.delays > 0, Action::Make(side, Loss::ForNow));
        may(host.answer.is_some(), Action::Answer(side));
        let fails = *left.failures(side) > 0;
        may(host.is_handling(), Action::Handle(side, How::Done));
        for how in [How::Retry, How::Skip, How::Ends] {
            may(host.is_handling() && fails, Action::Handle(side, how));
        }
        may(left.crashes > 0, Action::Crash(side, false));
        may(left.crashes > 0 && call, Action::Crash(side, true));
        may(host.held(self.config(side)).is_some(), Action::Continue(side));
    }

    fn first(&self) -> State {
        let fields = ["messages", "messaging_postbacks", "messaging_handovers", "standby", "message_echoes"];
        let app = |id, name| App::new(id, name, "s", "v").may_take(self.may_take).fields(fields);
        let platform = self.platform.clone().with_app(app(BOT, "Bot")).with_app(app(DESK, "Desk")).with_page(
            Page::new(10, self.rules.clone())
                .app(BOT, "b")
                .app(DESK, "d")
                .silent_app(PAGE_INBOX)
                .silent_app(INSTAGRAM_INBOX)
                .person(77),
        );
        let mut state = State {
            platform: Arc::new(platform),
            now: Timestamp::from_millis(START),
            bot: Arc::new(Host::new()),
            desk: Arc::new(Host::new()),
            asked: None,
            left: self.budget,
            customer_wrote: 0,
            answered: 0,
            agent_is_done: false,
            asked_for: 0,
            passed_to_desk: 0,
            people_wanted: false,
            person: Person::NotWanted,
            engaged: false,
            unsent: None,
            lossy: false,
            handovers: 0,
            calls: 0,
            idle_waits: 0,
            broken: None,
        };
        Turn { scene: self, state: &mut state, picture: None }.begin();
        state
    }
}

impl Model for Scene {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if judge::is_over(self, state) {
            return;
        }
        if let Some(side) = Side::BOTH.into_iter().find(|side| self.is_alone(*side, state)) {
            return self.actions_of(side, state, actions);
        }
        for side in Side::BOTH {
            self.actions_of(side, state, actions);
        }
        let left = state.left;
        let mut may = |so: bool, action| {
            if so {
                actions.push(action);
            }
        };
        may(left.customer > 0, Action::CustomerWrites);
        may(left.unsends > 0, Action::CustomerUnsends);
        may(left.inbox > 0, Action::InboxReplies);
        may(left.inbox > 0, Action::InboxMoves);
        may(!state.engaged && left.reports() > 0, Action::Engage);
        may(state.engaged, Action::Disengage);
        let calls =
            Side::BOTH.iter().any(|side| state.of(*side).is_calling() || state.of(*side).is_handling());
        let posts = Side::BOTH
            .iter()
            .any(|side| !state.of(*side).post.is_empty() || !state.of(*side).reports.is_empty());
        // Calls, handlers and webhooks take seconds at most, unless a fault delays them.
        may(!calls && (!posts || left.late > 0) && self.wake(state).is_some(), Action::Wait);
        may(!calls && !posts && left.days > 0, Action::Day);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        Turn { scene: self, state: &mut state, picture: None }.act(action).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        judge::properties()
    }
}
