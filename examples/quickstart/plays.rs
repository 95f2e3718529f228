//! The four workflows of Engage Digital's documentation (docs/protocol.md#ed-workflows), and a fifth in which the customer
//! waits in the queue, under both rule sets, with the expected sequence of each.

use messenger_handover::policy::ThreadControlPolicy::{BotPrimary, EdPrimary, NoPrimary};
use messenger_handover::prelude::BoxError;
use messenger_sim::{RequestUnderDefaultApp, Rules};

use super::diagram::{Arrow, Kind};
use super::stage::{Setup, Stage, bot_app, ed_app};

pub const NAMES: [&str; 10] = [
    "handover-bot-primary",
    "handover-ed-primary",
    "handover-no-primary",
    "handover-agent-interrupts-bot",
    "handover-customer-waits",
    "routing-bot-primary",
    "routing-ed-primary",
    "routing-no-primary",
    "routing-agent-interrupts-bot",
    "routing-customer-waits",
];

const WANTS_A_PERSON: &str = "May I talk to a person?";
const TO_AN_AGENT: &str = "I am a bot. A colleague will be with you in a moment.";
const ARE_YOU_THERE: &str = "Are you there?";
const HELLO: &str = "Hello!";
const BY_THE_BOT: &str = "I am a bot. You wrote \"Hello!\". Ask for a person to get one.";
const BY_AN_AGENT: &str = "How can I help you?";

/// The recorded arrows, and the deviations from the expected sequence.
pub struct Played {
    pub arrows: Vec<Arrow>,
    pub conversation: Vec<String>,
    pub deviations: Vec<String>,
}

/// The way in which the desk gets control.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Grant {
    /// The desk requests control, and the bot passes it.
    Requested,
    /// Requests are unavailable on the Page, so the desk takes control.
    Taken,
    /// Neither is available on the Page: the endpoint responds with 422, and the bot passes control to ED's app directly.
    PassedByTheBot,
}

/// The events of a workflow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Story {
    /// The customer asks for a person.
    PersonWanted,
    /// An agent engages while the bot talks with the customer.
    AgentInterrupts,
    /// A customer who asked for a person writes again before an agent engages, and once more after the agent is done.
    CustomerWaits,
}

struct Play {
    setup: Setup,
    story: Story,
    grant: Grant,
}

fn play(name: &str, request: RequestUnderDefaultApp) -> Option<Play> {
    let (rules, workflow) = name.split_once('-')?;
    let handover = match rules {
        "handover" => true,
        "routing" => false,
        _ => return None,
    };
    let primary = |app| if handover { Rules::primary(app) } else { Rules::default_app(app) };
    let nobody = || if handover { Rules::no_primary() } else { Rules::zero_config() };
    let (policy, rules) = match workflow {
        "bot-primary" | "agent-interrupts-bot" | "customer-waits" => (BotPrimary, primary(bot_app())),
        "ed-primary" => (EdPrimary, primary(ed_app())),
        "no-primary" => (NoPrimary, nobody()),
        _ => return None,
    };
    let grant = match (handover, policy) {
        (true, _) | (_, NoPrimary) => Grant::Requested,
        (false, BotPrimary) => Grant::Taken,
        (false, EdPrimary) => Grant::PassedByTheBot,
    };
    let setup = Setup { rules, policy, ed_may_take: grant == Grant::Taken, request };
    let story = match workflow {
        "agent-interrupts-bot" => Story::AgentInterrupts,
        "customer-waits" => Story::CustomerWaits,
        _ => Story::PersonWanted,
    };
    Some(Play { setup, story, grant })
}

/// Plays one workflow on its own stage. `None` if there is no workflow of this name.
pub async fn run(name: &str, request: RequestUnderDefaultApp) -> Option<Result<Played, BoxError>> {
    let play = play(name, request)?;
    let expected = play.expected();
    Some(play.run(&expected).await)
}

impl Play {
    async fn run(self, expected: &[String]) -> Result<Played, BoxError> {
        let mut deviations = Vec::new();
        let stage = Stage::start(self.setup).await?;
        let mut check = |so: bool, what: &str| {
            if !so {
                deviations.push(format!("it never happened: {what}"));
            }
        };
        let ed_has_control = |stage: &Stage| stage.owner() == Some(ed_app());
        let mut texts = if self.story == Story::AgentInterrupts {
            stage.customer_writes(HELLO);
            let answered = |stage: &Stage| stage.conversation().len() == 2;
            check(stage.wait_until(answered).await, "the bot answers");
            stage.agent("open", "").await?;
            check(stage.wait_until(ed_has_control).await, "ED has control");
            vec![HELLO, BY_THE_BOT]
        } else {
            stage.customer_writes(WANTS_A_PERSON);
            check(stage.wait_until(ed_has_control).await, "ED has control");
            let mut texts = vec![WANTS_A_PERSON, TO_AN_AGENT];
            if self.story == Story::CustomerWaits {
                stage.customer_writes(ARE_YOU_THERE);
                check(stage.wait_until(|_| true).await, "the desk is told");
                texts.push(ARE_YOU_THERE);
                check(stage.conversation() == texts, "the bot is silent");
                let shown = stage.shown().await?;
                check(shown["waiting_for_people"] == true, "the desk shows that the customer waits");
                check(shown["unanswered"][0] == ARE_YOU_THERE, "the desk shows what the customer wrote");
            }
            stage.agent("open", "").await?;
            texts
        };
        stage.agent("answer/ticket-7", BY_AN_AGENT).await?;
        let reached = |stage: &Stage| stage.conversation().last().is_some_and(|text| text == BY_AN_AGENT);
        check(stage.wait_until(reached).await, "the agent's answer reaches the customer");
        stage.agent("close", "").await?;
        check(stage.wait_until(|stage| stage.owner().is_none()).await, "control is released");
        texts.push(BY_AN_AGENT);
        if self.story == Story::CustomerWaits {
            stage.customer_writes(HELLO);
            let answered = |stage: &Stage| stage.conversation().last().is_some_and(|text| text == BY_THE_BOT);
            check(stage.wait_until(answered).await, "the bot answers again");
            texts.extend([HELLO, BY_THE_BOT]);
        }

        let (arrows, conversation) = (stage.arrows(), stage.conversation());
        deviations.extend(compare(&arrows, expected));
        if conversation != texts {
            deviations.push(format!("lost or doubled: the customer reads {conversation:?}"));
        }
        if stage.dropped() > 0 {
            deviations.push(format!("{} webhooks were given up", stage.dropped()));
        }
        Ok(Played { arrows, conversation, deviations })
    }

