//! `make bench-token`: tokens a second of processor time, client-only and by
//! face, beside the bare chain and beside servers that users would pick.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use devmesh::estate::{self, MODEL, Person};
use http::{Request, StatusCode};
use partner_sim::face::{Identity, to_base64url};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{
    cpu,
    error::{Error, other},
    floor::{self, Floor},
    installed::Installed,
    load::{self, Round, Shape, Target},
    peer::{PEERS, Peer},
    plot::{self, Bar},
    report,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of each round
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds of each kind, taken in turn; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections kept alive, each with one request under way
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Templates in the gallery
    #[arg(long, default_value_t = 10_000)]
    gallery: usize,
    /// Without the peers
    #[arg(long)]
    no_peers: bool,
    /// Writes no report
    #[arg(long)]
    dry_run: bool,
}

struct Ours {
    mesh: Installed,
    people: Arc<Vec<Person>>,
}

#[expect(clippy::print_stdout, reason = "the benchmark tells what it does")]
pub(crate) async fn measure(options: Options) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    println!("Four services on SQLite, {} faces", options.gallery);
    let ours = start(&folder.path().join("ours"), options.gallery).await?;
    println!("The bare chain");
    let floor = Floor::prepare(&folder.path().join("floor"))?;
    let halves = start_floor(&floor).await?;
    let mut peers = Vec::new();
    if !options.no_peers {
        for peer in PEERS {
            println!("{}", peer.0);
            match Peer::start(peer, &folder.path().join("peers")).await? {
                Some(peer) => peers.push(peer),
                None => println!("  is not here: see scripts/tools.sh"),
            }
        }
    }

    let shape = Shape {
        connections: options.connections,
        warm_up: Duration::from_secs(2),
        duration: Duration::from_secs(options.seconds),
    };
    let floor_target = Target::new(floor.edge, &floor.ca())?;
    let floor_processes: Vec<u32> = halves.iter().filter_map(Child::id).collect();
    let mut rounds: BTreeMap<String, Vec<Round>> = BTreeMap::new();
    let mut add = |name: &str, round: Round| {
        println!(
            "  {name:24} {:7.0}/s  {:6.1} us of CPU  p50 {:6.2} ms  p99 {:6.2} ms  failed {}",
            round.per_second(),
            round.cpu_us(),
            round.quantile_ms(0.5),
            round.quantile_ms(0.99),
            round.failed,
        );
        rounds.entry(name.to_owned()).or_default().push(round);
    };
    for _ in 0..options.rounds {
        add("client_only", client_only(&ours, shape).await?);
        let request = || load::token_request(floor::PATH, floor::CLIENT, floor::SECRET, SCOPE);
        let round = load::run(&floor_target, shape, &floor_processes, request).await?;
        add("floor", round);
        add("face", by_face(&ours, shape).await?);
        for peer in &peers {
            let name = peer.name;
            let made = peer.request();
            let (parts, body) = made.into_parts();
            let request = move || Request::from_parts(parts.clone(), body.clone());
            let round = load::run(&peer.target, shape, &peer.processes(), request).await?;
            add(name, round);
        }
    }
    let alone = Shape {
        connections: 1,
        ..shape
    };
    add("client_only_alone", client_only(&ours, alone).await?);
    add("face_alone", by_face(&ours, alone).await?);

    let services = ours.mesh.services();
    let auth = services.into_iter().find(|(name, _)| *name == "auth-svc");
    let resident = auth.and_then(|(_, id)| cpu::resident(id)).unwrap_or(0);
    let report = report(&options, &rounds, &peers, resident);
    println!("{:#}", report["figures"]);
    if !options.dry_run {
        let mut bars = vec![bar("ours, client only", &rounds["client_only"], true)];
        bars.push(bar("ours, by face of 10,000", &rounds["face"], true));
        bars.push(bar("bare chain", &rounds["floor"], false));
        for peer in &peers {
            bars.push(bar(peer.name, &rounds[peer.name], false));
        }
        let title = "Tokens a second of processor time, HTTPS, ES256";
        plot::bars(&report::plot_path("token")?, title, "tokens/s/core", &bars)?;
        report::write("token", report)?;
    }
    for peer in peers {
        peer.stop().await?;
    }
    ours.mesh.stop().await?;
    Ok(())
}

