//! The mesh as it runs in production with more than one of each: two programs
//! of every service that replicates, on one PostgreSQL, behind what balances.

use std::{fs, net::SocketAddr};

use devmesh::{
    estate::{self, Estate},
    layout::{Addresses, Layout},
    processes::{Processes, built_binaries},
    sim::Sim,
};
use tempfile::TempDir;

use crate::{Database, Partner, balancer::Balancer};

pub const REPLICATED: [&str; 3] = ["auth-svc", "access-svc", "edge-rest"];

/// Everything ends when it is dropped.
pub struct Fleet {
    /// Addresses are the fronts': what callers are told.
    pub layout: Layout,
    pub estate: Estate,
    pub sim: Sim,
    replicas: Vec<Processes>,
    /// By service; the edge has one more, for partners.
    fronts: Vec<(&'static str, Balancer)>,
    _shared: Processes,
    _folder: TempDir,
}

impl Fleet {
    pub async fn start() -> Self {
        mesh::jose::install_crypto();
        let folder = tempfile::tempdir().expect("a folder");
        let free = || Addresses::free(None).expect("free ports");
        let urls = Database::Postgres.urls();
        let layout = Layout::write(folder.path(), free(), &urls).expect("a layout");
        let binaries = built_binaries().expect("a folder of programs");
        let shared = ["partner-sim", "biometric-svc"];
        let mut shared = Processes::spawn_only(&layout, &binaries, &shared).expect("built");
        shared.wait_until_ready().await.expect("ready");

        let own = [free(), free()];
        let mut fronts = Vec::new();
        for service in REPLICATED {
            let front = layout.addresses.grpc(service);
            let behind = own.map(|replica| replica.grpc(service));
            fronts.push((service, Balancer::start(front, behind).await));
        }
        let behind = own.map(|replica| replica.public);
        let public = Balancer::start(layout.addresses.public, behind).await;
        fronts.push(("edge-rest", public));

        // One after the other: the first makes keys and tables.
        let mut replicas = Vec::new();
        for (at, addresses) in own.into_iter().enumerate() {
            let replica = replica_of(&layout, at, addresses);
            let spawned = Processes::spawn_only(&replica, &binaries, &REPLICATED);
            let mut processes = spawned.expect("built");
            processes.wait_until_ready().await.expect("ready");
            for (_, front) in &fronts {
                front.set(at, true);
            }
            replicas.push(processes);
        }
        let estate = estate::seed(&layout).await.expect("an estate");
        Self {
            sim: Sim::new(&layout).expect("the simulator"),
            layout,
            estate,
            replicas,
            fronts,
            _shared: shared,
            _folder: folder,
        }
    }

    pub fn partner(&self) -> Partner {
        let estate = &self.estate;
        Partner::new(&self.layout, &estate.client_id, &estate.client_secret)
    }

    /// New connections go to the other one from now on.
    pub fn take_out(&self, service: &str, replica: usize) {
        self.set(service, replica, false);
    }

    /// Asks a replica to end, waits for its end, starts it again, and lets
    /// connections come once it is ready.
    pub async fn restart(&mut self, service: &'static str, replica: usize) {
        let processes = &mut self.replicas[replica];
        processes.terminate(service).await.expect("ended");
        processes.restart(service).await.expect("ready again");
        self.set(service, replica, true);
    }

    fn set(&self, service: &str, replica: usize, in_rotation: bool) {
        for (_, front) in self.fronts.iter().filter(|(name, _)| *name == service) {
            front.set(replica, in_rotation);
        }
    }
}

/// The same configuration, listening elsewhere: peers are dialled by their fronts.
fn replica_of(layout: &Layout, at: usize, addresses: Addresses) -> Layout {
    let replica = Layout {
        root: layout.root.join(format!("replica-{at}")),
        addresses,
    };
    for folder in ["config", "logs"] {
        fs::create_dir_all(replica.root.join(folder)).expect("a folder");
    }
    for service in REPLICATED {
        let mut text = fs::read_to_string(layout.config_file(service)).expect("a configuration");
        for of in [Addresses::grpc, Addresses::admin] {
            let [old, new] = [&layout.addresses, &addresses].map(|all| of(all, service));
            text = listening(&text, old, new);
        }
        text = listening(&text, layout.addresses.public, addresses.public);
        fs::write(replica.config_file(service), text).expect("written");
    }
    replica
}

fn listening(text: &str, old: SocketAddr, new: SocketAddr) -> String {
    text.replace(
        &format!("listen = \"{old}\""),
        &format!("listen = \"{new}\""),
    )
}
