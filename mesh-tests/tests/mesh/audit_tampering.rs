//! Whoever can write to the database cannot quietly change the audit log.

use std::fs;

use mesh_tests::{Database, Mesh, on_both_databases};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement, Value as Bound};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    audit_log::{all_flows, state},
    database, eventually, propctl,
};

on_both_databases!(
    a_tampered_row_is_named,
    a_row_that_no_service_wrote_gets_no_number,
    a_checkpoint_kept_outside_holds_the_log_to_it,
    an_export_is_checked_without_the_service,
);

/// `propctl audit verify`: its exit code and what it says.
pub(crate) async fn verify(mesh: &Mesh, arguments: &[&str]) -> (i32, Value) {
    let mut all = vec!["audit", "verify", "--output", "json"];
    all.extend_from_slice(arguments);
    let done = propctl(&mesh.layout, "viewer", &all).await;
    let code = done.status.code().expect("an exit code");
    let said = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| {
        let told = String::from_utf8_lossy(&done.stderr);
        Value::String(told.into_owned())
    });
    (code, said)
}

/// Nothing waits for a number, and nothing more comes.
async fn settled(mesh: &Mesh) -> u64 {
    let mut last = (0, 0);
    eventually("all entries have numbers", async || {
        let state = state(mesh).await;
        let rounds = if !state.queued && state.size == last.0 {
            last.1 + 1
        } else {
            0
        };
        last = (state.size, rounds);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        rounds >= 10
    })
    .await;
    last.0
}

async fn execute(db: &DatabaseConnection, sql: &str, values: Vec<Bound>) {
    let backend = db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let done = db.execute_raw(statement).await.expect("executed");
    assert!(done.rows_affected() > 0, "nothing was done by {sql}");
}

async fn bytes(db: &DatabaseConnection, sql: &str, value: i64) -> Vec<u8> {
    let backend = db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, sql, [Bound::from(value)]);
    let row = db.query_one_raw(statement).await.expect("asked");
    row.expect("a row").try_get_by_index(0).expect("bytes")
}

async fn findings(mesh: &Mesh) -> Vec<String> {
    let (code, said) = verify(mesh, &[]).await;
    assert_eq!(code, 1, "{said}");
    assert_eq!(said["good"], false);
    let findings = said["findings"].as_array().expect("findings");
    let text = |finding: &Value| finding.as_str().unwrap_or_default().to_owned();
    findings.iter().map(text).collect()
}

async fn a_tampered_row_is_named(mesh: Mesh) {
    all_flows(&mesh).await;
    settled(&mesh).await;
    let db = database(&mesh.layout, "access-svc").await;
    assert_eq!(verify(&mesh, &[]).await.0, 0);
    let names = |findings: &[String], number: i64| {
        let named = format!("entry {number} ");
        assert!(findings.iter().any(|f| f.contains(&named)), "{findings:?}");
    };

    // Changed.
    let payload = bytes(
        &db,
        "SELECT payload FROM audit_entries WHERE number = $1",
        7,
    )
    .await;
    let set = "UPDATE audit_entries SET payload = $1 WHERE number = 7";
    let text = String::from_utf8(payload.clone()).expect("text");
    let edited = text.replacen("\"at\":\"20", "\"at\":\"19", 1).into_bytes();
    execute(&db, set, vec![edited.into()]).await;
    let found = findings(&mesh).await;
    names(&found, 7);
    assert!(found[0].contains("changed"), "{found:?}");
    execute(&db, set, vec![payload.into()]).await;

    // A column alone.
    let code = "UPDATE audit_entries SET code = $1 WHERE number = 8";
    let kept = "SELECT payload FROM audit_entries WHERE number = $1";
    let entry: Value = serde_json::from_slice(&bytes(&db, kept, 8).await).expect("an entry");
    execute(&db, code, vec!["nothing".into()]).await;
    names(&findings(&mesh).await, 8);
    let right = entry["code"].as_str().expect("a code");
    execute(&db, code, vec![right.into()]).await;

    // Dropped.
    for sql in [
        "CREATE TABLE taken AS SELECT * FROM audit_entries WHERE number = 9",
        "DELETE FROM audit_entries WHERE number = 9",
    ] {
        db.execute_unprepared(sql).await.expect("executed");
    }
    let found = findings(&mesh).await;
    names(&found, 9);
    assert!(found[0].contains("missing"), "{found:?}");
    for sql in [
        "INSERT INTO audit_entries SELECT * FROM taken",
        "DROP TABLE taken",
    ] {
        db.execute_unprepared(sql).await.expect("executed");
    }

    // Reordered.
    let swap = async || {
        for (from, to) in [(10, 1_000_000), (11, 10), (1_000_000, 11)] {
            let sql = "UPDATE audit_entries SET number = $1 WHERE number = $2";
            execute(&db, sql, vec![i64::from(to).into(), i64::from(from).into()]).await;
        }
    };
    swap().await;
    let found = findings(&mesh).await;
    names(&found, 10);
    names(&found, 11);
    assert!(found[0].contains("reordered"), "{found:?}");
    swap().await;

    // A hash of the tree.
    let hashes = "SELECT hashes FROM audit_tiles WHERE level = 0 AND tile = $1";
    let right = bytes(&db, hashes, 0).await;
    let mut edited = right.clone();
    edited[12 * 32] ^= 1;
    let set = "UPDATE audit_tiles SET hashes = $1 WHERE level = 0 AND tile = 0";
    execute(&db, set, vec![edited.into()]).await;
    names(&findings(&mesh).await, 12);
    execute(&db, set, vec![right.into()]).await;

    // The link beside one.
    let linked = "SELECT MIN(number) FROM audit_entries WHERE sealed IS NOT NULL AND number > $1";
    let backend = db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, linked, [Bound::from(-1_i64)]);
    let row = db.query_one_raw(statement).await.expect("asked");
    let number: i64 = row.expect("a row").try_get_by_index(0).expect("a number");
    let sealed = bytes(
        &db,
        "SELECT sealed FROM audit_entries WHERE number = $1",
        number,
    )
    .await;
    let set = "UPDATE audit_entries SET sealed = $1 WHERE number = $2";
    let mut edited = sealed.clone();
    edited[0] ^= 1;
    for wrong in [Bound::from(edited), Bound::from(None::<Vec<u8>>)] {
        execute(&db, set, vec![wrong, number.into()]).await;
        names(&findings(&mesh).await, number);
    }
    execute(&db, set, vec![sealed.into(), number.into()]).await;
    assert_eq!(verify(&mesh, &[]).await.0, 0, "all is as it was");
}

