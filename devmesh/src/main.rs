//! A development mesh on this machine: `make demo`, `make run`, `make face`,
//! `make cert`.

mod account;
mod demo;
mod face;
mod operator_cert;
mod run;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "A whole mesh on this machine, for development and demonstration")]
struct Arguments {
    /// Where `run` leaves what others need.
    #[arg(long, default_value = ".dev")]
    folder: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a mesh, runs all six flows and the most telling refusals, and
    /// gives an account. Fails unless each came out as it should.
    Demo,
    /// Starts a mesh, seeds it and leaves it running until Ctrl-C or SIGTERM.
    Run {
        /// Port of the public HTTPS listener; 0 picks a free one.
        #[arg(long, default_value_t = 8443)]
        port: u16,
    },
    /// Writes a fresh picture of the running mesh's resident to FACE_FILE.
    Face,
    /// Writes an operator's certificate for the running mesh.
    Cert {
        /// viewer, operator or privacy.
        #[arg(long)]
        role: String,
        #[arg(long, default_value = "dev")]
        name: String,
    },
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a command line's error")]
async fn main() -> ExitCode {
    mesh::jose::install_crypto();
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Demo => demo::demo().await,
        Command::Run { port } => run::run(&arguments.folder, port).await,
        Command::Face => face::write_fresh(&arguments.folder),
        Command::Cert { role, name } => operator_cert::issue(&arguments.folder, &role, &name),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devmesh: {error}");
            ExitCode::FAILURE
        }
    }
}
