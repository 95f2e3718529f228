//! Draws a schedule as a sequence diagram, in the quickstart's format.

use messenger_handover::call::{Call, Direction};
use messenger_handover::event::{Channel, Event, EventKind};
use messenger_handover::id::AppId;
use messenger_handover::thread::Command;

use crate::diagram::{self, Arrow, Kind, Lifeline};
use crate::scene::{BOT, DESK};
use crate::state::Side;

#[derive(Debug, Default)]
pub struct Picture {
    arrows: Vec<Arrow>,
    /// The thread's owner from the next arrow on, if it changed.
    owner: Option<&'static str>,
}

impl Picture {
    pub fn text(&self) -> String {
        diagram::text(&self.arrows)
    }

    fn arrow(&mut self, from: Lifeline, to: Lifeline, label: String, refused: bool) {
        let owner = self.owner.take();
        self.arrows.push(Arrow { from, to, label, kind: Kind::Step, refused, owner });
    }

    pub fn customer(&mut self, text: &str) {
        self.arrow(Lifeline::Customer, Lifeline::Meta, format!("{text:?}"), false);
    }

    pub fn note(&mut self, text: &str) {
        self.arrow(Lifeline::Customer, Lifeline::Meta, format!("({text})"), false);
    }

    pub fn owner(&mut self, owner: Option<&AppId>) {
        self.owner = Some(match owner.map(ToString::to_string) {
            None => "nobody",
            Some(app) if app == BOT.to_string() => "Bot",
            Some(app) if app == DESK.to_string() => "ED",
            Some(_) => "inbox",
        });
    }

    pub fn command(&mut self, side: Side, command: &Command) {
        let label = match command {
            Command::Send { key, .. } => format!("send {:?}", key.as_str()),
            Command::OpenIntervention => "open intervention".to_owned(),
            Command::CloseIntervention => "close intervention".to_owned(),
            Command::Transfer { target, note: None } => format!("hand over to {target:?}"),
            other => format!("{other:?}"),
        };
        match side {
            Side::Bot => self.arrow(Lifeline::Customer, Lifeline::Bot, format!("({label})"), false),
            Side::Desk => self.arrow(Lifeline::Agent, Lifeline::Ed, label, false),
        }
    }

    pub fn ask(&mut self, direction: Direction) {
        self.arrow(Lifeline::Bot, Lifeline::Ed, format!("POST handover, {direction:?}"), false);
    }

    pub fn call(&mut self, side: Side, call: &Call, aside: &str, refused: bool) {
        let label = match call {
            Call::SendMessage { key, message } => {
                let control = if message.control().is_some() { " with control" } else { "" };
                format!("message {:?}{control}", key.as_str())
            }
            Call::PassThreadControl { to } => format!("pass_thread_control to {to}"),
            Call::TakeThreadControl => "take_thread_control".to_owned(),
            Call::RequestThreadControl => "request_thread_control".to_owned(),
            Call::ReleaseThreadControl => "release_thread_control".to_owned(),
            Call::ThreadOwner => "thread_owner?".to_owned(),
            other => format!("{other:?}"),
        };
        let aside = if aside.is_empty() { String::new() } else { format!(" ({aside})") };
        self.arrow(lifeline(side), Lifeline::Meta, label + &aside, refused);
    }

    pub fn webhook(&mut self, side: Side, event: &Event) {
        let what = match &event.kind {
            EventKind::PassThreadControl(_) => "pass_thread_control".to_owned(),
            EventKind::TakeThreadControl(_) => "take_thread_control".to_owned(),
            EventKind::RequestThreadControl(_) => "request_thread_control".to_owned(),
            EventKind::Inbound(inbound) => inbound.text.clone().unwrap_or_default(),
            EventKind::Echo(echo) => format!("echo {:?}", echo.text.as_deref().unwrap_or_default()),
            other => format!("{other:?}"),
        };
        let channel = if event.channel == Channel::Standby { " on standby" } else { "" };
        self.arrow(Lifeline::Meta, lifeline(side), format!("webhook {what}{channel}"), false);
    }
}

fn lifeline(side: Side) -> Lifeline {
    match side {
        Side::Bot => Lifeline::Bot,
        Side::Desk => Lifeline::Ed,
    }
}
