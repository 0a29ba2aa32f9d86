//! biometric-svc as it is installed: how long it takes from its encrypted store
//! to readiness, and what memory it then holds.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use biometric_svc::bulk::{self, Face};
use devmesh::{
    layout::{Addresses, Layout},
    processes::built_binaries,
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use super::DIMENSION;
use crate::{
    cpu,
    error::{Error, other},
    report::rounded,
};

const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn start(folder: &Path, size: usize) -> Result<Vec<(String, Value)>, Error> {
    std::fs::create_dir_all(folder)?;
    let layout = Layout::write(folder, Addresses::free(None)?, &|_| None)?;
    let file = layout.config_file(biometric_svc::SERVICE);
    let config: biometric_svc::Config = mesh::config::load(&file).map_err(other)?;
    let mut random = SmallRng::seed_from_u64(5);
    let mut vector = || {
        // Uniform components do: the store does not look at them.
        let mut bytes = Vec::with_capacity(DIMENSION * 4);
        for _ in 0..DIMENSION {
            let value = (random.next_u32() as f32 / u32::MAX as f32) - 0.5;
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    };
    // Random, and in their order: a store that is filled out of order writes
    // most of its pages many times.
    let apart = u128::MAX / size.max(1) as u128;
    let id = |at: usize| Uuid::from_u128(at as u128 * apart + Uuid::new_v4().as_u128() % apart);
    let faces = (0..size).map(|at| Face {
        subject: id(at),
        template: id(at),
        vector: vector(),
    });
    bulk::fill(&config, Uuid::new_v4(), faces)
        .await
        .map_err(other)?;

    let started = Instant::now();
    let mut process = Command::new(built_binaries()?.join(biometric_svc::SERVICE))
        .arg("--config")
        .arg(&file)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let url = format!(
        "http://{}/readyz",
        layout.addresses.admin(biometric_svc::SERVICE)
    );
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(other)?;
    while !client
        .get(&url)
        .send()
        .await
        .is_ok_and(|answer| answer.status().is_success())
    {
        if started.elapsed() > PATIENCE || process.try_wait()?.is_some() {
            return Err(other("biometric-svc does not get ready"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let resident = process.id().and_then(cpu::resident).unwrap_or(0);
    process.kill().await?;
    Ok(vec![
        ("start_seconds".into(), json!(rounded(seconds))),
        ("resident_bytes".into(), json!(resident)),
    ])
}
