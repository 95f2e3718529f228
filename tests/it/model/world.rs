//! The model's world: two real threads, with the Graph client and the webhook parser between them and the simulated
//! platform. Without socket, clock or task, every delay, loss, duplicate and crash is chosen by the schedule.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use messenger_handover::call::{
    Call, CallId, CallOutcome, Direction, Failure, FailureKind, InlineControl, MessageKey, OutgoingMessage,
    ThreadOwner,
};
use messenger_handover::control::CallError;
use messenger_handover::graph::GraphClient;
use messenger_handover::id::{AppId, PageId, ThreadKey, UserId};
use messenger_handover::policy::{Role, ThreadControlPolicy};
use messenger_handover::thread::{
    ClaimOrigin, ClaimProgress, Command, Config, Context, Handled, Input, MessageStatus, Notice, Output,
    Owner, PageMemory, Reply, Target, Thread, TransferProgress,
};
use messenger_handover::time::Timestamp;
use messenger_handover::webhook::{Item, dangerous_parse_unverified};
use messenger_sim::{self as sim, Delivery, Platform, Rules};
use serde_json::json;

use super::line::{Line, Luck, To, make};

pub const BOT: u64 = 1001;
pub const DESK: u64 = 2002;
const START: u64 = 1_790_000_000_000;

pub fn key() -> ThreadKey {
    ThreadKey::new(PageId::from(10), UserId::from(77))
}

/// One of the two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Bot,
    Desk,
}

/// The fate of a host's next webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Post {
    Deliver,
    /// Delivered now, and redelivered later.
    Double,
    /// Delivered after the next webhook.
    Overtaken,
    Lose,
}

pub struct Host {
    pub app: AppId,
    pub config: Config,
    pub thread: Thread,
    page: PageMemory,
    client: GraphClient,
    calls: VecDeque<ToMake>,
    post: VecDeque<Delivery>,
    pub told: Vec<Notice>,
    pub accepted: Vec<MessageKey>,
    request_was_refused: bool,
    requests: u32,
    /// Whether its last call was `thread_owner` with the outcome idle.
    just_saw_it_idle: bool,
}

struct ToMake {
    id: CallId,
    call: Call,
    /// The owner that the thread believed in when it decided on the call.
    believed: Owner,
    /// The end of the call's lease: the process that was to make the call counts as dead from then on.
    until: Timestamp,
}

/// A pending call of the bot to the desk's endpoint.
struct Asked {
    call: CallId,
    waits_for: Waiting,
    until: Timestamp,
}

enum Waiting {
    Claim(u64),
    Transfer(u64),
}

pub struct World {
    platform: Arc<Mutex<Line>>,
    runtime: tokio::runtime::Runtime,
    pub bot: Host,
    pub desk: Host,
    asked: Vec<Asked>,
    pub customer_wrote: Vec<String>,
    pub made: usize,
    next_key: u32,
}

impl Host {
    fn gives_nothing_away_early(&self, call: &Call) {
        match call {
            Call::PassThreadControl { to } if *to == self.app => {}
            Call::PassThreadControl { .. } | Call::ReleaseThreadControl => {
                let waits =
                    |key: &&MessageKey| self.thread.message_status(key) == Some(MessageStatus::Waiting);
                assert_eq!(self.accepted.iter().find(waits), None, "given away before it was settled");
                assert!(!self.thread.intervention_is_open(), "given away while people are engaged");
            }
            Call::SendMessage { key: own, message } if message.control().is_some() => {
                let waits = |key: &&MessageKey| {
                    *key != own && self.thread.message_status(key) == Some(MessageStatus::Waiting)
                };
                assert_eq!(self.accepted.iter().find(waits), None, "given away with answers behind it");
                assert!(!self.thread.intervention_is_open(), "given away while people are engaged");
            }
            _ => {}
        }
    }
}

