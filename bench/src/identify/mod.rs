//! Identification: who of many, beside other people's exact searches and
//! beside reading the bytes alone.

mod data;
mod exact;
mod ours;
mod peers;
mod service;

use std::path::{Path, PathBuf};

use face_index::Decider;
use serde_json::{Map, Value, json};

use self::data::Shape;
use crate::{
    error::{Error, other},
    plot::{self, Bar},
    report::{self, rounded},
};

pub(crate) const DIMENSION: usize = 512;
/// As biometric-svc's default model has it.
pub(crate) const DECIDER: Decider = Decider {
    threshold: 0.45,
    margin: 0.05,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Templates, one gallery each
    #[arg(long, value_delimiter = ',', default_value = "10000,100000,1000000")]
    sizes: Vec<usize>,
    /// Probes whose decision is compared with brute force, of each size
    #[arg(long, default_value_t = 20_000)]
    probes: usize,
    /// Probes timed one at a time
    #[arg(long, default_value_t = 400)]
    timed: usize,
    /// Seconds for each peer at each size
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Without the peers
    #[arg(long)]
    no_peers: bool,
    /// Writes no report
    #[arg(long)]
    dry_run: bool,
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
pub(crate) async fn measure(options: Options) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let mut galleries = Map::new();
    let mut bars = Vec::new();
    for &size in &options.sizes {
        println!("{size} templates");
        let report = one_size(&options, size, folder.path()).await?;
        println!("{report:#}");
        if Some(&size) == options.sizes.last() {
            bars = bars_of(&report, size);
        }
        galleries.insert(size.to_string(), report);
    }
    if !options.dry_run {
        let title = "Milliseconds to identify one face, p50, by equal answers";
        plot::bars(&report::plot_path("identify")?, title, "ms", &bars)?;
        report::write(
            "identify",
            json!({
                "galleries": galleries,
                "shape": {
                    "dimension": DIMENSION,
                    "probes_timed": options.timed,
                    "seconds_a_peer": options.seconds,
                    "threshold": DECIDER.threshold,
                    "margin": DECIDER.margin,
                },
            }),
        )?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
async fn one_size(options: &Options, size: usize, folder: &Path) -> Result<Value, Error> {
    let mut misses = Map::new();
    let (mut ties, mut compared) = (0, 0);
    let mut report = json!({});
    for shape in [Shape::Anisotropic, Shape::Isotropic] {
        println!("  {shape:?}: making vectors");
        let templates = data::templates(shape, size);
        // At five million brute force would take an hour for all of them.
        let most = if size > 1_000_000 { 1_000 } else { usize::MAX };
        let probes = data::probes(shape, &templates, options.probes.min(most));
        println!("  {shape:?}: brute force of {} probes", probes.nrows());
        let expected = exact::decide(&templates, &probes);
        let gallery = ours::Gallery::fill(&templates)?;
        let found = gallery.decide(&probes).await?;
        let wrong = expected
            .iter()
            .zip(&found)
            .filter(|(expected, found)| expected.is_clear && expected.outcome != **found)
            .count();
        compared += expected.len();
        ties += expected.iter().filter(|one| !one.is_clear).count();
        misses.insert(format!("{shape:?}").to_lowercase(), json!(wrong));
        if shape == Shape::Isotropic {
            println!("  {shape:?}: timing");
            report = gallery.time(&probes, options.timed).await?;
            if !options.no_peers {
                let files = peers::write(folder, &templates, &probes)?;
                let answers: Vec<i64> = expected.iter().map(best_of).collect();
                drop((gallery, templates));
                let peers = peers::run(&files, size, options.seconds, &answers)?;
                add_ratios(&mut report, &peers);
                report["peers"] = peers;
            }
        }
    }
    report["misses"] = json!(misses.values().filter_map(Value::as_u64).sum::<u64>());
    report["misses_by_data"] = Value::Object(misses);
    report["ties_left_aside"] = json!(ties);
    report["probes_compared"] = json!(compared);
    println!("  the service itself, from its encrypted store");
    let started = service::start(&folder.join(format!("service-{size}")), size).await?;
    for (key, value) in started {
        report[key] = value;
    }
    Ok(report)
}

/// The row of the best template at or above the threshold, as peers say it.
fn best_of(expected: &exact::Expected) -> i64 {
    expected
        .best
        .and_then(|row| i64::try_from(row).ok())
        .unwrap_or(-1)
}

fn add_ratios(report: &mut Value, peers: &Value) {
    let own = report["p50_ms"].as_f64().unwrap_or(f64::NAN);
    let p50 = |name: &str| peers[name]["p50_ms"].as_f64();
    if let Some(flat) = p50("faiss_flat") {
        report["speedup_over_flat_f32"] = json!(rounded(flat / own));
    }
    let equal = peers
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, peer)| peer["decisions_differing"].as_u64() == Some(0));
    let best = equal
        .filter_map(|(name, peer)| Some((peer["p50_ms"].as_f64()?, name)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((p50, name)) = best {
        report["speedup_over_best_equal_peer"] = json!(rounded(p50 / own));
        report["best_equal_peer"] = json!(name);
        let one = report["p50_ms_one_thread"].as_f64().unwrap_or(f64::NAN);
        report["speedup_over_best_equal_peer_one_thread"] = json!(rounded(p50 / one));
    }
}

fn bars_of(report: &Value, size: usize) -> Vec<Bar> {
    let bar = |name: String, value: &Value, ours| {
        Some(Bar {
            name,
            value: value.as_f64()?,
            ours,
        })
    };
    let own = [
        ("ours", "p50_ms"),
        ("ours, one thread", "p50_ms_one_thread"),
        ("reading the bytes once", "floor_ms"),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, key)| bar(format!("{name} ({size})"), &report[key], key != "floor_ms"));
    let peers = report["peers"].as_object().into_iter().flatten();
    own.chain(peers.filter_map(|(name, peer)| bar(name.clone(), &peer["p50_ms"], false)))
        .collect()
}

pub(crate) fn workspace() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(other)
}