async fn a_row_that_no_service_wrote_gets_no_number(mesh: Mesh) {
    all_flows(&mesh).await;
    let size = settled(&mesh).await;
    let db = database(&mesh.layout, "access-svc").await;
    let copy = "INSERT INTO audit_entries (id, number, payload, mac, code) \
                SELECT $1, $2, payload, mac, code FROM audit_entries WHERE number = 5";

    // Into the queue.
    let forged = Uuid::now_v7();
    execute(&db, copy, vec![forged.into(), Bound::from(None::<i64>)]).await;
    eventually("it is set aside", async || {
        !state(&mesh).await.forged_entry_ids.is_empty()
    })
    .await;
    let told = state(&mesh).await;
    assert_eq!(told.forged_entry_ids, [forged.to_string()]);
    let found = findings(&mesh).await;
    assert!(found[0].contains(&forged.to_string()), "{found:?}");
    let drop = "DELETE FROM audit_entries WHERE id = $1";
    execute(&db, drop, vec![forged.into()]).await;

    // With a number of its own.
    let forged = Uuid::now_v7();
    let number = i64::try_from(size).expect("a number");
    execute(&db, copy, vec![forged.into(), number.into()]).await;
    let found = findings(&mesh).await;
    let named = format!("entry {size} was inserted");
    assert!(found.iter().any(|f| f.contains(&named)), "{found:?}");
    execute(&db, drop, vec![forged.into()]).await;
    assert_eq!(verify(&mesh, &[]).await.0, 0, "all is as it was");
}

