//! `make bench-open`: the whole way of an opening, from HTTPS in to the durable
//! outcome, beside what its database commits one by one.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devmesh::{estate::BARRIER, sim::Sim};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use crate::{
    commits::{Commits, Taken},
    database::{Database, Server},
    error::{Error, other},
    installed::Installed,
    load::{self, Round, Shape},
    pace,
    plot::{self, Bar},
    population,
    report::{self, median_of, rounded},
};

const SCOPE: &str = "barrier:open";
const WARM_UP: Duration = Duration::from_secs(2);
/// Connections of an open loop for each of a closed one.
const ROOM: usize = 2;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The report; its plot lies beside it
    #[arg(long, default_value = "docs/benchmarks/open.json")]
    out: PathBuf,
    /// Seconds of each round
    #[arg(long, default_value_t = 8)]
    timed: u64,
    /// Rounds of each kind, taken in turn; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Residents of each registry, the smallest first
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    residents: Vec<usize>,
    /// Openings under way at once where as many as possible are asked for
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// One database instead of both
    #[arg(long)]
    database: Option<Database>,
    /// Writes no report
    #[arg(long)]
    dry_run: bool,
}

impl Options {
    fn shape(&self, connections: usize) -> Shape {
        Shape {
            connections,
            warm_up: WARM_UP,
            duration: Duration::from_secs(self.timed),
        }
    }
}

/// A mesh with so many residents.
struct Registry {
    mesh: Installed,
    sim: Sim,
    residents: usize,
}

