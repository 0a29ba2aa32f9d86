//! A residential complex to try things in: two partners, their devices, and
//! residents with and without rights and money.

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use mesh::{Clock, SystemClock};
use partner_sim::face::Identity;
use propdev_proto::{
    access::{
        AddCredentialRequest, AddVehicleRequest, CreateDeviceRequest, CreateGrantRequest,
        CreateHouseholdRequest, CreatePartnerRequest, CreateResidentRequest, CreateSiteRequest,
        CredentialKind, Device, DeviceKind, EnrolFaceRequest, Grant, Household, Partner,
        PartnerClientCredentials, SetSubscriptionRequest, Subscription,
    },
    auth::{Client, ClientLimits, PlateReading, RegisterClientRequest, UpdateClientRequest},
    biometric::FaceVector,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error,
    layout::Layout,
    operator::Operator,
    sim::{PartnerAccess, Sim},
};

pub const MODEL: &str = "arcface-r100";
pub const DIMENSION: usize = 512;

pub const DOOR: &str = "door-1";
pub const DOOR2: &str = "door-2";
pub const BARRIER: &str = "barrier-1";
pub const OTHER_DOOR: &str = "other-door-1";
pub const PLATE: &str = "A123BC77";
pub const UNPAID_PLATE: &str = "B456EK777";
pub const KEY: &str = "key-0001";
pub const FOB: &str = "fob-0001";

pub const PARTNER: &str = "domofon";
pub const OTHER_PARTNER: &str = "other";

/// Room for whoever tries things out by script.
const LIMITS: ClientLimits = ClientLimits {
    requests_per_second: 1_000,
    burst: 2_000,
    misses_per_minute: 600,
    device_misses_per_minute: 300,
};

/// What was made, and what is needed to use it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Estate {
    pub partner_id: String,
    pub other_partner_id: String,
    pub site_id: String,
    pub other_site_id: String,
    pub client_id: String,
    pub client_secret: String,
    pub other_client_id: String,
    pub other_client_secret: String,
    /// May open everything of the first partner and has paid.
    pub resident: Person,
    /// Has the rights and has not paid.
    pub unpaid: Person,
    /// Like the first; for whoever wants to erase somebody.
    pub leaver: Person,
    /// Seed of an identity that nobody enrolled.
    pub stranger: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Person {
    pub resident_id: String,
    /// Who lives alone pays alone.
    pub household_id: String,
    /// Seed of the face.
    pub identity: u64,
}

impl Person {
    /// A fresh picture of this person.
    pub fn probe(&self) -> Vec<f32> {
        probe(self.identity)
    }
}

/// A fresh picture of an identity.
pub fn probe(identity: u64) -> Vec<f32> {
    Identity::new(identity, DIMENSION).probe(&mut rand::rng())
}

/// Calls an RPC and gives its answer, or says which call failed.
macro_rules! call {
    ($client:expr, $method:ident, $request:expr) => {
        $client
            .$method($request)
            .await
            .map_err(|status| Error::Rpc {
                call: stringify!($method),
                status: Box::new(status),
            })?
            .into_inner()
    };
}

struct Seeder {
    operator: Operator,
    privacy: Operator,
    layout: Layout,
    now: Timestamp,
}

/// Registers everything and tells the simulator whom to play.
pub async fn seed(layout: &Layout) -> Result<Estate, Error> {
    let seeder = Seeder {
        operator: Operator::connect(layout, "operator")?,
        privacy: Operator::connect(layout, "privacy")?,
        layout: layout.clone(),
        now: SystemClock.now(),
    };
    let sim = Sim::new(layout)?;

    let site_id = seeder.site("Riverside").await?;
    let other_site_id = seeder.site("Hillside").await?;
    let (partner_id, access) = seeder
        .partner(PARTNER, &[DOOR, DOOR2], &[BARRIER], &site_id)
        .await?;
    let (other_partner_id, other) = seeder
        .partner(OTHER_PARTNER, &[OTHER_DOOR], &[], &other_site_id)
        .await?;
    sim.put_partner(&access).await?;
    sim.put_partner(&other).await?;

    let base: u64 = rand::random();
    let everything = [DOOR, DOOR2, BARRIER];
    let rights = Rights {
        partner: &partner_id,
        site: &site_id,
        devices: &everything,
    };
    let resident = seeder.person("Anna Example", base, &rights, true).await?;
    let unpaid = seeder
        .person("Boris Example", base ^ 1, &rights, false)
        .await?;
    let leaver = seeder
        .person("Vera Example", base ^ 2, &rights, true)
        .await?;
    seeder.vehicle(&resident, PLATE).await?;
    seeder.vehicle(&unpaid, UNPAID_PLATE).await?;
    seeder
        .credential(&resident, &rights, CredentialKind::Key, KEY)
        .await?;
    seeder
        .credential(&resident, &rights, CredentialKind::Fob, FOB)
        .await?;

    Ok(Estate {
        partner_id,
        other_partner_id,
        site_id,
        other_site_id,
        client_id: access.client_id,
        client_secret: access.client_secret,
        other_client_id: other.client_id,
        other_client_secret: other.client_secret,
        resident,
        unpaid,
        leaver,
        stranger: base ^ 3,
    })
}

