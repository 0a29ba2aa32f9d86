//! What is paid for, as operators set it.

use jiff::Timestamp;
use uuid::Uuid;

use super::App;
use crate::{
    domain::{decision::Subscription, device::DeviceKind, etag::IfMatch, payment::Payment},
    error::Error,
    store::{NewPayment, Rule, StoredSubscription, SubscriptionKey},
};

pub(crate) struct NewSubscription {
    pub(crate) household: Uuid,
    pub(crate) site: Uuid,
    pub(crate) kind: DeviceKind,
    pub(crate) paid: Subscription,
    /// None is now.
    pub(crate) as_of: Option<Timestamp>,
    pub(crate) if_match: IfMatch,
}

impl App {
    /// Whatever was known before, an operator's word counts.
    pub(crate) async fn set_subscription(
        &self,
        new: NewSubscription,
    ) -> Result<StoredSubscription, Error> {
        let now = self.parts.clock.now();
        let payment = Payment {
            paid: new.paid,
            as_of: new.as_of.unwrap_or(now),
        };
        payment.validate(now)?;
        let told = NewPayment {
            household: new.household,
            site: Some(new.site),
            kind: new.kind,
            payment,
            rule: Rule::Any(new.if_match),
            telling: self.act("payment_set"),
        };
        let mut put = self.parts.store.put_payments(vec![told]).await?;
        let (state, _) = put.pop().ok_or(Error::Corrupt("subscription"))??;
        Ok(state)
    }

    pub(crate) async fn list_subscriptions(
        &self,
        household: Option<Uuid>,
        after: Option<SubscriptionKey>,
        limit: u64,
    ) -> Result<Vec<StoredSubscription>, Error> {
        let store = &self.parts.store;
        store.list_subscriptions(household, after, limit).await
    }
}
