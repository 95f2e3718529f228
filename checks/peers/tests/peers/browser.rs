//! Drives the simulator's page in headless Chromium.

use libtest_mimic::Failed;
use messenger_handover::id::{AppId, PAGE_INBOX, PageId, UserId};
use messenger_sim::{Server, page};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::session::{Session, in_browser};
use super::{BOT, PAGE, PSID, platform, until};
use crate::install::Tools;

/// Writes as the customer, replies in the inbox, advances the clock and injects a fault.
pub fn drive(runtime: &Runtime, tools: &Tools) -> Result<(), Failed> {
    let server = runtime.block_on(Server::builder(platform()).page(page::HTML).start());
    let server = server.map_err(|error| error.to_string())?;
    let everything = runtime.block_on(async {
        let receiver = MockServer::start().await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&receiver).await;
        receiver
    });
    for app in [BOT, super::DESK] {
        server.set_callback(&AppId::from(app), everything.uri());
    }
    in_browser(runtime, tools, |session| scene(session, &server))
}

fn scene(session: &Session<'_>, server: &Server) -> Result<(), Failed> {
    let (page, user) = (PageId::from(PAGE), UserId::from(PSID));
    session.post("url", &json!({"url": server.url()}))?;
    session.resize(380, 800)?;
    session.resize(1200, 800)?;
    session.write("#new-person", &user.to_string())?;
    session.click("#new button")?;
    session.write("#text", "Hello <b>there</b>")?;
    session.click("#send")?;
    session.until_shown("#conversation", "Hello <b>there</b>")?;
    session.until_shown("#threads .chosen .owner", "Bot")?;
    assert_eq!(server.owner(&page, &user), Some(AppId::from(BOT)));
    session.until_shown("#lines", "Bot has control")?;

    session.click("#conversation button")?;
    session.until_shown("#conversation", "(unsent)")?;
    session.until_shown("#lines", "takes a message back")?;
    session.click("#attach")?;
    session.until_shown("#conversation", "[image]")?;
    handover(session, server)?;
    session.click("#conversation .app button")?;
    session.until_shown("#conversation", "reaction: love")?;

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
    session.until_shown("#threads .chosen .owner", "Meta's inbox")?;
    assert_eq!(server.owner(&page, &user), Some(AppId::from(PAGE_INBOX)));

    session.click("#add-fault")?;
    session.until_shown("#faults", "1")?;
    session.click("#clear-faults")?;
    session.until_shown("#faults", "0")?;
    session.labels_fit()?;
    session.run("document.querySelector('#lines').scrollTop = 0")?;
    session.picture("simulator.png")?;
    session.click("#reset")?;
    session.until_shown("#lines", "everything starts over")?;
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
    session.until_shown("#lines", "webhook request_thread_control, messaging")?;
    session.until_shown("#conversation", "I am a person, hello!")?;
    graph("desk-token", "pass_thread_control", json!({"target_app_id": BOT}))
}
