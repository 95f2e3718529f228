//! One conversation, a bot and a desk, and everything that can happen next.

use messenger_handover::call::{AnswerKey, Call, CallId, CallResult, OutgoingMessage, Refusal, RefusalKind};
use messenger_handover::id::AppId;
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::sim::{App, Delivery, Page, Platform, Rules};
use messenger_handover::thread::{
    AnswerStatus, Command, Config, Context, Input, Notice, Output, Owner, PageMemory, Reply, Target, Thread,
};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use serde_json::json;
use stateright::{Model, Property};

use crate::adapter::{api_call, key, result};

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
const START: u64 = 1_790_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    pub customer: u8,
    pub bot: u8,
    pub desk: u8,
    pub interventions: u8,
    pub persons: u8,
    pub faults: u8,
    pub crashes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Bot,
    Desk,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    thread: Thread,
    page: PageMemory,
    call: Option<(CallId, Call)>,
    post: Vec<Delivery>,
    accepted: Vec<AnswerKey>,
    /// Ends that were told, in order.
    ends: Vec<(AnswerKey, &'static str)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    platform: Platform,
    now: Timestamp,
    bot: Host,
    desk: Host,
    left: Budget,
    /// The last word of the agent was that the intervention is closed.
    agent_is_done: bool,
    /// What must never happen, where it did.
    broken: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    CustomerWrites,
    Send(Side),
    Open,
    Close,
    WantPerson,
    Deliver(Side),
    Double(Side),
    Overtake(Side),
    Make(Side),
    /// The platform acts, the answer is lost.
    LoseAnswer(Side),
    /// The platform never sees the call.
    LoseCall(Side),
    /// Until somebody wants to be woken.
    Wait,
    Crash(Side),
}

#[derive(Debug, Clone)]
pub struct Scene {
    rules: Rules,
    bot: Config,
    desk: Config,
    budget: Budget,
}

impl Scene {
    pub fn new(rules: Rules, policy: ThreadControlPolicy, budget: Budget) -> Self {
        let bot = Config::new(AppId::from(BOT), Role::Bot, policy).with_desk(AppId::from(DESK));
        let desk = Config::new(AppId::from(DESK), Role::Desk, policy);
        Self { rules, bot, desk, budget }
    }

    fn config(&self, side: Side) -> &Config {
        match side {
            Side::Bot => &self.bot,
            Side::Desk => &self.desk,
        }
    }

    fn step(&self, state: &mut State, side: Side, input: Input) -> Reply {
        let config = self.config(side);
        let now = state.now;
        let host = state.host(side);
        let cx = Context { page: host.page, ..Context::new(config) };
        let mut out = Vec::new();
        let reply = host.thread.step(&cx, input, now, &mut out);
        let mut at = 0;
        while at < out.len() {
            match out[at].clone() {
                Output::Call { id, call, .. } => {
                    if host.gives_away_early(&config.app, &call) {
                        state.broken = Some("control is given away early");
                        return reply;
                    }
                    host.call = Some((id, call));
                }
                Output::Notice { id, notice } => {
                    host.note(&notice);
                    let done = Input::NoticeDone { notice: id, ok: true };
                    let mut more = Vec::new();
                    let _ = host.thread.step(&cx, done, now, &mut more);
                    out.extend(more);
                }
                Output::PageRefuses(call) => host.page.refuses(call, now),
                other => panic!("not modelled: {other:?}"),
            }
            at += 1;
        }
        if host.thread.next_wake(&cx).is_none() && !host.thread.is_at_rest() {
            state.broken = Some("what waits has no wake time");
        }
        reply
    }

    /// Lets the platform act, and puts what it tells into the hosts' post.
    fn platform<R>(&self, state: &mut State, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        state.now = state.now.plus(std::time::Duration::from_millis(1));
        let done = act(&mut state.platform, state.now);
        for delivery in state.platform.take_outgoing() {
            let side = if delivery.app == self.bot.app { Side::Bot } else { Side::Desk };
            state.host(side).post.push(delivery);
        }
        done
    }

    fn make(&self, state: &mut State, side: Side, lost: Option<bool>) {
        let Some((id, call)) = state.host(side).call.take() else { return };
        let app = self.config(side).app.clone();
        let made = lost != Some(false);
        let mut answer = None;
        if made {
            let api = api_call(&app, &call);
            answer = Some(self.platform(state, |platform, now| platform.call(&app, &key().page, &api, now)));
        }
        let result = match (lost, answer) {
            (None, Some(answer)) => result(&call, answer),
            _ => CallResult::Unknown(Refusal::new(RefusalKind::Transport, "lost")),
        };
        self.step(state, side, Input::Answer { call: id, result });
    }

