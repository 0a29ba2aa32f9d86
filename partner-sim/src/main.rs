//! The simulated partner's process.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use partner_sim::{Config, config};

#[derive(Parser)]
#[command(about = "A partner to run the mesh against: auth server, gateway, cameras, keys")]
struct Arguments {
    /// TOML file; `PARTNER_SIM_<SECTION>__<KEY>` variables override it.
    #[arg(long)]
    config: PathBuf,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "a program's last words")]
async fn main() -> ExitCode {
    mesh::jose::install_crypto();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    match serve(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("partner-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: &Arguments) -> Result<(), partner_sim::Error> {
    let config: Config = config::load(&arguments.config)?;
    let listener = std::net::TcpListener::bind(config.listen)?;
    let shutdown = mesh::shutdown::on_signals()?;
    partner_sim::run(config, listener, shutdown).await
}
