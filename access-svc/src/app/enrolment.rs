//! Faces of residents, each under a consent that holds.

use audit_log::Entry;
use jiff::Timestamp;
use propdev_proto::biometric::FaceVector;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    clients::Enrolment,
    domain::consent,
    error::{Error, Noun},
    store::{NewConsent, Outrun, Resident},
};

impl App {
    /// The template's id and how many the resident has now.
    pub(crate) async fn enrol_face(
        &self,
        resident: Uuid,
        template: Option<Uuid>,
        face: FaceVector,
        consent_reference: String,
        consented_at: Timestamp,
    ) -> Result<(Uuid, u32), Error> {
        let parts = &self.parts;
        let now = parts.clock.now();
        consent::check(
            ("consent_reference", consent_reference.as_str()),
            consented_at,
            now,
        )?;
        let template = template.unwrap_or_else(Uuid::new_v4);
        let telling = |code| Entry {
            subject: Some(template.to_string()),
            ..self.act(code)
        };
        let given = NewConsent {
            resident,
            reference: Zeroizing::new(consent_reference.clone()),
            consented_at,
        };
        // Of two services' stores one cannot tell what the other does: the
        // intent is told first.
        let (resident, sites) = parts
            .store
            .begin_enrolment(
                given,
                now,
                self.act("consent_recorded"),
                telling("face_enrolment"),
            )
            .await?;
        let enrolled = parts
            .biometric
            .enrol(Enrolment {
                subject: resident.subject,
                template,
                face,
                sites,
                consent_reference,
                consented_at,
            })
            .await;
        let templates = match enrolled {
            Ok(templates) => templates,
            Err(error) => return Err(self.too_late(&resident).await?.unwrap_or(error)),
        };
        let told = Entry {
            who: Some(resident.audit_pseudonym),
            ..telling("face_enrolled")
        };
        let outrun = parts.store.end_enrolment(resident.clone(), told).await?;
        if let Some(outrun) = outrun {
            // Nobody else would erase this template.
            parts
                .biometric
                .erase(resident.subject, resident.audit_pseudonym)
                .await?;
            return Err(match outrun {
                Outrun::Erased => Error::NotFound(Noun::Resident),
                Outrun::Withdrawn => Error::ConsentWithdrawn,
            });
        }
        Ok((template, templates))
    }

    /// Why an enrolment was refused, where something else was faster.
    async fn too_late(&self, enrolled: &Resident) -> Result<Option<Error>, Error> {
        let now = self.parts.store.resident(enrolled.id).await?;
        Ok(match now {
            None => Some(Error::NotFound(Noun::Resident)),
            Some(now) if now.subject != enrolled.subject => Some(Error::ConsentWithdrawn),
            Some(_) => None,
        })
    }
}
