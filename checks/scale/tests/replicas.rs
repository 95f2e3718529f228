//! A small run of `check-scale replicas`, and two that are broken on purpose and must be caught.

use std::collections::HashMap;
use std::process::Command;

/// The exit status and the figures of a run of three virtual minutes.
fn replicas(conversations: &str, more: &[&str]) -> (Option<i32>, HashMap<String, String>) {
    let usual = ["replicas", "--conversations", conversations, "--minutes", "3", "--seed", "7"];
    let output = Command::new(env!("CARGO_BIN_EXE_check-scale")).args(usual).args(more).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures = text.lines().filter_map(|line| line.split_once(' '));
    (output.status.code(), figures.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn figure(figures: &HashMap<String, String>, name: &str) -> u64 {
    figures[name].parse().unwrap()
}

#[test]
fn replicas_answer_every_message_once() {
    let (status, figures) = replicas("300", &[]);
    assert_eq!(status, Some(0), "{figures:?}");
    assert!(figure(&figures, "messages_of_customers") > 600);
    assert!(figure(&figures, "handovers") > 5 && figure(&figures, "messages_of_agents") > 5);
    assert!(figure(&figures, "deliveries_doubled") > 5 && figure(&figures, "deliveries_late") > 5);
    assert!(figure(&figures, "store_conflicts_bot") > 50);
    assert_eq!(figure(&figures, "threads_at_rest"), 600);
}

#[test]
fn replicas_run_is_reproduced_by_its_seed() {
    let [first, again] = [replicas("50", &[]), replicas("50", &[])].map(|(_, figures)| {
        ["messages_of_bot", "events", "deliveries", "store_conflicts_bot", "answer_of_bot_max_ms"]
            .map(|name| figure(&figures, name))
    });
    assert_eq!(first, again);
}

#[test]
fn replicas_lost_deliveries_are_found() {
    let (status, figures) = replicas("100", &["--break", "lose"]);
    assert_eq!(status, Some(1), "{figures:?}");
    assert!(figure(&figures, "deliveries_lost") > 0 && figure(&figures, "lost") > 0);
}

#[test]
fn replicas_stores_apart_are_found() {
    let (status, figures) = replicas("100", &["--break", "apart"]);
    assert_eq!(status, Some(1), "{figures:?}");
    assert!(figure(&figures, "doubled") > 0);
}

#[test]
fn replicas_unknown_arguments_are_refused() {
    assert_eq!(replicas("50", &["--break", "nothing"]).0, Some(64));
    assert_eq!(replicas("50", &["--sed", "7"]).0, Some(64));
}