    fn deliver(&self, state: &mut State, side: Side) {
        let delivery = state.host(side).post.remove(0);
        let body = json!({"object": "page", "entry": [{
            "id": delivery.page, "time": delivery.at.as_millis(), (delivery.channel.name()): [delivery.item],
        }]});
        for item in dangerous_parse_unverified(body.to_string().as_bytes()).unwrap().items {
            if let Item::Event { event, .. } = item {
                self.step(state, side, Input::Event(event));
            }
        }
    }

    fn wake(&self, state: &State) -> Option<Timestamp> {
        let wake = |side| {
            let (config, host) = (self.config(side), state.of(side));
            host.thread.next_wake(&Context { page: host.page, ..Context::new(config) })
        };
        [wake(Side::Bot), wake(Side::Desk)].into_iter().flatten().min()
    }
}

impl Host {
    fn new() -> Self {
        Self {
            thread: Thread::new(),
            page: PageMemory::default(),
            call: None,
            post: Vec::new(),
            accepted: Vec::new(),
            ends: Vec::new(),
        }
    }

    fn gives_away_early(&self, app: &AppId, call: &Call) -> bool {
        let gives = match call {
            Call::PassThreadControl { to } => to != app,
            Call::ReleaseThreadControl => true,
            _ => false,
        };
        let waits = |key: &AnswerKey| self.thread.answer(key) == Some(AnswerStatus::Waiting);
        gives && (self.thread.intervention_is_open() || self.accepted.iter().any(waits))
    }

    fn note(&mut self, notice: &Notice) {
        let (key, end) = match notice {
            Notice::AnswerDelivered { key, .. } => (key, "delivered"),
            Notice::AnswerFailed { key, .. } => (key, "failed"),
            Notice::AnswerUnknown { key, .. } => (key, "unknown"),
            _ => return,
        };
        self.ends.push((key.clone(), end));
    }
}

impl State {
    fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Bot => &mut self.bot,
            Side::Desk => &mut self.desk,
        }
    }

    fn of(&self, side: Side) -> &Host {
        match side {
            Side::Bot => &self.bot,
            Side::Desk => &self.desk,
        }
    }

    fn times(&self, key: &AnswerKey) -> usize {
        let read = self.platform.conversation(&crate::adapter::key().page, &crate::adapter::key().user);
        read.iter().filter(|said| said.text() == Some(key.as_str())).count()
    }

    fn is_quiet(&self) -> bool {
        let quiet = |host: &Host| host.post.is_empty() && host.call.is_none() && host.thread.is_at_rest();
        quiet(&self.bot) && quiet(&self.desk)
    }
}

