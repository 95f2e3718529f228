//! The examples that are tools: their output, the secrets they leave out, and their exit codes.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use messenger_handover::secret::AppSecret;
use messenger_handover::webhook::sign;
use messenger_sim::Rules;
use serde_json::Value;

use crate::doctor::platform;
use crate::world::{BOT, CUSTOMER, DESK, DESK_SECRET, DESK_TOKEN, PAGE};

/// The command of an example. `cargo test` builds the examples; a test that is run by name uses the existing build.
pub fn example(name: &str) -> Command {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.push("examples");
    path.push(name);
    assert!(path.is_file(), "{} is missing: cargo build --examples", path.display());
    let mut command = Command::new(path);
    command.env_clear();
    command
}

fn run(command: &mut Command, stdin: &[u8]) -> (i32, String, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The tool may exit before it has read everything, which closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

const BODY: &[u8] = br#"{"object":"page","entry":[{"id":"10","standby":[{"sender":{"id":"77"},
    "recipient":{"id":"10"},"timestamp":1789036800123,"message":{"mid":"m","text":"private"}}]}]}"#;

#[test]
fn examples_webhook_inspect_reads_one_delivery() {
    let inspect = |arguments: &[&str], stdin: &[u8]| run(example("webhook_inspect").args(arguments), stdin);
    let (status, out, err) = inspect(&["--app", "1001"], BODY);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, err.as_str(), out.lines().count()), (0, "", 1));
    assert_eq!(
        out,
        "{\"kind\":\"message\",\"channel\":\"standby\",\"page\":\"10\",\"user\":\"77\",\"at_ms\":1789036800123,\
         \"previous_owner\":null,\"new_owner\":null,\"requested_by\":null,\"app_id\":null,\"metadata\":null,\
         \"holds_control\":\"other\"}\n"
    );
    assert_eq!(line["at_ms"], 1_789_036_800_123_u64);

    let signature = sign(&AppSecret::new("SECRET"), BODY);
    let checked = inspect(&["--secret", "SECRET", "--signature", &signature], BODY);
    assert_eq!((checked.0, checked.1.lines().count()), (0, 1));
    for arguments in [
        &["--secret", "SECRET"][..],
        &["--secret", "SECRET", "--signature", "sha256=00"],
        &["--secret", "another", "--signature", &signature],
    ] {
        let (status, out, err) = inspect(arguments, BODY);
        assert_eq!((status, out.as_str()), (1, ""), "{arguments:?}");
        assert!(!err.is_empty() && !err.contains("SECRET"), "{err}");
    }
    for no_json in [&b""[..], b"hello", b"{\"entry\":[", b"\xff"] {
        let (status, out, err) = inspect(&[], no_json);
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.contains("not JSON"), "{err}");
    }
    // JSON that is not a delivery gives an `unknown` row with the reason.
    let (status, out, _) = inspect(&[], b"[1]");
    assert!(status == 0 && out.starts_with("{\"kind\":\"unknown\",\"channel\":null,"), "{out}");
    let entry =
        |item: &str| format!("{{\"object\":\"page\",\"entry\":[{{\"id\":\"10\",\"messaging\":[{item}]}}]}}");
    for (body, why) in [
        ("[1]".to_owned(), "a body that is no object"),
        ("{}".to_owned(), "a body without an array `entry`"),
        (entry("7"), "an element that is no object"),
        (entry("{\"sender\":{\"id\":\"77\"},\"new\":\"private\"}"), "an element of no known kind"),
        (
            entry("{\"sender\":{\"id\":\"77\"},\"message\":{\"text\":[\"private\"]}}"),
            "a message that cannot be read",
        ),
    ] {
        let (_, out, _) = inspect(&[], body.as_bytes());
        let line: Value = serde_json::from_str(&out).unwrap();
        assert!(line["kind"] == "unknown" && line["why"] == why, "{body}: {out}");
        assert!(!out.contains("private"), "{out}");
    }
    for wrong in [&["--app"][..], &["--app", ""], &["--signature", "sha256=00"], &["extra"]] {
        assert_eq!(inspect(wrong, BODY).0, 64, "{wrong:?}");
    }
    let (status, _, err) = inspect(&["--secert", "S3CRET"], BODY);
    assert!(status == 64 && !err.contains("S3CRET"), "a misspelt name gives its secret away: {err}");
    let mut by_environment = example("webhook_inspect");
    by_environment.env("APP_SECRET", "SECRET").args(["--signature", &signature]);
    assert_eq!(run(&mut by_environment, BODY).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_doctor_exit_code_is_the_worst_finding() {
    let server = platform(Rules::primary(DESK), false).await;
    let (page, app) = (PAGE.to_string(), DESK.to_string());
    let ask = |policy: &str, arguments: &[&str], token: &str| {
        let mut command = example("doctor");
        command.args(arguments).envs([
            ("GRAPH_URL", server.url().as_ref()),
            ("PAGE_ID", page.as_str()),
            ("PAGE_TOKEN", token),
            ("APP_ID", app.as_str()),
            ("APP_SECRET", DESK_SECRET),
            ("ROLE", "desk"),
            ("POLICY", policy),
        ]);
        let (status, out, err) = run(&mut command, b"");
        assert!(![&out, &err].iter().any(|text| text.contains("SECRET-")), "{out}{err}");
        (status, out, err)
    };
    let customer = CUSTOMER.to_string();
    let (status, out, _) = ask("ed_primary", &["--thread", &customer], DESK_TOKEN);
    assert!(status == 0 && out.contains("thread owner  ok               this app"), "{out}");
    // The desk owns the thread, so a probe makes no calls and adds no findings.
    let (status, out, _) = ask("ed_primary", &["--probe", &customer, "--json"], DESK_TOKEN);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, report["worst"].as_str()), (1, Some("unknown")), "{out}");
    assert_eq!(report["findings"][0]["check"], "token");
    let account = report["findings"].as_array().unwrap().iter().find(|found| found["check"] == "account");
    assert_eq!(account.unwrap()["verdict"], "ok", "{out}");
    let stranger = BOT + 1;
    let (status, out, _) = ask("ed_primary", &["--peer", &stranger.to_string()], DESK_TOKEN);
    assert!(status == 2 && out.contains("remedy: connect it"), "{out}");
    let (status, out, _) = ask("ed_primary", &["--json"], "SECRET-wrong");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, report["worst"].as_str()), (2, Some("problem")));

    for wrong in [&["--thread"][..], &["--thread", "1", "--probe", "1"], &["extra"]] {
        assert_eq!(ask("ed_primary", wrong, DESK_TOKEN).0, 64, "{wrong:?}");
    }
    assert_eq!(ask("sometimes", &[], DESK_TOKEN).0, 64);
    assert_eq!(run(&mut example("doctor"), b"").0, 64);
}

