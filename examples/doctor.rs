//! Diagnoses why a Page does not hand over, for one app. Secrets come from the environment only:
//!
//! ```text
//! PAGE_ID=… PAGE_TOKEN=… APP_ID=… POLICY=bot_primary ROLE=desk cargo run --example doctor -- --thread PSID
//! ```
//!
//! With `APP_SECRET` the doctor can inspect an invalid token, and sends `appsecret_proof` with its calls.
//! `GRAPH_URL` names another platform than Meta's. The exit status is that of the worst finding: 0 all is correct, 1 a
//! check had no result, 2 there is a problem, 64 invalid usage.

use std::env::var;
use std::error::Error;
use std::process::ExitCode;

use messenger_handover::doctor::{Doctor, Report, Verdict};
use messenger_handover::graph::GraphClient;
use messenger_handover::id::{AppId, PageId, UserId};
use messenger_handover::policy::Role;
use pico_args::Arguments;
use serde_json::json;

const HELP: &str = "\
Looks at one Page from the side of one app, and says why it does not hand over.

  --thread PSID   also looks at the conversation with this person
  --probe PSID    also tries what request and take answer there; THIS CHANGES THINGS. What comes within 10 s
                  is given back, what the owner grants later stays with this app
  --peer APP      the app on the other side, which must be on the Page
  --instagram     the account is one on Instagram
  --json          prints JSON for machines

Environment: PAGE_ID, PAGE_TOKEN, APP_ID, POLICY (bot_primary, ed_primary, no_primary), ROLE (bot, desk),
and where wanted APP_SECRET, GRAPH_URL.

Exit status: 0 as it should be, 1 something cannot be known, 2 a problem, 64 wrong usage.
";

struct Question {
    doctor: Doctor,
    json: bool,
}

/// Reads the question from the arguments and the environment.
///
/// # Errors
/// An argument or a variable is missing or invalid: the error names it.
fn question(mut arguments: Arguments) -> Result<Question, Box<dyn Error>> {
    let json = arguments.contains("--json");
    let instagram = arguments.contains("--instagram");
    let thread: Option<UserId> = arguments.opt_value_from_str("--thread")?;
    let probe: Option<UserId> = arguments.opt_value_from_str("--probe")?;
    let peer: Option<AppId> = arguments.opt_value_from_str("--peer")?;
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    let needed = |name: &str| var(name).map_err(|_| format!("the environment variable {name} is missing"));
    let page: PageId = needed("PAGE_ID")?.parse()?;
    let app: AppId = needed("APP_ID")?.parse()?;
    let role = match needed("ROLE")?.as_str() {
        "bot" => Role::Bot,
        "desk" => Role::Desk,
        other => return Err(format!("ROLE is bot or desk, not {other:?}").into()),
    };
    let policy = needed("POLICY")?.parse()?;

    let mut graph = GraphClient::builder().page(page.clone(), needed("PAGE_TOKEN")?.into());
    if let Ok(secret) = var("APP_SECRET") {
        graph = graph.app(app.clone(), secret.into());
    }
    if let Ok(url) = var("GRAPH_URL") {
        graph = graph.base_url(url.parse()?);
    }
    let mut doctor = Doctor::new(graph.build()?, page, app, role, policy);
    if instagram {
        doctor = doctor.instagram();
    }
    if let Some(peer) = peer {
        doctor = doctor.peer(peer);
    }
    doctor = match (thread, probe) {
        (Some(_), Some(_)) => return Err("--probe looks at the conversation too: give one of them".into()),
        (Some(user), None) => doctor.person(user),
        (None, Some(user)) => doctor.probe(user),
        (None, None) => doctor,
    };
    Ok(Question { doctor, json })
}

fn answer(report: &Report, as_json: bool) -> ExitCode {
    if as_json {
        println!("{}", json!({ "worst": report.worst(), "findings": report.findings }));
    } else {
        print!("{report}");
    }
    ExitCode::from(match report.worst() {
        Verdict::Ok => 0,
        Verdict::Unknown => 1,
        Verdict::Problem => 2,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match question(arguments) {
        Ok(Question { doctor, json }) => answer(&doctor.examine().await, json),
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            ExitCode::from(64)
        }
    }
}
