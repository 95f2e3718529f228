//! The growth of costs as a picture.

use std::collections::BTreeMap;

use messenger_handover::handover::BoxError;
use pico_args::Arguments;
use plotters::prelude::*;

/// The lines of the picture, by their names in the report.
const LINES: [(&str, &str, &str); 8] = [
    ("postgres", "load_fifty_p50_ms", "Postgres: load 50"),
    ("postgres", "save_fifty_p50_ms", "Postgres: save 50"),
    ("postgres", "due_hundred_p50_ms", "Postgres: 100 due"),
    ("postgres", "open_hundred_p50_ms", "Postgres: 100 that need attention"),
    ("sqlite", "save_fifty_p50_ms", "SQLite: save 50"),
    ("redis", "save_fifty_p50_ms", "Redis: save 50"),
    ("replicas", "host_us_per_event", "four replicas: CPU of an event"),
    ("postgres", "bytes_all", "Postgres: bytes of a conversation"),
];

const FROM: f64 = 1_000.0;

pub fn run(arguments: Arguments) -> Result<(), BoxError> {
    let [file] = &arguments.finish()[..] else { return Err("one file".into()) };
    let svg = draw(&std::fs::read_to_string(file)?)?;
    println!("{svg}");
    Ok(())
}

/// Each line shows its cost at a size as a multiple of its cost at the first size.
fn draw(report: &str) -> Result<String, BoxError> {
    let mut costs: BTreeMap<(&str, &str), Vec<(u32, f64)>> = BTreeMap::new();
    for line in report.lines().filter(|line| !line.starts_with('#')) {
        let [store, size, what, value] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("not a line of a report: {line}").into());
        };
        let (size, value): (u32, f64) = (size.parse()?, value.parse()?);
        costs.entry((store, what)).or_default().push((size, value));
        let is_part = what.starts_with("bytes_") && !what.ends_with("_after_changes");
        if is_part {
            let all = costs.entry((store, "bytes_all")).or_default();
            match all.last_mut() {
                Some((last, sum)) if *last == size => *sum += value,
                _ => all.push((size, value)),
            }
        }
    }
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (900, 520)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption("cost, as a multiple of that with 1,000 conversations", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d((FROM..1e7).log_scale(), (0.25..16.0).log_scale())?;
        chart
            .configure_mesh()
            .x_desc("conversations")
            .x_label_formatter(&|size| thousands(*size))
            .y_label_formatter(&|ratio| format!("{ratio}"))
            .draw()?;
        for (number, (store, what, name)) in LINES.into_iter().enumerate() {
            let Some(points) = costs.get(&(store, what)) else { continue };
            let Some((_, first)) = points.first() else { continue };
            let color = Palette99::pick(number).stroke_width(2);
            let line = points.iter().map(|(size, cost)| (f64::from(*size), cost / first));
            chart
                .draw_series(LineSeries::new(line, color))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

fn thousands(size: f64) -> String {
    if size >= 1e6 { format!("{} M", size / 1e6) } else { format!("{} k", size / 1e3) }
}
