//! What was recorded, as a sequence diagram: for a terminal, and for Mermaid.

use std::fmt::Write as _;

/// The lifelines, in the order of the seed's pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifeline {
    Customer,
    Bot,
    Agent,
    Ed,
    Meta,
}

/// What kind of thing an arrow is. The seed's pictures show steps only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message, a call that changes something, a control event.
    Step,
    /// A copy of a message, an echo, a look at the owner.
    Detail,
    /// The answer to a call of ED's endpoint.
    Reply,
}

/// One thing that was seen on a wire.
#[derive(Debug, Clone)]
pub struct Arrow {
    pub from: Lifeline,
    pub to: Lifeline,
    pub label: String,
    pub kind: Kind,
    pub refused: bool,
    /// Who owns the thread from here on, where that changed.
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
/// Longer labels are cut in a terminal.
const LONGEST: usize = 60;

impl Lifeline {
    pub fn name(self) -> &'static str {
        LIFELINES[self as usize].1
    }

    fn column(self) -> usize {
        LIFELINES[self as usize].2
    }
}

/// Two lines an arrow: its label, and the arrow itself with the thread owner where that changed.
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

/// A `sequenceDiagram` for Mermaid.
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

/// `;` ends a statement of Mermaid's, and `#` begins an entity.
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
