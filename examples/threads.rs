//! Lists the work that waits in a store of conversations.
//!
//! ```text
//! cargo run --features sqlite --example threads -- --store sqlite:desk.db
//! cargo run --features sqlite --example threads -- --store sqlite:desk.db show PAGE/PSID
//! cargo run --features sqlite --example threads -- --store sqlite:desk.db forget PAGE/PSID
//! ```

use std::process::ExitCode;

use messenger_handover::handover::{Clock, SystemClock};
use messenger_handover::prelude::*;
use messenger_handover::store;
use messenger_handover::thread::{Thread, WaitsFor};
use messenger_handover::time::Timestamp;
use pico_args::Arguments;

const HELP: &str = "\
USAGE: threads [--store URL] [--texts] [list | show PAGE/PSID | forget PAGE/PSID]

  list      the conversations in which work is left (default)
  show      one conversation
  forget    deletes all that is stored of a conversation, waiting messages included

  --store   sqlite:FILE, postgres://… or redis://… (build with the feature of that name); default: the variable STORE
  --texts   show also what people wrote
";
/// Conversations that are read at once.
const PORTION: usize = 100;

/// A conversation by its Page and the customer's id.
fn key(text: Option<String>) -> Result<ThreadKey, BoxError> {
    let text = text.ok_or("which conversation? PAGE/PSID")?;
    let (page, user) = text.split_once('/').ok_or("a conversation is PAGE/PSID")?;
    Ok(ThreadKey::new(PageId::new(page)?, UserId::new(user)?))
}

async fn load(store: &dyn ThreadStore, key: &ThreadKey) -> Result<Option<Thread>, BoxError> {
    let loaded = store.load(std::slice::from_ref(key)).await?.pop();
    let Some(loaded) = loaded.filter(|loaded| loaded.version != 0) else { return Ok(None) };
    Ok(Some((*loaded.thread?).clone()))
}

/// One line: the owner, and all that waits.
fn summary(thread: &Thread) -> String {
    let mut parts = vec![format!("owner {:?}", thread.owner())];
    let mut count = |number: usize, what| parts.extend((number > 0).then(|| format!("{number} {what}")));
    let waiting = |why| thread.waiting_messages().filter(|message| message.waits_for == why).count();
    count(waiting(WaitsFor::Control), "wait for control");
    count(waiting(WaitsFor::Call), "being sent");
    count(waiting(WaitsFor::Echo), "wait for an echo");
    count(waiting(WaitsFor::Host), "unknown");
    count(thread.waiting_notices(), "notices for the handler");
    count(thread.set_aside().count(), "notices set aside");
    count(thread.waiting_requests().count(), "requests for control");
    count(usize::from(thread.intervention_is_open()), "open intervention");
    count(usize::from(thread.people_are_busy()), "with people");
    parts.join(", ")
}

/// A time, as seconds from now.
fn from_now(at: Timestamp) -> String {
    let now = SystemClock.now();
    if at > now {
        format!("in {} s", at.since(now).as_secs())
    } else {
        format!("{} s ago", now.since(at).as_secs())
    }
}

fn show(thread: &Thread, texts: bool) {
    println!("{}", summary(thread));
    for message in thread.waiting_messages() {
        let text = if texts { format!("{:?}", message.message.body()) } else { String::new() };
        let (key, why, expires) = (&message.key, message.waits_for, from_now(message.expires));
        println!("  message {key}: waits for {why:?}, expires {expires} {text}");
    }
    for inbound in thread.unanswered() {
        let text = inbound.text.as_deref().filter(|_| texts).unwrap_or_default();
        println!("  unanswered, written {} {text}", from_now(inbound.at.from));
    }
    for aside in thread.set_aside() {
        let (id, at) = (aside.id.0, from_now(aside.at));
        println!("  notice {id} set aside {at} after {} attempts", aside.attempts);
    }
    thread.waiting_requests().for_each(|app| println!("  app {app} requests control"));
}

async fn list(store: &dyn ThreadStore) -> Result<(), BoxError> {
    let (mut last, mut count) = (None, 0);
    loop {
        let keys = store.needing_attention(last.as_ref(), PORTION).await?;
        for key in &keys {
            let shown = match load(store, key).await {
                Ok(thread) => thread.as_ref().map_or_else(|| "gone".to_owned(), summary),
                Err(error) => error.to_string(),
            };
            println!("{key}: {shown}");
        }
        count += keys.len();
        if keys.len() < PORTION {
            println!("{count} conversations need attention");
            return Ok(());
        }
        last = keys.into_iter().last();
    }
}

async fn run(mut arguments: Arguments) -> Result<(), BoxError> {
    let texts = arguments.contains("--texts");
    let url = arguments.opt_value_from_str::<_, String>("--store")?.or_else(|| std::env::var("STORE").ok());
    let action = arguments.subcommand()?;
    let thread: Option<String> = arguments.opt_free_from_str()?;
    if !arguments.finish().is_empty() {
        return Err("too many arguments".into());
    }
    let url = url.ok_or("--store or STORE: missing (where the conversations are)")?;
    // Opening a file that is not there would create it.
    let path = url.strip_prefix("sqlite:").map(|path| path.trim_start_matches("//"));
    if path.is_some_and(|path| !std::path::Path::new(path).exists()) {
        return Err("there is no such file".into());
    }
    let store = store::open(url).await?;
    match action.as_deref().unwrap_or("list") {
        "list" => list(&*store).await?,
        "show" => {
            let thread = load(&*store, &key(thread)?).await?;
            show(&thread.ok_or("nothing is stored of this conversation")?, texts);
        }
        "forget" => store.forget(&[key(thread)?]).await?,
        other => return Err(format!("{other:?} is none of list, show, forget").into()),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            ExitCode::from(64)
        }
    }
}
