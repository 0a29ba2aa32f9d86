use propdev_proto::access::{
    ListSubscriptionsRequest, ListSubscriptionsResponse, SetSubscriptionRequest,
    SetSubscriptionResponse, Subscription as SubscriptionMessage,
    subscription_service_server::SubscriptionService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    Api,
    convert::{fault, id, kind, kind_message, optional_id, optional_time, page, time, timestamp},
};
use crate::{
    app::NewSubscription,
    domain::{decision::Subscription, etag::IfMatch},
    error::Error,
    store::{StoredSubscription, SubscriptionKey},
};

#[tonic::async_trait]
impl SubscriptionService for Api {
    async fn set_subscription(
        &self,
        request: Request<SetSubscriptionRequest>,
    ) -> Result<Response<SetSubscriptionResponse>, Status> {
        let new = request
            .into_inner()
            .subscription
            .ok_or_else(|| fault("subscription", "is required"))?;
        let subscription = self
            .app
            .set_subscription(NewSubscription {
                household: id("household_id", &new.household_id)?,
                site: id("site_id", &new.site_id)?,
                kind: kind(new.kind())?,
                paid: Subscription {
                    paid_until: time("paid_until", new.paid_until)?,
                    grace_days: new.grace_days,
                    suspended: new.suspended,
                },
                as_of: optional_time("as_of", new.as_of)?,
                if_match: IfMatch::of(new.etag),
            })
            .await?;
        Ok(Response::new(SetSubscriptionResponse {
            subscription: Some(message(subscription)),
        }))
    }

    async fn list_subscriptions(
        &self,
        request: Request<ListSubscriptionsRequest>,
    ) -> Result<Response<ListSubscriptionsResponse>, Status> {
        let request = request.into_inner();
        let limit = page(request.page_size, "")?.limit;
        let after = after(&request.page_token)?;
        let household = optional_id("household_id", &request.household_id)?;
        let mut rows = self.app.list_subscriptions(household, after, limit).await?;
        // One more row than the page holds tells whether there is a next page.
        let has_next = rows.len() as u64 == limit;
        if has_next {
            rows.pop();
        }
        let last = rows.last().filter(|_| has_next);
        Ok(Response::new(ListSubscriptionsResponse {
            next_page_token: last.map_or_else(String::new, token),
            subscriptions: rows.into_iter().map(message).collect(),
        }))
    }
}

/// Of a page that ends with this one: a household has several.
fn token(last: &StoredSubscription) -> String {
    let (household, site, kind) = last.key();
    format!("{household}/{site}/{kind}")
}

fn after(token: &str) -> Result<Option<SubscriptionKey>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let mut parts = token.splitn(3, '/');
        let mut uuid = || Uuid::try_parse(parts.next()?).ok();
        let (household, site) = (uuid()?, uuid()?);
        Some((household, site, parts.next()?.parse().ok()?))
    };
    let key = read().ok_or_else(|| fault("page_token", "is none that an answer gave"))?;
    Ok(Some(key))
}

fn message(subscription: StoredSubscription) -> SubscriptionMessage {
    let payment = subscription.payment;
    SubscriptionMessage {
        household_id: subscription.household.to_string(),
        site_id: subscription.site.to_string(),
        kind: kind_message(subscription.kind),
        paid_until: timestamp(payment.paid.paid_until),
        grace_days: payment.paid.grace_days,
        suspended: payment.paid.suspended,
        as_of: timestamp(payment.as_of),
        etag: subscription.version.etag(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_is_one_that_was_given() {
        let key = (Uuid::now_v7(), Uuid::now_v7(), 2);
        let (household, site, kind) = key;
        let given = format!("{household}/{site}/{kind}");
        assert_eq!(after(&given).expect("a token"), Some(key));
        assert_eq!(after("").expect("the first page"), None);
        for wrong in [
            "x",
            "//",
            &household.to_string(),
            &given[..73],
            &format!("{given}/1"),
        ] {
            assert!(after(wrong).is_err(), "{wrong}");
        }
    }
}
