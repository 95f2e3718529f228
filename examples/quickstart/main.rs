//! Plays the four workflows of Engage Digital's Bots API page, and a fifth in which the customer waits, between a bot, an
//! agent desk and the simulated Messenger platform, over real HTTP on this machine, and prints the recorded traffic.
//!
//! ```text
//! cargo run --example quickstart
//! cargo run --example quickstart -- --workflow bot-primary
//! cargo run --example quickstart -- --workflow routing-bot-primary --mermaid diagrams
//! ```
//!
//! The exit status is 0 only if each sequence is as expected and no message was lost or duplicated.

mod diagram;
mod plays;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use messenger_handover::prelude::BoxError;
use messenger_sim::RequestUnderDefaultApp;
use pico_args::Arguments;

const HELP: &str = "\
Plays the four workflows of the Bots API, and one in which the customer waits for an agent, under the handover protocol and under Conversation Routing.

  --workflow NAME   only this one: bot-primary, ed-primary, no-primary, agent-interrupts-bot,
                    customer-waits, or any of them with routing- before it
  --mermaid DIR     also writes each diagram to DIR/NAME.mmd
";

struct Options {
    workflow: Option<String>,
    mermaid: Option<PathBuf>,
}

fn options(mut arguments: Arguments) -> Result<Options, BoxError> {
    let workflow = arguments.opt_value_from_str::<_, String>("--workflow")?;
    let mermaid = arguments.opt_value_from_str("--mermaid")?;
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}\n\n{HELP}").into());
    }
    // The page predates Conversation Routing, so a bare name is the workflow under the handover protocol.
    let named = |name: String| {
        let full = format!("handover-{name}");
        if plays::NAMES.contains(&full.as_str()) { full } else { name }
    };
    let workflow = workflow.map(named);
    match &workflow {
        Some(name) if !plays::NAMES.contains(&name.as_str()) => {
            Err(format!("no workflow is called {name}; there are:\n{}", plays::NAMES.join("\n")).into())
        }
        _ => Ok(Options { workflow, mermaid }),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    messenger_sim::program::log_to_stderr();
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match play(&options).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the chosen workflows. Returns whether all were as expected.
async fn play(options: &Options) -> Result<bool, BoxError> {
    if let Some(dir) = &options.mermaid {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let (mut good, mut table) = (true, Vec::new());
    for name in plays::NAMES {
        if options.workflow.as_deref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let Some(played) = plays::run(name, RequestUnderDefaultApp::Refused).await else { continue };
        let played = played?;
        println!("{name}\n\n{}", diagram::text(&played.arrows));
        if let Some(dir) = &options.mermaid {
            let path = dir.join(format!("{name}.mmd"));
            std::fs::write(&path, diagram::mermaid(&played.arrows))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        let (steps, messages) = (played.arrows.len(), played.conversation.len());
        let verdict = if played.deviations.is_empty() { "as the page says" } else { "DEVIATES" };
        table.push(format!("{name:<30} {steps:>6} {messages:>8}  {verdict}"));
        if played.deviations.is_empty() {
            println!(
                "{name}: as the page says; {steps} arrows, {messages} messages, none lost, none doubled\n"
            );
        } else {
            println!("{name}: DEVIATES: {}\n", played.deviations.join("; "));
            good = false;
        }
    }
    println!("{:<30} {:>6} {:>8}  verdict\n{}", "workflow", "arrows", "messages", table.join("\n"));
    Ok(good)
}
