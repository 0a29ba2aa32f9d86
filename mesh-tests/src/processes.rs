//! The mesh as it runs in production: every service a program of its own.

use std::fs;

use devmesh::{
    estate::{self, Estate},
    layout::{Addresses, Layout, SERVICES},
    processes::{Processes, built_binaries},
    sim::Sim,
};
use tempfile::TempDir;

use crate::{Database, Partner};

/// Running programs and their estate.
pub struct ProcessMesh {
    pub layout: Layout,
    pub estate: Estate,
    pub sim: Sim,
    pub processes: Processes,
    pub folder: TempDir,
}

impl ProcessMesh {
    /// Starts the built programs on SQLite; `telemetry` stands in each
    /// service's `[telemetry]` in place of the default.
    pub async fn start(telemetry: Option<&str>) -> Self {
        Self::start_with(Database::Sqlite, |_, text| match telemetry {
            Some(telemetry) => set_telemetry(&text, telemetry),
            None => text,
        })
        .await
    }

    /// With each service's configuration (TOML) edited.
    pub async fn start_with(database: Database, edit: impl Fn(&str, String) -> String) -> Self {
        mesh::jose::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        let addresses = Addresses::free(None).expect("free ports");
        let layout = Layout::write(folder.path(), addresses, &database.urls()).expect("a layout");
        for service in SERVICES {
            let file = layout.config_file(service);
            let text = fs::read_to_string(&file).expect("a configuration");
            fs::write(file, edit(service, text)).expect("written");
        }
        let binaries = built_binaries().expect("a folder of programs");
        let processes = Processes::start(&layout, &binaries)
            .await
            .unwrap_or_else(|error| panic!("{error} (make test builds the programs first)"));
        let estate = estate::seed(&layout).await.expect("an estate");
        Self {
            sim: Sim::new(&layout).expect("the simulator"),
            layout,
            estate,
            processes,
            folder,
        }
    }

    pub fn partner(&self) -> Partner {
        Partner::new(
            &self.layout,
            &self.estate.client_id,
            &self.estate.client_secret,
        )
    }

    /// The metrics of a service, as a scraper reads them.
    pub async fn metrics(&self, service: &str) -> String {
        let url = format!("http://{}/metrics", self.layout.addresses.admin(service));
        let http = reqwest::Client::builder().no_proxy().build();
        let answer = http.expect("a client").get(url).send().await;
        answer.expect("metrics").text().await.expect("text")
    }

    /// The sum of a counter over its labels.
    pub async fn counted(&self, service: &str, name: &str) -> f64 {
        self.metrics(service)
            .await
            .lines()
            .filter(|line| line.starts_with(name))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// All that the services have written to their logs.
    pub fn logs(&self) -> String {
        SERVICES
            .iter()
            .chain(&["partner-sim"])
            .map(|service| fs::read_to_string(self.layout.log_file(service)).expect("a log"))
            .collect()
    }
}

fn set_telemetry(text: &str, telemetry: &str) -> String {
    let (before, after) = text.split_once("[telemetry]\n").expect("its section");
    let rest = after.find("\n[").map_or("", |end| &after[end..]);
    format!("{before}[telemetry]\n{telemetry}{rest}")
}
