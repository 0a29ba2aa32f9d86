//! Vehicles, keys and fobs.

use audit_log::Entry;
use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{event::CredentialKind, syntax::is_partner_id},
    error::{Error, Noun},
    store::{Holding, NewHolding, Page},
};

impl App {
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
}