async fn a_checkpoint_kept_outside_holds_the_log_to_it(mesh: Mesh) {
    let opening = all_flows(&mesh).await;
    let size = settled(&mesh).await;
    let outside = mesh.layout.checkpoints();
    let (newest, key) = (outside.join("checkpoint"), outside.join("verifier-key"));
    eventually("the newest checkpoint is outside", async || {
        let note = fs::read_to_string(&newest).unwrap_or_default();
        note.lines().nth(1) == Some(size.to_string().as_str())
    })
    .await;
    let kept = mesh.folder.path().join("kept");
    fs::copy(&newest, &kept).expect("copied");
    let text = fs::read_to_string(&kept).expect("a note");
    assert!(text.starts_with("propdev.example/audit\n"), "{text}");
    let of_the_hour = fs::read_dir(&outside).expect("the folder");
    let of_the_hour = of_the_hour.filter(|file| {
        let name = file.as_ref().expect("a file").file_name();
        name.to_string_lossy().ends_with(".checkpoint")
    });
    assert!(of_the_hour.count() >= 1, "one of the hour is kept");

    all_flows(&mesh).await;
    let larger = settled(&mesh).await;
    assert!(larger > size);
    let (kept, key) = (kept.display().to_string(), key.display().to_string());
    let known = ["--checkpoint", &kept, "--key", &key];
    let (code, said) = verify(&mesh, &known).await;
    assert_eq!(code, 0, "{said}");
    let compared = said["checkpoints"].as_array().expect("sizes");
    assert!(compared.contains(&Value::from(size)), "{said}");
    let mut of_one = known.to_vec();
    of_one.extend(["--opening", &opening]);
    let (code, said) = verify(&mesh, &of_one).await;
    assert_eq!(code, 0, "{said}");

    // One who can write anything, the hashes and checkpoints too, but not sign.
    let db = database(&mesh.layout, "access-svc").await;
    let strip = [
        "DELETE FROM audit_entries WHERE number >= $1",
        "DELETE FROM audit_checkpoints WHERE size > $1",
    ];
    let early = i64::try_from(size / 2).expect("a number");
    let note = "SELECT COUNT(*) FROM audit_checkpoints WHERE size <= $1";
    let backend = db.get_database_backend();
    let statement = Statement::from_sql_and_values(backend, note, [Bound::from(early)]);
    let row = db.query_one_raw(statement).await.expect("asked");
    let earlier: i64 = row.expect("a row").try_get_by_index(0).expect("a count");
    for sql in strip {
        execute(&db, sql, vec![early.into()]).await;
    }
    let (code, said) = verify(&mesh, &known).await;
    assert_ne!(code, 0, "{said}");
    if earlier > 0 {
        let text = said["findings"].to_string();
        assert!(text.contains("missing"), "{said}");
    }
}

async fn an_export_is_checked_without_the_service(mut mesh: Mesh) {
    let opening = all_flows(&mesh).await;
    settled(&mesh).await;
    let file = |name: &str| mesh.folder.path().join(name).display().to_string();
    let (whole, part) = (file("whole.jsonl"), file("part.jsonl"));
    let of_opening = ["--opening", opening.as_str()];
    for (to, filter) in [(&whole, &of_opening[..0]), (&part, &of_opening[..])] {
        let mut arguments = vec!["audit", "export", "--to", to.as_str()];
        arguments.extend_from_slice(filter);
        let done = propctl(&mesh.layout, "viewer", &arguments).await;
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{told}");
    }
    let key = mesh.layout.checkpoints().join("verifier-key");
    let key = key.display().to_string();
    let edited = file("edited.jsonl");
    mesh.stop("access-svc").await;

    for export in [&whole, &part] {
        let (code, said) = verify(&mesh, &["--offline", export, "--key", &key]).await;
        assert_eq!(code, 0, "{said}");
    }
    let of_one = ["--offline", &whole, "--opening", &opening];
    assert_eq!(verify(&mesh, &of_one).await.0, 0);
    let text = fs::read_to_string(&whole).expect("the export");
    assert!(!text.contains(&mesh.estate.resident.resident_id));
    let lines: Vec<&str> = text.lines().collect();
    let offline = async |lines: &[&str]| {
        fs::write(&edited, lines.join("\n") + "\n").expect("written");
        let (code, said) = verify(&mesh, &["--offline", &edited]).await;
        assert_eq!(code, 1, "{said}");
        said["findings"].to_string()
    };
    let other = lines[4].replacen("\"code\":\"", "\"code\":\"x", 1);
    let mut changed = lines.clone();
    changed[4] = &other;
    assert!(offline(&changed).await.contains("entry 3 was changed"));
    let mut dropped = lines.clone();
    dropped.remove(4);
    assert!(offline(&dropped).await.contains("entry 3 is missing"));
    let mut moved = lines.clone();
    moved.swap(4, 9);
    let named = offline(&moved).await;
    assert!(
        named.contains("entry 3") || named.contains("entry 8"),
        "{named}"
    );
    let mut cut = lines.clone();
    cut.truncate(lines.len() - 1);
    let last = format!("entry {} is missing", lines.len() - 2);
    assert!(offline(&cut).await.contains(&last));
}

/// How often the configuration lets checkpoints go out at the least.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_hour_the_newest_checkpoint_goes_out() {
    let mesh = Mesh::start_with(Database::Sqlite, |_, text| {
        text.replace("publish_every_s = 0", "publish_every_s = 3600")
    })
    .await;
    let newest = mesh.layout.checkpoints().join("checkpoint");
    let outside = || {
        let note = fs::read_to_string(&newest).unwrap_or_default();
        let size = note.lines().nth(1).and_then(|line| line.parse().ok());
        size.unwrap_or(0_u64)
    };
    eventually("the first is outside", async || outside() > 0).await;
    let first = outside();
    all_flows(&mesh).await;
    let size = settled(&mesh).await;
    assert!(size > first);
    assert_eq!(outside(), first, "its hour is not over");
    mesh.clock.advance(3_600);
    eventually("the next is outside", async || outside() >= size).await;
}
