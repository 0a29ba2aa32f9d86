//! A mesh left running, with all that a shell needs to use it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use devmesh::{
    Error,
    estate::{
        self, BARRIER, DOOR, DOOR2, Estate, FOB, KEY, MODEL, OTHER_DOOR, PLATE, UNPAID_PLATE,
    },
    layout::{Addresses, Layout},
    processes::{Processes, built_binaries},
};

use crate::face::{self, write_whole};

pub(crate) const ENV_FILE: &str = "mesh.env";
pub(crate) const ESTATE_FILE: &str = "estate.json";
/// The folder of the running mesh, made anew at each start.
pub(crate) const RUN: &str = "run";
const LOCK_FILE: &str = "lock";
const FLOWS: &str = include_str!("flows.sh");

pub(crate) async fn run(folder: &Path, port: u16) -> Result<(), Error> {
    let shutdown = mesh::shutdown::on_signals()?;
    fs::create_dir_all(folder).map_err(file(folder))?;
    let folder = folder.canonicalize().map_err(file(folder))?;
    // Held until the program ends, however it ends.
    let _alone = lock(&folder)?;
    let env_file = folder.join(ENV_FILE);
    let root = folder.join(RUN);
    // First of all: nobody shall take an old mesh's addresses for this one's.
    remove(fs::remove_file(&env_file), &env_file)?;
    remove(fs::remove_dir_all(&root), &root)?;

    let addresses = Addresses::free((port != 0).then_some(port))?;
    let layout = Layout::write(&root, addresses, &|_| None)?;
    let mut processes = Processes::spawn_all(&layout, &built_binaries()?)?;
    let result = async {
        processes.wait_until_ready().await?;
        let estate = estate::seed(&layout).await?;
        write_files(&folder, &layout, &estate)?;
        tell(&folder, &layout);
        // Last of all: who finds it finds everything else.
        publish(&folder, &layout, &estate)?;
        loop {
            processes.check_alive()?;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let result: Result<(), Error> = tokio::select! {
        result = result => result,
        () = shutdown.cancelled() => Ok(()),
    };
    remove(fs::remove_file(&env_file), &env_file)?;
    processes.stop().await?;
    result
}

/// One mesh a folder: a second one would take the first one's files away.
fn lock(folder: &Path) -> Result<fs::File, Error> {
    let path = folder.join(LOCK_FILE);
    let lock = fs::File::create(&path).map_err(file(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Running(folder.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(file(&path)(source)),
    }
}

fn remove(result: std::io::Result<()>, path: &Path) -> Result<(), Error> {
    match result {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(file(path)(source)),
        _ => Ok(()),
    }
}

fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// The files of a running mesh, but for `mesh.env`.
fn write_files(folder: &Path, layout: &Layout, estate: &Estate) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(estate)
        .map_err(|error| Error::Unexpected(error.to_string()))?;
    write_whole(&layout.root.join(ESTATE_FILE), json.as_bytes())?;
    let propctl = layout.propctl_config(&layout.operator_folder("operator"));
    write_whole(&folder.join("propctl.toml"), propctl.as_bytes())?;

    let faces = face::Files::of(folder);
    face::write(&faces.face, estate.resident.identity)?;
    face::write(&faces.unknown, estate.stranger)?;
    face::write(&faces.unpaid, estate.unpaid.identity)
}

fn publish(folder: &Path, layout: &Layout, estate: &Estate) -> Result<(), Error> {
    let faces = face::Files::of(folder);
    let path = |path: &PathBuf| path.display().to_string();
    let lines = [
        ("EDGE_URL", layout.edge_url()),
        ("EDGE_CA", path(&layout.ca())),
        ("CLIENT_ID", estate.client_id.clone()),
        ("CLIENT_SECRET", estate.client_secret.clone()),
        ("OTHER_CLIENT_ID", estate.other_client_id.clone()),
        ("OTHER_CLIENT_SECRET", estate.other_client_secret.clone()),
        ("DOOR_ID", DOOR.into()),
        ("DOOR2_ID", DOOR2.into()),
        ("BARRIER_ID", BARRIER.into()),
        ("OTHER_DOOR_ID", OTHER_DOOR.into()),
        ("FACE_MODEL", MODEL.into()),
        ("FACE_FILE", path(&faces.face)),
        ("UNKNOWN_FACE_FILE", path(&faces.unknown)),
        ("UNPAID_FACE_FILE", path(&faces.unpaid)),
        ("PLATE", PLATE.into()),
        ("UNPAID_PLATE", UNPAID_PLATE.into()),
        ("KEY_ID", KEY.into()),
        ("FOB_ID", FOB.into()),
        ("PARTNER_URL", layout.simulator_url()),
    ];
    let text: String = lines
        .iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect();
    write_whole(&folder.join(ENV_FILE), text.as_bytes())
}

#[expect(clippy::print_stdout, reason = "what the user of a running mesh reads")]
fn tell(folder: &Path, layout: &Layout) {
    println!(
        "The mesh is running.\n\n  \
         edge       {edge}\n  \
         partner    {partner} (/_sim/commands: what its gateway received)\n  \
         auth-svc   {auth}\n  access-svc {access}\n  biometric  {biometric}\n  \
         logs       {logs}\n\n\
         Its addresses and secrets, and the six flows, for another shell:\n\n\
         set -a; . {env}; set +a\n{FLOWS}\n\
         The operator's side:\n\n\
         {binary} --config {propctl} opening list\n\n\
         Ctrl-C stops all of it.",
        edge = layout.edge_url(),
        partner = layout.simulator_url(),
        auth = layout.addresses.grpc("auth-svc"),
        access = layout.addresses.grpc("access-svc"),
        biometric = layout.addresses.grpc("biometric-svc"),
        logs = layout.root.join("logs").display(),
        env = folder.join(ENV_FILE).display(),
        binary = built_binaries()
            .unwrap_or_default()
            .join("propctl")
            .display(),
        propctl = folder.join("propctl.toml").display(),
    );
    let _ = std::io::stdout().flush();
}
