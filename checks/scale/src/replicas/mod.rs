//! Many conversations that are all active within an hour of virtual time: the simulator's core without sockets, a bot and a
//! desk with several replicas each over one shared store, and a judgement of every conversation.
//!
//! A customer writes two to four messages at random moments, some of them within two seconds. The bot answers, most messages by
//! [`Handler::decide`](messenger_handover::handover::Handler::decide) and the others by `notify`. One conversation in twenty asks
//! for a person: the bot hands over, an agent of the desk answers and gives control back after some minutes. Webhooks of one
//! moment share a delivery to a random replica; one delivery in a hundred comes twice and one comes seconds late. The replicas'
//! clocks differ by up to 80 ms.
//!
//! Everything runs on one thread in virtual time, which advances when all tasks wait.

mod agents;
mod client;
mod drive;
mod ground;
mod hosts;
mod judge;
mod ledger;
mod post;
mod report;
mod store;

use std::process::ExitCode;
use std::time::Duration;

use messenger_handover::handover::BoxError;
use pico_args::Arguments;

pub const HELP: &str = "\
check-scale replicas: many conversations within an hour of virtual time, several replicas per host

  --conversations N  10000 if not given
  --replicas N       of each host, 4 if not given
  --minutes N        virtual time in which the customers write, 60 if not given
  --seed N           who writes when, and what goes wrong
  --store-ms N       virtual time that a call of the store takes, 1 if not given; with 0 it answers at once
  --cache N          conversations in the cache of each replica, 10000 if not given
  --break WHAT       must end with exit status 1: `lose` loses one delivery to the bot in 50, `apart` gives each replica
                     a store of its own
";

/// A deliberate fault, which the judge must find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Some deliveries to the bot are lost for good.
    Lose,
    /// Each replica has a store of its own.
    Apart,
}

#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub conversations: u32,
    pub replicas: usize,
    pub lasts: Duration,
    pub seed: u64,
    pub store_ms: u64,
    pub cache: usize,
    pub broken: Option<Broken>,
}

fn options(mut arguments: Arguments) -> Result<Options, BoxError> {
    let minutes: u64 = arguments.opt_value_from_str("--minutes")?.unwrap_or(60);
    let broken: Option<String> = arguments.opt_value_from_str("--break")?;
    let options = Options {
        conversations: arguments.opt_value_from_str("--conversations")?.unwrap_or(10_000),
        replicas: arguments.opt_value_from_str("--replicas")?.unwrap_or(4),
        lasts: Duration::from_mins(minutes),
        seed: arguments.opt_value_from_str("--seed")?.unwrap_or(1),
        store_ms: arguments.opt_value_from_str("--store-ms")?.unwrap_or(1),
        cache: arguments.opt_value_from_str("--cache")?.unwrap_or(10_000),
        broken: match broken.as_deref() {
            None => None,
            Some("lose") => Some(Broken::Lose),
            Some("apart") => Some(Broken::Apart),
            Some(other) => return Err(format!("--break has no {other}").into()),
        },
    };
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("unknown arguments {rest:?}").into());
    }
    if options.conversations == 0 || options.replicas == 0 || minutes == 0 || minutes > 600 {
        return Err("at least one conversation and one replica, 1 to 600 minutes".into());
    }
    Ok(options)
}

pub fn main(arguments: Arguments) -> ExitCode {
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("replicas: {error}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    // The library draws its random numbers on this thread.
    fastrand::seed(options.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let figures = match runtime {
        Ok(runtime) => runtime.block_on(drive::run(options)),
        Err(error) => Err(error.into()),
    };
    match figures {
        Ok(figures) => {
            figures.print();
            for (conversation, example) in &figures.verdict.examples {
                eprintln!("replicas: conversation {conversation}: {example}");
            }
            if figures.verdict.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("replicas: {error}");
            ExitCode::FAILURE
        }
    }
}
