//! Drives the simulator's page in headless Chromium.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Failed;
use messenger_handover::id::{AppId, PAGE_INBOX, PageId, UserId};
use messenger_sim::Server;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{BOT, PAGE, PSID, Running, platform, until};
use crate::install::Tools;

const HTML: &str = include_str!("../../../../sim/src/page.html");

/// A `WebDriver` session with the commands that are needed here.
struct Session<'a> {
    runtime: &'a Runtime,
    client: reqwest::Client,
    base: String,
}

impl Session<'_> {
    fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
        let (client, url) = (&self.client, format!("{}/{path}", self.base));
        let answer: Value = self.runtime.block_on(async {
            let answer = client.post(url).header("content-type", "application/json").body(body.to_string());
            let text = answer.send().await.map_err(|error| error.to_string())?.text().await;
            serde_json::from_str(&text.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
        })?;
        if answer["value"]["error"].is_string() {
            return Err(answer["value"].to_string().into());
        }
        Ok(answer["value"].clone())
    }

    fn run(&self, script: &str) -> Result<Value, Failed> {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    fn element(&self, css: &str) -> Result<String, Failed> {
        let found = self.post("element", &json!({"using": "css selector", "value": css}))?;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str().map(str::to_owned));
        id.ok_or_else(|| format!("{css} is not there").into())
    }

    fn click(&self, css: &str) -> Result<(), Failed> {
        let element = self.element(css)?;
        self.post(&format!("element/{element}/click"), &json!({})).map(drop)
    }

    fn write(&self, css: &str, text: &str) -> Result<(), Failed> {
        let element = self.element(css)?;
        self.post(&format!("element/{element}/value"), &json!({"text": text})).map(drop)
    }

    fn until_shown(&self, css: &str, text: &str) -> Result<(), Failed> {
        let script = format!("return document.querySelector({css:?})?.textContent ?? ''");
        let begun = Instant::now();
        loop {
            let shown = self.run(&script)?;
            if shown.as_str().is_some_and(|shown| shown.contains(text)) {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(15) {
                return Err(format!("{css} never shows {text:?} but {shown}").into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A free port, chosen here because the driver's message about its own port varies between versions.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Writes as the customer, replies in the inbox, advances the clock and injects a fault.
pub fn drive(runtime: &Runtime, tools: &Tools) -> Result<(), Failed> {
    let (chromium, chromedriver) = tools.browser()?;
    let platform = platform();
    let server =
        runtime.block_on(Server::builder(platform).page(HTML).start()).map_err(|error| error.to_string())?;
    let port = free_port()?;
    let mut driver = Command::new(chromedriver);
    driver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _driver = Running(driver.spawn()?);
    // reqwest needs a process-wide TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build()?;
    let everything = runtime.block_on(async {
        let receiver = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
        receiver
    });
    for app in [BOT, super::DESK] {
        server.set_callback(&AppId::from(app), everything.uri());
    }
    let driver = format!("http://127.0.0.1:{port}");
    until("the driver listens", &server, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    let session = open(runtime, &client, &driver, &chromium)?;
    scene(&session, &server)
}

/// Closes the browser with its session, also after a failure.
impl Drop for Session<'_> {
    fn drop(&mut self) {
        let (client, base) = (self.client.clone(), self.base.clone());
        if let Err(error) = self.runtime.block_on(async { client.delete(base).send().await }) {
            eprintln!("the browser may still run: {error}");
        }
    }
}

fn open<'a>(
    runtime: &'a Runtime,
    client: &reqwest::Client,
    driver: &str,
    chromium: &Path,
) -> Result<Session<'a>, Failed> {
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1200,800",
    ];
    let options = json!({"binary": chromium, "args": arguments});
    let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
    let (client, base) = (client.clone(), format!("{driver}/session"));
    let mut session = Session { runtime, client, base: driver.to_owned() };
    let opened = session.post("session", &wanted)?;
    let id = opened["sessionId"].as_str().ok_or_else(|| Failed::from(opened.to_string()))?;
    session.base = format!("{base}/{id}");
    Ok(session)
}

fn scene(session: &Session<'_>, server: &Server) -> Result<(), Failed> {
    let (page, user) = (PageId::from(PAGE), UserId::from(PSID));
    session.post("url", &json!({"url": server.url()}))?;
    session.write("#new-person", &user.to_string())?;
    session.click("#new button")?;
    session.write("#text", "Hello <b>there</b>")?;
    session.click("#send")?;
    session.until_shown("#conversation", "Hello <b>there</b>")?;
    session.until_shown("#threads .chosen .owner", "Bot")?;
    assert_eq!(server.owner(&page, &user), Some(AppId::from(BOT)));
    session.until_shown("#lines", "owner: Bot")?;

    handover(session, server)?;

    // Under the handover protocol the inbox cannot send while the bot has control, and the page shows this.
    session.write("#reply", "I am a person.")?;
    session.click("#inbox button")?;
    session.until_shown("#error", "another app is controlling this thread")?;
    session.click("[data-advance='86400000']")?;
    until("control lapses", server, || server.owner(&page, &user).is_none())?;
    session.until_shown("#threads .chosen", "idle")?;
    session.write("#text", "Still there?")?;
    session.click("#send")?;
    until("the bot has it again", server, || server.owner(&page, &user) == Some(AppId::from(BOT)))?;
    server.set_rules(&page, messenger_sim::Rules::zero_config());
    session.click("#inbox button")?;
    session.until_shown("#conversation", "I am a person.")?;
    session.until_shown("#threads .chosen .owner", "Page inbox")?;
    assert_eq!(server.owner(&page, &user), Some(AppId::from(PAGE_INBOX)));

    session.click("#add-fault")?;
    session.until_shown("#faults", "1")?;
    session.click("#clear-faults")?;
    session.until_shown("#faults", "0")?;
    session.run("document.querySelector('main').scrollTop = 0")?;
    if let Some(path) = std::env::var_os("SCREENSHOT") {
        screenshot(session, Path::new(&path))?;
    }
    session.click("#reset")?;
    session.until_shown("#lines", "— reset —")?;
    assert!(server.conversation(&page, &user).is_empty());
    Ok(())
}

/// A refused message, a request and a grant between two apps, for the diagram on the page.
fn handover(session: &Session<'_>, server: &Server) -> Result<(), Failed> {
    let graph = |token: &str, edge: &str, mut body: Value| {
        let (client, url) = (session.client.clone(), format!("{}/v26.0/me/{edge}", server.url()));
        body["recipient"] = json!({"id": PSID.to_string()});
        body["access_token"] = json!(token);
        session.runtime.block_on(async {
            let post = client.post(url).header("content-type", "application/json").body(body.to_string());
            post.send().await.map_err(|error| Failed::from(error.to_string()))?;
            // Wait until the webhooks of both apps have arrived.
            server.idle().await;
            Ok::<_, Failed>(())
        })
    };
    let text = |text: &str| json!({"message": {"text": text}});
    graph("bot-token", "messages", text("At your service."))?;
    graph("desk-token", "messages", text("I am a person."))?;
    graph("desk-token", "request_thread_control", json!({}))?;
    graph("bot-token", "pass_thread_control", json!({"target_app_id": super::DESK}))?;
    graph("desk-token", "messages", text("I am a person, hello!"))?;
    session.until_shown("#lines", "request_thread_control (messaging)")?;
    session.until_shown("#conversation", "I am a person, hello!")?;
    graph("desk-token", "pass_thread_control", json!({"target_app_id": BOT}))
}

/// Takes the screenshot for `docs/`.
fn screenshot(session: &Session<'_>, path: &Path) -> Result<(), Failed> {
    let (client, url) = (&session.client, format!("{}/screenshot", session.base));
    let text = session.runtime.block_on(async { client.get(url).send().await?.text().await });
    let answer: Value = serde_json::from_str(&text.map_err(|error| error.to_string())?)?;
    let image = answer["value"].as_str().ok_or("no image")?;
    std::fs::write(path, STANDARD.decode(image)?)?;
    Ok(())
}
