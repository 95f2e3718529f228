//! The desk's endpoint, as the bot calls it.

use std::time::Duration;

use messenger_handover::call::{CallId, CallOutcome, Direction, Failure, FailureKind};
use messenger_handover::thread::{
    ClaimOrigin, ClaimProgress, Command, Input, Reply, Target, TransferProgress,
};

use crate::scene::Loss;
use crate::state::{Asked, Side, Waiting};
use crate::turn::Turn;

impl Turn<'_> {
    /// Acts as the desk's `bots_api::Endpoint`.
    pub(super) fn ask(&mut self, call: CallId, direction: Direction, loss: Loss) {
        self.draw(|picture| picture.ask(direction));
        if loss == Loss::Call {
            return self.lost(Side::Bot, call);
        }
        let command = match direction {
            Direction::BotToAgent => Command::Claim { origin: ClaimOrigin::BotAsked, note: None },
            Direction::AgentToBot => {
                Command::Transfer { target: Target::App(self.scene.bot.app.clone()), note: None }
            }
        };
        let reply = self.step(Side::Desk, Input::Command(command));
        match loss {
            Loss::Process => return,
            Loss::Answer => return self.lost(Side::Bot, call),
            _ => {}
        }
        let waits_for = match reply {
            Reply::Claiming(id) => Waiting::Claim(id),
            Reply::Transferring { id, waits: false } => Waiting::Transfer(id),
            Reply::Refused(_) => return self.answer_bot(call, conflict()),
            _ => return self.answer_bot(call, CallOutcome::Done),
        };
        let until = self.state.now.plus(Duration::from_secs(8));
        self.state.asked = Some(Asked { call, waits_for, until });
        self.answer_the_bot();
    }

    fn answer_bot(&mut self, call: CallId, result: CallOutcome) {
        self.state.host(Side::Bot).answer = Some((call, result));
    }

    pub(super) fn answer_the_bot(&mut self) {
        let Some(Asked { call, waits_for, until }) = &self.state.asked else { return };
        let desk = &self.state.desk.thread;
        let result = match waits_for {
            Waiting::Claim(id) => match desk.claim_progress(*id) {
                ClaimProgress::Trying => None,
                ClaimProgress::Accepted | ClaimProgress::Granted => Some(CallOutcome::Done),
                _ => Some(conflict()),
            },
            Waiting::Transfer(id) => match desk.transfer_progress(*id) {
                TransferProgress::Waiting => None,
                TransferProgress::Done => Some(CallOutcome::Done),
                _ => Some(conflict()),
            },
        };
        let late = || CallOutcome::Unknown(Failure::new(FailureKind::Transient, "503"));
        let Some(result) = result.or_else(|| (*until <= self.state.now).then(late)) else { return };
        let call = *call;
        self.state.asked = None;
        self.answer_bot(call, result);
    }
}

fn conflict() -> CallOutcome {
    CallOutcome::Refused(Failure::new(FailureKind::Conflict, "no"))
}
