//! The result table of a run, and its verdict.

use std::time::Duration;

use crate::account::Sums;
use crate::senders::Times;

/// Limit of response times. Meta's own timeout is 5 s.
const SLOWEST: Duration = Duration::from_secs(1);
/// Limit of the host's memory growth from the middle of a run to its end, as a factor.
const GROWTH: f64 = 1.1;
/// Shorter runs are not judged by memory, because conversations are still reaching their limits.
const FILLS_UP: Duration = Duration::from_secs(30);
/// Limit of the host's memory growth during the overload, as a factor.
const OVERLOAD_TAKES: f64 = 1.5;
/// Bytes per accepted event that waits for the handler, allowed in addition because the store may be in memory.
const BYTES_OF_AN_EVENT: u64 = 1024;

/// Measurements after the warm-up.
pub struct Figures {
    pub took: Duration,
    pub deliveries: u64,
    pub events: u64,
    pub cpu: Duration,
    /// Memory in bytes at the start, in the middle and at the end.
    pub memory: [u64; 3],
    pub times: Times,
    pub sums: Sums,
    pub settled: bool,
    pub overload: Option<Overload>,
}

/// Measurements during the overload and after it.
#[derive(Default)]
pub struct Overload {
    /// Memory in bytes before the overload, and its peak during it.
    pub before: u64,
    pub peak: u64,
    pub events_taken_in: u64,
    pub refused: u64,
    /// Time until a delivery was accepted again.
    pub recovered: Option<Duration>,
    /// Time until all refused deliveries were accepted.
    pub caught_up: Option<Duration>,
    pub refused_at_the_end: u64,
}

fn percentile(sorted: &[u32], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    Duration::from_micros(sorted.get(place).copied().unwrap_or_default().into())
}

fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn per(number: u64, of: f64) -> f64 {
    number as f64 / of
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", per(bytes, 1_048_576.0))
}

impl Figures {
    /// Prints the table, one figure per line. Returns the violated limits.
    pub fn print(mut self) -> Vec<&'static str> {
        let seconds = self.took.as_secs_f64();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.cpu.as_secs_f64() / seconds / per(cores as u64, 1.0);
        let micros = self.cpu.as_secs_f64() * 1e6 / per(self.events.max(1), 1.0);
        let [start, middle, end] = self.memory;
        let flat = per(end, 1.0) <= per(middle, GROWTH.recip());
        self.times.accepted.sort_unstable();
        self.times.batches.sort_unstable();
        self.times.refused.sort_unstable();
        let row = |name: &str, value: String| println!("{name} {value}");
        row("events_per_s", format!("{:.0}", per(self.events, seconds)));
        row("deliveries_per_s", format!("{:.0}", per(self.deliveries, seconds)));
        row("cpu_us_per_event", format!("{micros:.1}"));
        row("cpu_share_of_cores", format!("{:.0} % of {cores}", share * 100.0));
        row("memory_start_mib", mebibytes(start));
        row("memory_middle_mib", mebibytes(middle));
        row("memory_end_mib", mebibytes(end));
        if self.overload.is_none() {
            row("memory_flat", if flat { "yes" } else { "no" }.to_owned());
        }
        for (name, percent) in [("p50", 50), ("p99", 99), ("max", 100)] {
            row(&format!("answer_{name}_ms"), millis(percentile(&self.times.accepted, percent)));
            row(&format!("answer_to_batch_{name}_ms"), millis(percentile(&self.times.batches, percent)));
        }
        let Sums { written, lost, doubled, misreported, answers, failed, unknown, .. } = self.sums;
        let numbers = [
            ("messages", written),
            ("answers", answers),
            ("answers.failed", failed),
            ("answers.unknown", unknown),
            ("answers.read_twice", self.sums.read_twice),
            ("lost", lost),
            ("doubled", doubled),
            ("misreported", misreported),
            ("told_twice", self.sums.told_twice),
            ("told_when_forgotten", self.sums.told_when_forgotten),
            ("refused_with_503", self.times.refused.len() as u64),
            ("not_answered", self.times.failed),
        ];
        for (name, number) in numbers {
            row(name, number.to_string());
        }
        let mut wrong = vec![
            (lost > 0, "something was lost"),
            (doubled > 0, "something was doubled"),
            (misreported > 0, "something was reported wrongly"),
            (!self.settled, "not everything came to its end"),
            (percentile(&self.times.accepted, 99) > SLOWEST, "answers take too long"),
            (!flat && self.overload.is_none() && self.took > FILLS_UP, "memory grows"),
            (self.memory.contains(&0), "nobody says how much memory it has"),
            (self.times.failed > 0, "some were not answered in time, or with neither 200 nor 503"),
            (self.overload.is_none() && !self.times.refused.is_empty(), "something was refused"),
            (answers * 40 < written, "hardly anything was answered"),
            ((failed + unknown) * 10 > answers, "too many answers did not arrive"),
        ];
        if let Some(overload) = self.overload {
            let slowest = percentile(&self.times.refused, 99);
            let after = |time: Option<Duration>| time.map_or("never".to_owned(), millis);
            row("overload.events_taken_in", overload.events_taken_in.to_string());
            row("overload.refused", overload.refused.to_string());
            row("overload.refusal_p50_ms", millis(percentile(&self.times.refused, 50)));
            row("overload.refusal_p99_ms", millis(slowest));
            row("overload.memory_before_mib", mebibytes(overload.before));
            row("overload.memory_peak_mib", mebibytes(overload.peak));
            row("overload.recovered_ms", after(overload.recovered));
            row("overload.caught_up_ms", after(overload.caught_up));
            row("overload.refused_at_the_end", overload.refused_at_the_end.to_string());
            let taken_in = overload.events_taken_in * BYTES_OF_AN_EVENT;
            let most = per(overload.before, OVERLOAD_TAKES.recip()) + per(taken_in, 1.0);
            wrong.extend([
                (overload.refused == 0, "nothing was refused"),
                (slowest > SLOWEST, "refusals take too long"),
                (per(overload.peak, 1.0) > most, "memory grows under overload"),
                (overload.caught_up.is_none(), "it did not catch up"),
                (overload.refused_at_the_end > 0, "it refuses though it could go on"),
            ]);
        }
        wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, why)| why).collect()
    }
}