/// All rounds on one database.
#[derive(Default)]
struct Measured {
    commits: Vec<Taken>,
    /// One opening at a time, by registry.
    alone: Vec<(usize, Vec<Round>)>,
    saturated: Vec<Round>,
    /// At half of the saturated rate.
    half: Vec<Round>,
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
pub(crate) async fn measure(options: Options) -> Result<(), Error> {
    if options.residents.is_empty() || options.residents.contains(&0) || options.rounds == 0 {
        return Err(other("there must be residents and rounds"));
    }
    let folder = tempfile::tempdir()?;
    let shape = json!({
        "seconds_a_round": options.timed,
        "rounds": options.rounds,
        "connections": options.connections,
        "residents": options.residents,
    });
    let mut report = json!({});
    for database in Database::chosen(options.database) {
        let name = database.name();
        let mut figures = on(database, &options, &folder.path().join(name)).await?;
        println!("{figures:#}");
        figures["made"] = report::made(&shape);
        report[name] = figures;
    }
    if !options.dry_run {
        let names = Database::names();
        report::keep_parts(&options.out, &names, &mut report)?;
        let bars: Vec<Bar> = names
            .iter()
            .flat_map(|name| bars_of(name, &report[*name]))
            .collect();
        let title = "Openings a second, and what the database commits one by one";
        plot::bars(&report::plot_beside(&options.out)?, title, "/s", &bars)?;
        report::write_to(&options.out, report)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
async fn on(database: Database, options: &Options, folder: &Path) -> Result<Value, Error> {
    let name = database.name();
    let server = Server::start(database)?;
    let mut registries = Vec::new();
    for residents in &options.residents {
        let started = Instant::now();
        let registry = Registry::start(&server, folder, *residents).await?;
        let seconds = started.elapsed().as_secs();
        println!("{name}: {residents} residents, there after {seconds} s");
        registries.push(registry);
    }
    let largest = registries
        .last()
        .ok_or_else(|| other("there is no registry"))?;
    let data = largest.mesh.layout.root.join("data");
    let commits = Commits::open(&server, &data).await?;

    let mut measured = Measured {
        alone: registries
            .iter()
            .map(|registry| (registry.residents, vec![]))
            .collect(),
        ..Measured::default()
    };
    for _ in 0..options.rounds {
        let taken = commits.single(Duration::from_secs(options.timed)).await?;
        println!("  commits    {:8.0}/s", taken.per_second());
        measured.commits.push(taken);
        for (registry, (residents, rounds)) in registries.iter().zip(&mut measured.alone) {
            let round = registry.closed(options.shape(1)).await?;
            tell(&format!("{residents}, alone"), &round);
            rounds.push(round);
        }
        let round = largest.closed(options.shape(options.connections)).await?;
        tell("saturated", &round);
        measured.saturated.push(round);
    }
    let most = median_of(measured.saturated.iter().map(Round::per_second));
    for _ in 0..options.rounds {
        let shape = options.shape(options.connections * ROOM);
        let round = largest.open(shape, most / 2.0).await?;
        tell("at half", &round);
        measured.half.push(round);
    }
    let services = largest.mesh.services();
    let names: Vec<&str> = services.into_iter().map(|(name, _)| name).collect();
    let figures = measured.figures(&names);
    for registry in registries {
        registry.mesh.stop().await?;
    }
    Ok(figures)
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
fn tell(name: &str, round: &Round) {
    println!(
        "  {name:24} {:7.0}/s  p50 {:6.2} ms  p99 {:6.2} ms  failed {}",
        round.per_second(),
        round.quantile_ms(0.5),
        round.quantile_ms(0.99),
        round.failed,
    );
}

impl Registry {
    async fn start(server: &Server, folder: &Path, residents: usize) -> Result<Self, Error> {
        let databases = server.create_for(&residents.to_string())?;
        let own = folder.join(residents.to_string());
        let mut mesh = Installed::start(&own, &databases).await?;
        population::fill(&mut mesh, residents).await?;
        let registry = Self {
            sim: Sim::new(&mesh.layout)?,
            mesh,
            residents,
        };
        let opening = opening(registry.mesh.token(SCOPE).await?, residents);
        let opened = |status: StatusCode, answer: &Value| {
            status == StatusCode::OK && answer["command"]["status"] == "delivered"
        };
        registry.mesh.prove(opening, opened).await?;
        Ok(registry)
    }

    async fn closed(&self, shape: Shape) -> Result<Round, Error> {
        let opening = opening(self.mesh.token(SCOPE).await?, self.residents);
        let services = self.mesh.service_ids();
        let round = load::run(&self.mesh.target, shape, &services, opening).await?;
        self.sim.forget_commands().await?;
        Ok(round)
    }

    async fn open(&self, shape: Shape, per_second: f64) -> Result<Round, Error> {
        let opening = opening(self.mesh.token(SCOPE).await?, self.residents);
        let services = self.mesh.service_ids();
        let round = pace::run(&self.mesh.target, shape, per_second, &services, opening).await?;
        self.sim.forget_commands().await?;
        Ok(round)
    }
}

/// The car of somebody of the registry before the barrier: a client-only token,
/// and the plate in the body.
fn opening(
    token: String,
    residents: usize,
) -> impl Fn() -> Request<Full<Bytes>> + Clone + Send + 'static {
    let authorization = format!("Bearer {token}");
    let path = format!("/v1/barriers/{BARRIER}/open");
    move || {
        let plate = population::plate(rand::random_range(0..residents));
        let body = json!({"plate": {"number": plate}}).to_string();
        Request::post(path.as_str())
            .header("host", "localhost")
            .header("authorization", authorization.as_str())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap_or_default()
    }
}

impl Measured {
    fn figures(&self, services: &[&str]) -> Value {
        let p50 = |rounds: &[Round]| median_of(rounds.iter().map(|r| r.quantile_us(0.5)));
        let commits = median_of(self.commits.iter().map(Taken::per_second));
        let commit_us = median_of(self.commits.iter().map(Taken::p50_us));
        let most = median_of(self.saturated.iter().map(Round::per_second));
        let spread = self
            .half
            .iter()
            .map(|round| round.quantile_us(0.99) / round.quantile_us(0.5));
        let alone: Vec<f64> = self.alone.iter().map(|(_, rounds)| p50(rounds)).collect();
        let first = alone.first().copied().unwrap_or(f64::NAN);
        let last = alone.last().copied().unwrap_or(f64::NAN);
        let by_residents: Map<String, Value> = self
            .alone
            .iter()
            .map(|(residents, rounds)| (residents.to_string(), report::medians(rounds)))
            .collect();
        let mut figures = json!({
            "over_single_commit_rate": rounded(most / commits),
            "p99_over_p50": rounded(median_of(spread)),
            "p50_in_commits": rounded(last / commit_us),
            "openings_per_second": rounded(most),
            "commits_per_second": rounded(commits),
            "commit_us": rounded(commit_us),
            "alone_by_residents": by_residents,
            "saturated": report::medians(&self.saturated),
            "at_half": report::medians(&self.half),
            "cpu_us_an_opening": report::cpu_us_of_each(services, &self.saturated),
        });
        // One registry alone does not grow.
        if self.alone.len() > 1 {
            figures["p50_growth"] = json!(rounded(last / first - 1.0));
        }
        figures
    }
}

fn bars_of(database: &str, figures: &Value) -> Vec<Bar> {
    [
        ("openings", "openings_per_second", true),
        ("commits one by one", "commits_per_second", false),
    ]
    .into_iter()
    .filter_map(|(name, key, ours)| {
        Some(Bar {
            name: format!("{database}: {name}"),
            value: figures[key].as_f64()?,
            ours,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Counted;

    /// Ten answers a second, each of them so many milliseconds.
    fn round(ms: &[u64]) -> Round {
        let mut counted = Counted::new().expect("a histogram");
        for ms in ms {
            counted.add(true, Duration::from_millis(*ms));
        }
        let elapsed = Duration::from_millis(100 * ms.len() as u64);
        Round::of(vec![counted], elapsed, vec![elapsed / 10]).expect("a round")
    }

    #[test]
    fn what_grows_is_the_median_of_the_largest_registry() {
        let mut times = vec![2; 90];
        times.extend([6; 10]);
        let measured = Measured {
            alone: vec![
                (1_000, vec![round(&[2]), round(&[4]), round(&[40])]),
                (1_000_000, vec![round(&[5]), round(&[3]), round(&[50])]),
            ],
            half: vec![round(&times)],
            saturated: vec![round(&[2])],
            ..Measured::default()
        };
        let figures = measured.figures(&["edge-rest"]);
        assert_eq!(figures["p50_growth"], 0.25);
        assert_eq!(figures["p99_over_p50"], 3.0);
        assert_eq!(figures["openings_per_second"], 10.0);
        assert_eq!(figures["cpu_us_an_opening"]["edge-rest"], 10_000.0);
    }

    #[test]
    fn one_registry_tells_no_growth() {
        let measured = Measured {
            alone: vec![(1_000, vec![round(&[2])])],
            ..Measured::default()
        };
        assert!(measured.figures(&[]).get("p50_growth").is_none());
    }

    #[test]
    fn an_opening_carries_a_residents_plate() {
        let request = opening("t".into(), 1)();
        assert_eq!(request.uri().path(), "/v1/barriers/barrier-1/open");
        assert_eq!(request.headers()["authorization"], "Bearer t");
    }
}
