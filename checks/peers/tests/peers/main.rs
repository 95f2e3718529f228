//! Third-party programs, unmodified, against the simulated platform; and the pages of the simulator and the playground in
//! a browser.
//!
//! Packages are installed below the target folder, from their lock files. A peer whose tools are missing is
//! reported as ignored; with `HANDOVER_REQUIRE_PEERS` only a browser may be missing.
//!
//! Called by the name `messenger-sim`, this program is the simulator (`testers`).

mod browser;
mod first_run;
mod install;
mod playground;
mod session;
mod testers;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use messenger_handover::id::{AppId, PageId, UserId};
use messenger_sim::{ApiCall, App, Page, Platform, Rules, Server};
use tokio::runtime::Runtime;

const BOT: u64 = 999;
const DESK: u64 = 888;
const PAGE: u64 = 987_654_321_098_765;
const PSID: u64 = 1_234_567_890_123_456;
const VERIFY_TOKEN: &str = "V";

/// The handover protocol with a bot as primary receiver, because every call is available there.
fn platform() -> Platform {
    Platform::new()
        .with_app(App::new(BOT, "Bot", "bot-secret", VERIFY_TOKEN))
        .with_app(App::new(DESK, "Desk", "desk-secret", VERIFY_TOKEN))
        .with_page(Page::new(PAGE, Rules::primary(BOT)).app(BOT, "bot-token").app(DESK, "desk-token"))
}

fn start(runtime: &Runtime) -> Server {
    runtime.block_on(Server::start(platform())).expect("a port of this machine")
}

