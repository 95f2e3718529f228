//! A table with one line per figure: its name, our value, the alternative's value from the same run, their ratio, the
//! target, and whether the target is met.

use std::fmt;

/// The target of a ratio.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// A figure to be shown.
    None,
}

impl Target {
    fn verdict(self, ratio: f64) -> &'static str {
        match self {
            Self::AtMost(target) if ratio <= target => "met",
            Self::AtLeast(target) if ratio >= target => "met",
            Self::None => "",
            _ => "not met",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(target) => write!(f, "≤ {target}"),
            Self::AtLeast(target) => write!(f, "≥ {}", in_groups(&target.to_string())),
            Self::None => f.write_str("–"),
        }
    }
}

pub const HEAD: &str =
    "| what | ours | compared with | its | ratio | target | |\n|---|---|---|---|---|---|---|";

/// Prints a line with the ratio of two figures of the same unit. `what` names the alternative after a semicolon.
pub fn line(what: &str, ours: (f64, &str), alternative: (f64, &str), target: Target) {
    compared(what, ours, alternative, ours.0 / alternative.0, target);
}

fn compared(what: &str, ours: (f64, &str), alternative: (f64, &str), ratio: f64, target: Target) {
    let (what, other) = what.split_once("; ").unwrap_or((what, ""));
    let (ours, its) = (figure(ours), figure(alternative));
    println!("| {what} | {ours} | {other} | {its} | {ratio:.2} | {target} | {} |", target.verdict(ratio));
}

/// Prints a line of medians over rounds of (ours, alternative); the ratio is the median of the rounds' ratios.
pub fn rounds(what: &str, rounds: &[(f64, f64)], unit: &str, target: Target) {
    let over = |figure: fn(&(f64, f64)) -> f64| median(rounds.iter().map(figure).collect());
    let (ours, other) = (over(|round| round.0), over(|round| round.1));
    compared(what, (ours, unit), (other, unit), over(|(ours, other)| ours / other), target);
}

/// Prints a line for a figure without an alternative.
pub fn alone(what: &str, ours: (f64, &str), target: Target) {
    println!("| {what} | {} | – | – | – | {target} | {} |", figure(ours), target.verdict(ours.0));
}

fn figure((value, unit): (f64, &str)) -> String {
    let digits = match value.abs() {
        small if small < 10.0 => 2,
        medium if medium < 100.0 => 1,
        _ => 0,
    };
    format!("{} {unit}", in_groups(&format!("{value:.digits$}")))
}

/// The number with a comma before each three digits of its whole part.
fn in_groups(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let digit = |(at, digit): (usize, char)| {
        let comma = (at > 0 && at < whole && (whole - at).is_multiple_of(3)).then_some(',');
        comma.into_iter().chain([digit])
    };
    number.chars().enumerate().flat_map(digit).collect()
}

/// The middle value, or the mean of the two middle values.
pub fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    values.sort_by(f64::total_cmp);
    let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(low, high)
}
