//! Residents and their faces.

use audit_log::Entry;
use jiff::Timestamp;
use propdev_proto::biometric::FaceVector;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    clients::Enrolment,
    domain::syntax::check_name,
    error::{Error, Noun},
    store::{Page, Resident},
};

pub(crate) struct NewResident {
    pub(crate) name: Zeroizing<String>,
    pub(crate) sites: Vec<Uuid>,
}

impl App {
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

    pub(super) async fn resident(&self, id: Uuid) -> Result<Resident, Error> {
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
}
