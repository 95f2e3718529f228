//! The replicas as child processes, and the load balancer in front of them.

use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use messenger_handover::handover::BoxError;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::replica::Orders;

/// One delivery in this many goes to two replicas.
const TWICE: u32 = 10;

pub struct Fleet {
    orders: String,
    client: reqwest::Client,
    replicas: Vec<Mutex<Option<Replica>>>,
    rng: Mutex<fastrand::Rng>,
}

struct Replica {
    child: Child,
    port: u16,
}

impl Fleet {
    pub async fn start(replicas: usize, orders: &Orders, rng: fastrand::Rng) -> Result<Self, BoxError> {
        // reqwest needs a process-wide TLS provider, even for plain HTTP.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fleet = Self {
            orders: format!("{}\n", serde_json::to_string(orders)?),
            client: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?,
            replicas: (0..replicas).map(|_| Mutex::default()).collect(),
            rng: Mutex::new(rng),
        };
        for replica in &fleet.replicas {
            *lock(replica) = Some(fleet.spawn().await?);
        }
        Ok(fleet)
    }

    async fn spawn(&self) -> Result<Replica, BoxError> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--replica").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(stdin), Some(stdout)) = (&mut child.stdin, child.stdout.take()) else {
            return Err("a replica without a way to talk to it".into());
        };
        stdin.write_all(self.orders.as_bytes()).await?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        let port = line.ok_or("a replica ended before it began")?.parse()?;
        Ok(Replica { child, port })
    }

    /// Kills a random replica without warning, and starts another in its place.
    pub async fn kill(&self) -> Result<(), BoxError> {
        let unlucky = self.below(self.replicas.len());
        let replica = lock(&self.replicas[unlucky]).take();
        if let Some(Replica { mut child, .. }) = replica {
            child.kill().await?;
        }
        let away = Duration::from_millis(self.below(500) as u64);
        tokio::time::sleep(away).await;
        *lock(&self.replicas[unlucky]) = Some(self.spawn().await?);
        Ok(())
    }

    /// Kills all replicas, so that nothing writes any more.
    pub async fn end(&self) -> Result<(), BoxError> {
        for replica in &self.replicas {
            let last = lock(replica).take();
            if let Some(Replica { mut child, .. }) = last {
                child.kill().await?;
            }
        }
        Ok(())
    }

    fn below(&self, end: usize) -> usize {
        lock(&self.rng).usize(..end.max(1))
    }

    /// The ports of the running replicas, starting with a random one.
    fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<_> =
            self.replicas.iter().filter_map(|replica| Some(lock(replica).as_ref()?.port)).collect();
        lock(&self.rng).shuffle(&mut ports);
        ports
    }

    /// Forwards a request as a load balancer does: to a replica that responds, and sometimes to two.
    pub async fn forward(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response<String> {
        let twice = uri.path().starts_with("/hook/") && self.below(TWICE as usize) == 0;
        let mut answers = Vec::new();
        for port in self.ports() {
            if let Ok(answer) = self.ask(port, method.clone(), uri, headers.clone(), body.clone()).await {
                answers.push(answer);
                if answers.len() > usize::from(twice) {
                    break;
                }
            }
        }
        let bad = |status| {
            let mut response = Response::new(String::new());
            *response.status_mut() = status;
            response
        };
        answers.pop().unwrap_or_else(|| bad(StatusCode::BAD_GATEWAY))
    }

    async fn ask(
        &self,
        port: u16,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<String>, BoxError> {
        headers.remove("host");
        headers.remove("content-length");
        let ask = self.client.request(method, format!("http://127.0.0.1:{port}{uri}"));
        let answer = ask.headers(headers).body(body).send().await?;
        let mut response = Response::new(String::new());
        *response.status_mut() = answer.status();
        *response.body_mut() = answer.text().await?;
        Ok(response)
    }

    /// Calls the agents' interface of any replica. Returns whether the call was accepted.
    pub async fn agent(&self, user: u64, action: &str, key: &str) -> bool {
        let Ok(uri) = format!("/agent/{user}/{action}").parse() else { return false };
        let body = Bytes::from(key.to_owned());
        self.forward(Method::POST, &uri, HeaderMap::new(), body).await.status() == StatusCode::OK
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
