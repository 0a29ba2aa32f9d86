//! What is left of somebody who was erased: every byte of the data folder, and
//! of the running services' memory, is searched.

mod person;

use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use devmesh::{layout::SERVICES, operator::Operator};
use memchr::memmem::Finder;
use mesh::{
    config::KeyringConfig,
    keyring::{Keyring, WrappedKey},
};
use mesh_tests::{Database, ProcessMesh};
use person::Person;
use propdev_proto::{
    access::EraseResidentRequest,
    biometric::GetErasureReceiptsRequest,
    mesh::{
        CreateBackupRequest, GetReceiptKeysRequest, RotateKeysRequest, VerifyBackupRequest,
        verify_backup_request,
    },
};
use sea_orm::{ConnectionTrait, Database as Connection, DbBackend, Statement};
use serde_json::Value;
use uuid::Uuid;

/// Searches of the memory, until calls have ended and buffers are gone.
const ATTEMPTS: usize = 300;
const BIOMETRIC: &str = "biometric-svc";

/// What must be found nowhere: its name and its bytes.
type Marks = Vec<(String, Vec<u8>)>;

/// Of one subject, before the erasure.
struct Stored {
    subject: Uuid,
    wrapped: Vec<u8>,
    key: Vec<u8>,
    code: Vec<u8>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_erased_leave_nothing_behind_in_files_or_memory() {
    let mesh = ProcessMesh::start_with(Database::Sqlite, |_, text| {
        text.replace("[server]\n", "[server]\nmax_connection_age_s = 1\n")
    })
    .await;
    let partner = mesh.partner();
    let leaver = mesh.estate.leaver.clone();
    let probe = leaver.probe();
    assert_eq!(partner.ask_face_token(&probe).await.status, 200);
    let stored = read_store(&mesh).await;
    let person = Person::settle_in(&mesh, &leaver).await;
    let privacy = Operator::connect(&mesh.layout, "privacy").expect("an operator");
    let backup = privacy
        .custody(BIOMETRIC)
        .create_backup(CreateBackupRequest {})
        .await
        .expect("a backup")
        .into_inner()
        .backup
        .expect("its description");
    let copy = PathBuf::from(&backup.path).with_file_name("copied-away.backup");
    fs::copy(&backup.path, &copy).expect("a copy");

    let request = EraseResidentRequest {
        resident_id: leaver.resident_id.clone(),
        ..EraseResidentRequest::default()
    };
    privacy
        .residents()
        .erase_resident(request)
        .await
        .expect("erased");
    assert_eq!(partner.ask_face_token(&leaver.probe()).await.status, 400);

    let ledger = fs::read_to_string(mesh.layout.ledger_file(BIOMETRIC)).expect("a ledger");
    let entry: Value = serde_json::from_str(ledger.lines().last().expect("a line")).expect("JSON");
    assert_eq!(entry["number"], 1);
    let subject: Uuid = entry["id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("a UUID");
    let gone = stored
        .iter()
        .find(|stored| stored.subject == subject)
        .expect("who was there");
    let enrolled = partner_sim::face::Identity::new(leaver.identity, 512).enrolment();
    let marks = marks(gone, &[&enrolled, &probe]);
    let kept = stored
        .iter()
        .find(|stored| stored.subject != subject)
        .expect("who stays");

    // The search finds what is there: the code of somebody who stays.
    let alive = vec![("code".to_owned(), kept.code[128..160].to_vec())];
    let found = search_processes(&mesh, &alive);
    assert!(!found.is_empty(), "memory is not really searched");
    nowhere_in_memory(&mesh, &marks).await;
    person.is_in_no_memory(&mesh).await;
    assert_eq!(
        search_folder(&mesh.folder.path().join("data"), &marks),
        [""; 0]
    );

    receipts_say_so(&mesh, &privacy, &entry).await;
    the_epoch_ends(&mesh, &privacy, &copy, gone).await;
    let wrapped = vec![("wrapped key".to_owned(), gone.wrapped.clone())];
    mesh.processes.stop().await.expect("stopped");
    let data = mesh.folder.path().join("data");
    assert_eq!(search_folder(&data, &marks), [""; 0]);
    assert_eq!(search_folder(&data, &wrapped), [""; 0]);
    person.is_in_no_file(&data);
}

async fn read_store(mesh: &ProcessMesh) -> Vec<Stored> {
    let config = KeyringConfig::at(mesh.layout.keyring(BIOMETRIC));
    let keyring = Keyring::open(BIOMETRIC, &config)
        .await
        .expect("the keyring");
    let url = mesh.layout.sqlite_url(BIOMETRIC);
    let db = Connection::connect(url).await.expect("the store");
    let rows = db
        .query_all_raw(Statement::from_string(
            DbBackend::Sqlite,
            "SELECT s.id AS subject, s.epoch, s.wrapped_key, t.id AS template, t.model, \
             t.model_version, t.rotation, t.sealed \
             FROM subjects s JOIN templates t ON t.subject_id = s.id",
        ))
        .await
        .expect("rows");
    let mut stored = Vec::new();
    for row in rows {
        let subject: Uuid = row.try_get("", "subject").expect("an id");
        let wrapped: Vec<u8> = row.try_get("", "wrapped_key").expect("a key");
        let key = keyring
            .unwrap(
                &WrappedKey {
                    epoch: row.try_get("", "epoch").expect("an epoch"),
                    sealed: wrapped.clone(),
                },
                subject.as_bytes(),
            )
            .expect("unwrapped");
        let template: Uuid = row.try_get("", "template").expect("an id");
        let mut context = b"template\0".to_vec();
        context.extend_from_slice(subject.as_bytes());
        context.extend_from_slice(template.as_bytes());
        for column in ["model", "model_version"] {
            let text: String = row.try_get("", column).expect("a text");
            context.extend_from_slice(&(text.len() as u64).to_be_bytes());
            context.extend_from_slice(text.as_bytes());
        }
        let rotation: i32 = row.try_get("", "rotation").expect("a number");
        context.extend_from_slice(&rotation.to_be_bytes());
        let sealed: Vec<u8> = row.try_get("", "sealed").expect("a template");
        let code = key.open(&sealed, &context).expect("opened");
        stored.push(Stored {
            subject,
            wrapped,
            key: key.expose().to_vec(),
            code: code.to_vec(),
        });
    }
    db.close().await.expect("closed");
    stored
}

/// The vector's float, int8 and bit forms, in parts, and the key.
fn marks(gone: &Stored, vectors: &[&[f32]]) -> Marks {
    let mut marks = vec![("the data key".to_owned(), gone.key.clone())];
    for (number, vector) in vectors.iter().enumerate() {
        let bytes: Vec<u8> = vector.iter().flat_map(|v| v.to_le_bytes()).collect();
        for start in [0, 512, 1_024, 2_000] {
            let part = bytes[start..start + 32].to_vec();
            marks.push((format!("vector {number} at {start}"), part));
        }
    }
    for start in [0, 128, 300, 480] {
        let part = gone.code[start..start + 32].to_vec();
        marks.push((format!("code at {start}"), part));
    }
    let bits: Vec<u8> = gone
        .code
        .chunks_exact(8)
        .map(|eight| {
            let bits = eight.iter().enumerate();
            bits.fold(0, |byte, (bit, c)| byte | (u8::from(*c < 128) << bit))
        })
        .collect();
    for start in [0, 32] {
        marks.push((format!("bits at {start}"), bits[start..start + 32].to_vec()));
    }
    marks
}

/// What a call left in a buffer goes with the buffer.
async fn nowhere_in_memory(mesh: &ProcessMesh, marks: &Marks) {
    let mut left = Vec::new();
    for _ in 0..ATTEMPTS {
        left = search_processes(mesh, marks);
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, [""; 0], "in memory");
}

/// What of the marks each service's memory holds. Root may read it whatever
/// the process asked of the kernel; anybody else needs programs built with the
/// feature `dumpable_for_test_only`.
fn search_processes(mesh: &ProcessMesh, marks: &Marks) -> Vec<String> {
    let mut found = Vec::new();
    for (name, id) in mesh.processes.ids() {
        if SERVICES.contains(&name) {
            let in_it = search_memory(id, marks);
            found.extend(in_it.into_iter().map(|mark| format!("{name}: {mark}")));
        }
    }
    found
}

fn search_memory(process: u32, marks: &Marks) -> Vec<String> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("a map of the memory");
    let mut memory = fs::File::open(format!("/proc/{process}/mem"))
        .expect("the memory: run as root, or build with --features dumpable_for_test_only");
    let (mut searched, mut found) = (0, Vec::new());
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line
            .split_whitespace()
            .next()
            .and_then(|range| range.split_once('-'))
            .expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (start, end) = (number(start), number(end));
        let mut bytes = vec![0; usize::try_from(end - start).expect("a length")];
        let read = memory
            .seek(SeekFrom::Start(start))
            .and_then(|_| memory.read_exact(&mut bytes));
        if read.is_ok() {
            searched += bytes.len();
            found.extend(search(&bytes, marks));
        }
    }
    assert!(searched > 1_000_000, "only {searched} bytes were readable");
    found
}

