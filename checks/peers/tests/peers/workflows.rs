//! A Bottender bot and our `agent_desk` play the four workflows of Engage Digital (docs/protocol.md#ed-workflows) under both
//! rule sets, and the bot answers the customer again afterwards.

use std::sync::Arc;

use libtest_mimic::Failed;
use messenger_handover::id::{AppId, PageId, UserId};
use messenger_handover::routes::BodyLimits;
use messenger_handover::settings::Settings;
use messenger_handover::store::MemoryStore;
use messenger_sim::{App, Page, Platform, Rules, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use url::Url;

use super::bots::{BOTTENDER, launch, lines, read};
use super::{BOT, DESK, PAGE, PSID, VERIFY_TOKEN, node_command, until};
use crate::install::Tools;

#[path = "../../../../examples/agent_desk/main.rs"]
#[allow(dead_code, reason = "its main is for running it alone")]
#[allow(clippy::duplicate_mod, reason = "the playground has hosts of its own")]
mod agent_desk;

const ED_TOKEN: &str = "ed-token";

pub const NAMES: [&str; 8] = [
    "bottender handover-bot-primary",
    "bottender handover-ed-primary",
    "bottender handover-no-primary",
    "bottender handover-agent-interrupts-bot",
    "bottender routing-bot-primary",
    "bottender routing-ed-primary",
    "bottender routing-no-primary",
    "bottender routing-agent-interrupts-bot",
];

/// Whose a new conversation is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Primary {
    Bot,
    Ed,
    Nobody,
}

/// A workflow under one rule set.
#[derive(Clone, Copy)]
struct Play {
    primary: Primary,
    /// An agent opens the conversation while the bot has it. Otherwise the customer asks for a person.
    interrupts: bool,
    /// Conversation Routing. Otherwise the Handover Protocol.
    routing: bool,
}

impl Play {
    fn of(name: &str) -> Option<Self> {
        let (rules, workflow) = name.strip_prefix("bottender ")?.split_once('-')?;
        let primary = match workflow {
            "ed-primary" => Primary::Ed,
            "no-primary" => Primary::Nobody,
            _ => Primary::Bot,
        };
        Some(Self { primary, interrupts: workflow == "agent-interrupts-bot", routing: rules == "routing" })
    }

    fn rules(self) -> Rules {
        let primary = |app: u64| if self.routing { Rules::default_app(app) } else { Rules::primary(app) };
        match self.primary {
            Primary::Bot => primary(BOT),
            Primary::Ed => primary(DESK),
            Primary::Nobody if self.routing => Rules::zero_config(),
            Primary::Nobody => Rules::no_primary(),
        }
    }

    /// The control calls up to the agent's answer, each with its app and status.
    fn to_the_agent(self) -> Vec<(u64, &'static str, u64)> {
        let mut calls = self.to_the_bot();
        match (self.routing, self.primary) {
            // Requests are not available there, so ED takes, if its switch is on.
            (true, Primary::Bot) => {
                calls.extend([(DESK, "request_thread_control", 400), (DESK, "take_thread_control", 200)]);
            }
            // Its switch is off, so its endpoint refuses and the bot passes by itself.
            (true, Primary::Ed) => calls.extend([
                (DESK, "request_thread_control", 400),
                (DESK, "take_thread_control", 400),
                (BOT, "pass_thread_control", 200),
            ]),
            _ => calls.extend([(DESK, "request_thread_control", 200), (BOT, "pass_thread_control", 200)]),
        }
        calls
    }

    /// The control calls by which the bot gets a conversation that nobody has.
    fn to_the_bot(self) -> Vec<(u64, &'static str, u64)> {
        match self.primary {
            Primary::Bot => vec![],
            Primary::Ed => vec![(DESK, "pass_thread_control", 200)],
            Primary::Nobody => vec![(BOT, "request_thread_control", 200)],
        }
    }
}

