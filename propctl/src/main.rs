//! The operator's command line: talks gRPC to the services with the operator's
//! own certificate.

mod certificate;
mod cli;
mod commands;
mod config;
mod connection;
mod csv_file;
mod error;
mod follow;
mod input;
mod json;
mod moment;
mod npy_rows;
mod output;
mod pages;
mod reference;
mod services;
mod vector_file;
mod window;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use cli::Cli;
use connection::Session;
use error::Failure;
use mesh::context::{CallContext, new_request_id};
use output::Output;
use zeroizing_alloc::ZeroAlloc;

// Vectors, names and secrets also pass through buffers of libraries, which
// wipe nothing themselves.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

/// Stands for "no limit of the operator's own": each call still has its contract's.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);

fn main() -> ExitCode {
    let cli = Cli::parse();
    mesh::jose::install_crypto();
    let result = mesh::hardening::no_dumps()
        .map_err(|error| Failure::Local(format!("core dumps cannot be forbidden: {error}")))
        .and_then(|()| run(cli));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure.lines());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    if cli.global.verbose {
        log_to_stderr();
    }
    let output = Output::new(cli.global.output);
    let command = match cli.command {
        cli::Command::Dev(dev) => return dev.run(&output),
        command => command,
    };
    if let cli::Command::Audit(audit) = &command
        && let Some(done) = audit.offline(&output)
    {
        return done;
    }
    let config = config::load(cli.global.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Local(format!("the runtime cannot start: {error}")))?;
    runtime.block_on(async {
        let request_id = new_request_id();
        let limit = cli.global.timeout;
        let session = Session::open(config, output, limit)?;
        CallContext::new(limit.unwrap_or(NO_LIMIT), request_id.clone())
            .scope(command.run(&session))
            .await
            .map_err(|failure| session.locate(failure, &request_id))
    })
}

fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    // Fails only when a subscriber is set already, which nothing here does.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("warn,mesh=debug"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .try_init();
}
