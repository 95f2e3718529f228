//! The budgets of the worlds of one configuration.

use crate::budget::Budget;

const NONE: Budget = Budget::NONE;

/// The budgets of the worlds of one configuration.
pub const STORIES: [(&str, Budget); 12] = [
    (
        "an intervention, an agent's answer, a fault",
        Budget { interventions: 1, desk: 1, desk_faults: 1, ..NONE },
    ),
    (
        "an answer of each side, a fault on each",
        Budget { bot: 1, desk: 1, bot_faults: 1, desk_faults: 1, ..NONE },
    ),
    ("two answers of an agent, a late webhook, a fault", Budget { desk: 2, late: 1, desk_faults: 1, ..NONE }),
    (
        "an intervention, a message meanwhile, a crash",
        Budget { interventions: 1, customer: 1, crashes: 1, ..NONE },
    ),
    ("the inbox, a day, an answer", Budget { inbox: 1, days: 1, desk: 1, ..NONE }),
    (
        "an answer, a message meanwhile, late and lost webhooks",
        Budget { desk: 1, customer: 1, late: 1, losses: 1, ..NONE },
    ),
    ("an intervention, an answer, a hand-back", Budget { interventions: 1, desk: 1, backs: 1, ..NONE }),
    ("a farewell, a message meanwhile, a fault", Budget { farewells: 1, customer: 1, bot_faults: 1, ..NONE }),
    (
        "an intervention, the customer takes a message back, a fault",
        Budget { interventions: 1, unsends: 1, desk_faults: 1, ..NONE },
    ),
    (
        "the bot replies at once, an agent answers, a fault",
        Budget { replies: 1, desk: 1, bot_faults: 1, ..NONE },
    ),
    (
        "the bot replies at once to two messages, a late webhook, a crash",
        Budget { replies: 2, customer: 1, late: 1, crashes: 1, ..NONE },
    ),
    ("a farewell, an agent's answer", Budget { farewells: 1, desk: 1, ..NONE }),
];

/// Additional budgets for worlds with ED's endpoint.
pub const ENDPOINT: [(&str, Budget); 4] = [
    (
        "the bot wants a person, an agent answers, a fault",
        Budget { persons: 1, desk: 1, bot_faults: 1, ..NONE },
    ),
    ("the bot answers and wants a person, a crash", Budget { bot: 1, persons: 1, crashes: 1, ..NONE }),
    ("the bot wants a person and answers, a hand-back", Budget { bot: 1, persons: 1, backs: 1, ..NONE }),
    ("the bot wants a person and answers, the inbox", Budget { bot: 1, persons: 1, inbox: 1, ..NONE }),
];

/// Worlds of the host's other commands, and of handlers that fail.
pub const INPUTS: [(&str, Budget); 31] = [
    ("an intervention twice", Budget { interventions: 2, ..NONE }),
    (
        "an intervention, a late webhook, a fault",
        Budget { interventions: 1, late: 1, desk_faults: 1, ..NONE },
    ),
    ("two claims, a fault", Budget { claims: 2, desk_faults: 1, ..NONE }),
    ("a claim, a release, a fault", Budget { claims: 1, releases: 1, bot_faults: 1, ..NONE }),
    ("a claim, a release, a crash", Budget { claims: 1, releases: 1, crashes: 1, ..NONE }),
    ("a claim, an agent's answer, its cancellation", Budget { claims: 1, desk: 1, cancels: 1, ..NONE }),
    ("a claim, the bot's answer, its cancellation", Budget { claims: 1, bot: 1, cancels: 1, ..NONE }),
    ("a claim beside reported people", Budget { claims: 1, bot_reports: 1, ..NONE }),
    ("an intervention, a release", Budget { interventions: 1, releases: 1, ..NONE }),
    (
        "an answer, its cancellation, a late webhook, a fault",
        Budget { desk: 1, cancels: 1, late: 1, desk_faults: 1, ..NONE },
    ),
    ("two answers, two cancellations", Budget { desk: 2, cancels: 2, ..NONE }),
    (
        "an intervention, an answer, its cancellation",
        Budget { interventions: 1, desk: 1, cancels: 1, ..NONE },
    ),
    ("two answers of the bot, a cancellation, a fault", Budget { bot: 2, cancels: 1, bot_faults: 1, ..NONE }),
    ("a reported intervention, a fault", Budget { desk_reports: 1, desk_faults: 1, ..NONE }),
    ("a reported intervention, a crash", Budget { desk_reports: 1, crashes: 1, ..NONE }),
    ("an intervention reported to both", Budget { desk_reports: 1, bot_reports: 1, ..NONE }),
    (
        "reported people, a message meanwhile, the bot answers, a fault",
        Budget { bot_reports: 1, customer: 1, bot: 1, bot_faults: 1, ..NONE },
    ),
    ("reported people, a farewell", Budget { bot_reports: 1, farewells: 1, ..NONE }),
    ("reported people, the inbox", Budget { bot_reports: 1, inbox: 1, ..NONE }),
    (
        "two decisions about requests, an answer, a fault",
        Budget { decisions: 2, desk: 1, bot_faults: 1, ..NONE },
    ),
    ("a decision about a request, an answer, a crash", Budget { decisions: 1, desk: 1, crashes: 1, ..NONE }),
    ("a decision about a request, an answer of each side", Budget { decisions: 1, desk: 1, bot: 1, ..NONE }),
    ("the bot's handler fails twice, an agent's answer", Budget { bot_failures: 2, desk: 1, ..NONE }),
    ("the desk's handler fails twice, an agent's answer", Budget { desk_failures: 2, desk: 1, ..NONE }),
    ("the desk's handler fails, an intervention", Budget { desk_failures: 1, interventions: 1, ..NONE }),
    (
        "the bot's handler fails and replies, a message meanwhile",
        Budget { bot_failures: 1, replies: 1, customer: 1, ..NONE },
    ),
    ("the bot's handler fails, an answer, a crash", Budget { bot_failures: 1, desk: 1, crashes: 1, ..NONE }),
    ("calls are delayed, an answer of each side", Budget { delays: 2, desk: 1, bot: 1, ..NONE }),
    ("calls are delayed, an intervention", Budget { delays: 1, interventions: 1, ..NONE }),
    (
        "the handler asks for people, a message meanwhile, a fault",
        Budget { handler_asks: 1, customer: 1, bot_faults: 1, ..NONE },
    ),
    ("the handler asks for people, the inbox", Budget { handler_asks: 1, inbox: 1, ..NONE }),
];

/// The same with ED's endpoint.
pub const ENDPOINT_INPUTS: [(&str, Budget); 6] = [
    (
        "the bot wants a person, people are done, a message meanwhile",
        Budget { persons: 1, resumes: 1, customer: 1, ..NONE },
    ),
    (
        "the bot wants a person, people are done, it answers",
        Budget { persons: 1, resumes: 1, bot: 1, ..NONE },
    ),
    ("a claim, the bot wants a person", Budget { claims: 1, persons: 1, ..NONE }),
    ("the bot wants a person, who is reported", Budget { persons: 1, bot_reports: 1, ..NONE }),
    (
        "the handler replies and asks for people, and fails",
        Budget { handler_asks: 1, replies: 1, bot_failures: 1, ..NONE },
    ),
    ("an agent's claim and answer, a fault", Budget { claims: 1, desk: 1, desk_faults: 1, ..NONE }),
];