/// The command of a peer, with the world's addresses and tokens in its environment.
fn peer(program: &Path, server: &Server) -> Command {
    let mut command = Command::new(program);
    let ids = [("PAGE", PAGE), ("PSID", PSID), ("BOT", BOT), ("DESK", DESK)];
    command.envs(ids.map(|(name, id)| (name, id.to_string()))).envs([
        ("SIM_URL", server.url().as_str()),
        ("BOT_TOKEN", "bot-token"),
        ("DESK_TOKEN", "desk-token"),
        ("BOT_SECRET", "bot-secret"),
        ("DESK_SECRET", "desk-secret"),
        ("VERIFY_TOKEN", VERIFY_TOKEN),
        ("NO_PROXY", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
    ]);
    command
}

/// Runs a client to its end, and checks that it has made all of these calls.
fn client(runtime: &Runtime, program: &Path, script: &Path, edges: &[&str]) -> Result<(), Failed> {
    let server = start(runtime);
    let output = peer(program, &server).arg(script).output()?;
    if !output.status.success() {
        let [out, err] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        return Err(format!("{}\n{out}\n{err}\n{}", output.status, server.transcript(0).join("\n")).into());
    }
    let lines = server.transcript(0);
    for edge in edges {
        let called =
            |line: &String| line.contains(&format!("\"edge\":\"{edge}\"")) && line.contains("\"status\":200");
        if !lines.iter().any(called) {
            return Err(format!("{edge} was never called\n{}", lines.join("\n")).into());
        }
    }
    if !lines.iter().any(|line| line.contains("\"error_subcode\":2018300")) {
        return Err("it was never refused with 2018300".into());
    }
    Ok(())
}

/// A child process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, server: &Server, so: impl Fn() -> bool) -> Result<(), Failed> {
    let begun = Instant::now();
    while !so() {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err(format!("never: {what}\n{}", server.transcript(0).join("\n")).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A bot of another framework takes part in a transfer, with only its webhook and its Graph client.
fn bottender(runtime: &Runtime, node: &Path, packages: &Path) -> Result<(), Failed> {
    let server = start(runtime);
    let mut command = peer(node, &server);
    command.arg("serve.js").current_dir(packages.join("bottender")).stdout(Stdio::piped());
    let mut running = Running(command.spawn()?);
    let stdout = running.0.stdout.take().ok_or("no output")?;
    let line =
        BufReader::new(stdout).lines().map_while(Result::ok).find(|line| line.contains("listening on"));
    let line = line.ok_or("it never listens")?;
    let port = line.rsplit(' ').next().unwrap_or_default();

    let (bot, desk) = (AppId::from(BOT), AppId::from(DESK));
    let (page, user) = (PageId::from(PAGE), UserId::from(PSID));
    server.set_callback(&bot, format!("http://127.0.0.1:{port}/webhook"));
    runtime.block_on(server.verify_webhook(&bot)).map_err(|error| error.to_string())?;
    let read = || -> Vec<String> {
        let said = server.conversation(&page, &user);
        said.iter().filter_map(|said| said.text().map(str::to_owned)).collect()
    };
    let owner = || server.owner(&page, &user);
    let as_desk = |call: ApiCall| {
        let made = server.with_platform(|platform, now| platform.call(&desk, &page, &call, now));
        made.map_err(|error| error.to_string())
    };

    server.customer_writes(&page, &user, "hello");
    until("it answers", &server, || read() == ["hello", "You said: hello"])?;
    server.customer_writes(&page, &user, "a person, please");
    until("it passes control", &server, || owner() == Some(desk.clone()))?;
    // On standby the bot is silent and does not even attempt to send.
    let tried = || {
        let of_bot =
            |line: &&String| line.contains("\"app\":\"999\"") && line.contains("\"edge\":\"messages\"");
        server.transcript(0).iter().filter(of_bot).count()
    };
    let before = tried();
    server.customer_writes(&page, &user, "are you a person?");
    runtime.block_on(server.settled(Duration::from_secs(5)));
    std::thread::sleep(Duration::from_millis(500));
    if tried() != before {
        return Err("it speaks while another app has control".into());
    }
    as_desk(ApiCall::Pass { user: user.clone(), target: Some(bot.clone()), metadata: None })?;
    server.customer_writes(&page, &user, "hello again");
    until("it answers again", &server, || read().last().is_some_and(|text| text == "You said: hello again"))?;
    as_desk(ApiCall::Request { user: user.clone(), metadata: None })?;
    until("it grants a request", &server, || owner() == Some(desk.clone()))?;
    if server.dropped() > 0 {
        return Err("it did not accept a webhook".into());
    }
    Ok(())
}

fn node_client(
    runtime: &Runtime,
    tools: &install::Tools,
    edges: &[&str],
    script: &str,
) -> Result<(), Failed> {
    let (node, packages) = tools.node_packages()?;
    client(runtime, &node, &packages.join(format!("{script}.js")), edges)
}

fn main() -> ExitCode {
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    if name.file_name().is_some_and(|name| name == "messenger-sim") {
        return messenger_sim::program::run();
    }
    let arguments = Arguments::from_args();
    let program = testers::folder_of_program().expect("a folder of the target folder");
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let tools = Arc::new(install::Tools::find());
    let (with_node, with_python, with_browser) = (tools.has_node(), tools.has_python(), tools.has_browser());
    let every =
        ["pass_thread_control", "take_thread_control", "request_thread_control", "thread_owner", "messages"];
    let trial =
        |name: &str, there: bool, run: fn(&Runtime, &install::Tools, &[&str], &str) -> Result<(), Failed>| {
            let (tools, runtime, script) = (Arc::clone(&tools), Arc::clone(&runtime), name.to_owned());
            let run = move || run(&runtime, &tools, &every, &script);
            Trial::test(name.to_owned(), run).with_ignored_flag(!there)
        };
    let tester = |name: &str, there: bool, run: fn(&install::Tools, &Path) -> Result<(), Failed>| {
        let (tools, program) = (Arc::clone(&tools), program.clone());
        Trial::test(name.to_owned(), move || run(&tools, &program)).with_ignored_flag(!there)
    };
    let trials = vec![
        Trial::test("documentation", testers::documented),
        Trial::test("first-run", {
            let (runtime, program) = (Arc::clone(&runtime), program.clone());
            move || runtime.block_on(first_run::run(&program))
        }),
        tester("pytest", with_python, testers::pytest),
        tester("jest", with_node, testers::jest),
        trial("messaging-api-messenger", with_node, node_client),
        trial("facebook-nodejs-business-sdk", with_node, node_client),
        trial("bottender", with_node, |runtime, tools, _, _| {
            let (node, packages) = tools.node_packages()?;
            bottender(runtime, &node, &packages)
        }),
        trial("facebook-business", with_python, |runtime, tools, edges, _| {
            let (python, scripts) = tools.python_packages()?;
            client(runtime, &python, &scripts.join("facebook_business_peer.py"), edges)
        }),
        trial("browser", with_browser, |runtime, tools, _, _| browser::drive(runtime, tools)),
        trial("playground", with_browser, |runtime, tools, _, _| playground::drive(runtime, tools)),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}
