//! Draws the lines of a transcript as a sequence diagram of text.

use std::borrow::Cow;

use serde_json::Value;

/// The distance of two lifelines, in characters.
const STEP: usize = 30;
/// The column of the first lifeline.
const FIRST: usize = 4;

/// Draws what happened in a conversation. `apps` are the lifelines to the right of the customer and of Meta, as ids and names.
pub(super) fn draw<'a>(lines: impl Iterator<Item = &'a Value>, apps: &[(String, String)]) -> String {
    let mut names = vec!["Customer", "Meta"];
    names.extend(apps.iter().map(|(_, name)| name.as_str()));
    let mut text = row(
        &bare(names.len(), ' '),
        &names.iter().enumerate().map(|(at, name)| (column(at).saturating_sub(2), *name)).collect::<Vec<_>>(),
    );
    let lifeline = |app: &Value| {
        let id = app.as_str().map_or_else(|| app.to_string(), str::to_owned);
        apps.iter().position(|(known, _)| *known == id).map(|at| at + 2)
    };
    for line in lines {
        let word = |name: &str| line[name].as_str().unwrap_or_default();
        let status = |good: u64| match line["status"].as_u64() {
            Some(status) if status == good => String::new(),
            Some(status) => format!(" → {status}"),
            None => " → no answer".to_owned(),
        };
        let drawn = match word("kind") {
            "customer" => Some((0, 1, format!("{:?}", word("text")))),
            "customer_act" => Some((0, 1, word("act").to_owned())),
            "reached" => Some((1, 0, format!("{:?}", word("text")))),
            "call" => lifeline(&line["app"]).map(|app| (app, 1, format!("{}{}", word("edge"), status(200)))),
            "webhook" => {
                let label = match word("channel") {
                    "standby" => format!("{} (standby)", word("label")),
                    _ => word("label").to_owned(),
                };
                lifeline(&line["app"]).map(|app| (1, app, label))
            }
            "webhook_answer" if line["status"] != 200 => {
                lifeline(&line["app"]).map(|app| (app, 1, format!("{}{}", word("label"), status(200))))
            }
            _ => None,
        };
        if let Some((from, to, label)) = drawn {
            text += &arrow(names.len(), from, to, &label);
        } else if word("kind") == "owner" {
            let owner =
                lifeline(&line["owner"]).map_or_else(|| line["owner"].to_string(), |at| names[at].to_owned());
            let owner = if line["owner"].is_null() { "nobody".to_owned() } else { owner };
            text += &row(&bare(names.len(), '│'), &[(column(1) + 2, &format!("[{owner} has control]"))]);
        }
    }
    text
}

fn column(lifeline: usize) -> usize {
    FIRST + lifeline * STEP
}

/// A row with a character at each lifeline.
fn bare(lifelines: usize, mark: char) -> Vec<char> {
    let mut row = vec![' '; column(lifelines)];
    for lifeline in 0..lifelines {
        row[column(lifeline)] = mark;
    }
    row
}

/// A row with texts at their columns.
fn row(bare: &[char], texts: &[(usize, &str)]) -> String {
    let mut row = bare.to_vec();
    for (at, text) in texts {
        for (cell, letter) in row.iter_mut().skip(*at).zip(text.chars()) {
            *cell = letter;
        }
    }
    let row: String = row.into_iter().collect();
    format!("{}\n", row.trim_end())
}

/// A row with an arrow that carries its label.
fn arrow(lifelines: usize, from: usize, to: usize, label: &str) -> String {
    let (left, right) = (column(from.min(to)), column(from.max(to)));
    let mut row_of = bare(lifelines, '│');
    row_of[left + 1..right].fill('─');
    let (at, head) = if from < to { (right - 1, '►') } else { (left + 1, '◄') };
    row_of[at] = head;
    let room = right - left - 5;
    let label = if label.chars().count() > room {
        Cow::from(label.chars().take(room - 1).chain(['…']).collect::<String>())
    } else {
        Cow::from(label)
    };
    row(&row_of, &[(left + 3, &label)])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_diagram_has_arrows_owners_and_refusals() {
        let lines = [
            json!({"kind": "customer", "text": "hello, this is a long message"}),
            json!({"kind": "owner", "owner": "1"}),
            json!({"kind": "webhook", "app": "1", "label": "message", "channel": "messaging"}),
            json!({"kind": "webhook_answer", "app": "1", "label": "message", "status": null}),
            json!({"kind": "call", "app": "2", "edge": "messages", "status": 400}),
            json!({"kind": "reached", "text": "hi"}),
            json!({"kind": "owner", "owner": null}),
            json!({"kind": "webhook", "app": "unknown", "label": "message"}),
            json!({"kind": "something new"}),
        ];
        let apps = [("1", "Bot"), ("2", "Desk")].map(|(id, name)| (id.to_owned(), name.to_owned()));
        let expected = [
            "  Customer                      Meta                          Bot                           Desk",
            "    │──\"hello, this is a long m…─►│                             │                             │",
            "    │                             │ [Bot has control]           │                             │",
            "    │                             │──message───────────────────►│                             │",
            "    │                             │◄─message → no answer────────│                             │",
            "    │                             │◄─messages → 400───────────────────────────────────────────│",
            "    │◄─\"hi\"───────────────────────│                             │                             │",
            "    │                             │ [nobody has control]        │                             │",
        ];
        let drawn = draw(lines.iter(), &apps);
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expected, "\n{drawn}");
    }
}
