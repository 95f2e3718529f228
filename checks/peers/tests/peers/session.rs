//! A session of headless Chromium, driven through its driver.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Failed;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Running;
use crate::install::Tools;

/// A `WebDriver` session with the commands that are needed here.
pub struct Session<'a> {
    pub runtime: &'a Runtime,
    pub client: reqwest::Client,
    base: String,
}

impl Session<'_> {
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failed> {
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

    pub fn run(&self, script: &str) -> Result<Value, Failed> {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    pub fn element(&self, css: &str) -> Result<String, Failed> {
        let found = self.post("element", &json!({"using": "css selector", "value": css}))?;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str().map(str::to_owned));
        id.ok_or_else(|| format!("{css} is not there").into())
    }

    pub fn click(&self, css: &str) -> Result<(), Failed> {
        let element = self.element(css)?;
        self.post(&format!("element/{element}/click"), &json!({})).map(drop)
    }

    pub fn write(&self, css: &str, text: &str) -> Result<(), Failed> {
        let element = self.element(css)?;
        self.post(&format!("element/{element}/value"), &json!({"text": text})).map(drop)
    }

    pub fn until_shown(&self, css: &str, text: &str) -> Result<(), Failed> {
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

    /// Lays the page out in a window of this size, however small.
    pub fn resize(&self, width: u32, height: u32) -> Result<(), Failed> {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics});
        self.post("goog/cdp/execute", &command)?;
        let fits = self.run("return document.documentElement.scrollWidth <= window.innerWidth")?;
        if fits == json!(true) { Ok(()) } else { Err(format!("the page is wider than {width} px").into()) }
    }

    /// Checks that no label of the diagram leaves the room between the lifelines of its arrow.
    pub fn labels_fit(&self) -> Result<(), Failed> {
        let script = "return [...document.querySelectorAll('.wire .way')].filter(way => {
            const [room, label] = [way, way.querySelector('.label')].map(one => one.getBoundingClientRect());
            return label.left < room.left || label.right > room.right;
        }).map(way => way.textContent)";
        let outside = self.run(script)?;
        if outside == json!([]) { Ok(()) } else { Err(format!("labels over lifelines: {outside}").into()) }
    }

    /// Saves a picture of the page in the folder that `SCREENSHOTS` names, if it does.
    pub fn picture(&self, name: &str) -> Result<(), Failed> {
        let Some(folder) = std::env::var_os("SCREENSHOTS") else { return Ok(()) };
        let (client, url) = (&self.client, format!("{}/screenshot", self.base));
        let text = self.runtime.block_on(async { client.get(url).send().await?.text().await });
        let answer: Value = serde_json::from_str(&text.map_err(|error| error.to_string())?)?;
        let image = answer["value"].as_str().ok_or("no image")?;
        std::fs::write(Path::new(&folder).join(name), STANDARD.decode(image)?)?;
        Ok(())
    }
}

/// A free port, chosen here because the driver's message about its own port varies between versions.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Runs `scene` in a browser of its own.
pub fn in_browser(
    runtime: &Runtime,
    tools: &Tools,
    scene: impl FnOnce(&Session<'_>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let (chromium, chromedriver) = tools.browser()?;
    let port = free_port()?;
    let mut driver = Command::new(chromedriver);
    driver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _driver = Running(driver.spawn()?);
    let begun = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if begun.elapsed() > Duration::from_secs(20) {
            return Err("the driver never listens".into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // reqwest needs a process-wide TLS provider, even for plain HTTP.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build()?;
    let session = open(runtime, &client, &format!("http://127.0.0.1:{port}"), &chromium)?;
    scene(&session)
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
