//! Child processes whose CPU time is measured.

use std::process::Stdio;

use messenger_handover::handover::BoxError;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::common::os;

/// A server that runs as a child process.
pub struct Server {
    child: Child,
    pub port: u16,
}

impl Server {
    /// Starts this program as one of its servers.
    pub async fn own(what: &str) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--serve", what]);
        Self::start(&mut command).await
    }

    pub async fn start(command: &mut Command) -> Result<Self, BoxError> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().ok_or("a server that says nothing")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let port = line.ok_or("a server ended before it began")?.parse()?;
        Ok(Self { child, port })
    }

    /// The CPU time that it has used so far, in nanoseconds.
    pub fn cpu(&self) -> Result<u64, BoxError> {
        Ok(os::cpu_nanos(self.child.id().ok_or("the server has ended")?)?)
    }
}

/// Runs this program again and returns its output.
pub async fn output(arguments: &[&str]) -> Result<String, BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(arguments).kill_on_drop(true).output().await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
