use crate::call::AnswerKey;
use crate::event::{Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound};
#[cfg(feature = "service")]
use crate::policy::ThreadControlPolicy;
use crate::time::{Span, Timestamp};

use super::Thread;
use super::belief::Owner;
use super::broken::Broken;
use super::config::{Config, Context};
use super::inbound::Novelty;
use super::io::{Notice, Reply};
use super::seen::Horizon;

impl Thread {
    pub(super) fn event(&mut self, cx: &Context<'_>, event: Event, now: Timestamp) -> Reply {
        let Event { channel, at, kind } = event;
        let config = cx.config;
        let is_control = matches!(
            kind,
            EventKind::PassThreadControl(_)
                | EventKind::TakeThreadControl(_)
                | EventKind::RequestThreadControl(_)
        );
        if is_control {
            if self.inbox.recognise_control(at, &kind, now) {
                return Reply::Ignored;
            }
            self.inbox.see(at, &kind, Horizon::new(config, now));
        }
        // What has no stamp happened before it arrived; else it would be newer than all that follows.
        let arrived = now.plus(config.timeouts.clock_tolerance);
        let at = if at == Span::UNKNOWN { Span { to: arrived, ..at } } else { at };
        if !is_control {
            match channel {
                Channel::Standby => self.belief.seen_on_standby(at, config.timeouts.clock_tolerance),
                Channel::Messaging => self.belief.seen_on_messaging(at),
            }
        }
        match kind {
            EventKind::PassThreadControl(change) => self.control_changed(config, &change, at, false),
            EventKind::TakeThreadControl(change) => self.control_changed(config, &change, at, true),
            EventKind::RequestThreadControl(request) => self.control_requested(config, request, at, now),
            EventKind::Inbound(inbound) => {
                self.inbox.active(at, arrived);
                self.inbound(config, inbound, channel, now)
            }
            EventKind::Echo(echo) => self.echo(config, echo, at, now),
            EventKind::Unsent(_) | EventKind::Edited { .. } => {
                self.inbox.active(at, arrived);
                Reply::Done
            }
            EventKind::Other(other) => {
                if other.by_customer {
                    self.inbox.active(at, arrived);
                }
                Reply::Done
            }
            EventKind::Read { .. } | EventKind::Delivery { .. } => Reply::Done,
        }
    }

    /// Direction is read from the ids, not from the event's name (facts §4.6).
    fn control_changed(&mut self, config: &Config, change: &ControlChange, at: Span, take: bool) -> Reply {
        let owner = match (&change.new_owner, &change.previous_owner) {
            (Some(new), _) if *new == config.app => Owner::Us,
            (Some(new), _) => Owner::Other(Some(new.clone())),
            // The take event of 2017 named only who lost control.
            (None, Some(previous)) if take && *previous == config.app => Owner::Other(None),
            (None, _) => Owner::Unknown,
        };
        let tolerance = config.timeouts.clock_tolerance;
        let learnt = match owner {
            // An event that names nobody we know is never taken for ours.
            Owner::Unknown => self.belief.event_of_nobody(at),
            owner if config.is(Broken::EventsAsTheyArrive) => self.belief.arrived(owner, at),
            owner => self.belief.event(owner, at, tolerance),
        };
        if learnt { Reply::Done } else { Reply::Ignored }
    }

    fn control_requested(
        &mut self,
        config: &Config,
        request: ControlRequest,
        at: Span,
        now: Timestamp,
    ) -> Reply {
        let ControlRequest { requested_by: by, metadata } = request;
        if by.as_ref() == Some(&config.app) {
            return Reply::Ignored;
        }
        // Only the owner and the primary are asked, so it speaks against another owner.
        self.belief.seen_on_messaging(at);
        let granted = by.as_ref().is_some_and(|by| config.trusted.contains(by));
        let grant = config.timeouts.grant;
        let is_news = by.as_ref().is_none_or(|by| self.requests.push(by.clone(), granted, now, grant));
        if is_news {
            self.notices.push(Notice::ControlRequested { by, metadata, granted });
        }
        Reply::Done
    }

    /// Recognises a duplicate, which is accepted even when the notice queue is full. A message on `messaging` that was told as
    /// somebody else's is none: it speaks against the belief.
    pub(super) fn recognise(&mut self, event: &Event, now: Timestamp) -> bool {
        match &event.kind {
            EventKind::Inbound(inbound) => {
                let ours = self.is_ours(event.channel) || event.channel == Channel::Messaging;
                self.inbox.recognise(inbound, ours, now)
            }
            kind => self.inbox.recognise_control(event.at, kind, now),
        }
    }

    /// Whether what a customer writes is ours to answer.
    fn is_ours(&self, channel: Channel) -> bool {
        match self.belief.owner() {
            Owner::Us => true,
            Owner::Other(_) => false,
            Owner::Idle | Owner::Unknown => channel == Channel::Messaging,
        }
    }

    /// Whether a typing indicator may be shown: where control is ours, and where the customer's last message came to us and
    /// nobody else is known to have control. Without a primary that is so for every app, so that it says nothing.
    #[cfg(feature = "service")]
    pub(crate) fn may_show(&self, policy: ThreadControlPolicy, now: Timestamp) -> bool {
        let (mut belief, active) = (self.belief.clone(), self.inbox.active_until());
        belief.lapse(now, active);
        let ours = match belief.owner() {
            Owner::Us => true,
            Owner::Unknown => {
                policy != ThreadControlPolicy::NoPrimary && active.is_some_and(|until| until > now)
            }
            Owner::Idle | Owner::Other(_) => false,
        };
        ours && !belief.in_doubt && !self.is_leaving()
    }

    fn inbound(&mut self, config: &Config, inbound: Inbound, channel: Channel, now: Timestamp) -> Reply {
        let ours = self.is_ours(channel);
        if self.inbox.note(&inbound, ours, config.limits, Horizon::new(config, now)) == Novelty::Known {
            return Reply::Ignored;
        }
        if ours && self.inbox.has_unanswered() {
            // Control came back without a word: a release and an expiry send none. What was written
            // meanwhile and not answered is ours now too.
            let (unanswered, _) = self.inbox.take_unanswered();
            self.notices.extend(unanswered.into_iter().map(|inbound| Notice::Message {
                inbound,
                channel,
                ours,
            }));
        }
        self.notices.push(Notice::Message { inbound, channel, ours });
        Reply::Done
    }

    fn echo(&mut self, config: &Config, echo: Echo, at: Span, now: Timestamp) -> Reply {
        let may_be_ours = echo.app_id.as_ref().is_none_or(|app| *app == config.app);
        let metadata = echo.metadata.as_deref().filter(|_| may_be_ours);
        let key = metadata.and_then(|metadata| AnswerKey::from_metadata(metadata, &config.app));
        let Some(key) = key else {
            self.inbox.answered_by_another(at);
            return Reply::Done;
        };
        if self.delivered(config, &key, echo.mid, now) { Reply::Done } else { Reply::Ignored }
    }
}
