//! Test fixture: a thread with its own clock, driven call by call.

use super::*;

/// One thread with its configuration and its own clock.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) page: PageMemory,
    pub(super) thread: Thread,
    pub(super) now: Timestamp,
    /// The outputs of the last step, with notices acknowledged.
    pub(super) calls: Vec<(CallId, Call)>,
    pub(super) notices: Vec<Notice>,
    /// Whether the handler skips its notices.
    pub(super) skips: bool,
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        let now = Timestamp::from_millis(BASE);
        Self {
            config,
            page: PageMemory::default(),
            thread: Thread::new(),
            now,
            calls: vec![],
            notices: vec![],
            skips: false,
        }
    }

    /// The next wake for work under way, not for dropping the thread.
    pub(super) fn next_wake(&self) -> Option<Timestamp> {
        let forgotten = self.now.plus(self.config.timeouts.retention / 2);
        self.thread.next_wake(&Context::new(&self.config)).filter(|wake| *wake < forgotten)
    }

    pub(super) fn desk(policy: ThreadControlPolicy) -> Self {
        Self::new(Config::new(AppId::from(DESK), Role::Desk, policy))
    }

    pub(super) fn bot(policy: ThreadControlPolicy) -> Self {
        let mut config = Config::new(AppId::from(BOT), Role::Bot, policy).with_desk(AppId::from(DESK));
        config.desk_endpoint = true;
        Self::new(config)
    }

    pub(super) fn step(&mut self, input: Input) -> Reply {
        let cx = Context { page: self.page, ..Context::new(&self.config) };
        let mut out = Vec::new();
        let reply = self.thread.step(&cx, input, self.now, &mut out);
        let mut out = std::collections::VecDeque::from(out);
        while let Some(output) = out.pop_front() {
            match output {
                Output::Call { id, call, .. } => self.calls.push((id, call)),
                Output::Notice { id, notice, .. } => {
                    self.notices.push(notice);
                    let mut more = Vec::new();
                    let handled = if self.skips { Handled::Skip } else { Handled::done() };
                    let done = Input::NoticeHandled { notice: id, handled };
                    assert_eq!(self.thread.step(&cx, done, self.now, &mut more), Reply::Done);
                    out.extend(more);
                }
                Output::PageRefuses { call, certain, .. } => {
                    if certain {
                        self.page.refuses(call, self.now);
                    }
                }
                Output::SetAside { .. } => {}
            }
        }
        assert!(
            self.thread.next_wake(&cx).is_some() || self.thread.is_at_rest(),
            "what waits has a wake time"
        );
        reply
    }

    pub(super) fn command(&mut self, command: Command) -> Reply {
        self.step(Input::Command(command))
    }

    pub(super) fn send(&mut self, key: &str) -> Reply {
        let message = OutgoingMessage::text(format!("text of {key}")).unwrap();
        self.command(Command::Send { key: MessageKey::new(key).unwrap(), message })
    }

    pub(super) fn event(&mut self, channel: Channel, kind: EventKind) -> Reply {
        self.wait(1);
        self.step(Input::Event(Event { channel, at: Span::at(self.now), kind }))
    }

    pub(super) fn passed_to(&mut self, app: u64) -> Reply {
        let change = ControlChange { new_owner: Some(AppId::from(app)), ..ControlChange::default() };
        self.event(Channel::Messaging, EventKind::PassThreadControl(change))
    }

    pub(super) fn requested_by(&mut self, app: u64) -> Reply {
        let request = ControlRequest { requested_by: Some(AppId::from(app)), metadata: None };
        self.event(Channel::Messaging, EventKind::RequestThreadControl(request))
    }

    pub(super) fn customer(&mut self, mid: &str, channel: Channel) -> Reply {
        let inbound = Inbound {
            text: Some(format!("text of {mid}")),
            ..Inbound::new(Some(MessageId::new(mid).unwrap()), Span::at(self.now))
        };
        self.event(channel, EventKind::Inbound(inbound))
    }

    pub(super) fn echo_of(&mut self, key: &str) -> Reply {
        let app = self.config.app.clone();
        let metadata = Some(MessageKey::new(key).unwrap().to_metadata(&app));
        let echo = Echo { metadata, ..Echo::new(MessageId::new("e").ok(), Some(app)) };
        self.event(Channel::Messaging, EventKind::Echo(echo))
    }

    /// Forwards this request each time it is made, while another app keeps control.
    pub(super) fn unanswered(&mut self, call: &Call, owner: u64) {
        for again in 1..=self.config.limits.requests {
            if again > 1 {
                self.expect(call.clone(), CallOutcome::Forwarded);
            }
            self.sleep();
            self.expect(Call::ThreadOwner, owned_by(owner));
        }
    }

    pub(super) fn wait(&mut self, millis: u64) {
        self.now = self.now.plus(Duration::from_millis(millis));
    }

    /// Waits until the next wake, and wakes the thread.
    pub(super) fn sleep(&mut self) {
        let wake = self.thread.next_wake(&Context::new(&self.config)).expect("nothing to wait for");
        self.now = self.now.max(wake);
        self.step(Input::Wake);
    }

    /// The one call under way.
    pub(super) fn call(&mut self) -> (CallId, Call) {
        assert_eq!(self.calls.len(), 1, "{:?}", self.calls);
        self.calls.remove(0)
    }

    #[allow(clippy::needless_pass_by_value, reason = "it is written in the call")]
    pub(super) fn expect(&mut self, expected: Call, result: CallOutcome) {
        let (id, call) = self.call();
        assert_eq!(call, expected);
        self.wait(1);
        self.step(Input::CallEnded { call: id, outcome: result });
    }

    /// Ends the send of this message, which is under way, with this outcome.
    pub(super) fn expect_send(&mut self, key: &str, result: CallOutcome) {
        let (id, call) = self.call();
        match call {
            Call::SendMessage { key: sent, message } => {
                assert_eq!((sent.as_str(), message.messaging_type()), (key, MessagingType::Response));
            }
            other => panic!("{other:?}"),
        }
        self.wait(1);
        self.step(Input::CallEnded { call: id, outcome: result });
    }

    pub(super) fn delivered(&self) -> Vec<&str> {
        let mut keys = Vec::new();
        for notice in &self.notices {
            if let Notice::MessageSent { key, .. } = notice {
                keys.push(key.as_str());
            }
        }
        keys
    }
}
