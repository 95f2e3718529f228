//! Bots of other frameworks take part in a transfer, each with only its webhook and its Graph client.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Failed;
use messenger_handover::id::{AppId, PageId, UserId};
use messenger_sim::{ApiCall, CustomerMessage, Said, Server};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{BOT, DESK, PAGE, PSID, Running, start, until};

/// The facts about a framework that the scene depends on.
pub struct Framework {
    /// The path of its webhook.
    pub webhook: &'static str,
    /// Whether it accepts standby events. Some answer 500, because an entry without `messaging` is an error in them.
    pub accepts_standby: bool,
    /// Whether its users see passes and requests of control.
    pub sees_control: bool,
    /// The sender actions that the platform refuses, because the framework sends them after its user passed control.
    pub refused: &'static [&'static str],
}

pub const BOTTENDER: Framework =
    Framework { webhook: "/webhook", accepts_standby: true, sees_control: true, refused: &[] };
pub const BOTLY: Framework = BOTTENDER;
pub const BOTMASTER: Framework =
    Framework { webhook: "/messenger/webhook", accepts_standby: false, ..BOTTENDER };
pub const RASA: Framework = Framework {
    webhook: "/webhooks/facebook/webhook",
    accepts_standby: false,
    sees_control: false,
    refused: &["typing_off"],
};

/// Starts a bot that prints `listening on PORT`, and registers its webhook.
pub fn launch(
    runtime: &Runtime,
    server: &Server,
    mut command: Command,
    webhook: &str,
) -> Result<Running, Failed> {
    let mut running = Running(command.stdout(Stdio::piped()).spawn()?);
    let mut stdout = BufReader::new(running.0.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        if stdout.read_line(&mut line)? == 0 {
            return Err("it never listens".into());
        }
    }
    // Kept open, so that the bot can go on writing.
    running.0.stdout = Some(stdout.into_inner());
    let port = line.trim_end().rsplit(' ').next().unwrap_or_default();
    let bot = AppId::from(BOT);
    server.set_callback(&bot, format!("http://127.0.0.1:{port}{webhook}"));
    runtime.block_on(server.verify_webhook(&bot)).map_err(|error| error.to_string())?;
    Ok(running)
}

/// The texts that the customer reads, in order.
pub fn read(server: &Server) -> Vec<String> {
    let said = server.conversation(&PageId::from(PAGE), &UserId::from(PSID));
    said.iter().filter_map(|said| said.text().map(str::to_owned)).collect()
}

pub fn lines(server: &Server) -> Vec<Value> {
    let lines = server.transcript(0);
    lines.iter().map(|line| serde_json::from_str(line).expect("the transcript is JSON")).collect()
}

fn is_of_bot(line: &Value) -> bool {
    line["app"].as_str().and_then(|app| app.parse().ok()) == Some(BOT)
}

/// The number of times that the bot tried to send something.
fn tried(server: &Server) -> usize {
    let is_send = |line: &&Value| is_of_bot(line) && line["edge"] == "messages";
    lines(server).iter().filter(is_send).count()
}

/// The statuses with which the bot answered standby events.
fn standby_answers(server: &Server) -> BTreeSet<u64> {
    let lines = lines(server);
    let is_standby =
        |line: &&Value| line["kind"] == "webhook" && line["channel"] == "standby" && is_of_bot(line);
    let standby: BTreeSet<_> =
        lines.iter().filter(is_standby).filter_map(|line| line["seq"].as_u64()).collect();
    let of = |line: &&Value| line["of"].as_u64().is_some_and(|of| standby.contains(&of));
    lines.iter().filter(of).filter_map(|line| line["status"].as_u64()).collect()
}

/// The bot answers, passes control, is silent while the desk has it, and answers again when it has control back.
pub fn drive(
    runtime: &Runtime,
    framework: &Framework,
    command: impl FnOnce(&Server) -> Command,
) -> Result<(), Failed> {
    let server = start(runtime);
    let _running = launch(runtime, &server, command(&server), framework.webhook)?;
    let (desk, page, user) = (AppId::from(DESK), PageId::from(PAGE), UserId::from(PSID));
    let owner = || server.owner(&page, &user);
    let as_desk = |call: ApiCall| {
        let made = server.with_platform(|platform, now| platform.call(&desk, &page, &call, now));
        made.map_err(|error| error.to_string())
    };
    let last = |text: &str| read(&server).last().is_some_and(|last| last == text);

    server.customer_writes(&page, &user, "hello");
    until("it answers", &server, || read(&server) == ["hello", "You said: hello"])?;
    let quick_replies = |said: &Said| !said.message["quick_replies"].is_null();
    let buttons = |said: &Said| said.message["attachment"]["payload"]["buttons"].is_array();
    server.customer_writes(&page, &user, "menu");
    let offers = |said: &Said| quick_replies(said) || buttons(said);
    until("it offers a menu", &server, || server.conversation(&page, &user).iter().any(offers))?;
    server.customer_presses(&page, &user, "Help", "HELP");
    until("it answers a postback", &server, || last("You said: HELP"))?;
    let reply = CustomerMessage::quick_reply("Other", "OTHER");
    server.customer_sends(&page, &user, &reply).map_err(|error| error.to_string())?;
    until("it answers a quick reply", &server, || last("You said: OTHER"))?;
    server.customer_attaches(&page, &user, "image", "https://shop.example/a.png");
    server.customer_reads(&page, &user);
    server.customer_writes(&page, &user, "a person, please");
    until("it passes control", &server, || owner() == Some(desk.clone()))?;
    // On standby the bot is silent and does not even attempt to send.
    runtime.block_on(server.settled(Duration::from_secs(2)));
    let before = tried(&server);
    server.customer_writes(&page, &user, "are you a person?");
    // Not the bot's button: of that one it would get the whole postback.
    server.customer_presses(&page, &user, "Track", "TRACK");
    as_desk(ApiCall::Send {
        user: user.clone(),
        message: json!({"text": "I am."}),
        messaging_type: Some("RESPONSE".to_owned()),
        tag: None,
        thread_control: None,
    })?;
    until("it gets standby events", &server, || !standby_answers(&server).is_empty())?;
    std::thread::sleep(Duration::from_millis(500));
    if tried(&server) != before {
        return Err("it speaks while another app has control".into());
    }
    let expected = BTreeSet::from([if framework.accepts_standby { 200 } else { 500 }]);
    if standby_answers(&server) != expected {
        return Err(format!("it answers standby events with {:?}", standby_answers(&server)).into());
    }
    as_desk(ApiCall::Pass { user: user.clone(), target: Some(AppId::from(BOT)), metadata: None })?;
    if framework.sees_control {
        until("it sees the pass", &server, || last("The bot is back."))?;
    }
    server.customer_writes(&page, &user, "hello again");
    until("it answers again", &server, || last("You said: hello again"))?;
    as_desk(ApiCall::Request { user: user.clone(), metadata: None })?;
    if framework.sees_control {
        until("it grants a request", &server, || owner() == Some(desk.clone()))?;
    } else {
        std::thread::sleep(Duration::from_millis(500));
        if owner() != Some(AppId::from(BOT)) {
            return Err("a request that nobody saw was granted".into());
        }
    }
    let refused: Vec<_> =
        lines(&server).into_iter().filter(|line| line["kind"] == "call" && line["status"] != 200).collect();
    if !refused.iter().map(|line| &line["request"]["sender_action"]).eq(framework.refused) {
        return Err(format!("refused: {refused:?}").into());
    }
    if server.dropped() > 0 {
        return Err("it did not accept a webhook".into());
    }
    Ok(())
}
