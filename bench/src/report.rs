//! A report: `docs/benchmarks/<name>.json` and its plot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    error::{Error, other},
    load::Round,
    machine,
};

const FOLDER: &str = "docs/benchmarks";

/// Writes the report with where it was made and by which command.
pub(crate) fn write(name: &str, report: Value) -> Result<(), Error> {
    let path = Path::new(FOLDER).join(format!("{name}.json"));
    write_to(&path, name, report)
}

/// The same, into the file named.
pub(crate) fn write_to(path: &Path, name: &str, mut report: Value) -> Result<(), Error> {
    report["machine"] = machine::describe();
    report["command"] = json!(format!("make bench-{name}"));
    make_folder_of(path)?;
    let text = serde_json::to_string_pretty(&report).map_err(other)?;
    fs::write(path, text + "\n")?;
    Ok(())
}

/// Where the plot of the report in that file goes.
pub(crate) fn plot_beside(report: &Path) -> Result<PathBuf, Error> {
    make_folder_of(report)?;
    Ok(report.with_extension("svg"))
}

fn make_folder_of(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(folder) => Ok(fs::create_dir_all(folder)?),
        None => Ok(()),
    }
}

/// Where the report's plot goes.
pub(crate) fn plot_path(name: &str) -> Result<PathBuf, Error> {
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

/// Rates and latencies of rounds of one kind, each the median of theirs.
pub(crate) fn medians(rounds: &[Round]) -> Value {
    let median = |figure: fn(&Round) -> f64| rounded(median_of(rounds.iter().map(figure)));
    let all = |figure: fn(&Round) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| rounded(figure(round))).collect()
    };
    json!({
        "per_second": median(Round::per_second),
        "p50_us": median(|round| round.quantile_us(0.5)),
        "p99_us": median(|round| round.quantile_us(0.99)),
        "failed": rounds.iter().map(|round| round.failed).sum::<u64>(),
        "rounds_per_second": all(Round::per_second),
        "rounds_p50_us": all(|round| round.quantile_us(0.5)),
        "rounds_p99_us": all(|round| round.quantile_us(0.99)),
    })
}

/// Microseconds of CPU an answer, by the names of the processes measured.
pub(crate) fn cpu_us_of_each(names: &[&str], rounds: &[Round]) -> Value {
    let of = |at: usize| {
        let shares = rounds.iter().map(|round| {
            let used = round.cpu_of_each.get(at).copied().unwrap_or_default();
            used.as_secs_f64() * 1e6 / round.answered as f64
        });
        json!(rounded(median_of(shares)))
    };
    names
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), of(at)))
        .collect::<serde_json::Map<String, Value>>()
        .into()
}

/// The round in the middle by CPU an answer.
pub(crate) fn median(rounds: &[Round]) -> &Round {
    let mut order: Vec<&Round> = rounds.iter().collect();
    order.sort_by(|a, b| a.cpu_us().total_cmp(&b.cpu_us()));
    order[order.len() / 2]
}

/// The value in the middle; nothing has none.
pub(crate) fn median_of(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Three digits that mean something.
pub(crate) fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        assert_eq!(median_of([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median_of([7.0]), 7.0);
        assert!(median_of([]).is_nan());
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(rounded(1_234.5), 1_230.0);
        assert_eq!(rounded(0.012_345), 0.0123);
        assert_eq!(rounded(-0.051_23), -0.0512);
        assert_eq!(rounded(f64::NAN), 0.0);
    }
}
