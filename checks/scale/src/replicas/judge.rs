//! The judgement of every conversation, against the platform's own record.

use std::sync::Arc;

use messenger_handover::handover::BoxError;
use messenger_handover::store::ThreadStore;
use messenger_handover::thread::{Owner, Thread};
use messenger_handover::time::Timestamp;
use messenger_sim::{Platform, Said, Speaker};

use super::agents::Office;
use super::drive::side_of;
use super::ground::{Ground, page, since_start, thread};
use super::hosts::Host;
use super::ledger::{Kind, Ledger, Side, number};

/// The number of threads that are loaded at once.
const AT_ONCE: u32 = 1_000;
/// The number of violations that are described.
const EXAMPLES: usize = 10;

/// Virtual times in milliseconds between a message and its answer at the platform.
pub type Times = Vec<u32>;

#[derive(Debug, Default)]
pub struct Verdict {
    pub written: u64,
    pub by_bot: u64,
    pub by_agents: u64,
    pub handovers: u64,
    pub lost: u64,
    pub doubled: u64,
    pub out_of_order: u64,
    pub wrong_side: u64,
    /// Threads of both hosts at rest, and those that are not.
    pub at_rest: u64,
    pub restless: u64,
    pub wrong_belief: u64,
    /// Notices of failures. They are no violation by themselves.
    pub troubles: u64,
    pub settled: bool,
    pub times: [Times; 2],
    /// The first violations, each with its conversation.
    pub examples: Vec<(u32, String)>,
}

impl Verdict {
    pub fn is_right(&self) -> bool {
        self.settled && self.violations() == 0
    }

    fn violations(&self) -> u64 {
        self.lost + self.doubled + self.out_of_order + self.wrong_side + self.restless + self.wrong_belief
    }

    fn example(&mut self, conversation: u32, what: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push((conversation, what()));
        }
    }
}

/// An answer of an app: the number of the message, who sent it, and when.
struct Answer {
    number: u32,
    by: Side,
    at: u32,
}

/// The platform's record of one conversation.
struct Heard {
    answers: Vec<Answer>,
    greetings: usize,
    by: [u64; 2],
    owner: Option<Side>,
}

fn hear(platform: &Platform, conversation: u32, now: Timestamp) -> Heard {
    let key = thread(conversation);
    let (mut answers, mut greetings, mut by) = (Vec::new(), 0, [0; 2]);
    for said in platform.conversation(&page(), &key.user) {
        let (text, at) = (said.text().unwrap_or_default(), since_start(said.at));
        let from = match &said.from {
            Speaker::App(app) => side_of(app.clone()),
            _ => None,
        };
        let Some(from) = from else { continue };
        by[from as usize] += 1;
        greetings += usize::from(number(text, 'g').is_some());
        answers.extend(number(text, 'a').map(|number| Answer { number, by: from, at }));
    }
    let owner = platform.owner(&page(), &key.user, now).and_then(side_of);
    Heard { answers, greetings, by, owner }
}

/// A conversation in one line: when, who and what.
fn script(platform: &Platform, conversation: u32) -> String {
    let said = platform.conversation(&page(), &thread(conversation).user);
    let line = |said: &Said| {
        let from = match &said.from {
            Speaker::App(app) => side_of(app.clone()),
            _ => None,
        };
        format!("; {} {from:?} {}", since_start(said.at), said.text().unwrap_or_default())
    };
    said.iter().map(line).collect()
}

pub async fn judge(
    ground: &Arc<Ground>,
    office: &Office,
    conversations: u32,
    settled: bool,
) -> Result<Verdict, BoxError> {
    let mut verdict = Verdict { settled, ..Verdict::default() };
    let mut moves = std::mem::take(&mut ground.ledger().moves);
    moves.sort_unstable();
    for first in (0..conversations).step_by(AT_ONCE as usize) {
        let some = first..conversations.min(first + AT_ONCE);
        let keys: Vec<_> = some.clone().map(thread).collect();
        let [bot, desk] = [office.bot.store.load(&keys).await?, office.desk.store.load(&keys).await?];
        for ((conversation, bot), desk) in some.zip(bot).zip(desk) {
            let heard = ground.platform(|platform, now| hear(platform, conversation, now));
            let first = moves.partition_point(|(of, _)| *of < conversation);
            let moves = moves[first..].iter().take_while(|(of, _)| *of == conversation).map(|(_, at)| *at);
            messages(&mut verdict, &ground.ledger(), conversation, &heard, &moves.collect::<Vec<_>>());
            for (host, loaded) in [(&office.bot, bot), (&office.desk, desk)] {
                let loaded = loaded.thread?;
                thread_of(&mut verdict, host, conversation, &loaded, &heard);
            }
        }
    }
    let ledger = ground.ledger();
    verdict.troubles = ledger.troubles.len() as u64;
    for (conversation, trouble) in &ledger.troubles {
        verdict.example(*conversation, || format!("not judged: {trouble}"));
    }
    for (conversation, what) in &mut verdict.examples {
        ground.platform(|platform, _| *what += &script(platform, *conversation));
    }
    Ok(verdict)
}

