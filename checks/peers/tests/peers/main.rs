//! Third-party programs, unmodified, against the simulated platform; and the pages of the simulator and the playground in
//! a browser.
//!
//! Packages are installed below the target folder, from their lock files. A peer whose tools are missing is
//! reported as ignored; with `HANDOVER_REQUIRE_PEERS` only a browser may be missing.
//!
//! Called by the name `messenger-sim`, this program is the simulator (`testers`).

mod bots;
mod browser;
mod first_run;
mod install;
mod playground;
mod session;
mod testers;
mod tls;
mod workflows;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use messenger_sim::{App, Page, Platform, Rules, Server};
use tokio::runtime::Runtime;

const BOT: u64 = 999;
const DESK: u64 = 888;
const PAGE: u64 = 987_654_321_098_765;
const PSID: u64 = 1_234_567_890_123_456;
const VERIFY_TOKEN: &str = "V";
/// The second, because some packages have a fixed address of Graph, which leads to the simulator here.
const PAST_ANY_PROXY: &str = "127.0.0.1,graph.facebook.com";

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
        ("NO_PROXY", PAST_ANY_PROXY),
        ("no_proxy", PAST_ANY_PROXY),
    ]);
    command
}

/// Fails with everything that a client printed, unless it succeeded.
fn succeeded(output: &Output, server: &Server) -> Result<(), Failed> {
    if output.status.success() {
        return Ok(());
    }
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    Err(format!("{}\n{out}\n{err}\n{}", output.status, server.transcript(0).join("\n")).into())
}

/// Runs a client to its end, and checks that it has made all of these calls.
fn client(runtime: &Runtime, program: &Path, script: &Path, edges: &[&str]) -> Result<(), Failed> {
    let server = start(runtime);
    succeeded(&peer(program, &server).arg(script).output()?, &server)?;
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

/// Runs a Node bot through the scene of [`bots`].
fn node_bot(
    runtime: &Runtime,
    tools: &install::Tools,
    framework: &bots::Framework,
    script: &str,
) -> Result<(), Failed> {
    let (node, packages) = tools.node_packages()?;
    let script = packages.join(script);
    bots::drive(runtime, framework, |server| node_command(&node, &script, server))
}

/// Node with a script, in the script's folder, where some frameworks look for the bot.
fn node_command(node: &Path, script: &Path, server: &Server) -> Command {
    let mut command = peer(node, server);
    command.arg(script).current_dir(script.parent().unwrap_or(script));
    command
}

const NODE_CLIENTS: [&str; 2] = ["messaging-api-messenger", "facebook-nodejs-business-sdk"];
const CONTROL: [&str; 5] =
    ["pass_thread_control", "take_thread_control", "request_thread_control", "thread_owner", "messages"];

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
    let trial = |name: &str, there: bool, run: fn(&Runtime, &install::Tools, &str) -> Result<(), Failed>| {
        let (tools, runtime, own) = (Arc::clone(&tools), Arc::clone(&runtime), name.to_owned());
        Trial::test(name.to_owned(), move || run(&runtime, &tools, &own)).with_ignored_flag(!there)
    };
    let tester = |name: &str, there: bool, run: fn(&install::Tools, &Path) -> Result<(), Failed>| {
        let (tools, program) = (Arc::clone(&tools), program.clone());
        Trial::test(name.to_owned(), move || run(&tools, &program)).with_ignored_flag(!there)
    };
    let mut trials = vec![
        Trial::test("documentation", testers::documented),
        Trial::test("first-run", {
            let (runtime, program) = (Arc::clone(&runtime), program.clone());
            move || runtime.block_on(first_run::run(&program))
        }),
        tester("pytest", with_python, testers::pytest),
        tester("jest", with_node, testers::jest),
        trial("bottender", with_node, |runtime, tools, _| {
            node_bot(runtime, tools, &bots::BOTTENDER, "bottender/serve.js")
        }),
        trial("botly", with_node, |runtime, tools, _| node_bot(runtime, tools, &bots::BOTLY, "botly.js")),
        trial("botmaster", with_node, |runtime, tools, _| {
            node_bot(runtime, tools, &bots::BOTMASTER, "botmaster.js")
        }),
        trial("rasa-facebook-channel", with_python, |runtime, tools, _| {
            let (python, scripts) = tools.python_packages()?;
            bots::drive(runtime, &bots::RASA, |server| {
                let mut command = peer(&python, server);
                command.arg(scripts.join("rasa_facebook_bot.py"));
                command
            })
        }),
        trial("facebook-business", with_python, |runtime, tools, _| {
            let (python, scripts) = tools.python_packages()?;
            client(runtime, &python, &scripts.join("facebook_business_peer.py"), &CONTROL)
        }),
        trial("tls facebook-business", with_python, |runtime, tools, _| {
            let (python, scripts) = tools.python_packages()?;
            let trust = ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];
            let script = scripts.join("facebook_business_peer.py");
            tls::client(runtime, &python, &script, &trust, "CERTIFICATE_VERIFY_FAILED")
        }),
        trial("tls messaging-api-messenger", with_node, |runtime, tools, _| {
            let (node, packages) = tools.node_packages()?;
            let script = packages.join("messaging-api-messenger.js");
            tls::client(runtime, &node, &script, &["NODE_EXTRA_CA_CERTS"], "DEPTH_ZERO_SELF_SIGNED_CERT")
        }),
        trial("browser", with_browser, |runtime, tools, _| browser::drive(runtime, tools)),
        trial("playground", with_browser, |runtime, tools, _| playground::drive(runtime, tools)),
    ];
    trials.extend(NODE_CLIENTS.map(|name| {
        trial(name, with_node, |runtime, tools, name| {
            let (node, packages) = tools.node_packages()?;
            client(runtime, &node, &packages.join(format!("{name}.js")), &CONTROL)
        })
    }));
    trials.extend(workflows::NAMES.map(|name| trial(name, with_node, workflows::play)));
    libtest_mimic::run(&arguments, trials).exit_code()
}
