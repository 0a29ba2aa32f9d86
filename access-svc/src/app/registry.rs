//! Sites, devices, residents and their rights.

use audit_log::{Entry, Kind};
use jiff::Timestamp;
use mesh::clock::to_micros;
use propdev_proto::biometric::FaceVector;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    clients::Enrolment,
    domain::{
        device::{Device, check_time_zone},
        entry,
        event::CredentialKind,
        partner::{Credentials, Partner},
        passage::Passage,
        schedule::Window,
        syntax::{check_name, is_partner_id},
    },
    error::{Error, Noun},
    store::{Holding, NewHolding, Page, Resident, Site, StoredGrant, StoredSubscription},
};

pub(crate) struct NewResident {
    pub(crate) name: Zeroizing<String>,
    pub(crate) sites: Vec<Uuid>,
}

pub(crate) struct NewGrant {
    pub(crate) resident: Uuid,
    pub(crate) partner: Uuid,
    pub(crate) device_id: String,
    pub(crate) windows: Vec<Window>,
    pub(crate) ends_at: Option<Timestamp>,
}

/// A device's address as callers know it.
type DeviceName = (Uuid, String);

impl App {
    fn now_micros(&self) -> i64 {
        to_micros(self.parts.clock.now())
    }

    /// What the audit log says of something that the caller does.
    fn act(&self, code: &str) -> Entry {
        entry::act(Kind::Act, code, self.parts.clock.now())
    }

    pub(crate) async fn create_partner(
        &self,
        partner: Partner,
        intercom: Credentials,
        barrier: Credentials,
    ) -> Result<Partner, Error> {
        let partner = partner.complete()?;
        intercom.check("intercom")?;
        barrier.check("barrier")?;
        let telling = Entry {
            partner: Some(partner.id),
            ..self.act("partner_created")
        };
        self.parts
            .store
            .insert_partner(
                partner.clone(),
                intercom,
                barrier,
                self.now_micros(),
                telling,
            )
            .await?;
        Ok(partner)
    }

    pub(crate) async fn list_partners(&self, page: Page) -> Result<Vec<Partner>, Error> {
        self.parts.store.list_partners(page).await
    }

    pub(crate) async fn probe_partner(&self, id: Uuid) -> Result<(String, String), Error> {
        let partner = self.partner(id).await?;
        self.parts.edge.probe(id, partner.settings_version).await
    }

    async fn partner(&self, id: Uuid) -> Result<Partner, Error> {
        self.parts
            .store
            .partner(id)
            .await?
            .ok_or(Error::NotFound(Noun::Partner))
    }

    pub(crate) async fn egress_settings(
        &self,
        id: Uuid,
    ) -> Result<(Partner, Credentials, Credentials), Error> {
        self.parts
            .store
            .egress_settings(id)
            .await?
            .ok_or(Error::NotFound(Noun::Partner))
    }

    pub(crate) async fn create_site(&self, name: String) -> Result<Site, Error> {
        check_name("name", &name, 100)?;
        let site = Site {
            id: Uuid::now_v7(),
            name,
            passage: Passage::default(),
        };
        let telling = Entry {
            site: Some(site.id),
            ..self.act("site_created")
        };
        self.parts
            .store
            .insert_site(site.clone(), self.now_micros(), telling)
            .await?;
        Ok(site)
    }

    pub(crate) async fn list_sites(&self, page: Page) -> Result<Vec<Site>, Error> {
        self.parts.store.list_sites(page).await
    }

    async fn check_sites(&self, sites: &[Uuid]) -> Result<(), Error> {
        if !(1..=100).contains(&sites.len()) {
            return Err(Error::InvalidField {
                field: "site_ids",
                detail: "must name 1 to 100 sites",
            });
        }
        for site in sites {
            if self.parts.store.site(*site).await?.is_none() {
                return Err(Error::NotFound(Noun::Site));
            }
        }
        Ok(())
    }

    pub(crate) async fn create_device(&self, device: Device) -> Result<Device, Error> {
        if !is_partner_id(&device.id) {
            return Err(Error::InvalidField {
                field: "device_id",
                detail: "must be 1 to 128 of [A-Za-z0-9._:-]",
            });
        }
        // In a partner's URL they would mean another path.
        if matches!(device.id.as_str(), "." | "..") {
            return Err(Error::InvalidField {
                field: "device_id",
                detail: "must not be . or ..",
            });
        }
        check_name("name", &device.name, 100)?;
        check_time_zone(&device.time_zone)?;
        self.partner(device.partner).await?;
        self.check_sites(&[device.site]).await?;
        let telling = Entry {
            partner: Some(device.partner),
            site: Some(device.site),
            device: Some(device.id.clone()),
            ..self.act("device_created")
        };
        self.parts
            .store
            .insert_device(device.clone(), self.now_micros(), telling)
            .await?;
        Ok(device)
    }