/// Judges the messages of one conversation, and the answers to them.
fn messages(verdict: &mut Verdict, ledger: &Ledger, conversation: u32, heard: &Heard, moves: &[u32]) {
    verdict.by_bot += heard.by[Side::Bot as usize];
    verdict.by_agents += heard.by[Side::Desk as usize];
    for number in ledger.of(conversation) {
        let message = &ledger.messages[*number as usize];
        verdict.written += 1;
        let mut answers = heard.answers.iter().filter(|answer| answer.number == *number);
        let answer = answers.next();
        if answers.next().is_some() || (message.kind == Kind::Thanks && answer.is_some()) {
            verdict.doubled += 1;
            verdict.example(conversation, || format!("{number} answered too often"));
        }
        match answer {
            None if message.kind != Kind::Thanks || !message.noted => {
                verdict.lost += 1;
                verdict.example(conversation, || format!("{number} is lost: {message:?}"));
            }
            None => {}
            Some(Answer { by, at, .. }) => {
                verdict.times[*by as usize].push(at.saturating_sub(message.written));
                // Another side may answer only if control has moved since.
                let has_moved = moves.iter().any(|at_move| (message.written..=*at).contains(at_move));
                if message.owner != Some(*by) && !has_moved {
                    verdict.wrong_side += 1;
                    verdict.example(conversation, || format!("{by:?} answered {message:?}"));
                }
            }
        }
    }
    if ledger.asks_for_person(conversation).is_some() {
        verdict.handovers += 1;
        match heard.greetings {
            1 => {}
            0 => {
                verdict.lost += 1;
                verdict.example(conversation, || "no agent came".to_owned());
            }
            _ => {
                verdict.doubled += 1;
                verdict.example(conversation, || "greeted twice".to_owned());
            }
        }
    }
    // A bot answers in the order in which it accepted the messages; two that it was given at the same time have no order. The
    // answers of agents come in the order in which they were sent.
    for (place, later) in heard.answers.iter().enumerate() {
        let is_before = |earlier: &&Answer| {
            let [first, then] = [earlier, &later].map(|answer| &ledger.messages[answer.number as usize]);
            let bot = Side::Bot as usize;
            match (earlier.by, later.by) {
                (Side::Bot, Side::Bot) => {
                    let accepted = then.accepted[bot].zip(first.begun[bot]);
                    earlier.number > later.number && accepted.is_some_and(|(end, begin)| end < begin)
                }
                (Side::Desk, Side::Desk) => {
                    first.sent.zip(then.sent).is_some_and(|(first, then)| then < first)
                }
                _ => false,
            }
        };
        if heard.answers[..place].iter().any(|earlier| is_before(&earlier)) {
            verdict.out_of_order += 1;
            verdict.example(conversation, || "out of order".to_owned());
        }
    }
}

/// Judges a host's thread: at rest, and with a true belief.
fn thread_of(verdict: &mut Verdict, host: &Host, conversation: u32, thread: &Thread, heard: &Heard) {
    if thread.is_at_rest() {
        verdict.at_rest += 1;
    } else {
        verdict.restless += 1;
        verdict.example(conversation, || format!("{:?} is not at rest: {thread:?}", host.side));
    }
    let is_true = match thread.owner() {
        Owner::Us => heard.owner == Some(host.side),
        Owner::Idle => heard.owner.is_none(),
        Owner::Other(None) => heard.owner != Some(host.side),
        Owner::Other(Some(app)) => heard.owner == side_of(app.clone()),
        _ => true,
    };
    if !is_true {
        verdict.wrong_belief += 1;
        let (side, owner) = (host.side, thread.owner());
        verdict.example(conversation, || format!("{side:?} believes {owner:?}, it is {:?}", heard.owner));
    }
}