/// Adds so many residents with a right to the first door, paid for, each with
/// a face of its own.
pub async fn populate(
    layout: &Layout,
    estate: &Estate,
    count: usize,
) -> Result<Vec<Person>, Error> {
    let seeder = Seeder {
        operator: Operator::connect(layout, "operator")?,
        privacy: Operator::connect(layout, "privacy")?,
        layout: layout.clone(),
        now: SystemClock.now(),
    };
    let rights = Rights {
        partner: &estate.partner_id,
        site: &estate.site_id,
        devices: &[DOOR],
    };
    let base: u64 = rand::random();
    let (seeder, rights) = (&seeder, &rights);
    stream::iter(0..count as u64)
        .map(|i| async move {
            let name = format!("Resident {i}");
            seeder
                .person(&name, base.wrapping_add(i), rights, true)
                .await
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// Lifts the first client's limits as far as they go, for load.
pub async fn unlimit(layout: &Layout, estate: &Estate) -> Result<(), Error> {
    let operator = Operator::connect(layout, "operator")?;
    let most = 100_000;
    let request = UpdateClientRequest {
        client_id: estate.client_id.clone(),
        client: Some(Client {
            limits: Some(ClientLimits {
                requests_per_second: most,
                burst: most,
                misses_per_minute: most,
                device_misses_per_minute: most,
            }),
            ..Client::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["limits".into()],
        }),
    };
    call!(operator.clients(), update_client, request);
    Ok(())
}

/// Residents added at once.
const AT_ONCE: usize = 32;

/// What a person may open.
struct Rights<'a> {
    partner: &'a str,
    site: &'a str,
    devices: &'a [&'a str],
}

impl Seeder {
    async fn site(&self, name: &str) -> Result<String, Error> {
        let request = CreateSiteRequest {
            name: name.into(),
            ..CreateSiteRequest::default()
        };
        let answer = call!(self.operator.sites(), create_site, request);
        Ok(answer.site.unwrap_or_default().site_id)
    }

    /// A partner with devices, our clients there and its client here.
    async fn partner(
        &self,
        name: &str,
        doors: &[&str],
        barriers: &[&str],
        site: &str,
    ) -> Result<(String, PartnerAccess), Error> {
        let ours = |kind: &str| {
            let secret = Uuid::new_v4().simple().to_string();
            (format!("propdev-{kind}-{name}"), secret)
        };
        let (intercom, barrier) = (ours("intercom"), ours("barrier"));
        let credentials = |(id, secret): &(String, String)| {
            Some(PartnerClientCredentials {
                client_id: id.clone(),
                client_secret: secret.clone(),
            })
        };
        let ca = self.layout.ca();
        let base = self.layout.simulator_url();
        let request = CreatePartnerRequest {
            partner: Some(Partner {
                name: name.into(),
                token_url: format!("{base}/oauth2/token"),
                api_base: base,
                ca_pem: std::fs::read_to_string(&ca).map_err(Error::file(ca))?,
                ..Partner::default()
            }),
            intercom: credentials(&intercom),
            barrier: credentials(&barrier),
        };
        let answer = call!(self.operator.partners(), create_partner, request);
        let partner_id = answer.partner.unwrap_or_default().partner_id;
        for (id, kind) in doors
            .iter()
            .map(|id| (id, DeviceKind::Door))
            .chain(barriers.iter().map(|id| (id, DeviceKind::Barrier)))
        {
            self.device(&partner_id, site, id, kind).await?;
        }
        let request = RegisterClientRequest {
            partner_id: partner_id.clone(),
            name: name.into(),
            site_ids: vec![site.into()],
            scopes: ["door:open", "barrier:open", "events:write"]
                .map(Into::into)
                .into(),
            permissions: ["subject:face", "subject:plate"].map(Into::into).into(),
            limits: Some(LIMITS),
            ..RegisterClientRequest::default()
        };
        let client = call!(self.operator.clients(), register_client, request);
        Ok((
            partner_id,
            PartnerAccess {
                name: name.into(),
                client_id: client.client.unwrap_or_default().client_id,
                client_secret: client.client_secret,
                intercom,
                barrier,
                doors: doors.iter().map(ToString::to_string).collect(),
                barriers: barriers.iter().map(ToString::to_string).collect(),
            },
        ))
    }

    async fn device(
        &self,
        partner: &str,
        site: &str,
        id: &str,
        kind: DeviceKind,
    ) -> Result<(), Error> {
        let request = CreateDeviceRequest {
            device: Some(Device {
                device_id: id.into(),
                partner_id: partner.into(),
                site_id: site.into(),
                kind: kind.into(),
                name: id.into(),
                time_zone: "Europe/Moscow".into(),
                ..Device::default()
            }),
        };
        call!(self.operator.devices(), create_device, request);
        Ok(())
    }

    async fn person(
        &self,
        name: &str,
        identity: u64,
        rights: &Rights<'_>,
        paid: bool,
    ) -> Result<Person, Error> {
        let request = CreateHouseholdRequest {
            household: Some(Household {
                site_id: rights.site.into(),
                ..Household::default()
            }),
        };
        let answer = call!(self.operator.households(), create_household, request);
        let household_id = answer.household.unwrap_or_default().household_id;
        let request = CreateResidentRequest {
            name: name.into(),
            site_ids: vec![rights.site.into()],
            household_ids: vec![household_id.clone()],
            ..CreateResidentRequest::default()
        };
        let answer = call!(self.privacy.residents(), create_resident, request);
        let resident_id = answer.resident.unwrap_or_default().resident_id;
        let vector = Identity::new(identity, DIMENSION).enrolment();
        let request = EnrolFaceRequest {
            resident_id: resident_id.clone(),
            face: Some(FaceVector {
                model: MODEL.into(),
                values: vector.iter().flat_map(|v| v.to_le_bytes()).collect(),
            }),
            consent_reference: "signed form 1".into(),
            consented_at: timestamp(self.now),
            template_id: String::new(),
        };
        call!(self.privacy.residents(), enrol_face, request);
        for device in rights.devices {
            let request = CreateGrantRequest {
                grant: Some(Grant {
                    resident_id: resident_id.clone(),
                    partner_id: rights.partner.into(),
                    device_id: (*device).into(),
                    ..Grant::default()
                }),
            };
            call!(self.operator.grants(), create_grant, request);
        }
        let days = if paid { 30 } else { -30 };
        let paid_until = self.now + SignedDuration::from_hours(24 * days);
        for kind in [DeviceKind::Door, DeviceKind::Barrier] {
            let request = SetSubscriptionRequest {
                subscription: Some(Subscription {
                    household_id: household_id.clone(),
                    site_id: rights.site.into(),
                    kind: kind.into(),
                    paid_until: timestamp(paid_until),
                    grace_days: 3,
                    ..Subscription::default()
                }),
            };
            call!(self.operator.subscriptions(), set_subscription, request);
        }
        Ok(Person {
            resident_id,
            household_id,
            identity,
        })
    }

    async fn vehicle(&self, person: &Person, plate: &str) -> Result<(), Error> {
        let request = AddVehicleRequest {
            resident_id: person.resident_id.clone(),
            plate: Some(PlateReading {
                number: plate.into(),
                country: String::new(),
            }),
            ..AddVehicleRequest::default()
        };
        call!(self.operator.holdings(), add_vehicle, request);
        Ok(())
    }

    async fn credential(
        &self,
        person: &Person,
        rights: &Rights<'_>,
        kind: CredentialKind,
        id: &str,
    ) -> Result<(), Error> {
        let request = AddCredentialRequest {
            resident_id: person.resident_id.clone(),
            partner_id: rights.partner.into(),
            kind: kind.into(),
            credential_id: id.into(),
            site_id: rights.site.into(),
            // A key is often handed over before it is written down.
            held_from: timestamp(self.now - SignedDuration::from_hours(24)),
            ..AddCredentialRequest::default()
        };
        call!(self.operator.holdings(), add_credential, request);
        Ok(())
    }
}

fn timestamp(time: Timestamp) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}