fn search_folder(folder: &Path, marks: &Marks) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(search_folder(&path, marks));
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let in_it = search(&bytes, marks).into_iter();
        found.extend(in_it.map(|mark| format!("{}: {mark}", path.display())));
    }
    found
}

fn search(bytes: &[u8], marks: &Marks) -> Vec<String> {
    marks
        .iter()
        .filter(|(_, mark)| Finder::new(mark).find(bytes).is_some())
        .map(|(name, _)| name.clone())
        .collect()
}

/// Before the epoch has ended one receipt, which is not final: the backup
/// could bring the subject back.
async fn receipts_say_so(mesh: &ProcessMesh, operator: &Operator, entry: &Value) {
    let receipts = receipts_of(operator, entry).await;
    let [receipt] = &receipts[..] else {
        panic!("{} receipts", receipts.len());
    };
    assert_eq!(receipt["final_at"], Value::Null);
    assert_eq!(receipt["sub"], entry["pseudonym"]);
    assert_eq!(receipt["ledger_number"], 1);
    assert_eq!(receipt["templates"], 1);
    assert!(
        !receipt
            .to_string()
            .contains(&mesh.estate.leaver.resident_id)
    );
}

/// The receipts' claims, verified by the published key.
async fn receipts_of(operator: &Operator, entry: &Value) -> Vec<Value> {
    let keys = operator
        .custody(BIOMETRIC)
        .get_receipt_keys(GetReceiptKeysRequest {})
        .await
        .expect("keys")
        .into_inner();
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(&keys.jwks).expect("a JWK Set");
    let request = GetErasureReceiptsRequest {
        pseudonym: entry["pseudonym"].as_str().expect("a pseudonym").into(),
    };
    let receipts = operator.biometric().get_erasure_receipts(request).await;
    let receipts = receipts.expect("receipts").into_inner().receipts;
    receipts
        .iter()
        .map(|receipt| {
            let header = jsonwebtoken::decode_header(receipt).expect("a header");
            let key = keys
                .find(header.kid.as_deref().expect("a key's id"))
                .expect("the key");
            let key = jsonwebtoken::DecodingKey::from_jwk(key).expect("a key");
            let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            let token = jsonwebtoken::decode::<Value>(receipt, &key, &validation);
            token.expect("a good signature").claims
        })
        .collect()
}

