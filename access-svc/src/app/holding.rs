//! Vehicles, keys and fobs.

use audit_log::Entry;
use jiff::Timestamp;
use mesh::Caller;
use uuid::Uuid;

use super::{App, By};
use crate::{
    domain::{
        etag::IfMatch,
        event::CredentialKind,
        external_id::{ExternalIds, Object},
        holding::{Held, SpanChange},
        syntax::is_partner_id,
    },
    error::{Error, Noun},
    store::{Holding, HoldingChange, NewHolding, ObjectId, Owner, Page, ResidentKey},
};

/// What a resident comes to hold, for how long, and what others call it.
pub(crate) struct AddHolding {
    pub(crate) resident: Uuid,
    pub(crate) new: NewHolding,
    /// None is from now on.
    pub(crate) held_from: Option<Timestamp>,
    pub(crate) held_to: Option<Timestamp>,
    pub(crate) external_ids: ExternalIds,
}

pub(crate) struct HoldingUpdate {
    pub(crate) span: SpanChange,
    pub(crate) external_ids: Option<ExternalIds>,
}

/// With what other systems call it.
pub(crate) type ShownHolding = (Holding, ExternalIds);

impl App {
    pub(crate) async fn add_holding(
        &self,
        add: AddHolding,
        by: &Caller,
    ) -> Result<ShownHolding, Error> {
        let new = add.new;
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
        let from = add.held_from.unwrap_or_else(|| self.parts.clock.now());
        let held = Held::new(from, add.held_to)?;
        let external_ids = ExternalIds::default().replaced(add.external_ids, by)?;
        let resident = self.resident(add.resident).await?;
        let key = self.holder_key(resident.id).await?;
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
        let holding = self
            .parts
            .store
            .insert_holding(resident.id, &key, new, held, &external_ids, telling)
            .await?;
        Ok((holding, external_ids))
    }

    pub(crate) async fn get_holding(&self, by: By) -> Result<ShownHolding, Error> {
        let id = self.id_of(Object::Holding, by).await?;
        let holding = self.stored_holding(id).await?;
        self.show_holding(holding).await
    }

    pub(crate) async fn list_holdings(
        &self,
        resident: Option<Uuid>,
        page: Page,
    ) -> Result<Vec<ShownHolding>, Error> {
        let store = &self.parts.store;
        let holdings = store.list_holdings(resident, page).await?;
        let ids = holdings.iter().map(|holding| holding.id);
        let mut external_ids = store.external_ids(Object::Holding, ids).await?;
        Ok(holdings
            .into_iter()
            .map(|holding| {
                let ids = external_ids.remove(&holding.id).unwrap_or_default();
                (holding, ids)
            })
            .collect())
    }

    pub(crate) async fn update_holding(
        &self,
        id: Uuid,
        update: HoldingUpdate,
        if_match: IfMatch,
        by: &Caller,
    ) -> Result<ShownHolding, Error> {
        let store = &self.parts.store;
        let read = self.stored_holding(id).await?;
        let key = self.holder_key(read.resident).await?;
        let external_ids = match update.external_ids {
            None => None,
            Some(given) => {
                store.learns_epoch_of_names().await?;
                let there = store.external_ids_of(name(id)).await?;
                let after = there.replaced(given, by)?;
                let owner = Owner::Resident(read.resident, &key);
                let new = store.new_external_ids(name(id), &owner, &after)?;
                Some((read.version, new))
            }
        };
        let change = HoldingChange {
            span: update.span,
            external_ids,
        };
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("holding_updated")
        };
        let holding = store
            .update_holding(id, &key, change, if_match, telling)
            .await?;
        self.show_holding(holding).await
    }

    pub(crate) async fn end_holding(&self, id: Uuid) -> Result<ShownHolding, Error> {
        let telling = Entry {
            subject: Some(id.to_string()),
            ..self.act("holding_ended")
        };
        let (store, now) = (&self.parts.store, self.parts.clock.now());
        let holding = store.end_holding(id, now, telling).await?;
        self.show_holding(holding).await
    }

    async fn stored_holding(&self, id: Uuid) -> Result<Holding, Error> {
        let holding = self.parts.store.holding(id).await?;
        holding.ok_or(Error::NotFound(Noun::Holding))
    }

    async fn holder_key(&self, resident: Uuid) -> Result<ResidentKey, Error> {
        let key = self.parts.store.resident_key(resident).await?;
        key.ok_or(Error::NotFound(Noun::Resident))
    }

    async fn show_holding(&self, holding: Holding) -> Result<ShownHolding, Error> {
        let ids = self.parts.store.external_ids_of(name(holding.id)).await?;
        Ok((holding, ids))
    }
}

fn name(id: Uuid) -> ObjectId {
    ObjectId {
        object: Object::Holding,
        id,
    }
}
