//! The main job, end to end, on an embedded database.

use std::time::Instant;

use devmesh::{
    Error,
    estate::{self, BARRIER, DOOR, Estate, FOB, KEY, OTHER_DOOR, PARTNER, PLATE},
    layout::{Addresses, Layout},
    operator::Operator,
    processes::{Processes, built_binaries},
    sim::{self, Sim, Step},
};
use propdev_proto::access::EraseResidentRequest;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;

#[expect(clippy::print_stdout, reason = "the demo tells what it does")]
pub(crate) async fn demo() -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    println!(
        "Certificates, keys and configuration in {}",
        folder.path().display()
    );
    let layout = Layout::write(folder.path(), Addresses::free(None)?, &|_| None)?;
    let started = Instant::now();
    let mut processes = Processes::start(&layout, &built_binaries()?).await?;
    println!(
        "Four services and a partner, each a process, ready after {:.1?}",
        started.elapsed()
    );
    let result = tell(&layout).await;
    let alive = processes.check_alive();
    processes.stop().await?;
    let account = result?;
    alive?;
    account.print();
    match account.failures() {
        0 => {
            println!("Each came out as it should.");
            Ok(())
        }
        failures => Err(Error::Unexpected(format!("{failures} came out otherwise"))),
    }
}

async fn tell(layout: &Layout) -> Result<Account, Error> {
    let estate = estate::seed(layout).await?;
    let sim = Sim::new(layout)?;
    let mut account = Account::default();
    flows(&sim, &estate, &mut account).await?;
    refusals(layout, &sim, &estate, &mut account).await?;
    commands(&sim, &mut account).await?;
    Ok(account)
}

fn seen(identity: u64, device: &str, flow: &str) -> Value {
    json!({"partner": PARTNER, "device_id": device, "identity": identity, "flow": flow})
}

async fn flows(sim: &Sim, estate: &Estate, account: &mut Account) -> Result<(), Error> {
    let granted = "granted, delivered";
    let face = "/_sim/camera/face";
    let anna = estate.resident.identity;
    for (title, flow) in [
        ("1 a face: token by face, then open the door", "token"),
        ("2 a face: client token, then open with the vector", "call"),
    ] {
        let steps = sim.act(face, &seen(anna, DOOR, flow)).await?;
        account.add(title, granted, &steps);
    }
    for (title, flow) in [
        ("3 a plate: token by plate, then open the barrier", "token"),
        ("4 a plate: client token, then open with the plate", "call"),
    ] {
        let body = json!({"partner": PARTNER, "device_id": BARRIER, "plate": PLATE, "flow": flow});
        account.add(title, granted, &sim.act("/_sim/camera/plate", &body).await?);
    }
    for (title, path, id, device) in [
        ("5 a key opens a door: webhook", "/_sim/key", KEY, DOOR),
        (
            "6 a fob opens a barrier: webhook",
            "/_sim/fob",
            FOB,
            BARRIER,
        ),
    ] {
        let body = json!({"partner": PARTNER, "credential_id": id, "device_id": device});
        account.add(title, "accepted 1", &sim.act(path, &body).await?);
    }
    Ok(())
}

async fn refusals(
    layout: &Layout,
    sim: &Sim,
    estate: &Estate,
    account: &mut Account,
) -> Result<(), Error> {
    let face = "/_sim/camera/face";
    let steps = sim.act(face, &seen(estate.stranger, DOOR, "token")).await?;
    account.add(
        "a face nobody knows asks for a token",
        "400 invalid_grant",
        &steps,
    );
    let steps = sim.act(face, &seen(estate.stranger, DOOR, "call")).await?;
    account.add(
        "a face nobody knows, with the call",
        "403 subject_not_recognized",
        &steps,
    );
    let steps = sim
        .act(face, &seen(estate.unpaid.identity, DOOR, "token"))
        .await?;
    account.add("a resident who has not paid", "403 service_unpaid", &steps);
    let anna = estate.resident.identity;
    let steps = sim.act(face, &seen(anna, OTHER_DOOR, "token")).await?;
    account.add("a door of another partner", "404 device_not_found", &steps);

    let steps = use_twice(layout, estate).await?;
    account.add(
        "a token by face, used a second time",
        "401 token_already_used",
        &steps,
    );
    let mut replay = seen(anna, DOOR, "call");
    replay["vector"] = json!(estate.resident.probe());
    sim.act(face, &replay).await?;
    let steps = sim.act(face, &replay).await?;
    account.add(
        "a picture captured and sent again",
        "403 subject_not_recognized",
        &steps,
    );

    let vera = &estate.leaver;
    let before = sim.act(face, &seen(vera.identity, DOOR, "call")).await?;
    account.add(
        "a resident who is about to leave",
        "granted, delivered",
        &before,
    );
    Operator::connect(layout, "privacy")?
        .residents()
        .erase_resident(EraseResidentRequest {
            resident_id: vera.resident_id.clone(),
            ..EraseResidentRequest::default()
        })
        .await
        .map_err(|status| Error::Rpc {
            call: "erase_resident",
            status: Box::new(status),
        })?;
    let after = sim.act(face, &seen(vera.identity, DOOR, "call")).await?;
    account.add(
        "the same resident, erased",
        "403 subject_not_recognized",
        &after,
    );
    Ok(())
}

/// One token, two openings; the steps of both.
async fn use_twice(layout: &Layout, estate: &Estate) -> Result<Vec<Step>, Error> {
    let http = sim::client(layout)?;
    let edge = layout.edge_url();
    let mut steps = Vec::new();
    let started = Instant::now();
    let answer = http
        .post(format!("{edge}/oauth2/token"))
        .basic_auth(&estate.client_id, Some(&estate.client_secret))
        .json(&json!({
            "grant_type": "client_credentials",
            "face_model": estate::MODEL,
            "face_vector": estate.resident.probe(),
        }))
        .send()
        .await?;
    let status = answer.status();
    let token: Value = answer.json().await?;
    steps.push(step("token", status, started, Value::Null));
    for _ in 0..2 {
        let started = Instant::now();
        let answer = http
            .post(format!("{edge}/v1/doors/{DOOR}/open"))
            .bearer_auth(token["access_token"].as_str().unwrap_or_default())
            .send()
            .await?;
        let status = answer.status();
        steps.push(step("open", status, started, answer.json().await?));
    }
    Ok(steps)
}

fn step(name: &str, status: StatusCode, started: Instant, body: Value) -> Step {
    Step {
        name: name.into(),
        method: "POST".into(),
        path: String::new(),
        status: status.as_u16(),
        duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        body,
    }
}

/// What the partner saw of all this.
async fn commands(sim: &Sim, account: &mut Account) -> Result<(), Error> {
    let commands = sim.commands().await?;
    let late = commands.iter().filter(|c| c["late"] == true).count();
    let twice = commands.iter().filter(|c| c["duplicate"] == true).count();
    let came = format!("{} commands, {late} late, {twice} twice", commands.len());
    account.note(
        "what the partner's gateway received",
        "7 commands, 0 late, 0 twice",
        came,
    );
    Ok(())
}