/// `agent_desk` in this process, on a port of its own.
struct Desk {
    url: Url,
    serving: JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Desk {
    async fn start(server: &Server, primary: Primary) -> Result<Self, Failed> {
        let policy = match primary {
            Primary::Bot => "bot_primary",
            Primary::Ed => "ed_primary",
            Primary::Nobody => "no_primary",
        };
        let settings = Settings::from_variables(|name| {
            Some(match name {
                "APP_ID" => DESK.to_string(),
                "APP_SECRET" => "desk-secret".to_owned(),
                "VERIFY_TOKEN" => VERIFY_TOKEN.to_owned(),
                "PAGE_ID" => PAGE.to_string(),
                "PAGE_TOKEN" => "desk-token".to_owned(),
                "POLICY" => policy.to_owned(),
                "GRAPH_URL" => server.url(),
                "ED_TOKEN" => ED_TOKEN.to_owned(),
                _ => return None,
            })
        })?;
        let store = Arc::new(MemoryStore::new());
        let router = agent_desk::router(&settings, store, BodyLimits::default());
        let (router, _) = router.map_err(|error| error.to_string())?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url: Url = format!("http://{}/", listener.local_addr()?).parse()?;
        let limits = agent_desk::settings::serve::Limits::default();
        let connections =
            agent_desk::settings::serve::serve(listener, router, limits, std::future::pending());
        let desk = Self { serving: tokio::spawn(connections), url };
        let app = AppId::from(DESK);
        server.set_callback(&app, desk.url.join("webhook")?);
        server.verify_webhook(&app).await.map_err(|error| error.to_string())?;
        Ok(desk)
    }

    /// An agent's action through the desk's own HTTP interface: `open`, `answer/KEY`, `close`.
    async fn agent(&self, action: &str, text: &str) -> Result<(), Failed> {
        // reqwest needs a process-wide TLS provider, even for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = self.url.join(&format!("agent/{PSID}/{action}"))?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client.post(url).body(text.to_owned()).send().await?;
        if answer.status().is_success() { Ok(()) } else { Err(answer.text().await?.into()) }
    }
}

/// Plays the workflow of this name, of [`NAMES`].
pub fn play(runtime: &Runtime, tools: &Tools, name: &str) -> Result<(), Failed> {
    let play = Play::of(name).ok_or("no such workflow")?;
    let (node, packages) = tools.node_packages()?;
    let may_take = play.routing && play.primary == Primary::Bot;
    let platform = Platform::new()
        .with_app(App::new(BOT, "Bot", "bot-secret", VERIFY_TOKEN))
        .with_app(App::new(DESK, "Desk", "desk-secret", VERIFY_TOKEN).may_take(may_take))
        .with_page(Page::new(PAGE, play.rules()).app(BOT, "bot-token").app(DESK, "desk-token"));
    let server = runtime.block_on(Server::start(platform))?;
    let desk = runtime.block_on(Desk::start(&server, play.primary))?;
    let mut command = node_command(&node, &packages.join("bottender/serve.js"), &server);
    let primary = match play.primary {
        Primary::Bot => "bot",
        Primary::Ed => "ed",
        Primary::Nobody => "none",
    };
    let ed_url = desk.url.as_str().trim_end_matches('/');
    command.envs([("PRIMARY", primary), ("ED_URL", ed_url), ("ED_TOKEN", ED_TOKEN)]);
    let _running = launch(runtime, &server, command, BOTTENDER.webhook)?;
    scene(runtime, &server, &desk, play)
}

fn scene(runtime: &Runtime, server: &Server, desk: &Desk, play: Play) -> Result<(), Failed> {
    let (page, user, bot, ed) = (PageId::from(PAGE), UserId::from(PSID), AppId::from(BOT), AppId::from(DESK));
    let owner = || server.owner(&page, &user);
    let agent = |action: &str, text: &str| runtime.block_on(desk.agent(action, text));
    let last = |text: &str| read(server).last().is_some_and(|last| last == text);

    let (asks, answers) =
        if play.interrupts { ("hello", "You said: hello") } else { ("a person, please", "One moment.") };
    server.customer_writes(&page, &user, asks);
    until("the bot answers", server, || read(server) == [asks, answers])?;
    if play.interrupts {
        agent("open", "")?;
    }
    until("ED has control", server, || owner() == Some(ed.clone()))?;
    if !play.interrupts {
        agent("open", "")?;
    }
    agent("answer/ticket-7", "How can I help you?")?;
    until("the agent's answer arrives", server, || last("How can I help you?"))?;
    server.customer_writes(&page, &user, "Where is my parcel?");
    agent("answer/ticket-8", "It is on its way.")?;
    until("the next answer arrives", server, || last("It is on its way."))?;
    expect(server, &play.to_the_agent())?;

    agent("close", "")?;
    until("control is released", server, || owner().is_none())?;
    server.customer_writes(&page, &user, "thank you");
    until("the bot answers again", server, || last("You said: thank you"))?;
    if owner() != Some(bot) {
        return Err("the bot answered without control".into());
    }
    let released = [(DESK, "release_thread_control", 200)];
    expect(server, &[&play.to_the_agent()[..], &released, &play.to_the_bot()].concat())?;
    let said = [
        asks,
        answers,
        "How can I help you?",
        "Where is my parcel?",
        "It is on its way.",
        "thank you",
        "You said: thank you",
    ];
    if read(server) != said {
        return Err(format!("the customer reads {:?}", read(server)).into());
    }
    if server.dropped() > 0 { Err("a webhook was not accepted".into()) } else { Ok(()) }
}

/// Checks that these are all control calls so far.
fn expect(server: &Server, expected: &[(u64, &str, u64)]) -> Result<(), Failed> {
    let expected: Vec<_> =
        expected.iter().map(|(app, edge, status)| format!("{app} {edge} {status}")).collect();
    let all = lines(server);
    let calls = all.iter().filter(|line| line["kind"] == "call").filter_map(|line| {
        let (app, edge, status) = (line["app"].as_str()?, line["edge"].as_str()?, line["status"].as_u64()?);
        edge.ends_with("_thread_control").then(|| format!("{app} {edge} {status}"))
    });
    let calls: Vec<_> = calls.collect();
    if calls == expected {
        return Ok(());
    }
    Err(format!("expected {expected:?}, seen {calls:?}\n{}", server.transcript(0).join("\n")).into())
}
