//! Drives the playground's page in headless Chromium through a whole handover.

use libtest_mimic::Failed;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::session::{Session, in_browser};
use crate::install::Tools;

#[path = "../../../../examples/playground/main.rs"]
#[allow(dead_code, reason = "its main is for running it alone")]
mod example;

/// Starts the playground in this process.
pub fn drive(runtime: &Runtime, tools: &Tools) -> Result<(), Failed> {
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let url = format!("http://{}/", listener.local_addr()?);
    let serving = runtime.spawn(example::serve(listener, std::future::pending()));
    let outcome = in_browser(runtime, tools, |session| {
        session.post("url", &json!({"url": url}))?;
        handover(session)?;
        another_setting(session)
    });
    serving.abort();
    match runtime.block_on(serving) {
        Ok(Err(error)) => Err(format!("the playground ended: {error}").into()),
        _ => outcome,
    }
}

fn handover(session: &Session<'_>) -> Result<(), Failed> {
    session.write("#text", "Where is my parcel?")?;
    session.click("#write button")?;
    session.until_shown("#said", "You wrote “Where is my parcel?”")?;
    session.click(".say:nth-of-type(2)")?;
    session.until_shown("#said", "A colleague will be with you")?;
    session.until_shown("#queue", "waits for a person")?;

    session.click("#open")?;
    session.until_shown("#desk-state", "Open at the desk; the desk has control")?;
    session.write("#reply", "How can I help you?")?;
    session.click("#answer button")?;
    session.until_shown("#sent .state", "sent")?;
    session.until_shown("#said", "How can I help you?")?;
    session.click("#close")?;
    session.until_shown("#desk-state", "Not open at the desk; nobody has control")?;

    session.write("#text", "When do you open?")?;
    session.click("#write button")?;
    session.until_shown("#said", "You wrote “When do you open?”")?;
    session.until_shown("#desk-state", "the bot has control")?;
    let tones = session.run(
        "return [...document.querySelectorAll('#wire li')].map(row => row.dataset.control)
            .filter((tone, index, all) => tone !== all[index - 1])",
    )?;
    if tones != json!(["nobody", "bot", "desk", "nobody", "bot"]) {
        return Err(format!("the band of control is {tones}").into());
    }
    session.resize(380, 1_000)?;
    session.labels_fit()?;
    if session.run("return document.querySelector('#wire').scrollWidth > 500")? != json!(true) {
        return Err("a narrow window squeezes the diagram".into());
    }
    session.picture("playground-narrow.png")?;
    session.resize(1_400, 1_240)?;
    session.labels_fit()?;
    session.picture("playground.png")?;

    session.write("#text", "Hello <b>there</b>")?;
    session.click("#write button")?;
    session.until_shown("#said", "You wrote “Hello <b>there</b>”")?;
    if session.run("return document.querySelector('main b:not(.turn b)')")?.is_object() {
        return Err("a customer's text is markup".into());
    }
    Ok(())
}

/// Changes the rules of the Page, which starts over, then stops and starts the bot.
fn another_setting(session: &Session<'_>) -> Result<(), Failed> {
    let chosen = "const rules = document.querySelector('#rules');
        rules.value = 'handover';
        rules.dispatchEvent(new Event('change'))";
    session.run(chosen)?;
    session.until_shown("#queue li:first-child", "has not written")?;
    session.click("#bot-down")?;
    session.until_shown("#wire", "the bot goes down")?;
    session.click(".say")?;
    session.until_shown("#wire", "not accepted (503)")?;
    session.click("#bot-down")?;
    session.until_shown("#said", "You wrote “Hello!”")?;
    session.click("#said li:nth-child(2) button")?;
    session.until_shown("#said", "reaction: love")?;
    session.click("#said li:first-child button")?;
    session.until_shown("#said", "(unsent)")?;
    // Under the Handover Protocol the inbox cannot send while the bot has control.
    session.click("#inbox")?;
    session.until_shown("#error", "another app is controlling this thread")
}
