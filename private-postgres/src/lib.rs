//! A private PostgreSQL server from the machine's own programs, in a temporary
//! folder, gone with the process that started it. For tests.

use std::{
    fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use nix::unistd::{Uid, User};

const READY_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{what} failed: {detail}")]
    Failed { what: &'static str, detail: String },
    #[error("the server is not ready; its log says:\n{0}")]
    NotReady(String),
    #[error("no user postgres or nobody")]
    NoUser,
    #[error(
        "no PostgreSQL server programs: run scripts/tools.sh postgres, \
         or name their folder in POSTGRES_BIN"
    )]
    NoPrograms,
}

/// Whoever holds it keeps the server running.
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    // Its closing end of the pipe is what stops the server, however this
    // process ends.
    _keeper: Child,
}

impl Postgres {
    /// One server for all tests of a program.
    pub fn shared() -> Result<&'static Self, &'static Error> {
        static SERVER: OnceLock<Result<Postgres, Error>> = OnceLock::new();
        SERVER.get_or_init(Self::start).as_ref()
    }

    /// Starts a server; fails, never skips, when there are no programs.
    /// One that ends with its holder.
    pub fn start() -> Result<Self, Error> {
        let programs = find_programs()?;
        let folder = tempfile::Builder::new()
            .prefix("propdev-pg-")
            .tempdir()?
            .keep();
        let user = unprivileged(&folder)?;
        let data = folder.join("data");
        let run = |program: &str| {
            let path = programs.join(program);
            match &user {
                // PostgreSQL refuses to run as root.
                Some(name) => {
                    let mut command = Command::new("setpriv");
                    command
                        .args(["--reuid", name, "--regid", name, "--clear-groups", "--"])
                        .arg(path);
                    command
                }
                None => Command::new(path),
            }
        };
        let made = run("initdb")
            .args([
                "--username=propdev",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "-D",
            ])
            .arg(&data)
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()?;
        if !made.status.success() {
            return Err(failed("initdb", &made.stderr));
        }
        let port = loopback_port::bind()?.local_addr()?.port();
        let server = run("postgres");
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg(server.get_program())
            .args(server.get_args())
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args([
                "-c",
                "unix_socket_directories=",
                "-c",
                "max_connections=300",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log"))?)
            .current_dir(&folder);
        let server = Self {
            programs,
            port,
            _keeper: keeper.spawn()?,
        };
        server.wait_until_ready(&folder)?;
        Ok(server)
    }

    /// Makes a database and gives its URL.
    pub fn create_database(&self, name: &str) -> Result<String, Error> {
        let made = Command::new(self.programs.join("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "propdev",
            ])
            .args([
                "-d",
                "postgres",
                "-qc",
                // Nobody looks into this template, whereas a vacuum may be at
                // work in the other one, which then cannot be copied.
                &format!("create database \"{name}\" template template0"),
            ])
            .output()?;
        if !made.status.success() {
            return Err(failed("create database", &made.stderr));
        }
        Ok(format!("postgres://propdev@127.0.0.1:{}/{name}", self.port))
    }

    fn wait_until_ready(&self, folder: &Path) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            let ready = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
                .status()?;
            if ready.success() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
        Err(Error::NotReady(log))
    }
}

fn failed(what: &'static str, said: &[u8]) -> Error {
    Error::Failed {
        what,
        detail: String::from_utf8_lossy(said).into_owned(),
    }
}

/// Runs the server until its own input ends, then stops it and tidies up.
const KEEPER: &str = r#"folder=$1; shift
"$@" </dev/null & server=$!
cat >/dev/null
kill -QUIT $server 2>/dev/null; wait $server 2>/dev/null
rm -rf "$folder""#;

/// For root: a user to run the server as, who then owns the folder.
fn unprivileged(folder: &Path) -> Result<Option<String>, Error> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    let user = ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| User::from_name(name).ok().flatten())
        .ok_or(Error::NoUser)?;
    chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    Ok(Some(user.uid.as_raw().to_string()))
}

fn find_programs() -> Result<PathBuf, Error> {
    let mut candidates: Vec<PathBuf> = Vec::new();
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        candidates.push(folder.into());
    }
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/postgres");
    candidates.push(tools);
    if let Ok(found) = Command::new("pg_config").arg("--bindir").output() {
        candidates.push(String::from_utf8_lossy(&found.stdout).trim().into());
    }
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        candidates.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    candidates
        .into_iter()
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        .ok_or(Error::NoPrograms)
}
