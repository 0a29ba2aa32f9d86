//! The services as processes: started, waited for, stopped together.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use crate::{
    Error,
    layout::{Layout, SERVICES},
};

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// A running mesh; what still runs is killed when it is dropped.
pub struct Processes {
    children: Vec<(&'static str, Child)>,
    layout: Layout,
    binaries: PathBuf,
}

impl Processes {
    /// Starts the simulator and the four services, in no particular order, and
    /// waits until each is ready.
    pub async fn start(layout: &Layout, binaries: &Path) -> Result<Self, Error> {
        let mut processes = Self::spawn_all(layout, binaries)?;
        processes.wait_until_ready().await?;
        Ok(processes)
    }

    /// Starts them without waiting.
    pub fn spawn_all(layout: &Layout, binaries: &Path) -> Result<Self, Error> {
        let mut names = vec!["partner-sim"];
        names.extend(SERVICES);
        Self::spawn_only(layout, binaries, &names)
    }

    /// Starts some of them without waiting.
    pub fn spawn_only(
        layout: &Layout,
        binaries: &Path,
        names: &[&'static str],
    ) -> Result<Self, Error> {
        let mut processes = Self {
            children: Vec::new(),
            layout: layout.clone(),
            binaries: binaries.to_owned(),
        };
        for &name in names {
            processes.spawn(name)?;
        }
        Ok(processes)
    }

    fn spawn(&mut self, name: &'static str) -> Result<(), Error> {
        self.spawn_with(name, None)
    }

    fn spawn_with(&mut self, name: &'static str, fault: Option<&str>) -> Result<(), Error> {
        let binary = self.binaries.join(name);
        if !binary.is_file() {
            return Err(Error::NotBuilt(binary));
        }
        let path = self.layout.log_file(name);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(Error::file(path))?;
        let mut command = Command::new(binary);
        command
            .arg("--config")
            .arg(self.layout.config_file(name))
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            // A terminal's Ctrl-C reaches this program alone, which stops the
            // others in order.
            .process_group(0)
            .kill_on_drop(true);
        // A developer's own settings must not leak into the mesh.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PROPDEV_") {
                command.env_remove(name);
            }
        }
        if let Some(point) = fault {
            command.env("PROPDEV_FAULT_POINT", point);
        }
        self.children.push((name, command.spawn()?));
        Ok(())
    }

    /// Until each service answers that it is ready.
    pub async fn wait_until_ready(&mut self) -> Result<(), Error> {
        let names = self.children.iter().map(|(name, _)| *name);
        let services: Vec<&'static str> = names.filter(|name| SERVICES.contains(name)).collect();
        self.wait_for(&services).await
    }

    async fn wait_for(&mut self, services: &[&'static str]) -> Result<(), Error> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let deadline = Instant::now() + READY_WITHIN;
        for &service in services {
            let url = format!("http://{}/readyz", self.layout.addresses.admin(service));
            loop {
                self.check_alive()?;
                let answer = http.get(&url).send().await;
                if answer.is_ok_and(|response| response.status().is_success()) {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(Error::NotReady {
                        name: service,
                        seconds: READY_WITHIN.as_secs(),
                        log: self.log_end(service),
                    });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Each program and its process id.
    pub fn ids(&self) -> Vec<(&'static str, u32)> {
        self.children
            .iter()
            .filter_map(|(name, child)| Some((*name, child.id()?)))
            .collect()
    }

    /// Fails when one of the processes has ended.
    pub fn check_alive(&mut self) -> Result<(), Error> {
        for (name, child) in &mut self.children {
            if child.try_wait()?.is_some() {
                let name = *name;
                return Err(Error::Ended {
                    name,
                    log: self.log_end(name),
                });
            }
        }
        Ok(())
    }

    /// Kills one process as a crash would, and waits for its end.
    pub async fn kill(&mut self, name: &str) -> Result<(), Error> {
        for (child_name, child) in &mut self.children {
            if *child_name == name {
                child.kill().await?;
            }
        }
        self.children.retain(|(child, _)| *child != name);
        Ok(())
    }

    /// Asks one process to end and waits for its end.
    pub async fn terminate(&mut self, name: &str) -> Result<(), Error> {
        for (child_name, child) in &mut self.children {
            if *child_name == name {
                if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
                    let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
                }
                child.wait().await?;
            }
        }
        self.children.retain(|(child, _)| *child != name);
        Ok(())
    }

    /// Starts one process again and waits until it is ready.
    pub async fn restart(&mut self, name: &'static str) -> Result<(), Error> {
        self.spawn(name)?;
        self.wait_for(&[name]).await
    }

    /// The same, of a process that dies when it comes to that point
    /// (`mesh::fault`).
    pub async fn restart_to_die(&mut self, name: &'static str, point: &str) -> Result<(), Error> {
        self.spawn_with(name, Some(point))?;
        self.wait_for(&[name]).await
    }

    /// Waits until one process has ended by itself.
    pub async fn wait_for_end(&mut self, name: &str) -> Result<(), Error> {
        for (child_name, child) in &mut self.children {
            if *child_name == name {
                child.wait().await?;
            }
        }
        self.children.retain(|(child, _)| *child != name);
        Ok(())
    }

    /// Asks all to end, and kills what has not in time.
    pub async fn stop(mut self) -> Result<(), Error> {
        for (_, child) in &self.children {
            if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
                let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
            }
        }
        let deadline = Instant::now() + STOP_WITHIN;
        for (_, child) in &mut self.children {
            if tokio::time::timeout_at(deadline, child.wait())
                .await
                .is_err()
            {
                child.kill().await?;
            }
        }
        Ok(())
    }

    fn log_end(&self, name: &str) -> String {
        let text = fs::read_to_string(self.layout.log_file(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

/// The folder of the programs built beside this one.
pub fn built_binaries() -> Result<PathBuf, Error> {
    let own = std::env::current_exe()?;
    let folder = own.parent().map(Path::to_owned).unwrap_or_default();
    // Test programs lie one folder deeper.
    if folder.ends_with("deps") {
        return Ok(folder.parent().map(Path::to_owned).unwrap_or_default());
    }
    Ok(folder)
}
