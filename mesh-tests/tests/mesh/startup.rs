//! A service that cannot do its work refuses to start and names the reason.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use devmesh::layout::{Layout, Sockets};
use mesh::{Clock, SystemClock, service::Environment, shutdown::Shutdown};
use sea_orm::{ConnectionTrait, Database as Connection};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Prepared {
    folder: TempDir,
    layout: Layout,
    sockets: Sockets,
}

fn prepare(url: Option<String>) -> Prepared {
    mesh::jose::install_crypto();
    let folder = tempfile::tempdir().expect("a folder");
    let (sockets, addresses) = Sockets::bind().expect("sockets");
    let layout = Layout::write(folder.path(), addresses, &|_| url.clone()).expect("a layout");
    Prepared {
        folder,
        layout,
        sockets,
    }
}

/// Runs biometric-svc until it fails, or stops it when it is serving.
async fn start(prepared: &mut Prepared) -> Result<(), String> {
    let file = prepared.layout.config_file("biometric-svc");
    let config: biometric_svc::Config = mesh::config::load(&file).map_err(|e| e.to_string())?;
    let (server, admin) = prepared.sockets.take("biometric-svc").expect("sockets");
    let listener = |socket: std::net::TcpListener| {
        socket.set_nonblocking(true).expect("a socket");
        tokio::net::TcpListener::from_std(socket).expect("a socket")
    };
    let listeners = biometric_svc::Listeners {
        server: listener(server),
        admin: listener(admin),
    };
    let shutdown = Shutdown::new();
    let url = format!("http://{}/readyz", config.admin.listen);
    let stopper = shutdown.clone();
    tokio::spawn(async move {
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client");
        while !http
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            tokio::task::yield_now().await;
        }
        stopper.cancel();
    });
    biometric_svc::run(config, listeners, Environment::new(shutdown))
        .await
        .map_err(|error| error.to_string())
}

fn database(folder: &Path) -> String {
    format!(
        "sqlite://{}?mode=rwc",
        folder.join("data/biometric-svc.db").display()
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_being_well_it_starts() {
    start(&mut prepare(None)).await.expect("served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_missing_is_named() {
    let missing = start(&mut prepare(Some(
        "sqlite:///nonexistent/folder/x.db".into(),
    )))
    .await;
    assert!(missing.expect_err("no folder").contains("cannot be opened"));
    let away = start(&mut prepare(Some("postgres://x@127.0.0.1:1/x".into()))).await;
    assert!(away.expect_err("no server").contains("cannot be opened"));
    let exposed = "postgres://x@db.invalid/x?sslmode=require";
    let exposed = start(&mut prepare(Some(exposed.into()))).await;
    assert!(
        exposed
            .expect_err("nobody is asked who he is")
            .contains("sslmode")
    );
    let neither = start(&mut prepare(Some("mysql://x".into()))).await;
    assert!(neither.expect_err("no such kind").contains("database.url"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_named() {
    let mut prepared = prepare(None);
    let db = Connection::connect(database(prepared.folder.path()))
        .await
        .expect("a database");
    for statement in [
        "CREATE TABLE seaql_migrations (version varchar PRIMARY KEY, applied_at bigint NOT NULL)",
        "INSERT INTO seaql_migrations VALUES ('m9999_from_the_future', 0)",
    ] {
        db.execute_unprepared(statement).await.expect("executed");
    }
    db.close().await.expect("closed");
    let refused = start(&mut prepared).await.expect_err("a newer schema");
    assert!(
        refused.contains("newer schema") && refused.contains("m9999_from_the_future"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_is_named() {
    let mut prepared = prepare(None);
    let db = Connection::connect(database(prepared.folder.path()))
        .await
        .expect("a database");
    for statement in ["CREATE TABLE x (y)", "BEGIN EXCLUSIVE"] {
        db.execute_unprepared(statement).await.expect("executed");
    }
    let refused = start(&mut prepared).await.expect_err("locked");
    assert!(refused.contains("locked"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_that_others_can_read_is_named() {
    let mut prepared = prepare(None);
    let path = prepared.folder.path().join("keys/biometric-svc.json");
    mesh::keyring::Keyring::create("biometric-svc", &path, SystemClock.now()).expect("a keyring");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    let refused = start(&mut prepared).await.expect_err("exposed");
    assert!(
        refused.contains("0644") && refused.contains("biometric-svc.json"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_keyring_than_the_databases_is_named() {
    let mut prepared = prepare(None);
    start(&mut prepared).await.expect("served");
    let path = prepared.folder.path().join("keys/biometric-svc.json");
    fs::remove_file(&path).expect("removed");
    let (sockets, _) = Sockets::bind().expect("sockets");
    prepared.sockets = sockets;
    let refused = start(&mut prepared)
        .await
        .expect_err("a stranger's keyring");
    assert!(refused.contains("probe-mac"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_the_keyring_lacks_is_named() {
    let mut prepared = prepare(None);
    start(&mut prepared).await.expect("served");
    let path = prepared.folder.path().join("keys/biometric-svc.json");
    let text = fs::read_to_string(&path).expect("a keyring");
    let mut keyring: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(keyring["epochs"][0]["id"], 1);
    keyring["epochs"][0]["id"] = json!(2);
    fs::write(&path, keyring.to_string()).expect("written");
    let (sockets, _) = Sockets::bind().expect("sockets");
    prepared.sockets = sockets;
    let refused = start(&mut prepared).await.expect_err("its rows have ended");
    assert!(refused.contains("no epoch 1"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_key_of_the_configuration_is_named() {
    let mut prepared = prepare(None);
    let file = prepared.layout.config_file("biometric-svc");
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, format!("{text}\n[databse]\nurl = \"x\"\n")).expect("written");
    let refused = start(&mut prepared).await.expect_err("a typing error");
    assert!(refused.contains("databse"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_services_certificate_is_named() {
    let mut prepared = prepare(None);
    let file = prepared.layout.config_file("biometric-svc");
    let text = fs::read_to_string(&file).expect("a file");
    let text = text.replace("certificates/biometric-svc", "certificates/auth-svc");
    fs::write(&file, text).expect("written");
    let refused = start(&mut prepared).await.expect_err("not its own");
    assert!(refused.contains("svc/auth-svc"), "{refused}");
}
