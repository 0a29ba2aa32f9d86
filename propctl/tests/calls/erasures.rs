//! Erasures: receipts that count, and the act.

use std::sync::{Arc, Mutex};

use mesh::error::status;
use propdev_proto::access::{
    Consent, CreateResidentRequest, CreateResidentResponse, EnrolFaceRequest, EnrolFaceResponse,
    EraseResidentRequest, EraseResidentResponse, Erasure, ErasureCounts, ErasureReceipt,
    GetErasureRequest, GetErasureResponse, GetResidentRequest, GetResidentResponse,
    ListConsentsRequest, ListConsentsResponse, ListErasuresRequest, ListErasuresResponse,
    ListResidentsRequest, ListResidentsResponse, RecordConsentRequest, RecordConsentResponse,
    Resident, SetResidentStateRequest, SetResidentStateResponse, UpdateResidentRequest,
    UpdateResidentResponse, WithdrawConsentRequest, WithdrawConsentResponse,
    consent_service_server::{ConsentService, ConsentServiceServer},
    erasure_service_server::{ErasureService, ErasureServiceServer},
    get_erasure_request::Whom,
    resident_service_server::{ResidentService, ResidentServiceServer},
};
use serde_json::{Value, json};
use tonic::{Code, Request, Response, Status, service::Routes};

use crate::{
    house::{House, propctl, propctl_told, text},
    store::Store,
};

pub(crate) const PERSON: &str = "6f0e5a1c-0000-4000-8000-000000000001";
const RESIDENT: &str = "7a0e5a1c-0000-4000-8000-000000000002";
const NAME: &str = "Иванов Иван Иванович";

/// Erasures and residents, each of the one person.
#[derive(Clone, Default)]
pub(crate) struct Registry {
    erasure: Arc<Mutex<Option<Erasure>>>,
    name: Arc<Mutex<Option<String>>>,
}

impl Registry {
    pub(crate) fn routes(&self, store: &Store) -> Routes {
        store
            .routes()
            .add_service(ConsentServiceServer::new(self.clone()))
            .add_service(ErasureServiceServer::new(self.clone()))
            .add_service(ResidentServiceServer::new(self.clone()))
    }

    pub(crate) fn erase(&self, receipts: Vec<ErasureReceipt>) {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        *self.erasure.lock().expect("a lock") = Some(Erasure {
            pseudonym: PERSON.into(),
            begun_at: at(1_795_500_000),
            erased_at: at(1_795_500_060),
            final_at: None,
            requested_by: "operator/privacy/pavel".into(),
            receipts,
            counts: Some(ErasureCounts {
                templates: 2,
                vehicles: 0,
                credentials: 1,
                grants: 3,
            }),
            ..Erasure::default()
        });
        *self.name.lock().expect("a lock") = None;
    }

    fn erasure(&self) -> Option<Erasure> {
        self.erasure.lock().expect("a lock").clone()
    }
}

#[tonic::async_trait]
impl ErasureService for Registry {
    async fn get_erasure(
        &self,
        request: Request<GetErasureRequest>,
    ) -> Result<Response<GetErasureResponse>, Status> {
        let known = match request.into_inner().whom {
            Some(Whom::ResidentId(id)) => id == RESIDENT,
            Some(Whom::Pseudonym(pseudonym)) => pseudonym == PERSON,
            None => false,
        };
        let erasure = self.erasure().filter(|_| known);
        let absent = || status(Code::NotFound, "ERASURE_NOT_FOUND", "no such erasure");
        Ok(Response::new(GetErasureResponse {
            erasure: Some(erasure.ok_or_else(absent)?),
        }))
    }

    async fn list_erasures(
        &self,
        _: Request<ListErasuresRequest>,
    ) -> Result<Response<ListErasuresResponse>, Status> {
        Ok(Response::new(ListErasuresResponse {
            erasures: self.erasure().into_iter().collect(),
            next_page_token: String::new(),
        }))
    }
}

/// Two consents that were withdrawn together, with the receipts of the erasure.
#[tonic::async_trait]
impl ConsentService for Registry {
    async fn record_consent(
        &self,
        _: Request<RecordConsentRequest>,
    ) -> Result<Response<RecordConsentResponse>, Status> {
        Err(unasked())
    }

    async fn list_consents(
        &self,
        request: Request<ListConsentsRequest>,
    ) -> Result<Response<ListConsentsResponse>, Status> {
        let erasure = self.erasure().unwrap_or_default();
        let receipts = erasure.receipts.into_iter().map(|receipt| receipt.jws);
        let consent = Consent {
            resident_id: request.into_inner().resident_id,
            receipts: receipts.collect(),
            ..Consent::default()
        };
        Ok(Response::new(ListConsentsResponse {
            consents: vec![consent.clone(), consent],
            next_page_token: String::new(),
        }))
    }

