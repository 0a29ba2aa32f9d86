//! Other people's searches over the same vectors, each in a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use ndarray::Array2;
use ndarray_npy::write_npy;
use serde_json::{Value, json};

use super::{DECIDER, workspace};
use crate::error::{Error, other};

pub(crate) struct Files {
    folder: PathBuf,
    templates: PathBuf,
    probes: PathBuf,
}

pub(crate) fn write(
    folder: &Path,
    templates: &Array2<f32>,
    probes: &Array2<f32>,
) -> Result<Files, Error> {
    let files = Files {
        folder: folder.to_owned(),
        templates: folder.join("templates.npy"),
        probes: folder.join("probes.npy"),
    };
    write_npy(&files.templates, templates).map_err(other)?;
    let some = probes.nrows().min(1_000);
    write_npy(&files.probes, &probes.slice(ndarray::s![..some, ..])).map_err(other)?;
    Ok(files)
}

/// What each peer reports, its decisions counted against the expected ones.
pub(crate) fn run(
    files: &Files,
    size: usize,
    seconds: u64,
    expected: &[i64],
) -> Result<Value, Error> {
    let root = workspace()?;
    let names = match size {
        ..=100_000 => {
            "faiss_flat,faiss_binary_rerank,faiss_rabitq_rerank,usearch_exact,usearch_hnsw,pgvector"
        }
        100_001..=1_000_000 => {
            "faiss_flat,faiss_binary_rerank,faiss_rabitq_rerank,usearch_exact,pgvector"
        }
        _ => "faiss_binary_rerank",
    };
    let output = Command::new(root.join(".tools/bench-identify/bin/python3"))
        .arg(root.join("bench/peers/identify/peers.py"))
        .args([&"--templates".as_ref(), &files.templates.as_os_str()])
        .args([&"--probes".as_ref(), &files.probes.as_os_str()])
        .args(["--threshold", &DECIDER.threshold.to_string()])
        .args(["--seconds", &seconds.to_string(), "--peers", names])
        .args([&"--folder".as_ref(), &files.folder.as_os_str()])
        .args([
            &"--pg-bin".as_ref(),
            &root.join(".tools/bench-pgvector/postgres").as_os_str(),
        ])
        // Their processors' libraries choose their own paths.
        .env_remove("OPENBLAS_CORETYPE")
        .env_remove("OPENBLAS_L2_SIZE")
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let mut peers: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| other(format!("the peers told no JSON: {error}")))?;
    for peer in peers
        .as_object_mut()
        .into_iter()
        .flat_map(|peers| peers.values_mut())
    {
        let Some(decisions) = peer["decisions"].as_array() else {
            continue;
        };
        let asked = decisions
            .iter()
            .zip(expected)
            .filter_map(|(found, expected)| Some((found.as_i64()?, *expected)));
        let (mut count, mut differing) = (0_u64, 0_u64);
        for (found, expected) in asked {
            count += 1;
            differing += u64::from(found != expected);
        }
        peer["decisions_compared"] = json!(count);
        peer["decisions_differing"] = json!(differing);
        if let Some(peer) = peer.as_object_mut() {
            peer.remove("decisions");
        }
    }
    Ok(peers)
}
