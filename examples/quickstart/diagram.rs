//! Draws the recorded traffic as a sequence diagram, for a terminal and for Mermaid.

use std::fmt::Write as _;

/// The lifelines, in the order of Engage Digital's diagrams (docs/protocol.md#ed-workflows).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifeline {
    Customer,
    Bot,
    Agent,
    Ed,
    Meta,
}

/// The kind of an arrow. Engage Digital's diagrams show steps only (docs/protocol.md#ed-workflows).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message, a call that changes something, or a control event.
    Step,
    /// A copy of a message, an echo, or a read of the owner.
    Detail,
    /// The response to a call of ED's endpoint.
    Reply,
}

/// One request or response that was recorded.
#[derive(Debug, Clone)]
pub struct Arrow {
    pub from: Lifeline,
    pub to: Lifeline,
    pub label: String,
    pub kind: Kind,
    pub refused: bool,
    /// The thread's owner after it, if the owner changed.
    pub owner: Option<&'static str>,
}

const LIFELINES: [(Lifeline, &str, usize); 5] = [
    (Lifeline::Customer, "Customer", 4),
    (Lifeline::Bot, "Bot", 18),
    (Lifeline::Agent, "Agent", 36),
    (Lifeline::Ed, "ED", 60),
    (Lifeline::Meta, "Meta", 90),
];
const WIDTH: usize = 95;
/// Longer labels are truncated in a terminal.
const LONGEST: usize = 60;

impl Lifeline {
    pub fn name(self) -> &'static str {
        LIFELINES[self as usize].1
    }

    fn column(self) -> usize {
        LIFELINES[self as usize].2
    }
}

/// Draws two lines per arrow: its label, and the arrow itself with the thread's owner if it changed.
pub fn text(arrows: &[Arrow]) -> String {
    let mut names = vec![' '; WIDTH];
    for (_, name, column) in LIFELINES {
        put(&mut names, column.saturating_sub(name.len() / 2), name);
    }
    let mut text = line(&names, "owner: idle");
    for arrow in arrows {
        let (from, to) = (arrow.from.column(), arrow.to.column());
        let (left, right) = (from.min(to), from.max(to));
        let label: String = if arrow.label.chars().count() > LONGEST {
            arrow.label.chars().take(LONGEST - 1).chain(['…']).collect()
        } else {
            arrow.label.clone()
        };
        let length = label.chars().count();
        let mut row = bars();
        put(&mut row, (usize::midpoint(left, right)).saturating_sub(length / 2).min(WIDTH - length), &label);
        text += &line(&row, "");
        let mut row = bars();
        let stroke = if arrow.kind == Kind::Reply { '╌' } else { '─' };
        row[left + 1..right].fill(stroke);
        let (head, at) = if to > from { ('►', to - 1) } else { ('◄', to + 1) };
        row[at] = if arrow.refused { '×' } else { head };
        text += &line(&row, &arrow.owner.map(|owner| format!("owner: {owner}")).unwrap_or_default());
    }
    text
}

fn bars() -> Vec<char> {
    let mut row = vec![' '; WIDTH];
    for (_, _, column) in LIFELINES {
        row[column] = '│';
    }
    row
}

fn put(row: &mut [char], at: usize, text: &str) {
    for (cell, letter) in row[at..].iter_mut().zip(text.chars()) {
        *cell = letter;
    }
}

fn line(row: &[char], aside: &str) -> String {
    let row: String = row.iter().collect();
    format!("{row}{aside}").trim_end().to_owned() + "\n"
}

/// Writes a Mermaid `sequenceDiagram`.
pub fn mermaid(arrows: &[Arrow]) -> String {
    let mut text = String::from("sequenceDiagram\n");
    for (_, name, _) in LIFELINES {
        let _ = writeln!(text, "    participant {name}");
    }
    text += "    Note right of Meta: owner: idle\n";
    for arrow in arrows {
        let stroke = match (arrow.kind, arrow.refused) {
            (Kind::Reply, _) => "-->>",
            (_, true) => "-x",
            (_, false) => "->>",
        };
        let (from, to) = (arrow.from.name(), arrow.to.name());
        let _ = writeln!(text, "    {from}{stroke}{to}: {}", escape(&arrow.label));
        if let Some(owner) = arrow.owner {
            let _ = writeln!(text, "    Note right of Meta: owner: {owner}");
        }
    }
    text
}

/// Escapes a label, because in Mermaid `;` ends a statement and `#` starts an entity.
fn escape(label: &str) -> String {
    let mut text = String::with_capacity(label.len());
    for letter in label.chars() {
        match letter {
            '#' => text += "#35;",
            ';' => text += "#59;",
            letter => text.push(letter),
        }
    }
    text
}