    async fn withdraw_consent(
        &self,
        _: Request<WithdrawConsentRequest>,
    ) -> Result<Response<WithdrawConsentResponse>, Status> {
        Err(unasked())
    }
}

fn unasked() -> Status {
    Status::unimplemented("not asked here")
}

#[tonic::async_trait]
impl ResidentService for Registry {
    async fn create_resident(
        &self,
        _: Request<CreateResidentRequest>,
    ) -> Result<Response<CreateResidentResponse>, Status> {
        Err(unasked())
    }

    async fn get_resident(
        &self,
        request: Request<GetResidentRequest>,
    ) -> Result<Response<GetResidentResponse>, Status> {
        let resident = Resident {
            resident_id: request.into_inner().resident_id,
            audit_pseudonym: PERSON.into(),
            ..Resident::default()
        };
        Ok(Response::new(GetResidentResponse {
            resident: Some(resident),
        }))
    }

    async fn update_resident(
        &self,
        _: Request<UpdateResidentRequest>,
    ) -> Result<Response<UpdateResidentResponse>, Status> {
        Err(unasked())
    }

    /// The resident is on the second page.
    async fn list_residents(
        &self,
        request: Request<ListResidentsRequest>,
    ) -> Result<Response<ListResidentsResponse>, Status> {
        let privacy = request
            .extensions()
            .get::<mesh::Caller>()
            .is_some_and(|caller| caller.has_role("privacy"));
        let first = request.into_inner().page_token.is_empty();
        let name = self.name.lock().expect("a lock").clone();
        let residents = match name {
            Some(name) if !first => vec![Resident {
                resident_id: RESIDENT.into(),
                name: if privacy { name } else { String::new() },
                audit_pseudonym: PERSON.into(),
                ..Resident::default()
            }],
            _ => Vec::new(),
        };
        Ok(Response::new(ListResidentsResponse {
            residents,
            next_page_token: if first { "2".into() } else { String::new() },
        }))
    }

    async fn set_resident_state(
        &self,
        _: Request<SetResidentStateRequest>,
    ) -> Result<Response<SetResidentStateResponse>, Status> {
        Err(unasked())
    }

    async fn enrol_face(
        &self,
        _: Request<EnrolFaceRequest>,
    ) -> Result<Response<EnrolFaceResponse>, Status> {
        Err(unasked())
    }

    async fn erase_resident(
        &self,
        _: Request<EraseResidentRequest>,
    ) -> Result<Response<EraseResidentResponse>, Status> {
        Err(unasked())
    }
}

/// Signed by the store's key.
pub(crate) fn receipt(store: &Store, ledger_number: u64) -> ErasureReceipt {
    let service = store.state().service;
    ErasureReceipt {
        service: service.into(),
        jws: store.key.sign(&json!({
            "iss": service,
            "sub": PERSON,
            "iat": 1_795_500_060,
            "ledger_number": ledger_number,
            "epoch": 3,
            "erased_at": "2026-11-24T06:01:00Z",
            "final_at": Value::Null,
            "categories": ["biometric templates"],
            "method": "destruction of the data key",
        })),
    }
}

