//! A report: `docs/benchmarks/<name>.json` and its plot.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    error::{Error, other},
    load::Round,
    machine,
};

const FOLDER: &str = "docs/benchmarks";

/// Writes the report with where it was made and by which command.
pub(crate) fn write(name: &str, mut report: Value) -> Result<(), Error> {
    report["machine"] = machine::describe();
    report["command"] = json!(format!("make bench-{name}"));
    fs::create_dir_all(FOLDER)?;
    let text = serde_json::to_string_pretty(&report).map_err(other)?;
    let path = Path::new(FOLDER).join(format!("{name}.json"));
    fs::write(path, text + "\n")?;
    Ok(())
}

/// Where the report's plot goes.
pub(crate) fn plot_path(name: &str) -> Result<std::path::PathBuf, Error> {
    fs::create_dir_all(FOLDER)?;
    Ok(Path::new(FOLDER).join(format!("{name}.svg")))
}

/// The raw figures of rounds of one kind, the median by CPU first.
pub(crate) fn rounds(rounds: &[Round]) -> Value {
    let median = median(rounds);
    json!({
        "per_second": rounded(median.per_second()),
        "per_second_and_core": rounded(median.per_core()),
        "cpu_us": rounded(median.cpu_us()),
        "p50_ms": rounded(median.quantile_ms(0.5)),
        "p99_ms": rounded(median.quantile_ms(0.99)),
        "failed": rounds.iter().map(|round| round.failed).sum::<u64>(),
        "rounds_cpu_us": rounds.iter().map(|r| rounded(r.cpu_us())).collect::<Vec<_>>(),
        "rounds_per_second": rounds.iter().map(|r| rounded(r.per_second())).collect::<Vec<_>>(),
    })
}

/// The round in the middle by CPU an answer.
pub(crate) fn median(rounds: &[Round]) -> &Round {
    let mut order: Vec<&Round> = rounds.iter().collect();
    order.sort_by(|a, b| a.cpu_us().total_cmp(&b.cpu_us()));
    order[order.len() / 2]
}

/// Three digits that mean something.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