    pub(crate) async fn list_devices(
        &self,
        partner: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Device>, Error> {
        self.parts.store.list_devices(partner, page).await
    }

    pub(crate) async fn set_device_state(
        &self,
        partner: Uuid,
        id: String,
        disabled: bool,
    ) -> Result<Device, Error> {
        let code = if disabled {
            "device_disabled"
        } else {
            "device_enabled"
        };
        let telling = Entry {
            partner: Some(partner),
            device: Some(id.clone()),
            ..self.act(code)
        };
        self.parts
            .store
            .set_device_state(partner, id, disabled, telling)
            .await
    }

    pub(crate) async fn create_resident(
        &self,
        new: NewResident,
    ) -> Result<(Resident, Vec<Uuid>), Error> {
        check_name("name", &new.name, 200)?;
        let mut sites = new.sites;
        sites.sort();
        sites.dedup();
        self.check_sites(&sites).await?;
        let resident = Resident {
            id: Uuid::now_v7(),
            // Random: neither says when the other was made.
            subject: Uuid::new_v4(),
            audit_pseudonym: Uuid::new_v4(),
            suspended: false,
        };
        let telling = Entry {
            who: Some(resident.audit_pseudonym),
            ..self.act("resident_created")
        };
        self.parts
            .store
            .insert_resident(
                resident.clone(),
                new.name,
                sites.clone(),
                self.now_micros(),
                telling,
            )
            .await?;
        Ok((resident, sites))
    }

    async fn resident(&self, id: Uuid) -> Result<Resident, Error> {
        self.parts
            .store
            .resident(id)
            .await?
            .ok_or(Error::NotFound(Noun::Resident))
    }

    pub(crate) async fn list_residents(
        &self,
        page: Page,
        with_names: bool,
    ) -> Result<Vec<(Resident, Option<Zeroizing<String>>)>, Error> {
        self.parts.store.list_residents(page, with_names).await
    }

    pub(crate) async fn resident_sites(&self, id: Uuid) -> Result<Vec<Uuid>, Error> {
        self.parts.store.resident_sites(id).await
    }

    pub(crate) async fn set_resident_state(
        &self,
        id: Uuid,
        suspended: bool,
    ) -> Result<Resident, Error> {
        let code = if suspended {
            "resident_suspended"
        } else {
            "resident_resumed"
        };
        self.parts
            .store
            .set_resident_state(id, suspended, self.act(code))
            .await
    }

    /// The template's id and how many the resident has now.
    pub(crate) async fn enrol_face(
        &self,
        resident: Uuid,
        template: Option<Uuid>,
        face: FaceVector,
        consent_reference: String,
        consented_at: Timestamp,
    ) -> Result<(Uuid, u32), Error> {
        let resident = self.resident(resident).await?;
        let sites = self.parts.store.resident_sites(resident.id).await?;
        let template = template.unwrap_or_else(Uuid::new_v4);
        let telling = |code| Entry {
            who: Some(resident.audit_pseudonym),
            subject: Some(template.to_string()),
            ..self.act(code)
        };
        // Of two services' stores one cannot tell what the other does: the
        // intent is told first.
        self.parts.store.tell(telling("face_enrolment")).await?;
        let templates = self
            .parts
            .biometric
            .enrol(Enrolment {
                subject: resident.subject,
                template,
                face,
                sites,
                consent_reference,
                consented_at,
            })
            .await?;
        if self.parts.store.resident(resident.id).await?.is_none() {
            // The erasure was faster: nobody else would erase this template.
            let pseudonym = resident.audit_pseudonym;
            self.parts
                .biometric
                .erase(resident.subject, pseudonym)
                .await?;
            return Err(Error::NotFound(Noun::Resident));
        }
        self.parts.store.tell(telling("face_enrolled")).await?;
        Ok((template, templates))
    }

    pub(crate) async fn create_grant(
        &self,
        new: NewGrant,
    ) -> Result<(StoredGrant, DeviceName), Error> {
        for window in &new.windows {
            window.validate()?;
        }
        let resident = self.resident(new.resident).await?;
        let device = self
            .parts
            .store
            .device(new.partner, &new.device_id)
            .await?
            .ok_or(Error::NotFound(Noun::Device))?;
        let grant = StoredGrant {
            id: Uuid::now_v7(),
            resident: resident.id,
            device_uid: device.uid,
            windows: new.windows,
            ends_at: new.ends_at,
        };
        let telling = Entry {
            partner: Some(device.partner),
            site: Some(device.site),
            device: Some(device.id.clone()),
            who: Some(resident.audit_pseudonym),
            subject: Some(grant.id.to_string()),
            ..self.act("grant_created")
        };
        self.parts
            .store
            .insert_grant(grant.clone(), self.now_micros(), telling)
            .await?;
        Ok((grant, (device.partner, device.id)))
    }

    pub(crate) async fn list_grants(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<(StoredGrant, Option<DeviceName>)>, Error> {
        let grants = self.parts.store.list_grants(resident, page).await?;
        let uids = grants.iter().map(|grant| grant.device_uid).collect();
        let devices = self.parts.store.devices_by_uid(uids).await?;
        Ok(grants
            .into_iter()
            .map(|grant| {
                let device = devices.iter().find(|device| device.uid == grant.device_uid);
                let name = device.map(|device| (device.partner, device.id.clone()));
                (grant, name)
            })
            .collect())
    }

    pub(crate) async fn revoke_grant(&self, id: Uuid) -> Result<(), Error> {
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("grant_revoked")
        };
        if self.parts.store.delete_grant(id, telling).await? {
            Ok(())
        } else {
            Err(Error::NotFound(Noun::Grant))
        }
    }

    pub(crate) async fn add_holding(
        &self,
        resident: Uuid,
        new: NewHolding,
        held_from: Option<Timestamp>,
    ) -> Result<Holding, Error> {
        if let NewHolding::Credential {
            partner, id, site, ..
        } = &new
        {
            if !is_partner_id(id) {
                return Err(Error::InvalidField {
                    field: "credential_id",
                    detail: "must be 1 to 128 of [A-Za-z0-9._:-]",
                });
            }
            self.partner(*partner).await?;
            self.check_sites(&[*site]).await?;
        }
        let resident = self.resident(resident).await?;
        let key = self
            .parts
            .store
            .resident_key(resident.id)
            .await?
            .ok_or(Error::NotFound(Noun::Resident))?;
        let held_from = held_from.unwrap_or_else(|| self.parts.clock.now());
        let (code, partner) = match &new {
            NewHolding::Vehicle(_) => ("vehicle_added", None),
            NewHolding::Credential { kind, partner, .. } => match kind {
                CredentialKind::Key => ("key_added", Some(*partner)),
                CredentialKind::Fob => ("fob_added", Some(*partner)),
            },
        };
        let telling = Entry {
            partner,
            who: Some(resident.audit_pseudonym),
            ..self.act(code)
        };
        self.parts
            .store
            .insert_holding(resident.id, &key, new, held_from, telling)
            .await
    }

    pub(crate) async fn list_holdings(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<Holding>, Error> {
        self.parts.store.list_holdings(resident, page).await
    }

    pub(crate) async fn end_holding(&self, id: Uuid) -> Result<Holding, Error> {
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("holding_ended")
        };
        self.parts
            .store
            .end_holding(id, self.parts.clock.now(), telling)
            .await
    }

    pub(crate) async fn set_subscription(
        &self,
        subscription: StoredSubscription,
    ) -> Result<StoredSubscription, Error> {
        if subscription.paid.grace_days > 365 {
            return Err(Error::InvalidField {
                field: "grace_days",
                detail: "must be 0 to 365",
            });
        }
        let resident = self.resident(subscription.resident).await?;
        self.check_sites(&[subscription.site]).await?;
        let telling = Entry {
            site: Some(subscription.site),
            who: Some(resident.audit_pseudonym),
            subject: Some(subscription.kind.scope().to_owned()),
            ..self.act("payment_set")
        };
        self.parts
            .store
            .put_subscription(subscription.clone(), telling)
            .await?;
        Ok(subscription)
    }

    pub(crate) async fn list_subscriptions(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<StoredSubscription>, Error> {
        self.parts.store.list_subscriptions(resident, page).await
    }
}
