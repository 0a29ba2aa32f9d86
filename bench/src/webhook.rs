//! `make bench-webhook`: events told by webhook until they are durable, beside
//! what the database takes by itself.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use devmesh::{estate::DOOR, operator::Operator};
use http::{Request, StatusCode};
use http_body_util::Full;
use mesh::{Clock, SystemClock};
use propdev_proto::access::GetLogRequest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    commits::{Commits, TOGETHER, Taken},
    database::{Database, Server},
    error::{Error, other},
    installed::Installed,
    load::{self, Round, Shape},
    plot::{self, Bar},
    population,
    report::{self, median_of, rounded},
};

const SCOPE: &str = "events:write";
const PATH: &str = "/v1/webhooks/intercom/key-openings";
const WARM_UP: Duration = Duration::from_secs(2);
/// The audit log numbers at least once a second what there is.
const QUIET: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The report; its plot lies beside it
    #[arg(long, default_value = "docs/benchmarks/webhook.json")]
    out: PathBuf,
    /// Seconds of each round
    #[arg(long, default_value_t = 8)]
    timed: u64,
    /// Rounds of each kind, taken in turn; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Residents, each with a key that is used as often as any other
    #[arg(long, default_value_t = 1_000)]
    residents: usize,
    /// Single calls under way at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Batches under way at once
    #[arg(long, default_value_t = 4)]
    batches: usize,
    /// One database instead of both
    #[arg(long)]
    database: Option<Database>,
    /// Writes no report
    #[arg(long)]
    dry_run: bool,
}