impl World {
    pub fn new(platform: Platform, rules: Rules, policy: ThreadControlPolicy, may_take: bool) -> Self {
        let platform = platform
            .with_app(sim::App::new(BOT, "Bot", "s", "v"))
            .with_app(sim::App::new(DESK, "Desk", "s", "v").may_take(may_take))
            .with_page(sim::Page::new(10, rules).app(BOT, "b").app(DESK, "d").person(77));
        let now = Timestamp::from_millis(START);
        let line = Arc::new(Mutex::new(Line { platform, now, luck: Luck::Good }));
        let mut bot = Config::new(AppId::from(BOT), Role::Bot, policy).with_desk(AppId::from(DESK));
        bot.desk_endpoint = true;
        let mut desk = Config::new(AppId::from(DESK), Role::Desk, policy);
        // Without expiry, because expiry would add a state for each moment at which a thread can come to rest.
        (bot.timeouts.retention, desk.timeouts.retention) = (Duration::MAX, Duration::MAX);
        let host = |config: Config| {
            let transport = To { line: Arc::clone(&line), app: config.app.clone() };
            let client = GraphClient::builder()
                .base_url("http://127.0.0.1/".parse().unwrap())
                .page(key().page, "token".into())
                .transport(Arc::new(transport))
                .build()
                .unwrap();
            Host {
                app: config.app.clone(),
                config,
                thread: Thread::new(),
                page: PageMemory::default(),
                client,
                calls: VecDeque::new(),
                post: VecDeque::new(),
                told: Vec::new(),
                accepted: Vec::new(),
                request_was_refused: false,
                requests: 0,
                just_saw_it_idle: false,
            }
        };
        let (bot, desk) = (host(bot), host(desk));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (asked, customer_wrote) = (Vec::new(), Vec::new());
        Self { platform: line, runtime, bot, desk, asked, customer_wrote, made: 0, next_key: 0 }
    }

    pub fn host(&mut self, side: Side) -> &mut Host {
        match side {
            Side::Bot => &mut self.bot,
            Side::Desk => &mut self.desk,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.platform.lock().unwrap().now
    }

    pub fn pass_time(&self, by: Duration) {
        let mut line = self.platform.lock().unwrap();
        line.now = line.now.plus(by);
    }

    /// Lets the platform act, and queues its webhooks for the hosts.
    fn platform<R>(&mut self, act: impl FnOnce(&mut Platform, Timestamp) -> R) -> R {
        let mut line = self.platform.lock().unwrap();
        let now = line.now;
        let result = act(&mut line.platform, now);
        for delivery in line.platform.take_outgoing() {
            let host = if delivery.app == self.bot.app { &mut self.bot } else { &mut self.desk };
            host.post.push_back(delivery);
        }
        result
    }

    pub fn owner(&mut self) -> Option<AppId> {
        self.platform(|platform, now| platform.owner(&key().page, &key().user, now))
    }

    pub fn conversation(&mut self) -> Vec<String> {
        self.platform(|platform, _| {
            let said = platform.conversation(&key().page, &key().user);
            said.iter().map(|said| said.text().unwrap().to_owned()).collect()
        })
    }

    pub fn customer_writes(&mut self) {
        let text = format!("question {}", self.customer_wrote.len());
        self.platform(|platform, now| platform.customer_writes(&key().page, &key().user, &text, now));
        self.customer_wrote.push(text);
    }

    pub fn send(&mut self, side: Side, farewell: Option<InlineControl>) {
        self.next_key += 1;
        let answer = MessageKey::new(format!("{side:?}-{}", self.next_key)).unwrap();
        let mut message = OutgoingMessage::text(answer.as_str()).unwrap();
        if let Some(control) = farewell {
            message = message.then(control);
        }
        if self.step(side, Input::Command(Command::Send { key: answer.clone(), message })) == Reply::Accepted
        {
            self.host(side).accepted.push(answer);
        }
    }

    pub fn command(&mut self, side: Side, command: Command) -> Reply {
        self.step(side, Input::Command(command))
    }

    fn step(&mut self, side: Side, input: Input) -> Reply {
        let now = self.now();
        let host = self.host(side);
        let (config, page) = (host.config.clone(), host.page);
        let cx = Context { page, ..Context::new(&config) };
        let mut out = Vec::new();
        let reply = host.thread.step(&cx, input, now, &mut out);
        let mut out = VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            match output {
                Output::Call { id, call, .. } => {
                    host.gives_nothing_away_early(&call);
                    let (believed, until) =
                        (host.thread.owner().clone(), now.plus(config.timeouts.call_lease));
                    host.calls.push_back(ToMake { id, call, believed, until });
                }
                Output::Notice { id, notice, .. } => {
                    host.told.push(notice);
                    let mut more = Vec::new();
                    let done = Input::NoticeHandled { notice: id, handled: Handled::done() };
                    assert_eq!(host.thread.step(&cx, done, now, &mut more), Reply::Done);
                    out.extend(more);
                }
                Output::PageRefuses { call, certain, .. } => {
                    if certain {
                        host.page.refuses(call, now);
                    }
                }
                other => panic!("not modelled: {other:?}"),
            }
        }
        let cx = Context { page: host.page, ..Context::new(&host.config) };
        host.calls.retain(|call| now < call.until);
        assert!(host.calls.len() <= 1, "one call at a time");
        assert!(
            host.thread.next_wake(&cx).is_some() || host.thread.is_at_rest(),
            "what waits has a wake time: {:#?}",
            host.thread
        );
        self.answer_the_bot();
        reply
    }

