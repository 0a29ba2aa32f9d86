//! Programs that are killed, stopped, and started again.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use devmesh::{
    estate::{BARRIER, KEY, PLATE},
    operator::Operator,
    processes::built_binaries,
};
use mesh_tests::ProcessMesh;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use propdev_proto::access::ListEventsRequest;
use serde_json::{Value, json};

use crate::eventually;

const KEY_EVENTS: &str = "/v1/webhooks/intercom/key-openings";
/// Events and openings before each crash, and again after it.
const ANSWERED: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_any_crash() {
    let mut mesh = ProcessMesh::start(None).await;
    let partner = mesh.partner();
    let token = partner.token().await;
    let mut acknowledged = Vec::new();
    let mut openings = Vec::new();
    for (round, victim) in ["access-svc", "edge-rest", "auth-svc", "biometric-svc"]
        .into_iter()
        .enumerate()
    {
        let answered = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let calls = tokio::spawn({
            let (partner, token) = (partner.clone(), token.clone());
            let (answered, ended) = (answered.clone(), ended.clone());
            async move {
                let (mut events, mut opened) = (Vec::new(), Vec::new());
                for i in 0_u32.. {
                    if ended.load(Ordering::Relaxed) {
                        break;
                    }
                    // The moment names the event: nothing else of it comes back.
                    let (minute, second) = (i / 60, i % 60);
                    let at = format!("2026-11-24T0{round}:{minute:02}:{second:02}Z");
                    let event = json!({"key_id": KEY, "opened_at": at});
                    let told = status_of(&partner, KEY_EVENTS, &token, &event).await;
                    let body = json!({"plate": {"number": PLATE}});
                    let path = format!("/v1/barriers/{BARRIER}/open");
                    let pressed = status_of(&partner, &path, &token, &body).await;
                    if told == Some((202, Value::Null)) {
                        events.push(at);
                    }
                    if let Some((200, id)) = pressed {
                        opened.push(id);
                    }
                    answered.store(events.len().min(opened.len()), Ordering::Relaxed);
                    // While nobody is there, refusals come by the thousand.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                (events, opened)
            }
        });
        let more_are_answered = async || {
            let so_far = answered.load(Ordering::Relaxed);
            eventually(victim, async || {
                answered.load(Ordering::Relaxed) >= so_far + ANSWERED
            })
            .await;
        };
        more_are_answered().await;
        mesh.processes.kill(victim).await.expect("killed");
        mesh.processes.restart(victim).await.expect("restarted");
        more_are_answered().await;
        ended.store(true, Ordering::Relaxed);
        let (events, opened) = calls.await.expect("calls");
        acknowledged.extend(events);
        openings.extend(opened);
    }

    let mut stored: BTreeMap<String, usize> = BTreeMap::new();
    let operator = Operator::connect(&mesh.layout, "operator").expect("an operator");
    let mut page_token = String::new();
    loop {
        let request = ListEventsRequest {
            page_token,
            ..Default::default()
        };
        let answer = operator
            .events()
            .list_events(request)
            .await
            .expect("events")
            .into_inner();
        for event in answer.events {
            let at = event.opened_at.expect("a moment");
            *stored.entry(at.to_string()).or_default() += 1;
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    for id in &acknowledged {
        assert_eq!(stored.get(id), Some(&1), "{id}");
    }
    for id in &openings {
        let id = id.as_str().expect("an id");
        let opening = partner.get(&format!("/v1/openings/{id}"), &token).await;
        assert_eq!(opening.body["decision"], "granted", "{opening:?}");
    }
    let commands = mesh.sim.commands().await.expect("commands");
    assert!(commands.len() >= openings.len());
    assert!(
        commands
            .iter()
            .all(|c| c["late"] == false && c["duplicate"] == false)
    );
    mesh.processes.stop().await.expect("stopped");
}

/// An answer's status and opening id; none when the connection broke.
async fn status_of(
    partner: &mesh_tests::Partner,
    path: &str,
    token: &str,
    body: &Value,
) -> Option<(u16, Value)> {
    let request = partner
        .request(reqwest::Method::POST, path)
        .bearer_auth(token)
        .json(body);
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let body: Value = response.json().await.ok()?;
    Some((status, body["opening_id"].clone()))
}

/// A `devmesh run` that is ended however the test ends.
struct Run {
    child: Child,
    folder: tempfile::TempDir,
}

impl Run {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let binary = built_binaries()
            .expect("a folder of programs")
            .join("devmesh");
        let child = Command::new(&binary)
            .arg("--folder")
            .arg(folder.path().join(".dev"))
            .args(["run", "--port", "0"])
            .stdout(fs::File::create(folder.path().join("said")).expect("a file"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error} (make test builds it)", binary.display()));
        Self { child, folder }
    }

    fn environment(&self) -> PathBuf {
        self.folder.path().join(".dev/mesh.env")
    }

    fn wait_until_published(&mut self) -> String {
        loop {
            if let Ok(text) = fs::read_to_string(self.environment()) {
                return text;
            }
            if let Some(status) = self.child.try_wait().expect("its state") {
                let mut said = String::new();
                let stderr = self.child.stderr.as_mut().expect("its output");
                stderr.read_to_string(&mut said).expect("text");
                panic!("ended with {status}: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("an id");
        kill(Pid::from_raw(id), signal).expect("signalled");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

#[test]
fn a_stopped_mesh_leaves_no_process_behind() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut run = Run::start();
        let text = run.wait_until_published();
        let keys: Vec<&str> = text
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .collect();
        assert_eq!(
            keys,
            [
                "EDGE_URL",
                "EDGE_CA",
                "CLIENT_ID",
                "CLIENT_SECRET",
                "OTHER_CLIENT_ID",
                "OTHER_CLIENT_SECRET",
                "DOOR_ID",
                "DOOR2_ID",
                "BARRIER_ID",
                "OTHER_DOOR_ID",
                "FACE_MODEL",
                "FACE_FILE",
                "UNKNOWN_FACE_FILE",
                "UNPAID_FACE_FILE",
                "PLATE",
                "UNPAID_PLATE",
                "KEY_ID",
                "FOB_ID",
                "PARTNER_URL",
            ]
        );
        let said = fs::read_to_string(run.folder.path().join("said")).expect("its words");
        for flow in 1..=6 {
            assert!(
                said.contains(&format!("\n# {flow}. ")),
                "flow {flow}: {said}"
            );
        }
        assert!(said.ends_with("Ctrl-C stops all of it.\n"), "{said}");
        let children = children_of(run.child.id());
        assert_eq!(children.len(), 5, "four services and the simulator");
        run.signal(signal);
        let status = run.child.wait().expect("ended");
        assert!(status.success(), "{status}");
        for id in children {
            assert!(
                !Path::new(&format!("/proc/{id}")).exists(),
                "{id} still runs"
            );
        }
        assert!(!run.environment().exists());
    }
}

#[test]
fn a_mesh_stopped_while_it_starts_leaves_no_process_behind() {
    let run_ended = |mut run: Run| run.child.wait().expect("ended");
    let run = Run::start();
    let children = loop {
        let children = children_of(run.child.id());
        if !children.is_empty() {
            break children;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    run.signal(Signal::SIGTERM);
    assert!(run_ended(run).success());
    for id in children {
        assert!(
            !Path::new(&format!("/proc/{id}")).exists(),
            "{id} still runs"
        );
    }
}

/// proc(5): the parent is the second field after the name in parentheses.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
            after.split_whitespace().nth(1) == Some(&parent.to_string())
        })
        .collect()
}