impl Model for Scene {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let platform = Platform::new()
            .with_app(App::new(BOT, "Bot", "s", "v").may_take(true))
            .with_app(App::new(DESK, "Desk", "s", "v").may_take(true))
            .with_page(Page::new(10, self.rules.clone()).app(BOT, "b").app(DESK, "d").person(77));
        let now = Timestamp::from_millis(START);
        let (bot, desk, left) = (Host::new(), Host::new(), self.budget);
        let mut state = State { platform, now, bot, desk, left, agent_is_done: false, broken: None };
        self.platform(&mut state, |platform, now| {
            platform.customer_writes(&key().page, &key().user, "question", now);
        });
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let left = state.left;
        let mut may = |so: bool, action| {
            if so {
                actions.push(action);
            }
        };
        may(left.customer > 0, Action::CustomerWrites);
        may(left.bot > 0, Action::Send(Side::Bot));
        may(left.desk > 0, Action::Send(Side::Desk));
        may(left.interventions > 0 && !state.desk.thread.intervention_is_open(), Action::Open);
        may(state.desk.thread.intervention_is_open(), Action::Close);
        may(left.persons > 0, Action::WantPerson);
        let mut busy = false;
        for side in [Side::Bot, Side::Desk] {
            let host = state.of(side);
            let (posts, call) = (host.post.len(), host.call.is_some());
            busy |= posts > 0 || call;
            may(posts > 0, Action::Deliver(side));
            may(posts > 0 && left.faults > 0, Action::Double(side));
            may(posts > 1 && left.faults > 0, Action::Overtake(side));
            may(call, Action::Make(side));
            may(call && left.faults > 0, Action::LoseAnswer(side));
            may(call && left.faults > 0, Action::LoseCall(side));
            may(left.crashes > 0, Action::Crash(side));
        }
        // What can be done at once does not wait half a minute: an assumption that keeps the world small.
        may(!busy && self.wake(state).is_some(), Action::Wait);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let left = &mut state.left;
        match action {
            Action::CustomerWrites => {
                left.customer -= 1;
                self.platform(&mut state, |platform, now| {
                    platform.customer_writes(&key().page, &key().user, "question", now);
                });
            }
            Action::Send(side) => {
                let budget = if side == Side::Bot { &mut left.bot } else { &mut left.desk };
                let answer = AnswerKey::new(format!("{side:?}{budget}")).unwrap();
                *budget -= 1;
                let message = OutgoingMessage::text(answer.as_str()).unwrap();
                let send = Command::Send { key: answer.clone(), message };
                state.host(side).accepted.push(answer);
                state.agent_is_done &= side == Side::Bot;
                self.step(&mut state, side, Input::Command(send));
            }
            Action::Open => {
                left.interventions -= 1;
                state.agent_is_done = false;
                self.step(&mut state, Side::Desk, Input::Command(Command::OpenIntervention));
            }
            Action::Close => {
                state.agent_is_done = true;
                self.step(&mut state, Side::Desk, Input::Command(Command::CloseIntervention));
            }
            Action::WantPerson => {
                left.persons -= 1;
                let target = Target::App(self.desk.app.clone());
                self.step(&mut state, Side::Bot, Input::Command(Command::HandOver(target)));
            }
            Action::Deliver(side) => self.deliver(&mut state, side),
            Action::Double(side) => {
                left.faults -= 1;
                let again = state.of(side).post[0].clone();
                state.host(side).post.push(again);
                self.deliver(&mut state, side);
            }
            Action::Overtake(side) => {
                left.faults -= 1;
                state.host(side).post.swap(0, 1);
                self.deliver(&mut state, side);
            }
            Action::Make(side) => self.make(&mut state, side, None),
            Action::LoseAnswer(side) => {
                left.faults -= 1;
                self.make(&mut state, side, Some(true));
            }
            Action::LoseCall(side) => {
                left.faults -= 1;
                self.make(&mut state, side, Some(false));
            }
            Action::Wait => {
                state.now = self.wake(before)?.max(before.now);
                self.step(&mut state, Side::Bot, Input::Wake);
                self.step(&mut state, Side::Desk, Input::Wake);
            }
            Action::Crash(side) => {
                left.crashes -= 1;
                state.host(side).call = None;
                self.step(&mut state, side, Input::Wake);
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing broken", |_, state: &State| state.broken.is_none()),
            Property::always("no answer is read twice", |_, state: &State| {
                let all = state.bot.accepted.iter().chain(&state.desk.accepted);
                all.into_iter().all(|key| state.times(key) <= 1)
            }),
            Property::always("at rest every answer has its end, and one only", |_, state: &State| {
                if !state.is_quiet() {
                    return true;
                }
                [&state.bot, &state.desk].into_iter().all(|host| {
                    host.accepted.iter().all(|key| {
                        let ends: Vec<_> =
                            host.ends.iter().filter(|(of, _)| of == key).map(|(_, end)| *end).collect();
                        match ends[..] {
                            ["delivered"] | ["unknown", "delivered"] => state.times(key) == 1,
                            ["failed"] => state.times(key) == 0,
                            ["unknown"] => true,
                            _ => false,
                        }
                    })
                })
            }),
            Property::always(
                "at rest who believes to have control has it",
                |scene: &Scene, state: &State| {
                    if !state.is_quiet() {
                        return true;
                    }
                    let owner = state.platform.owner(&key().page, &key().user, state.now);
                    [Side::Bot, Side::Desk].into_iter().all(|side| {
                        let believes = *state.of(side).thread.owner() == Owner::Us;
                        !believes || owner.is_none() || owner.as_ref() == Some(&scene.config(side).app)
                    })
                },
            ),
            Property::always("nobody is stuck", |scene: &Scene, state: &State| {
                let mut actions = Vec::new();
                scene.actions(state, &mut actions);
                !actions.is_empty() || state.broken.is_some() || state.is_quiet()
            }),
            Property::always(
                "who closes an intervention keeps no control",
                |scene: &Scene, state: &State| {
                    let owner = state.platform.owner(&key().page, &key().user, state.now);
                    // A desk that is primary gets what the customer writes next.
                    let primary = scene.desk.policy == ThreadControlPolicy::EdPrimary;
                    primary
                        || !(state.is_quiet() && state.agent_is_done)
                        || owner.as_ref() != Some(&scene.desk.app)
                },
            ),
        ]
    }
}