    /// Takes the next webhook of a host and applies its fate.
    pub fn post(&mut self, side: Side, post: Post) {
        let host = self.host(side);
        match post {
            Post::Overtaken if host.post.len() > 1 => host.post.swap(0, 1),
            Post::Lose => {
                host.post.pop_front();
                return;
            }
            _ => {}
        }
        let Some(delivery) = host.post.pop_front() else { return };
        if post == Post::Double {
            host.post.push_back(delivery.clone());
        }
        let body = json!({"object": "page", "entry": [{
            "id": delivery.page, "time": delivery.at.as_millis(), (delivery.channel.name()): [delivery.item],
        }]});
        let parsed = dangerous_parse_unverified(body.to_string().as_bytes()).unwrap();
        for item in parsed.items {
            let Item::Event { event, .. } = item else { panic!("not understood: {item:?}") };
            self.step(side, Input::Event(event));
        }
    }

    /// Makes the host's next call.
    pub fn make(&mut self, side: Side, luck: Luck) {
        let now = self.now();
        let Some(ToMake { id, call, believed, until }) = self.host(side).calls.pop_front() else { return };
        if until <= now {
            return;
        }
        self.made += 1;
        if let Call::AskDesk(direction) = call {
            return self.ask(id, direction, luck);
        }
        self.judge(side, &call, &believed);
        self.platform.lock().unwrap().luck = luck;
        let host = match side {
            Side::Bot => &self.bot,
            Side::Desk => &self.desk,
        };
        let result = self.runtime.block_on(make(&host.client, &host.app, call.clone()));
        let result = result.unwrap_or_else(CallError::into_outcome);
        self.host(side).just_saw_it_idle = result == CallOutcome::Owner(ThreadOwner::Idle);
        let refused = matches!(&result, CallOutcome::Refused(why) if why.kind.means_not_available());
        self.host(side).requests += u32::from(call == Call::RequestThreadControl);
        self.host(side).request_was_refused |= refused && call == Call::RequestThreadControl;
        // The platform's webhooks are queued before the response returns.
        self.platform(|_, _| ());
        self.step(side, Input::CallEnded { call: id, outcome: result });
    }

    /// Checks that take is called only where policy and protocol permit it.
    fn judge(&mut self, side: Side, call: &Call, believed: &Owner) {
        let owner = self.owner();
        let (bot, desk) = (self.bot.app.clone(), self.desk.app.clone());
        let host = self.host(side);
        match call {
            // An agent may gain control between `thread_owner` and take; the platform offers no way to prevent that.
            Call::TakeThreadControl if side == Side::Bot => {
                assert!(owner != Some(desk) || host.just_saw_it_idle, "taken from people");
            }
            Call::TakeThreadControl if owner == Some(bot) => assert!(
                host.config.policy == ThreadControlPolicy::EdPrimary
                    || host.request_was_refused
                    || host.requests >= 3
                    || *believed == Owner::Idle,
                "a take without a refused or unanswered request"
            ),
            _ => {}
        }
    }