async fn house() -> (House, Registry, Store) {
    let mut house = House::new();
    let registry = Registry::default();
    *registry.name.lock().expect("a lock") = Some(NAME.into());
    let access = registry.routes(&Store::new("access-svc"));
    house.serve("access-svc", access).await;
    let biometric = Store::new("biometric-svc");
    house.serve("biometric-svc", biometric.routes()).await;
    (house, registry, biometric)
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_shown_when_their_services_key_signed_them() {
    let (house, registry, biometric) = house().await;
    let settings = house.settings("operator/viewer/anna");
    registry.erase(vec![receipt(&biometric, 7)]);
    for which in [&[PERSON][..], &["--resident", RESIDENT]] {
        let arguments = [&["erasure", "receipts", "--output", "json"][..], which].concat();
        let shown = propctl(&settings, &arguments).await;
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        let told: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
        assert_eq!(told[0]["service"], "biometric-svc");
        assert_eq!(told[0]["claims"]["ledger_number"], 7);
        let jws = told[0]["receipt"].as_str().expect("the receipt");
        assert_eq!(jws.split('.').count(), 3);
    }
    let table = propctl(&settings, &["erasure", "receipts", PERSON]).await;
    assert!(text(&table.stdout).contains("biometric templates"));

    let absent = propctl(&settings, &["erasure", "show", RESIDENT]).await;
    assert_eq!(absent.status.code(), Some(5));
    let neither = propctl(&settings, &["erasure", "show"]).await;
    assert_eq!(neither.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_withdrawal_are_shown_once_and_when_they_verify() {
    let (house, registry, biometric) = house().await;
    let settings = house.settings("operator/viewer/anna");
    registry.erase(vec![receipt(&biometric, 7)]);
    let arguments = ["consent", "receipts", RESIDENT, "--output", "json"];
    let shown = propctl(&settings, &arguments).await;
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let told: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(1));
    assert_eq!(told[0]["service"], "biometric-svc");
    assert_eq!(told[0]["claims"]["ledger_number"], 7);

    registry.erase(vec![receipt(&Store::new("biometric-svc"), 8)]);
    let forged = propctl(&settings, &arguments).await;
    assert_eq!(forged.status.code(), Some(1));
    assert_eq!(text(&forged.stdout).trim(), "[]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_nothing_vouches_for_is_not_shown() {
    let (house, registry, biometric) = house().await;
    let settings = house.settings("operator/viewer/anna");
    let good = receipt(&biometric, 7);
    let mut forged = receipt(&Store::new("biometric-svc"), 8);
    forged.service = good.service.clone();
    let mut elsewhere = good.clone();
    elsewhere.service = "edge-rest".into();
    registry.erase(vec![forged, good, elsewhere]);
    let shown = propctl(
        &settings,
        &["erasure", "receipts", PERSON, "--output", "json"],
    )
    .await;
    assert_eq!(shown.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(1));
    assert_eq!(told[0]["claims"]["ledger_number"], 7);
    let told = text(&shown.stderr);
    assert!(told.contains("no key of that service signed it"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn erasures_are_listed_without_receipts_that_were_not_verified() {
    let (house, registry, biometric) = house().await;
    let settings = house.settings("operator/viewer/anna");
    registry.erase(vec![receipt(&biometric, 7)]);
    let listed = propctl(&settings, &["erasure", "list", "--output", "json"]).await;
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let told: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(told[0]["pseudonym"], PERSON);
    assert_eq!(told[0]["receipts"], json!(["biometric-svc"]));
    assert_eq!(told[0]["counts"]["templates"], 2);
    let shown = propctl(&settings, &["erasure", "show", PERSON]).await;
    let table = text(&shown.stdout);
    assert!(table.contains(PERSON) && table.contains("biometric-svc"));
}

const ACT: [&str; 14] = [
    "erasure",
    "act",
    "--resident",
    RESIDENT,
    "--operator",
    "ООО «Девелопер»",
    "--operator-address",
    "Москва, ул. Первая, 1",
    "--destroyer",
    "Петрова О. И.",
    "--post",
    "администратор",
    "--reason",
    "отзыв согласия",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_act_names_the_person_before_the_name_is_gone() {
    let (house, registry, biometric) = house().await;
    let privacy = house.settings("operator/privacy/pavel");
    let act = propctl(&privacy, &ACT).await;
    assert!(act.status.success(), "{}", text(&act.stderr));
    let told = text(&act.stdout);
    assert!(told.contains(&format!("Субъект персональных данных: {NAME}")));
    assert!(told.contains(PERSON) && told.contains("Дата уничтожения: «___»"));
    assert!(text(&act.stderr).contains("not erased yet"));

    registry.erase(vec![receipt(&biometric, 7)]);
    let late = propctl(&privacy, &ACT).await;
    assert_eq!(late.status.code(), Some(2));
    assert!(text(&late.stderr).contains("--person -"));
    let arguments = [
        &ACT[..],
        &["--person", "-", "--lang", "en", "--output", "json"],
    ]
    .concat();
    let act = propctl_told(&privacy, &arguments, "Ivan Ivanov\n").await;
    assert!(act.status.success(), "{}", text(&act.stderr));
    let told: Value = serde_json::from_slice(&act.stdout).expect("JSON");
    assert_eq!(told["person"], "Ivan Ivanov");
    assert_eq!(told["date"], "2026-11-24");
    assert_eq!(told["pseudonym"], PERSON);
    assert_eq!(told["ordered_by"], "operator/privacy/pavel");
    let written = told["text"].as_str().expect("the act");
    assert!(written.contains("Data subject: Ivan Ivanov"), "{written}");
    assert!(!written.contains("number plates"), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_names_prints_no_act() {
    let (house, _registry, _biometric) = house().await;
    let viewer = house.settings("operator/viewer/anna");
    let act = propctl(&viewer, &ACT).await;
    assert_eq!(act.status.code(), Some(4));
    assert!(act.stdout.is_empty());
    assert!(text(&act.stderr).contains("operator/privacy"));

    let mut nobody = ACT;
    nobody[3] = PERSON;
    let absent = propctl(&viewer, &nobody).await;
    assert_eq!(absent.status.code(), Some(5));
}
