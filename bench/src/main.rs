//! Figures, each beside a floor or a peer measured in the same run. Builds in
//! release: `make bench-<name>`.

mod commits;
mod cpu;
mod database;
mod error;
mod floor;
mod identify;
mod installed;
mod load;
mod machine;
mod open;
mod pace;
mod peer;
mod plot;
mod population;
mod report;
mod token;
mod webhook;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::error::Error;

#[derive(Parser)]
#[command(about = "Measures the mesh beside floors and peers")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tokens a second and core: client-only, by face, the bare chain, peers
    Token(token::Options),
    /// One face of many: latency, memory, start-up and misses beside peers
    Identify(identify::Options),
    /// Openings a second and how long one takes, beside the database's commits
    Open(open::Options),
    /// Events told by webhook, beside what the database takes by itself
    Webhook(webhook::Options),
    /// The bare chain's outer half, for the benchmark itself
    #[command(hide = true)]
    FloorEdge { folder: PathBuf },
    /// The bare chain's inner half, for the benchmark itself
    #[command(hide = true)]
    FloorAuth { folder: PathBuf },
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command line's error")]
async fn main() -> ExitCode {
    mesh::jose::install_crypto();
    let result: Result<(), Error> = match Arguments::parse().command {
        Command::Token(options) => token::measure(options).await,
        Command::Identify(options) => identify::measure(options).await,
        Command::Open(options) => open::measure(options).await,
        Command::Webhook(options) => webhook::measure(options).await,
        Command::FloorEdge { folder } => floor::edge(&folder).await,
        Command::FloorAuth { folder } => floor::auth(&folder).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