    /// Acts as the desk's `bots_api::Endpoint`.
    fn ask(&mut self, call: CallId, direction: Direction, luck: Luck) {
        let transport = |words| Failure::new(FailureKind::Transport, words);
        if matches!(luck, Luck::Lost | Luck::Busy) {
            let result = match luck {
                Luck::Lost => CallOutcome::Unknown(transport("no answer")),
                _ => CallOutcome::Refused(transport("no connection")),
            };
            self.step(Side::Bot, Input::CallEnded { call, outcome: result });
            return;
        }
        let command = match direction {
            Direction::BotToAgent => Command::Claim { origin: ClaimOrigin::BotAsked, note: None },
            Direction::AgentToBot => {
                Command::Transfer { target: Target::App(self.bot.app.clone()), note: None }
            }
        };
        let reply = self.step(Side::Desk, Input::Command(command));
        if luck == Luck::AnswerLost {
            let result = CallOutcome::Unknown(transport("no answer"));
            self.step(Side::Bot, Input::CallEnded { call, outcome: result });
            return;
        }
        let waits_for = match reply {
            Reply::Claiming(id) => Waiting::Claim(id),
            Reply::Transferring { id, waits: false } => Waiting::Transfer(id),
            Reply::Refused(why) => {
                let result = CallOutcome::Refused(Failure::new(FailureKind::Conflict, why.to_string()));
                self.step(Side::Bot, Input::CallEnded { call, outcome: result });
                return;
            }
            _ => {
                self.step(Side::Bot, Input::CallEnded { call, outcome: CallOutcome::Done });
                return;
            }
        };
        let until = self.now().plus(Duration::from_secs(8));
        self.asked.push(Asked { call, waits_for, until });
        self.answer_the_bot();
    }

    fn answer_the_bot(&mut self) {
        let now = self.now();
        let conflict = || CallOutcome::Refused(Failure::new(FailureKind::Conflict, "no"));
        for index in (0..self.asked.len()).rev() {
            let Asked { call, waits_for, until } = &self.asked[index];
            let result = match waits_for {
                Waiting::Claim(id) => match self.desk.thread.claim_progress(*id) {
                    ClaimProgress::Trying => None,
                    ClaimProgress::Accepted | ClaimProgress::Granted => Some(CallOutcome::Done),
                    _ => Some(conflict()),
                },
                Waiting::Transfer(id) => match self.desk.thread.transfer_progress(*id) {
                    TransferProgress::Waiting => None,
                    TransferProgress::Done => Some(CallOutcome::Done),
                    _ => Some(conflict()),
                },
            };
            let late = || CallOutcome::Unknown(Failure::new(FailureKind::Transient, "503"));
            let Some(result) = result.or_else(|| (*until <= now).then(late)) else { continue };
            let call = *call;
            self.asked.remove(index);
            self.step(Side::Bot, Input::CallEnded { call, outcome: result });
            return self.answer_the_bot();
        }
    }

    /// Replaces the host's process by a new one that continues from the stored state.
    pub fn crash(&mut self, side: Side) {
        let host = self.host(side);
        let saved = serde_json::to_string(&host.thread).unwrap();
        host.thread = serde_json::from_str(&saved).unwrap();
        host.calls.clear();
        if side == Side::Bot {
            self.asked.clear();
        }
        self.step(side, Input::Wake);
    }

    /// Ends all faults, delivers all webhooks, makes all calls, and lets time pass until both hosts are at rest.
    pub fn settle(&mut self) {
        for _ in 0..2_000 {
            self.pass_time(Duration::from_millis(1));
            for side in [Side::Bot, Side::Desk] {
                self.post(side, Post::Deliver);
                self.make(side, Luck::Good);
            }
            let busy = |host: &Host| !host.post.is_empty() || !host.calls.is_empty();
            if busy(&self.bot) || busy(&self.desk) {
                continue;
            }
            if self.bot.thread.is_at_rest() && self.desk.thread.is_at_rest() && self.asked.is_empty() {
                return;
            }
            let wakes = [&self.bot, &self.desk].into_iter().filter_map(|host| {
                let cx = Context { page: host.page, ..Context::new(&host.config) };
                host.thread.next_wake(&cx)
            });
            let next = wakes.chain(self.asked.iter().map(|asked| asked.until)).min();
            let now = self.now();
            self.pass_time(next.expect("not at rest, and nothing to wait for").since(now));
            self.answer_the_bot();
            self.step(Side::Bot, Input::Wake);
            self.step(Side::Desk, Input::Wake);
        }
        panic!("they never come to rest: {:#?} {:#?}", self.bot.thread, self.desk.thread);
    }
}
