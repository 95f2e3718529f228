//! The ledger: every message of a customer, when its webhooks came, and what the hosts saw of it.
//!
//! It is a table of small rows, because it has millions of them. The number of a message is its place in the table, and its text
//! contains the number.

use fastrand::Rng;

use super::Options;

/// The longest pause between two messages of which the second comes at once, in milliseconds.
const BURST_MS: u32 = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A question that wants an answer.
    Question,
    /// The customer asks for a person.
    Person,
    /// A word that wants no answer; the host is notified of it.
    Thanks,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Self::Question => 'q',
            Self::Person => 'p',
            Self::Thanks => 't',
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Bot,
    Desk,
}

/// One message of a customer.
#[derive(Debug)]
pub struct Message {
    pub conversation: u32,
    /// Milliseconds since the beginning.
    pub written: u32,
    pub kind: Kind,
    /// The owner of the conversation when it was written.
    pub owner: Option<Side>,
    /// Whether a host was notified that this message is its own to answer.
    pub noted: bool,
    /// Whether the desk shows its agents the message, and an answer to it.
    pub desk_saw: bool,
    pub desk_saw_answer: bool,
    /// The places of its first delivery in the order of all deliveries' beginnings and ends, for each side.
    pub begun: [Option<u32>; 2],
    pub accepted: [Option<u32>; 2],
    /// The place of an agent's answer to it in the same order.
    pub sent: Option<u32>,
}

impl Message {
    /// Whether the bot leaves it to `notify`.
    pub fn is_slow(number: u32) -> bool {
        number.wrapping_mul(0x9e37_79b1) >> 16 < 10_000
    }
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub messages: Vec<Message>,
    /// The numbers of the messages of each conversation: `of[starts[c]..starts[c + 1]]`.
    starts: Vec<u32>,
    of: Vec<u32>,
    /// Changes of the owner: the conversation and the millisecond.
    pub moves: Vec<(u32, u32)>,
    order: u32,
    /// Notifications of the hosts that should not happen here.
    pub troubles: Vec<(u32, String)>,
}

impl Ledger {
    /// Decides who writes what and when, in the order of time.
    pub fn plan(options: &Options, rng: &mut Rng) -> Self {
        let lasts = u32::try_from(options.lasts.as_millis()).unwrap_or(u32::MAX);
        let mut planned = Vec::new();
        for conversation in 0..options.conversations {
            let count = rng.usize(2..=4);
            let mut times: Vec<_> = (0..count).map(|_| rng.u32(..lasts)).collect();
            times.sort_unstable();
            for next in 1..count {
                if rng.u8(..10) == 0 {
                    times[next] = times[next - 1] + rng.u32(20..BURST_MS);
                }
            }
            times.sort_unstable();
            let person = (rng.u8(..20) == 0).then(|| rng.usize(..count - 1));
            for (place, written) in times.into_iter().enumerate() {
                let kind = match () {
                    () if person == Some(place) => Kind::Person,
                    () if rng.u8(..20) == 0 => Kind::Thanks,
                    () => Kind::Question,
                };
                planned.push((written, conversation, kind));
            }
        }
        planned.sort_by_key(|(written, ..)| *written);
        let mut starts = vec![0; options.conversations as usize + 1];
        for (_, conversation, _) in &planned {
            starts[*conversation as usize + 1] += 1;
        }
        for place in 1..starts.len() {
            starts[place] += starts[place - 1];
        }
        let (mut next, mut of) = (starts.clone(), vec![0; planned.len()]);
        for (number, (_, conversation, _)) in (0..).zip(&planned) {
            let place = &mut next[*conversation as usize];
            of[*place as usize] = number;
            *place += 1;
        }
        let message = |(written, conversation, kind)| Message {
            conversation,
            written,
            kind,
            owner: None,
            noted: false,
            desk_saw: false,
            desk_saw_answer: false,
            begun: [None; 2],
            accepted: [None; 2],
            sent: None,
        };
        let messages = planned.into_iter().map(message).collect();
        Self { messages, starts, of, ..Self::default() }
    }

    /// The text of a message.
    pub fn text(&self, number: u32) -> String {
        format!("{}{number}", self.messages[number as usize].kind.letter())
    }

    /// The message with this number.
    pub fn message(&mut self, number: u32) -> Option<&mut Message> {
        self.messages.get_mut(number as usize)
    }

    /// The numbers of a conversation's messages, in order.
    pub fn of(&self, conversation: u32) -> &[u32] {
        let place = conversation as usize;
        &self.of[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// The message by which a conversation asks for a person.
    pub fn asks_for_person(&self, conversation: u32) -> Option<u32> {
        let is_person = |number: &&u32| self.messages[**number as usize].kind == Kind::Person;
        self.of(conversation).iter().find(is_person).copied()
    }

    /// A host gets these messages for the first time, or again.
    pub fn begins(&mut self, side: Side, numbers: &[u32]) {
        self.order += 1;
        for number in numbers {
            self.messages[*number as usize].begun[side as usize].get_or_insert(self.order);
        }
    }

    /// A host has accepted them.
    pub fn accepts(&mut self, side: Side, numbers: &[u32]) {
        self.order += 1;
        for number in numbers {
            self.messages[*number as usize].accepted[side as usize].get_or_insert(self.order);
        }
    }

    /// The service has accepted an agent's answer to this message.
    pub fn agent_answers(&mut self, number: u32) {
        self.order += 1;
        if let Some(message) = self.messages.get_mut(number as usize) {
            message.sent = Some(self.order);
            (message.desk_saw_answer, message.noted) = (true, true);
        }
    }

    pub fn trouble(&mut self, conversation: u32, what: String) {
        self.troubles.push((conversation, what));
    }
}

/// The number in a text of this kind: `q7` of a customer, `a7` of the answer to it, `g7` of the greeting of an agent.
pub fn number(text: &str, kind: char) -> Option<u32> {
    text.strip_prefix(kind)?.parse().ok()
}

/// The number in the text of a customer.
pub fn number_of_customer(text: &str) -> Option<u32> {
    number(text, 'q').or_else(|| number(text, 'p')).or_else(|| number(text, 't'))
}
