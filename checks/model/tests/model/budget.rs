//! The number of spontaneous events of a world.

use crate::state::Side;

/// The budget of spontaneous events that may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Messages of the customer, beyond the first.
    pub customer: u8,
    /// Times that the customer unsends the last message.
    pub unsends: u8,
    /// Messages of the bot.
    pub bot: u8,
    /// Messages of an agent.
    pub desk: u8,
    /// Messages of the customer that the bot's handler replies to, in the write that saves them.
    pub replies: u8,
    /// Messages of the bot that also give control away, to the desk or to nobody.
    pub farewells: u8,
    /// Interventions that an agent opens and closes.
    pub interventions: u8,
    /// Times that the bot requests a person.
    pub persons: u8,
    /// Times that the agent passes the thread back to the bot.
    pub backs: u8,
    /// Messages by a person in the Page inbox, or moves of the conversation there.
    pub inbox: u8,
    /// Days that pass.
    pub days: u8,
    /// Claims of control without a message, by either host.
    pub claims: u8,
    /// Releases of control, by either host.
    pub releases: u8,
    /// Interventions that Engage Digital reports to the bot.
    pub bot_reports: u8,
    /// Interventions that Engage Digital reports to the desk. If the bot is to get reports too, they are of the same ones.
    pub desk_reports: u8,
    /// Grants and refusals of requests for control. The bot then trusts nobody's requests.
    pub decisions: u8,
    /// Waiting messages that a host cancels.
    pub cancels: u8,
    /// Times that the bot's host says that people are done.
    pub resumes: u8,
    /// Messages of the customer for which the bot's handler asks for people, in the write that saves them.
    pub handler_asks: u8,
    /// Faults of the bot: a webhook is duplicated or reordered; a call or its response is lost.
    pub bot_faults: u8,
    /// The same faults of the desk.
    pub desk_faults: u8,
    /// Webhooks that arrive after the timeout that waits for them.
    pub late: u8,
    /// Webhooks that are lost for good.
    pub losses: u8,
    /// Crashes of a process, with or without its call having been made.
    pub crashes: u8,
    /// Times that the bot's handler does not handle a notice.
    pub bot_failures: u8,
    /// Times that the desk's handler does not handle a notice.
    pub desk_failures: u8,
    /// Calls that are not made for now: held back by the host, or refused by the platform for a while.
    pub delays: u8,
}

impl Budget {
    /// A budget without any event.
    pub const NONE: Self = Self {
        customer: 0,
        unsends: 0,
        bot: 0,
        desk: 0,
        replies: 0,
        farewells: 0,
        interventions: 0,
        persons: 0,
        backs: 0,
        inbox: 0,
        days: 0,
        claims: 0,
        releases: 0,
        bot_reports: 0,
        desk_reports: 0,
        decisions: 0,
        cancels: 0,
        resumes: 0,
        handler_asks: 0,
        bot_faults: 0,
        desk_faults: 0,
        late: 0,
        losses: 0,
        crashes: 0,
        bot_failures: 0,
        desk_failures: 0,
        delays: 0,
    };

    /// The events that may move control.
    fn wishes(self) -> usize {
        let Self { customer, bot, desk, replies, farewells, interventions, persons, backs, .. } = self;
        let Self { unsends, inbox, claims, releases, bot_reports, desk_reports, .. } = self;
        let Self { decisions, cancels, resumes, handler_asks, .. } = self;
        let of_messages = [customer, unsends, bot, desk, replies, farewells, cancels];
        let of_people =
            [interventions, persons, backs, inbox, bot_reports, desk_reports, resumes, handler_asks];
        let of_control = [claims, releases, decisions];
        sum(&of_messages) + sum(&of_people) + sum(&of_control)
    }

    fn troubles(self) -> usize {
        let Self { days, bot_faults, desk_faults, late, losses, crashes, delays, .. } = self;
        let Self { bot_failures, desk_failures, .. } = self;
        sum(&[days, bot_faults, desk_faults, late, losses, crashes, delays, bot_failures, desk_failures])
    }

    pub fn faults(&mut self, side: Side) -> &mut u8 {
        match side {
            Side::Bot => &mut self.bot_faults,
            Side::Desk => &mut self.desk_faults,
        }
    }

    /// Times that the handler of this host does not handle a notice.
    pub fn failures(&mut self, side: Side) -> &mut u8 {
        match side {
            Side::Bot => &mut self.bot_failures,
            Side::Desk => &mut self.desk_failures,
        }
    }

    /// Interventions that Engage Digital reports.
    pub fn reports(self) -> u8 {
        self.bot_reports.max(self.desk_reports)
    }

    /// The number of spent events: of those that may move control, and of faults.
    pub fn spent(self, left: Self) -> (usize, usize) {
        (self.wishes() - left.wishes(), self.troubles() - left.troubles())
    }
}

fn sum(numbers: &[u8]) -> usize {
    numbers.iter().map(|number| usize::from(*number)).sum()
}
