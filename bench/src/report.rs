//! A report: `docs/benchmarks/<name>.json` and its plot.

use std::{
    env, fs,
    io::ErrorKind,
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
    write_to(&path, report)
}

/// The same, into the file named.
pub(crate) fn write_to(path: &Path, mut report: Value) -> Result<(), Error> {
    report["machine"] = machine::describe();
    report["command"] = json!(command());
    make_folder_of(path)?;
    let text = serde_json::to_string_pretty(&report).map_err(other)?;
    fs::write(path, text + "\n")?;
    Ok(())
}

/// How a part of a report is made that may outlive the others.
pub(crate) fn made(shape: &Value) -> Value {
    let machine = machine::describe();
    made_by(&json!({ "command": command(), "machine": machine, "shape": shape }))
}

fn made_by(report: &Value) -> Value {
    let machine = &report["machine"];
    json!({
        "command": report["command"],
        "commit": machine["commit"],
        "changed_since": machine["changed_since"],
        "measured_at": machine["measured_at"],
        "shape": report["shape"],
    })
}

/// Of the report in that file, where it is of this machine, the parts of these names that the new
/// one has not.
pub(crate) fn keep_parts(path: &Path, names: &[&str], report: &mut Value) -> Result<(), Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let earlier: Value = serde_json::from_str(&text).map_err(other)?;
    keep_parts_of(&earlier, &machine::describe(), names, report);
    Ok(())
}

fn keep_parts_of(earlier: &Value, machine: &Value, names: &[&str], report: &mut Value) {
    let is_same = |key: &str| earlier["machine"][key] == machine[key];
    if !is_same("processor") || !is_same("cores") {
        return;
    }
    for name in names {
        let part = earlier.get(*name).filter(|part| part.is_object());
        let (Some(part), None) = (part, report.get(*name)) else {
            continue;
        };
        let mut part = part.clone();
        // One that does not say so was made with the whole.
        if part.get("made").is_none() {
            part["made"] = made_by(earlier);
        }
        report[*name] = part;
    }
}

/// As it was typed, without where this checkout lies.
fn command() -> String {
    let mut words: Vec<String> = env::args().collect();
    if let (Some(program), Ok(here)) = (words.first_mut(), env::current_dir())
        && let Ok(inside) = Path::new(program.as_str()).strip_prefix(here)
    {
        *program = inside.display().to_string();
    }
    words.join(" ")
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
    fn the_other_database_keeps_its_part_on_the_same_machine() {
        let names = ["sqlite", "postgres"];
        let machine = |cores: u32, commit: &str| json!({ "processor": "p", "cores": cores, "commit": commit });
        let earlier = json!({
            "command": "bench open",
            "machine": machine(2, "a"),
            "shape": { "rounds": 3 },
            "sqlite": { "openings_per_second": 1 },
            "postgres": { "openings_per_second": 2 },
        });
        let fresh = || json!({ "sqlite": { "openings_per_second": 3, "made": { "commit": "b" } } });

        let mut report = fresh();
        keep_parts_of(&earlier, &machine(2, "b"), &names, &mut report);
        assert_eq!(report["sqlite"], fresh()["sqlite"]);
        let kept = &report["postgres"];
        assert_eq!(kept["openings_per_second"], 2);
        assert_eq!(kept["made"]["command"], "bench open");
        assert_eq!(kept["made"]["commit"], "a");
        assert_eq!(kept["made"]["shape"]["rounds"], 3);

        // It goes on saying so, whatever is measured after it.
        let mut later = fresh();
        report["command"] = json!("bench open --database sqlite");
        report["machine"] = machine(2, "b");
        keep_parts_of(&report, &machine(2, "c"), &names, &mut later);
        assert_eq!(later["postgres"], report["postgres"]);

        let mut elsewhere = fresh();
        keep_parts_of(&earlier, &machine(64, "b"), &names, &mut elsewhere);
        assert_eq!(elsewhere, fresh());
    }

    #[test]
    fn a_report_that_cannot_be_read_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("open.json");
        keep_parts(&path, &["sqlite"], &mut json!({})).expect("there is none");
        fs::write(&path, "{").expect("written");
        assert!(keep_parts(&path, &["sqlite"], &mut json!({})).is_err());
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(rounded(1_234.5), 1_230.0);
        assert_eq!(rounded(0.012_345), 0.0123);
        assert_eq!(rounded(-0.051_23), -0.0512);
        assert_eq!(rounded(f64::NAN), 0.0);
    }
}