    /// The sequence of Engage Digital's diagram (docs/protocol.md#ed-workflows); under routing, with the other way to control.
    fn expected(&self) -> Vec<String> {
        let interrupts = self.story == Story::AgentInterrupts;
        let mut steps = Steps(Vec::new());
        let (asked, answer) = if interrupts { (HELLO, BY_THE_BOT) } else { (WANTS_A_PERSON, TO_AN_AGENT) };
        steps.add([&format!("Customer > Meta: {asked:?}")]);
        match self.setup.policy {
            BotPrimary => {}
            EdPrimary => steps.add([
                "Bot > ED: POST /1.0/bots/handover?from=agent&to=bot",
                "ED > Meta: pass_thread_control to Bot",
                "Meta > Bot: webhook pass_thread_control",
            ]),
            NoPrimary => {
                steps.add(["Bot > Meta: request_thread_control", "Meta > Bot: webhook pass_thread_control"]);
            }
        }
        steps.says("Bot", answer);
        if interrupts {
            steps.add(["Agent > ED: opens the intervention"]);
        } else {
            steps.add(["Bot > ED: POST /1.0/bots/handover?from=bot&to=agent"]);
        }
        self.control_to_ed(&mut steps);
        if self.story == Story::CustomerWaits {
            steps.add([&format!("Customer > Meta: {ARE_YOU_THERE:?}")]);
        }
        if !interrupts {
            steps.add(["Agent > ED: opens the intervention"]);
        }
        steps.add([&format!("Agent > ED: answers {BY_AN_AGENT:?}")]);
        steps.says("ED", BY_AN_AGENT);
        steps.add(["Agent > ED: closes the intervention", "ED > Meta: release_thread_control"]);
        if self.story == Story::CustomerWaits {
            steps.add([&format!("Customer > Meta: {HELLO:?}")]);
            steps.says("Bot", BY_THE_BOT);
        }
        steps.0
    }

    fn control_to_ed(&self, steps: &mut Steps) {
        let request_refused = "ED > Meta: request_thread_control: 400 (#36100)";
        match self.grant {
            Grant::Requested => steps.add([
                "ED > Meta: request_thread_control",
                "Meta > Bot: webhook request_thread_control",
                "Bot > Meta: pass_thread_control to ED",
                "Meta > ED: webhook pass_thread_control",
            ]),
            Grant::Taken => steps.add([
                request_refused,
                "ED > Meta: take_thread_control",
                "Meta > Bot: webhook take_thread_control",
            ]),
            Grant::PassedByTheBot => steps.add([
                request_refused,
                "ED > Meta: take_thread_control: 400 (#10)",
                "Bot > Meta: pass_thread_control to ED",
                "Meta > ED: webhook pass_thread_control",
            ]),
        }
    }
}

struct Steps(Vec<String>);

impl Steps {
    fn add<'a>(&mut self, steps: impl IntoIterator<Item = &'a (impl AsRef<str> + ?Sized + 'a)>) {
        self.0.extend(steps.into_iter().map(|step| step.as_ref().to_owned()));
    }

    fn says(&mut self, who: &str, text: &str) {
        self.0.push(format!("{who} > Meta: messages {text:?}"));
        self.0.push(format!("Meta > Customer: {text:?}"));
    }
}

/// The first deviation of the recorded steps from the expected ones.
pub fn compare(arrows: &[Arrow], expected: &[String]) -> Option<String> {
    let seen = arrows.iter().filter(|arrow| arrow.kind == Kind::Step);
    let seen: Vec<_> =
        seen.map(|arrow| format!("{} > {}: {}", arrow.from.name(), arrow.to.name(), arrow.label)).collect();
    let at = (0..seen.len().max(expected.len())).find(|&at| seen.get(at) != expected.get(at))?;
    let words = |step: Option<&String>| step.map_or("the end".to_owned(), Clone::clone);
    let (seen, expected) = (words(seen.get(at)), words(expected.get(at)));
    Some(format!("step {}: expected [{expected}], seen [{seen}]", at + 1))
}
