//! Starts `checks/chaos` with the same arguments: hosts over one store that are killed at any moment. The program is a
//! separate package because of its database dependencies.
//!
//! ```text
//! cargo run --release --example chaos -- --store sqlite --replicas 3 --threads 50 --messages 500 --kills 20 --seed 7
//! ```

use std::env;
use std::io;
use std::process::{Command, ExitCode};

fn main() -> io::Result<ExitCode> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["run", "--quiet", "--package", "check-chaos"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.arg("--").args(env::args_os().skip(1));
    run(command)
}

/// Replaces this process, so that a signal to it reaches the program.
#[cfg(unix)]
fn run(mut command: Command) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn run(mut command: Command) -> io::Result<ExitCode> {
    let code = command.status()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