/// All rounds on one database.
#[derive(Default)]
struct Measured {
    commits: Vec<Taken>,
    bulk: Vec<Taken>,
    single: Vec<Round>,
    batches: Vec<Round>,
    /// Until the audit log had the events of each round of batches, too.
    behind: Vec<Duration>,
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
pub(crate) async fn measure(options: Options) -> Result<(), Error> {
    if options.residents == 0 || options.rounds == 0 {
        return Err(other("there must be residents and rounds"));
    }
    let folder = tempfile::tempdir()?;
    let shape = json!({
        "seconds_a_round": options.timed,
        "rounds": options.rounds,
        "connections": options.connections,
        "batches": options.batches,
        "events_a_batch": TOGETHER,
        "residents": options.residents,
    });
    let mut report = json!({});
    for database in Database::chosen(options.database) {
        let name = database.name();
        println!("{name}");
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
        let title = "Events a second, and what the database takes by itself";
        plot::bars(&report::plot_beside(&options.out)?, title, "/s", &bars)?;
        report::write_to(&options.out, report)?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
async fn on(database: Database, options: &Options, folder: &Path) -> Result<Value, Error> {
    let server = Server::start(database)?;
    let mut mesh = Installed::start(folder, &server.create_for("events")?).await?;
    population::fill(&mut mesh, options.residents).await?;
    let commits = Commits::open(&server, &mesh.layout.root.join("data")).await?;
    let log = Log(Operator::connect(&mesh.layout, "viewer")?);
    let two = told(mesh.token(SCOPE).await?, options.residents, Some(2));
    let taken = |status: StatusCode, answer: &Value| {
        status == StatusCode::ACCEPTED && answer["accepted"] == 2
    };
    mesh.prove(two, taken).await?;

    let duration = Duration::from_secs(options.timed);
    let mut measured = Measured::default();
    for _ in 0..options.rounds {
        let taken = commits.single(duration).await?;
        println!("  commits    {:8.0}/s", taken.per_second());
        measured.commits.push(taken);

        let one = told(mesh.token(SCOPE).await?, options.residents, None);
        let shape = Shape {
            connections: options.connections,
            warm_up: WARM_UP,
            duration,
        };
        let round = load::run(&mesh.target, shape, &mesh.service_ids(), one).await?;
        tell("events", &round, 1);
        measured.single.push(round);
        log.wait_for_all().await?;

        let taken = commits.bulk(duration).await?;
        println!("  bulk       {:8.0}/s", taken.per_second());
        measured.bulk.push(taken);

        let many = told(mesh.token(SCOPE).await?, options.residents, Some(TOGETHER));
        // No event is told that is not counted: the log has to have them all.
        let shape = Shape {
            connections: options.batches,
            warm_up: Duration::ZERO,
            duration,
        };
        let round = load::run(&mesh.target, shape, &mesh.service_ids(), many).await?;
        let ended = Instant::now();
        tell("in batches", &round, TOGETHER);
        measured.batches.push(round);
        let behind = log.wait_for_all().await?.saturating_duration_since(ended);
        measured.behind.push(behind);
    }
    let services = mesh.services();
    let names: Vec<&str> = services.into_iter().map(|(name, _)| name).collect();
    mesh.stop().await?;
    Ok(measured.figures(&names))
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
fn tell(name: &str, round: &Round, events: usize) {
    println!(
        "  {name:10} {:8.0}/s  p50 {:6.2} ms  p99 {:6.2} ms  failed {}",
        round.per_second() * events as f64,
        round.quantile_ms(0.5),
        round.quantile_ms(0.99),
        round.failed,
    );
}

/// A call that nobody made before: one event, or so many in a batch. The client
/// has no signing secret, so that the call is not signed.
fn told(
    token: String,
    residents: usize,
    batch: Option<usize>,
) -> impl Fn() -> Request<Full<Bytes>> + Clone + Send + 'static {
    let authorization = format!("Bearer {token}");
    move || {
        let event = || {
            json!({
                "key_id": population::key(rand::random_range(0..residents)),
                "opened_at": SystemClock.now().to_string(),
                "device_id": DOOR,
                "event_id": Uuid::now_v7().to_string(),
            })
        };
        let body = match batch {
            None => event(),
            Some(count) => json!({ "events": (0..count).map(|_| event()).collect::<Vec<_>>() }),
        };
        Request::post(PATH)
            .header("host", "localhost")
            .header("authorization", authorization.as_str())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap_or_default()
    }
}

/// The audit log of a mesh.
struct Log(Operator);

impl Log {
    async fn size(&self) -> Result<u64, Error> {
        let answer = self.0.audit_log().get_log(GetLogRequest {}).await?;
        Ok(answer.into_inner().size)
    }

    /// When it last grew, once it grows no more.
    async fn wait_for_all(&self) -> Result<Instant, Error> {
        let mut size = self.size().await?;
        let mut grown = Instant::now();
        while grown.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = self.size().await?;
            if now > size {
                (size, grown) = (now, Instant::now());
            }
        }
        Ok(grown)
    }
}

impl Measured {
    fn figures(&self, services: &[&str]) -> Value {
        let per_second = |taken: &[Taken]| median_of(taken.iter().map(Taken::per_second));
        let (commits, bulk) = (per_second(&self.commits), per_second(&self.bulk));
        let single = median_of(self.single.iter().map(Round::per_second));
        let events = |round: &Round| (round.answered * TOGETHER as u64) as f64;
        let batched = self
            .batches
            .iter()
            .map(|round| events(round) / round.elapsed.as_secs_f64());
        // The goal counts the audit log in.
        let logged = self
            .batches
            .iter()
            .zip(&self.behind)
            .map(|(round, behind)| {
                let until = round.elapsed + *behind;
                events(round) / until.as_secs_f64()
            });
        let (batched, logged) = (median_of(batched), median_of(logged));
        let behind = self.behind.iter().map(Duration::as_secs_f64);
        json!({
            "single_over_commit_rate": rounded(single / commits),
            "batch_over_bulk_insert": rounded(logged / bulk),
            "events_per_second": rounded(single),
            "commits_per_second": rounded(commits),
            "batched_events_per_second": rounded(batched),
            "batched_and_logged_events_per_second": rounded(logged),
            "log_behind_s": rounded(median_of(behind)),
            "bulk_rows_per_second": rounded(bulk),
            "single": report::medians(&self.single),
            "batches": report::medians(&self.batches),
            "cpu_us_an_event": report::cpu_us_of_each(services, &self.single),
            "cpu_us_a_batch": report::cpu_us_of_each(services, &self.batches),
        })
    }
}

fn bars_of(database: &str, figures: &Value) -> Vec<Bar> {
    [
        ("single calls", "events_per_second", true),
        ("commits one by one", "commits_per_second", false),
        ("batches", "batched_and_logged_events_per_second", true),
        ("bulk insertion", "bulk_rows_per_second", false),
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
    use http_body_util::BodyExt;

    use super::*;
    use crate::load::Counted;

    async fn body(request: Request<Full<Bytes>>) -> Value {
        let bytes = request.into_body().collect().await.expect("a body");
        serde_json::from_slice(&bytes.to_bytes()).expect("JSON")
    }

    #[tokio::test]
    async fn each_event_is_one_of_its_own() {
        let call = told("t".into(), 1, None);
        let (one, other) = (body(call()).await, body(call()).await);
        assert_eq!(one["key_id"], "bench-key-0");
        assert_ne!(one["event_id"], other["event_id"]);
        let many = body(told("t".into(), 1, Some(3))()).await;
        assert_eq!(many["events"].as_array().map(Vec::len), Some(3));
        assert_ne!(many["events"][0]["event_id"], many["events"][1]["event_id"]);
    }

    #[test]
    fn a_batch_counts_once_the_log_has_it() {
        let mut counted = Counted::new().expect("a histogram");
        for _ in 0..10 {
            counted.add(true, Duration::from_millis(100));
        }
        let second = Duration::from_secs(1);
        let round = Round::of(vec![counted], second, vec![]).expect("a round");
        let measured = Measured {
            batches: vec![round],
            behind: vec![second],
            ..Measured::default()
        };
        let figures = measured.figures(&[]);
        assert_eq!(figures["batched_events_per_second"], 10_000.0);
        assert_eq!(figures["batched_and_logged_events_per_second"], 5_000.0);
    }
}
