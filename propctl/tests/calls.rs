//! The program against a real mesh server: what it prints, how it exits.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use mesh::{
    admin::Readiness,
    config::{ServerConfig, TlsConfig},
    policy::Policy,
    server::Server,
    shutdown::Shutdown,
    tls::Credentials,
};
use propctl::dev::{self, Names, Validity};
use propdev_proto::access::{
    CreateSiteRequest, CreateSiteResponse, FollowOpeningsRequest, FollowOpeningsResponse,
    GetOpeningRequest, GetOpeningResponse, ListOpeningsRequest, ListOpeningsResponse,
    ListSitesRequest, ListSitesResponse, OpenRequest, OpenResponse, Opening, SetFreePassageRequest,
    SetFreePassageResponse, SetLockdownRequest, SetLockdownResponse, Site,
    opening_service_server::{OpeningService, OpeningServiceServer},
    site_service_server::{SiteService, SiteServiceServer},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status, codegen::tokio_stream};

/// Sites in memory, two a page.
#[derive(Default)]
struct Sites(Mutex<Vec<Site>>);

#[tonic::async_trait]
impl SiteService for Sites {
    async fn create_site(
        &self,
        request: Request<CreateSiteRequest>,
    ) -> Result<Response<CreateSiteResponse>, Status> {
        let mut sites = self.0.lock().expect("a lock");
        let name = request.into_inner().name;
        let site = Site {
            site_id: format!("s{}", sites.len() + 1),
            name,
            ..Site::default()
        };
        sites.push(site.clone());
        Ok(Response::new(CreateSiteResponse { site: Some(site) }))
    }

    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        let sites = self.0.lock().expect("a lock");
        let request = request.into_inner();
        let start = request.page_token.parse().unwrap_or(0);
        let end = sites.len().min(start + 2.min(request.page_size as usize));
        Ok(Response::new(ListSitesResponse {
            sites: sites[start..end].to_vec(),
            next_page_token: if end < sites.len() {
                end.to_string()
            } else {
                String::new()
            },
        }))
    }

    async fn set_lockdown(
        &self,
        _: Request<SetLockdownRequest>,
    ) -> Result<Response<SetLockdownResponse>, Status> {
        Err(mesh::error::status(
            Code::NotFound,
            "SITE_NOT_FOUND",
            "no site of this id",
        ))
    }

    async fn set_free_passage(
        &self,
        request: Request<SetFreePassageRequest>,
    ) -> Result<Response<SetFreePassageResponse>, Status> {
        let request = request.into_inner();
        let mut sites = self.0.lock().expect("a lock");
        let site = sites.iter_mut().find(|s| s.site_id == request.site_id);
        let site = site.ok_or_else(|| Status::not_found("no site of this id"))?;
        site.free_passage = request.free_passage;
        Ok(Response::new(SetFreePassageResponse {
            site: Some(site.clone()),
        }))
    }
}

