//! Faces of residents, each under a consent that holds.

use audit_log::Entry;
use jiff::Timestamp;
use mesh::crypto::Key;
use propdev_proto::biometric::FaceVector;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::App;
use crate::{
    clients::Enrolment,
    domain::{consent, erasure::Order},
    error::{Error, Noun},
    store::{NewConsent, Outrun, Resident, Whom, Withdrawal},
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
        let given = template.unwrap_or_else(Uuid::new_v4);
        let template = opaque(&parts.store.keys().fingerprint, given);
        let telling = |code| Entry {
            subject: Some(template.to_string()),
            ..self.act(code)
        };
        let consented = NewConsent {
            resident,
            reference: Zeroizing::new(consent_reference.clone()),
            consented_at,
        };
        // Of two services' stores one cannot tell what the other does: the
        // intent is told first.
        let (resident, sites) = parts
            .store
            .begin_enrolment(
                consented,
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
            let order = self.order_of(outrun, &resident).await?;
            parts
                .biometric
                .erase(resident.subject, resident.audit_pseudonym, &order)
                .await?;
            return Err(match outrun {
                Outrun::Erased => Error::NotFound(Noun::Resident),
                Outrun::Withdrawn => Error::ConsentWithdrawn,
            });
        }
        Ok((given, templates))
    }

    /// The order of what was faster; none where that has erased already, whose receipt stays.
    async fn order_of(&self, outrun: Outrun, enrolled: &Resident) -> Result<Order, Error> {
        let store = &self.parts.store;
        let order = match outrun {
            Outrun::Erased => {
                let erasure = store.erasure(Whom::Resident(enrolled.id)).await?;
                erasure.map(|erasure| erasure.order)
            }
            Outrun::Withdrawn => {
                let unfinished = store.unfinished_withdrawals(Some(enrolled.id)).await?;
                let of_it = unfinished
                    .iter()
                    .find(|withdrawal| withdrawal.subject == Some(enrolled.subject));
                of_it.map(Withdrawal::order)
            }
        };
        Ok(order.unwrap_or_default())
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

/// The id by which the biometric store and the audit log know a template. One that is made of a
/// name, such as the resident's id, would lead there whoever has the names to try.
fn opaque(key: &Key, given: Uuid) -> Uuid {
    if !matches!(given.get_version_num(), 3 | 5) {
        return given;
    }
    let mac = key.mac(&[b"template", given.as_bytes()]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&mac[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_made_of_a_name_stays_outside() {
        let (key, other) = (Key::random().expect("a key"), Key::random().expect("a key"));
        let random = Uuid::new_v4();
        assert_eq!(opaque(&key, random), random);
        let named = uuid::Builder::from_sha1_bytes([7; 16]).into_uuid();
        let inside = opaque(&key, named);
        assert_eq!(inside, opaque(&key, named), "so that a repeat replaces");
        assert_ne!(inside, named);
        assert_ne!(inside, opaque(&other, named));
    }
}
