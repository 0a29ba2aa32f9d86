//! What is paid for.

use audit_log::Entry;
use uuid::Uuid;

use super::App;
use crate::{
    error::Error,
    store::{Page, StoredSubscription},
};

impl App {
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