/// Streams that break off after one opening each, and the last for good.
#[derive(Clone, Default)]
struct Openings {
    cursors: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl OpeningService for Openings {
    async fn open(&self, _: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn get_opening(
        &self,
        _: Request<GetOpeningRequest>,
    ) -> Result<Response<GetOpeningResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn list_openings(
        &self,
        _: Request<ListOpeningsRequest>,
    ) -> Result<Response<ListOpeningsResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    type FollowOpeningsStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<FollowOpeningsResponse, Status>>>;

    async fn follow_openings(
        &self,
        request: Request<FollowOpeningsRequest>,
    ) -> Result<Response<Self::FollowOpeningsStream>, Status> {
        let mut cursors = self.cursors.lock().expect("a lock");
        cursors.push(request.into_inner().cursor);
        let number = cursors.len();
        let answer = |opening: Option<&str>, cursor: usize| {
            Ok(FollowOpeningsResponse {
                opening: opening.map(|id| Opening {
                    opening_id: id.into(),
                    ..Opening::default()
                }),
                cursor: cursor.to_string(),
            })
        };
        let told = format!("o{number}");
        let mut answers = vec![answer(None, number - 1), answer(Some(&told), number)];
        match number {
            // The connection broke, the service went away, its minute was over.
            1 => answers.push(Err(Status::unknown("broken"))),
            2 => answers.push(Err(Status::unavailable("as told"))),
            3 => {}
            _ => answers.push(Err(Status::out_of_range("for good"))),
        }
        Ok(Response::new(tokio_stream::iter(answers)))
    }
}

struct House {
    dir: TempDir,
    endpoint: String,
    shutdown: Shutdown,
    openings: Openings,
}

impl House {
    async fn open() -> Self {
        mesh::jose::install_crypto();
        let dir = tempfile::tempdir().expect("a folder");
        let ca = dir.path().join("ca");
        dev::create_ca(&ca, "propdev.test").expect("a CA");
        let house = Self {
            dir,
            endpoint: String::new(),
            shutdown: Shutdown::new(),
            openings: Openings::default(),
        };
        let credentials = Credentials::load(house.tls("svc/access-svc"))
            .map_err(|error| error.to_string())
            .expect("credentials");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let readiness = Readiness::default();
        readiness.set(true);
        let server = Server {
            service: "access-svc",
            config: ServerConfig {
                listen: address,
                drain_ms: 100,
                max_concurrent_calls: 8,
            },
            credentials,
            policy: Policy::built_in().expect("the contracts"),
            readiness,
        };
        let openings = OpeningServiceServer::new(house.openings.clone());
        let routes = tonic::service::Routes::new(SiteServiceServer::new(Sites::default()))
            .add_service(openings);
        tokio::spawn(server.serve(listener, routes, house.shutdown.clone()));
        Self {
            endpoint: format!("https://{address}"),
            ..house
        }
    }

    fn tls(&self, identity: &str) -> TlsConfig {
        let ca = self.dir.path().join("ca");
        let out = self.dir.path().join(identity);
        let day = Validity::days_from_now(1);
        let issued =
            dev::issue_mesh(&ca, identity, &Names::default(), day, &out).expect("a certificate");
        TlsConfig {
            certificate: issued.certificate,
            private_key: issued.private_key,
            trust_bundle: ca.join(dev::CA_CERTIFICATE),
            trust_domain: "propdev.test".into(),
            deny_list: None,
        }
    }

    /// Settings of an operator.
    fn settings(&self, identity: &str) -> PathBuf {
        let tls = self.tls(identity);
        let path = self.dir.path().join("propctl.toml");
        let text = format!(
            "[tls]\ncertificate = {:?}\nprivate_key = {:?}\ntrust_bundle = \"ca/ca.crt\"\n\
             trust_domain = \"propdev.test\"\n[endpoints]\naccess-svc = \"{}\"\n",
            tls.certificate, tls.private_key, self.endpoint
        );
        std::fs::write(&path, text).expect("written");
        path
    }
}

/// Off the runtime's threads: the server must go on while the program runs.
async fn propctl(settings: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_propctl"));
    command
        .env_clear()
        .arg("--config")
        .arg(settings)
        .args(arguments);
    tokio::task::spawn_blocking(move || command.output().expect("it runs"))
        .await
        .expect("it ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_are_added_and_listed() {
    let house = House::open().await;
    let settings = house.settings("operator/operator/olga");
    for name in ["North", "South", "West"] {
        let added = propctl(
            &settings,
            &["--output", "json", "site", "add", "--name", name],
        )
        .await;
        assert!(added.status.success(), "{}", text(&added.stderr));
        let site: Value = serde_json::from_slice(&added.stdout).expect("JSON");
        assert_eq!(site["name"], name);
    }
    let listed = propctl(&settings, &["site", "list", "--output", "json"]).await;
    let sites: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(
        sites[2],
        json!({ "site_id": "s3", "name": "West", "lockdown": false, "free_passage": false })
    );
    let freed = propctl(&settings, &["site", "free-passage", "s1", "on"]).await;
    assert!(freed.status.success(), "{}", text(&freed.stderr));
    let listed = propctl(&settings, &["site", "list", "--limit", "1"]).await;
    assert_eq!(
        text(&listed.stdout),
        "SITE  NAME   LOCKDOWN  FREE PASSAGE\ns1    North  off       on\n"
    );
    assert!(text(&listed.stderr).contains("--limit"));
    house.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_and_why() {
    let house = House::open().await;
    let viewer = house.settings("operator/viewer/anna");
    let denied = propctl(&viewer, &["site", "add", "--name", "North"]).await;
    assert_eq!(denied.status.code(), Some(4));
    assert!(denied.stdout.is_empty());
    let told = text(&denied.stderr);
    assert!(
        told.contains("SiteService/CreateSite: PERMISSION_DENIED"),
        "{told}"
    );
    assert!(
        told.contains(
            "your certificate is operator/viewer/anna; \
             this call wants operator/operator or system/registry"
        ),
        "{told}"
    );

    let operator = house.settings("operator/operator/olga");
    let absent = propctl(&operator, &["site", "lockdown", "x", "on"]).await;
    assert_eq!(absent.status.code(), Some(5));
    assert!(text(&absent.stderr).contains("NOT_FOUND SITE_NOT_FOUND: no site of this id"));

    let unconfigured = propctl(&operator, &["client", "list"]).await;
    assert_eq!(unconfigured.status.code(), Some(2));
    assert!(text(&unconfigured.stderr).contains("endpoints.auth-svc"));

    let usage = propctl(&operator, &["site", "lockdown", "x", "perhaps"]).await;
    assert_eq!(usage.status.code(), Some(2));
    house.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_is_taken_up_again() {
    let house = House::open().await;
    let settings = house.settings("operator/viewer/anna");
    let arguments = ["opening", "list", "--follow", "--output", "json"];
    let followed = propctl(&settings, &arguments).await;
    let told = text(&followed.stderr);
    assert_eq!(followed.status.code(), Some(1), "{told}");
    assert!(told.contains("OUT_OF_RANGE: for good"), "{told}");
    assert!(told.contains("--cursor 4"), "{told}");
    let lines: Vec<Value> = text(&followed.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["opening_id"].clone(), line["cursor"].clone()))
        .collect();
    let wanted = [("o1", "1"), ("o2", "2"), ("o3", "3"), ("o4", "4")];
    assert_eq!(seen, wanted.map(|(id, cursor)| (json!(id), json!(cursor))));
    let asked = house.openings.cursors.lock().expect("a lock").clone();
    assert_eq!(asked, ["", "1", "2", "3"], "each goes on from the last");

    // What another stream has told is where this one begins; a cursor alone
    // means nothing.
    let arguments = ["opening", "list", "--follow", "--cursor", "7"];
    let followed = propctl(&settings, &arguments).await;
    assert_eq!(followed.status.code(), Some(1));
    assert!(text(&followed.stdout).starts_with("DECIDED  OPENING"));
    let asked = house.openings.cursors.lock().expect("a lock").clone();
    assert_eq!(asked[4], "7");
    let usage = propctl(&settings, &["opening", "list", "--cursor", "7"]).await;
    assert_eq!(usage.status.code(), Some(2));
    let both = ["opening", "list", "--follow", "--limit", "5"];
    assert_eq!(propctl(&settings, &both).await.status.code(), Some(2));
    house.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_named() {
    let mut house = House::open().await;
    let settings = house.settings("operator/viewer/anna");
    let status = propctl(&settings, &["status", "--output", "json"]).await;
    assert!(status.status.success(), "{}", text(&status.stderr));
    let told: Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(told["services"][1]["state"], "serving");
    assert_eq!(told["services"][0]["state"], "not_configured");

    house.endpoint = "https://127.0.0.1:1".into();
    let settings = house.settings("operator/viewer/anna");
    let away = propctl(&settings, &["site", "list"]).await;
    assert_eq!(away.status.code(), Some(3));
    assert!(text(&away.stderr).contains("https://127.0.0.1:1"));
    house.shutdown.cancel();
}
