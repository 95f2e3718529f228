//! The host as a child process: its reports go into the account, and its CPU time and memory are measured.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use messenger_handover::handover::BoxError;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::account::Account;
use crate::host::{News, Orders};
use crate::os;

const LOOKS_EACH: Duration = Duration::from_millis(200);

pub struct Host {
    /// Killed when this is dropped.
    _child: Child,
    stdin: ChildStdin,
    pub pid: u32,
    pub port: u16,
}

impl Host {
    pub async fn start(orders: &Orders, account: Arc<Account>) -> Result<Self, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--host").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout), Some(pid)) = (child.stdin.take(), child.stdout.take(), child.id())
        else {
            return Err("a host without a way to talk to it".into());
        };
        let mut lines = BufReader::new(stdout).lines();
        let mut host = Self { _child: child, stdin, pid, port: 0 };
        host.say(&serde_json::to_string(orders)?).await?;
        host.port = lines.next_line().await?.ok_or("the host ended before it began")?.parse()?;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                match News::read(&line) {
                    Some(news) => account.hears(news),
                    None => eprintln!("load: the host says {line:?}"),
                }
            }
        });
        Ok(host)
    }

    /// Sends the host one line.
    pub async fn say(&mut self, line: &str) -> Result<(), BoxError> {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// The CPU time that it has used so far.
    pub fn cpu(&self) -> Result<Duration, BoxError> {
        Ok(Duration::from_nanos(os::cpu_nanos(self.pid)?))
    }
}

/// Samples the host's memory, five times a second.
pub struct Memory(JoinHandle<Vec<(Instant, u64)>>);

/// The samples of a finished run.
pub struct Sizes(Vec<(Instant, u64)>);

impl Memory {
    pub fn watch(pid: u32, until: Instant) -> Self {
        Self(tokio::spawn(async move {
            let mut sizes = Vec::new();
            while Instant::now() < until {
                // No samples on systems without `/proc`.
                sizes.extend(os::resident_bytes(pid).ok().map(|bytes| (Instant::now(), bytes)));
                tokio::time::sleep(LOOKS_EACH).await;
            }
            sizes
        }))
    }

    pub async fn sizes(self) -> Result<Sizes, BoxError> {
        Ok(Sizes(self.0.await?))
    }
}

impl Sizes {
    /// The mean of the second around this moment, in bytes.
    pub fn at(&self, moment: Instant) -> u64 {
        let near = |at: Instant| at.max(moment) - at.min(moment) <= Duration::from_millis(500);
        let near: Vec<_> = self.0.iter().filter(|(at, _)| near(*at)).map(|(_, bytes)| bytes).collect();
        near.iter().copied().sum::<u64>() / (near.len() as u64).max(1)
    }

    /// The maximum in this period, in bytes.
    pub fn peak(&self, from: Instant, to: Instant) -> u64 {
        let then = self.0.iter().filter(|(at, _)| (from..to).contains(at));
        then.map(|(_, bytes)| *bytes).max().unwrap_or_default()
    }
}
