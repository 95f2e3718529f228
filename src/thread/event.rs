//! Webhook events: each one updates the belief and the queues, and may notify the host.

use crate::call::MessageKey;
use crate::event::{Channel, ControlChange, ControlRequest, Echo, Event, EventKind, Inbound};
use crate::policy::{Role, ThreadControlPolicy};
use crate::time::{Span, Timestamp};

use super::belief::Owner;
use super::broken::Broken;
use super::config::{Config, Context, is_inbox};
use super::duplicates::Horizon;
use super::inbound::Novelty;
use super::notice::Notice;
use super::output::Reply;
use super::terms::Target;
use super::transfer::Stage;
use super::{LastChange, Thread};

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
        // An event without a stamp happened before it arrived; otherwise it would be newer than all events that
        // follow.
        let arrived = now.plus(config.timeouts.clock_tolerance);
        let at = if at == Span::UNKNOWN { Span { to: arrived, ..at } } else { at };
        if !is_control {
            match channel {
                Channel::Standby => self.belief.seen_on_standby(at, config.timeouts.clock_tolerance),
                Channel::Messaging => self.belief.seen_on_messaging(at),
            }
        }
        match kind {
            EventKind::PassThreadControl(change) => self.control_changed(cx, change, at, false, now),
            EventKind::TakeThreadControl(change) => self.control_changed(cx, change, at, true, now),
            EventKind::RequestThreadControl(request) => self.control_requested(config, request, at, now),
            EventKind::Inbound(inbound) => {
                self.inbox.active(at, arrived);
                self.inbound(cx, inbound, channel, now)
            }
            EventKind::Echo(echo) => self.echo(cx, echo, channel, at, now),
            kind => self.something_else(cx, channel, kind, at, arrived, now),
        }
    }

    /// Applies a pass or take event. The direction is read from the ids, [not from the event's
    /// name](crate::protocol#control-events).
    fn control_changed(
        &mut self,
        cx: &Context<'_>,
        change: ControlChange,
        at: Span,
        take: bool,
        now: Timestamp,
    ) -> Reply {
        let config = cx.config;
        let owner = match (&change.new_owner, &change.previous_owner) {
            (Some(new), _) if *new == config.app => Owner::Us,
            (Some(new), _) => Owner::Other(Some(new.clone())),
            // The take event of 2017 names only the previous owner.
            (None, Some(previous)) if take && *previous == config.app => Owner::Other(None),
            (None, _) => Owner::Unknown,
        };
        let tolerance = config.timeouts.clock_tolerance;
        // A default application knows its control from deliveries only, and the event says that it left.
        let had_control =
            *self.belief.owner() == Owner::Us || change.previous_owner.as_ref() == Some(&config.app);
        let is_ours = owner == Owner::Us;
        let learnt = match owner {
            // An event that names no new owner never means that control is ours.
            Owner::Unknown => self.belief.event_of_nobody(at),
            owner if config.is(Broken::EventsAsTheyArrive) => self.belief.arrived(owner, at),
            owner => self.belief.event(owner, at, tolerance),
        };
        if !learnt {
            return Reply::Ignored;
        }
        if is_ours && self.people.are_asked_for() {
            let by_people = change.previous_owner.as_ref().is_some_and(|app| config.is_of_people(app));
            self.control_came_back(config, by_people, at);
        }
        let is_told = is_ours != self.announced_ours;
        self.last_change = is_told.then(|| {
            Box::new(LastChange { from: change.previous_owner, note: change.metadata.map(Into::into) })
        });
        // If they took over before they were asked for, they have yet to come.
        if !is_ours
            && (had_control || self.people.are_asked_for())
            && !self.people.were_asked_after(at)
            && change.new_owner.is_some_and(|app| config.is_of_people(&app))
        {
            self.people_come(cx, at.to.min(now), now);
        }
        Reply::Done
    }

    /// Control came to us while people were asked for: either an event from before the request, or people are done.
    fn control_came_back(&mut self, config: &Config, by_people: bool, at: Span) {
        let has_asked =
            self.transfer.as_ref().is_none_or(|transfer| matches!(transfer.stage, Stage::Asked { .. }));
        if self.people.were_asked_after(at) {
            // The event is older than the request: people have yet to come.
            self.people.have_yet_to_come();
            if self.transfer.is_none() && (config.desk_endpoint || config.desk.is_some()) {
                self.start_transfer(Target::Desk);
            }
        } else if by_people && has_asked {
            self.people.are_done();
        }
    }

    /// People are there, since `at`: a bot falls silent.
    pub(super) fn people_come(&mut self, cx: &Context<'_>, at: Timestamp, now: Timestamp) {
        if cx.config.role == Role::Bot {
            self.people.come(at, now, cx.config.timeouts.people);
            self.fall_silent(cx, now);
        }
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
        // Only the owner and the primary receive requests, so this is evidence against another owner.
        self.belief.seen_on_messaging(at);
        let granted = by.as_ref().is_some_and(|by| config.trusted.contains(by));
        let grant = config.timeouts.grant;
        let is_news = by.as_ref().is_none_or(|by| self.requests.push(by.clone(), granted, now, grant));
        if is_news {
            self.notices.push(Notice::ControlRequested { by, note: metadata.map(Into::into), granted });
        }
        Reply::Done
    }

    /// Recognises a duplicate, which is accepted even when the notice queue is full. A message on `messaging` that
    /// was notified as another app's to answer is no duplicate, because it speaks against the belief.
    pub(super) fn recognise(&mut self, event: &Event, now: Timestamp) -> bool {
        match &event.kind {
            EventKind::Inbound(inbound) => {
                let owner_is_known = matches!(self.belief.owner(), Owner::Us);
                let ours = owner_is_known || event.channel == Channel::Messaging;
                self.inbox.recognise(inbound, ours, now)
            }
            kind => self.inbox.recognise_control(event.at, kind, now),
        }
    }

    /// Whether this host should answer the customer's message.
    fn is_to_answer(&self, cx: &Context<'_>, channel: Channel) -> bool {
        let config = cx.config;
        match self.belief.owner() {
            _ if self.is_silent(cx) => false,
            Owner::Us => true,
            Owner::Idle | Owner::Unknown => channel == Channel::Messaging,
            // A bot whose desk is primary asks it for control, and is refused while an agent is engaged.
            Owner::Other(owner) => {
                let asks = cx.policy == ThreadControlPolicy::EdPrimary && config.desk_endpoint;
                config.role == Role::Bot
                    && asks
                    && owner.as_ref().is_none_or(|owner| !config.silent.contains(owner))
            }
        }
    }

    /// Whether a typing indicator may be shown: if control is ours, or if the customer's last message came to us and
    /// no other app is known to have control. Without a primary every app receives the messages, so they are no
    /// evidence. Never while people are busy with the customer.
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
        ours && !belief.in_doubt && !self.is_leaving() && !self.people.are_busy()
    }

    fn inbound(&mut self, cx: &Context<'_>, inbound: Inbound, channel: Channel, now: Timestamp) -> Reply {
        let (config, horizon) = (cx.config, Horizon::new(cx.config, now));
        let is_owned = matches!(self.belief.owner(), Owner::Other(_));
        if channel == Channel::Messaging && !is_owned && self.people.have_control() {
            if self.belief.in_doubt || inbound.postback {
                // A button's postback comes to the app that sent the button, [whoever owns the
                // thread](crate::protocol#standby). And the owner being read may be the one from before this message.
                self.belief.in_doubt = true;
                self.belief.changed();
            } else if !self.people.engaged_after(inbound.at) {
                // The platform routes the customer to us again.
                self.people.are_done();
            }
        }
        let to_answer = self.is_to_answer(cx, channel);
        if channel == Channel::Messaging && !to_answer && self.in_flight.is_some() {
            // Control may have come back since the call that is under way, and nobody would be asked to answer.
            self.belief.changed();
        }
        // A message for which a bot must ask the desk is stored too, because the desk may refuse.
        let waits = is_owned || !to_answer;
        if self.inbox.note(&inbound, to_answer, waits, config.limits, horizon) == Novelty::Known {
            return Reply::Ignored;
        }
        if waits && channel == Channel::Messaging {
            self.inbox.came_on_messaging();
        }
        if to_answer && !is_owned && self.inbox.has_unanswered() {
            // Control came back without an event, because a release and an expiry send none (docs/protocol.md#idle).
            self.notify_unanswered(channel);
        }
        self.announced_to_answer |= to_answer && !is_owned && !self.announced_ours;
        self.notices.push(Notice::Message { inbound, channel, to_answer });
        Reply::Done
    }

    /// The unanswered messages are ours to answer now.
    pub(super) fn notify_unanswered(&mut self, channel: Channel) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let (unanswered, _) = inbox.take_unanswered(|inbound| self.is_replied_to(inbound));
        self.inbox = inbox;
        let notice = |inbound| Notice::Message { inbound, channel, to_answer: true };
        self.notices.extend(unanswered.into_iter().map(notice));
    }

    /// Our own message that this echo belongs to.
    fn message_of(&self, config: &Config, echo: &Echo) -> Option<MessageKey> {
        if echo.app_id.as_ref().is_some_and(|app| *app != config.app) {
            return None;
        }
        let key = |metadata: &String| MessageKey::from_metadata(metadata, &config.app);
        let by_metadata = echo.metadata.as_ref().and_then(key);
        // Instagram's echoes may come without metadata.
        by_metadata.or_else(|| self.outbox.by_echo(echo.mid.as_ref(), echo.text.as_deref()))
    }

    /// Whether the host may have to be notified of an event, so that the queue needs room. An echo of our own only
    /// settles a message that was accepted before.
    pub(super) fn is_notified(&self, config: &Config, event: &Event) -> bool {
        match &event.kind {
            EventKind::Echo(echo) => {
                echo.app_id.as_ref() != Some(&config.app) && self.message_of(config, echo).is_none()
            }
            kind => kind.is_notified() || kind.is_receipt() && config.receipts,
        }
    }

    fn echo(&mut self, cx: &Context<'_>, echo: Echo, channel: Channel, at: Span, now: Timestamp) -> Reply {
        let config = cx.config;
        if let Some(key) = self.message_of(config, &echo) {
            return if self.delivered(config, &key, echo.mid, now) { Reply::Done } else { Reply::Ignored };
        }
        self.inbox.another_answered(at, now);
        let known = |mid| self.inbox.see_echo(mid, Horizon::new(config, now));
        if echo.app_id.as_ref() == Some(&config.app) || echo.mid.as_ref().is_some_and(known) {
            return Reply::Ignored;
        }
        let by_person = is_by_person(config, &echo);
        if by_person && config.role == Role::Bot {
            if self.people.are_asked_for() {
                self.people.ask(now, config.timeouts.people);
            }
            // The desk has control while it answers. An inbox takes it, unless it is still ours, and the phone app needs none.
            match &echo.app_id {
                Some(app) if !is_inbox(app) => {}
                Some(_) if channel == Channel::Standby => {
                    // A bot that has to ask the desk for control would not be routed the customer when the inbox is done.
                    let must_ask = cx.policy == ThreadControlPolicy::EdPrimary && config.desk_endpoint;
                    let wait = if must_ask { config.timeouts.stand_back } else { config.timeouts.people };
                    if self.belief.may_be_elsewhere_since(at) && !self.people.were_asked_after(at) {
                        self.people.come(at.to.min(now), now, wait);
                    }
                }
                _ => self.people.answer_elsewhere(now, config.timeouts.stand_back),
            }
            if self.is_silent(cx) {
                self.fall_silent(cx, now);
            }
        }
        self.notices.push(Notice::AnsweredElsewhere { echo, by_person });
        Reply::Done
    }
}

/// Whether a person wrote a message, as far as can be seen: in the desk, in an inbox, or in the phone app, which
/// sends [no app id](crate::protocol#echoes). Meta's AI writes under the inbox's id, but its echo is
/// [marked](crate::protocol#meta-ai).
fn is_by_person(config: &Config, echo: &Echo) -> bool {
    !echo.ai_generated && echo.app_id.as_ref().is_none_or(|app| config.is_of_people(app))
}