const SCOPE: &str = "scope=door%3Aopen";

fn bar(name: &str, rounds: &[Round], ours: bool) -> Bar {
    Bar {
        name: name.into(),
        value: report::median(rounds).per_core(),
        ours,
    }
}

async fn start(folder: &Path, gallery: usize) -> Result<Ours, Error> {
    let mesh = Installed::start(folder, &BTreeMap::new()).await?;
    let people = estate::populate(&mesh.layout, &mesh.estate, gallery).await?;
    Ok(Ours {
        mesh,
        people: Arc::new(people),
    })
}

async fn client_only(ours: &Ours, shape: Shape) -> Result<Round, Error> {
    let (id, secret) = (
        ours.mesh.estate.client_id.clone(),
        ours.mesh.estate.client_secret.clone(),
    );
    let request = move || load::token_request("/oauth2/token", &id, &secret, SCOPE);
    load::run(&ours.mesh.target, shape, &ours.mesh.service_ids(), request).await
}

/// Every request a fresh picture of somebody else.
async fn by_face(ours: &Ours, shape: Shape) -> Result<Round, Error> {
    let (id, secret) = (
        ours.mesh.estate.client_id.clone(),
        ours.mesh.estate.client_secret.clone(),
    );
    let faces = Arc::new(prepare_faces(&ours.people));
    let request = move || {
        let vector =
            to_base64url(&faces[rand::random_range(0..faces.len())].probe(&mut rand::rng()));
        let parameters = format!("{SCOPE}&face_model={MODEL}&face_vector={vector}");
        load::token_request("/oauth2/token", &id, &secret, &parameters)
    };
    load::run(&ours.mesh.target, shape, &ours.mesh.service_ids(), request).await
}

fn prepare_faces(people: &[Person]) -> Vec<Identity> {
    let some = people.iter().take(2_000);
    some.map(|person| Identity::new(person.identity, estate::DIMENSION))
        .collect()
}

async fn start_floor(floor: &Floor) -> Result<[Child; 2], Error> {
    let half = |name: &str| {
        Command::new(std::env::current_exe()?)
            .arg(name)
            .arg(&floor.folder)
            .kill_on_drop(true)
            .spawn()
    };
    let halves = [half("floor-auth")?, half("floor-edge")?];
    let target = Target::new(floor.edge, &floor.ca())?;
    let ready = async {
        loop {
            let request = load::token_request(floor::PATH, floor::CLIENT, floor::SECRET, SCOPE);
            let answer: Result<(StatusCode, Bytes), Error> = load::once(&target, request).await;
            if answer.is_ok_and(|(status, _)| status == StatusCode::OK) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready)
        .await
        .map_err(|_| other("the bare chain gives no token"))?;
    Ok(halves)
}

fn report(
    options: &Options,
    rounds: &BTreeMap<String, Vec<Round>>,
    peers: &[Peer],
    auth_resident: u64,
) -> Value {
    let per_core = |name: &str| report::median(&rounds[name]).per_core();
    let (own, face) = (per_core("client_only"), per_core("face"));
    let over_peer: serde_json::Map<String, Value> = peers
        .iter()
        .map(|peer| {
            (
                peer.name.to_owned(),
                json!(report::rounded(own / per_core(peer.name))),
            )
        })
        .collect();
    let raw: serde_json::Map<String, Value> = rounds
        .iter()
        .map(|(name, rounds)| (name.clone(), report::rounds(rounds)))
        .collect();
    json!({
        "client_only": {
            "share_of_floor": report::rounded(own / per_core("floor")),
            "over_peer": over_peer,
        },
        "face_10k": { "share_of_client_only": report::rounded(face / own) },
        "auth_resident_bytes": auth_resident,
        "figures": raw,
        "shape": {
            "connections": options.connections,
            "seconds_a_round": options.seconds,
            "rounds": options.rounds,
            "gallery": options.gallery,
        },
    })
}