/// From then on no older copy can be decrypted, and the receipt says so.
async fn the_epoch_ends(mesh: &ProcessMesh, operator: &Operator, copy: &Path, gone: &Stored) {
    let old = fs::read_to_string(mesh.layout.keyring(BIOMETRIC)).expect("the keyring");
    let old: Value = serde_json::from_str(&old).expect("JSON");
    let kek = old["epochs"][0]["kek"].as_str().expect("a key");
    let keks = forms_of(kek);
    let copied = fs::read(copy).expect("the copy");
    assert!(!copied.is_empty());
    assert_eq!(search(&copied, &keks), [""; 0], "in the backup");
    assert!(!search_processes(mesh, &keks).is_empty(), "it is in use");
    let rotated = operator
        .custody(BIOMETRIC)
        .rotate_keys(RotateKeysRequest { after_epoch: 1 })
        .await
        .expect("rotated")
        .into_inner();
    assert!(rotated.old_epochs_destroyed, "{rotated:?}");
    assert!(!rotated.backup_id.is_empty());
    let refused = operator
        .custody(BIOMETRIC)
        .verify_backup(VerifyBackupRequest {
            backup: Some(verify_backup_request::Backup::Path(
                copy.display().to_string(),
            )),
        })
        .await
        .expect_err("a copy from an ended epoch");
    assert!(refused.message().contains("epoch 1"), "{refused:?}");
    let now = fs::read_to_string(mesh.layout.keyring(BIOMETRIC)).expect("the keyring");
    assert!(!now.contains(kek), "the old epoch's key is still there");
    nowhere_in_memory(mesh, &keks).await;
    assert!(!gone.wrapped.is_empty());

    let ledger = fs::read_to_string(mesh.layout.ledger_file(BIOMETRIC)).expect("a ledger");
    let entry: Value = serde_json::from_str(ledger.lines().last().expect("a line")).expect("JSON");
    let receipts = receipts_of(operator, &entry).await;
    assert_eq!(receipts.len(), 2, "{receipts:?}");
    assert!(receipts[1]["final_at"].is_string(), "{receipts:?}");
}

/// A key of the keyring, given in base64, as it could be written down.
fn forms_of(key: &str) -> Marks {
    let raw = STANDARD.decode(key).expect("base64");
    assert_eq!(raw.len(), 32);
    let hex: Vec<String> = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let url = URL_SAFE_NO_PAD.encode(&raw);
    vec![
        ("kek in base64".into(), key.trim_end_matches('=').into()),
        ("kek in base64url".into(), url.into_bytes()),
        ("kek in hex".into(), hex.concat().into_bytes()),
        ("kek".into(), raw),
    ]
}
