//! Partners and how we reach them.

use audit_log::Entry;
use uuid::Uuid;

use super::App;
use crate::{
    domain::partner::{Credentials, Partner, PartnerChange},
    error::{Error, Noun},
    store::Page,
};

impl App {
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

    /// Only the state of that version, where it is not 0.
    pub(crate) async fn update_partner(
        &self,
        id: Uuid,
        version: i64,
        change: PartnerChange,
    ) -> Result<Partner, Error> {
        for (field, credentials) in [("intercom", &change.intercom), ("barrier", &change.barrier)] {
            if let Some(credentials) = credentials {
                credentials.check(field)?;
            }
        }
        let telling = Entry {
            partner: Some(id),
            ..self.act("partner_updated")
        };
        let store = &self.parts.store;
        store.update_partner(id, version, change, telling).await
    }

    pub(crate) async fn list_partners(&self, page: Page) -> Result<Vec<Partner>, Error> {
        self.parts.store.list_partners(page).await
    }

    pub(crate) async fn probe_partner(&self, id: Uuid) -> Result<(String, String), Error> {
        let partner = self.partner(id).await?;
        self.parts.edge.probe(id, partner.settings_version).await
    }

    pub(super) async fn partner(&self, id: Uuid) -> Result<Partner, Error> {
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
}
