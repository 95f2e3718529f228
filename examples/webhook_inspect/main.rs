//! Prints the events of a webhook delivery: one line of JSON each, in the order received.
//!
//! ```text
//! cargo run --example webhook_inspect < delivery.json
//! cargo run --example webhook_inspect -- --app 123456789 --secret "$APP_SECRET" --signature "sha256=…" < delivery.json
//! ```
//!
//! The lines contain ids, timestamps and metadata, but no message text. The exit status is 0 if
//! the body could be read, 1 if its signature is invalid or it is not JSON, 64 for wrong usage.

mod rows;

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use messenger_handover::id::AppId;
use messenger_handover::webhook::Verifier;
use pico_args::Arguments;

const HELP: &str = "\
Reads a webhook delivery on standard input and prints one line of JSON for each event in it.

  --app ID             our app: adds who holds control after the event (us, other, idle, unknown)
  --secret SECRET      checks the signature with this app secret; better in the environment, as APP_SECRET
  --signature HEADER   the value of X-Hub-Signature-256, as in sha256=…

Exit status: 0 read, 1 bad signature or not JSON at all, 64 wrong usage.
";

struct Options {
    app: Option<AppId>,
    secret: Option<String>,
    signature: Option<String>,
}

fn options(mut arguments: Arguments) -> Result<Options, Box<dyn Error>> {
    let app = arguments.opt_value_from_str("--app")?;
    let secret: Option<String> = arguments.opt_value_from_str("--secret")?;
    let signature: Option<String> = arguments.opt_value_from_str("--signature")?;
    // Unknown arguments are not repeated, because one may be a secret behind a misspelt option.
    let rest = arguments.finish();
    if !rest.is_empty() {
        return Err(format!("{} arguments are not understood", rest.len()).into());
    }
    let secret = secret.or_else(|| std::env::var("APP_SECRET").ok().filter(|_| signature.is_some()));
    if signature.is_some() && secret.is_none() {
        return Err("a signature can only be checked with a secret".into());
    }
    Ok(Options { app, secret, signature })
}

fn inspect(options: Options) -> Result<(), Box<dyn Error>> {
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    if let Some(secret) = options.secret {
        Verifier::new(secret.into()).verify(options.signature.as_deref(), &body)?;
    }
    let rows = rows::of(&body, options.app.as_ref())?;
    let mut out = io::stdout().lock();
    for row in rows {
        writeln!(out, "{}", serde_json::to_string(&row)?)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_env();
    if arguments.contains(["-h", "--help"]) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            return ExitCode::from(64);
        }
    };
    match inspect(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
