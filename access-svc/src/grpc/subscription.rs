use propdev_proto::access::{
    ListSubscriptionsRequest, ListSubscriptionsResponse, SetSubscriptionRequest,
    SetSubscriptionResponse, Subscription as SubscriptionMessage,
    subscription_service_server::SubscriptionService,
};
use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::{fault, id, kind, kind_message, optional_id, page, time, timestamp},
};
use crate::{
    domain::decision::Subscription,
    store::{Page, StoredSubscription},
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
            .set_subscription(StoredSubscription {
                resident: id("resident_id", &new.resident_id)?,
                site: id("site_id", &new.site_id)?,
                kind: kind(new.kind())?,
                paid: Subscription {
                    paid_until: time("paid_until", new.paid_until)?,
                    grace_days: new.grace_days,
                },
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
        let page = page(request.page_size, &request.page_token)?;
        let resident = optional_id("resident_id", &request.resident_id)?;
        let mut rows = self.app.list_subscriptions(resident, page).await?;
        let next_page_token = cut_page(&mut rows, page);
        Ok(Response::new(ListSubscriptionsResponse {
            subscriptions: rows.into_iter().map(message).collect(),
            next_page_token,
        }))
    }
}

/// Pages go by resident: one whose rows do not all fit waits for the next.
fn cut_page(rows: &mut Vec<StoredSubscription>, page: Page) -> String {
    if (rows.len() as u64) < page.limit {
        return String::new();
    }
    let last = rows.last().map(|row| row.resident);
    rows.retain(|row| Some(row.resident) != last);
    rows.last()
        .map_or_else(String::new, |row| row.resident.to_string())
}

fn message(subscription: StoredSubscription) -> SubscriptionMessage {
    SubscriptionMessage {
        resident_id: subscription.resident.to_string(),
        site_id: subscription.site.to_string(),
        kind: kind_message(subscription.kind),
        paid_until: timestamp(subscription.paid.paid_until),
        grace_days: subscription.paid.grace_days,
    }
}
