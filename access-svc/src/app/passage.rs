//! Lockdown and free passage, by an operator's order.

use mesh::context::CallContext;
use uuid::Uuid;

use super::{App, Named};
use crate::{
    domain::{device::Device, external_id::Object, passage::Order},
    error::{Error, Noun},
    store::{AuthEvent, PassageChange, Site},
};

impl App {
    pub(crate) async fn order_site(
        &self,
        site: Uuid,
        order: Order,
        on: bool,
        actor: String,
    ) -> Result<Named<Site>, Error> {
        let event = self.ordered(PassageChange {
            site,
            device: None,
            code: order.code(on),
            actor,
        });
        let ordered = self.parts.store.order_site(site, order, on, event).await?;
        self.named_one(Object::Site, ordered, site).await
    }

    pub(crate) async fn order_device(
        &self,
        partner: Uuid,
        id: &str,
        order: Order,
        on: bool,
        actor: String,
    ) -> Result<Named<Device>, Error> {
        let device = self
            .parts
            .store
            .device(partner, id)
            .await?
            .ok_or(Error::NotFound(Noun::Device))?;
        let event = self.ordered(PassageChange {
            site: device.site,
            device: Some((partner, device.id)),
            code: order.code(on),
            actor,
        });
        let store = &self.parts.store;
        let ordered = store.order_device(device.uid, order, on, event).await?;
        self.known_device(Some(ordered)).await
    }

    /// What the audit is told, should the order change anything.
    fn ordered(&self, change: PassageChange) -> AuthEvent {
        let request_id = CallContext::current().map_or_else(String::new, |call| call.request_id);
        AuthEvent::passage_changed(change, request_id, self.parts.clock.now())
    }
}