/// A child process that is killed when the test ends.
pub struct Running(pub std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_simulator_runs_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let transcript = dir.join("wire.jsonl");
    let config = file(
        "world.toml",
        "[[apps]]\nid = 999\n[[pages]]\nid = \"10\"\ndefault_app = \"999\"\ntokens = { 999 = \"SECRET-token\" }\n",
    );
    let mut command = example("simulator");
    command.args(["--port", "0", "--config", &config, "--seed", "7", "--transcript"]).arg(&transcript);
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.0.stdout.take().unwrap()));
    let first = lines.next().unwrap().unwrap();
    let url = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let client = crate::world::http().build().unwrap();
    let page = client.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Messenger platform, simulated"));
    let write = client.post(format!("{url}/_sim/pages/10/people/7/messages")).body(r#"{"text":"hello"}"#);
    assert_eq!(write.send().await.unwrap().status(), 200);
    let told: String = lines.by_ref().take(5).map(Result::unwrap).collect();
    assert!(told.contains("Page 10") && !told.contains("SECRET"), "{told}");
    drop(running);
    let wire = std::fs::read_to_string(&transcript).unwrap();
    assert!(wire.lines().next().unwrap().contains("\"kind\":\"customer\""), "{wire}");

    let broken = file("broken.json", r#"{"pages":[{"id":"10","default_app":"9"}]}"#);
    let (status, _, err) = run(example("simulator").args(["--config", &broken]), b"");
    assert!(status == 1 && err.contains("pages[0].default_app: the Page has no token of app 9"), "{err}");
    assert_eq!(run(example("simulator").args(["--config", "nowhere.json"]), b"").0, 1);
    assert_eq!(run(example("simulator").arg("--prot"), b"").0, 64);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn examples_playground_starts_and_stops_at_ctrl_c() {
    let mut running = Running(example("playground").stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(running.0.stdout.take().unwrap()));
    let line = lines.next().unwrap().unwrap();
    let url = line.strip_prefix("playground: ").unwrap().to_owned();
    let client = crate::world::http().build().unwrap();
    for (path, word) in
        [("", "Handover playground"), ("page.js", "function drawWire("), ("page.css", ".wire")]
    {
        let text = client.get(format!("{url}{path}")).send().await.unwrap().text().await.unwrap();
        assert!(text.contains(word), "{path} lacks {word}");
    }
    let act = |body: &str| {
        let post = client.post(format!("{url}api/act")).header("content-type", "application/json");
        post.body(body.to_owned()).send()
    };
    assert_eq!(act(r#"{"do":"write","customer":"71","text":"Hello!"}"#).await.unwrap().status(), 200);
    assert_eq!(act(r#"{"do":"write","customer":"1","text":"Hello!"}"#).await.unwrap().status(), 400);
    // Without its type the browser would send it for any site.
    let blind = client.post(format!("{url}api/act")).body(r#"{"do":"open","customer":"71"}"#);
    assert_eq!(blind.send().await.unwrap().status(), 415);

    let interrupted = Command::new("kill").args(["-INT", &running.0.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let stopped = tokio::task::spawn_blocking(move || {
        let status = running.0.wait().unwrap();
        (status.code(), lines.next().is_none())
    });
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(10), stopped).await;
    assert_eq!(stopped.expect("it runs on").unwrap(), (Some(0), true));
}
