use clap::{Args, Subcommand};
use jiff::Timestamp;
use propdev_proto::access::{
    ListSubscriptionsRequest, SetSubscriptionRequest, Subscription,
    subscription_service_client::SubscriptionServiceClient,
};

use super::device::{Kind, show_kind};
use crate::{
    connection::Session, error::Failure, moment, output::Row, pages::Limit, reference::Etag,
};

#[derive(Subcommand)]
pub(crate) enum Payment {
    /// Say until when the doors or the barriers of a site are paid for
    Set(Set),
    List {
        /// UUID; without it, of all households
        #[arg(long, default_value = "", hide_default_value = true)]
        household: String,
        #[command(flatten)]
        limit: Limit,
    },
}

#[derive(Args)]
pub(crate) struct Set {
    /// UUID
    #[arg(long)]
    household: String,
    /// UUID
    #[arg(long)]
    site: String,
    #[arg(long, value_enum)]
    kind: Kind,
    /// RFC 3339, or a date for the end of that day in UTC
    #[arg(long, value_name = "TIME", value_parser = moment::parse_end)]
    paid_until: Timestamp,
    /// Days after that during which devices still open
    #[arg(long, value_name = "DAYS", default_value_t = 0,
          value_parser = clap::value_parser!(u32).range(0..=365))]
    grace_days: u32,
    /// Nothing opens, paid or not
    #[arg(long)]
    suspended: bool,
    /// Of which moment this is the state, RFC 3339; without it, of now
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    as_of: Option<Timestamp>,
    #[command(flatten)]
    etag: Etag,
}

impl Payment {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let mut payments = SubscriptionServiceClient::new(session.access()?);
        match self {
            Self::Set(set) => {
                let subscription = Subscription {
                    household_id: set.household,
                    site_id: set.site,
                    kind: set.kind.into(),
                    paid_until: Some(moment::to_proto(set.paid_until)),
                    grace_days: set.grace_days,
                    suspended: set.suspended,
                    as_of: set.as_of.map(moment::to_proto),
                    etag: set.etag.etag,
                };
                let request = SetSubscriptionRequest {
                    subscription: Some(subscription),
                };
                let reply = payments.set_subscription(request).await?.into_inner();
                session.output.one(reply.subscription.as_ref())
            }
            Self::List { household, limit } => {
                let listed = limit
                    .gather(async |page_size, page_token| {
                        let household_id = household.clone();
                        let request = ListSubscriptionsRequest {
                            page_size,
                            page_token,
                            household_id,
                        };
                        let reply = payments.list_subscriptions(request).await?.into_inner();
                        Ok((reply.subscriptions, reply.next_page_token))
                    })
                    .await?;
                session.output.list(&listed)
            }
        }
    }
}

impl Row for Subscription {
    const MESSAGE: &'static str = "propdev.access.v1.Subscription";
    const COLUMNS: &'static [&'static str] = &[
        "HOUSEHOLD",
        "SITE",
        "KIND",
        "PAID UNTIL",
        "GRACE DAYS",
        "STATE",
        "AS OF",
        "ETAG",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.household_id.clone(),
            self.site_id.clone(),
            show_kind(self.kind()),
            moment::show(self.paid_until.as_ref()),
            self.grace_days.to_string(),
            if self.suspended { "suspended" } else { "-" }.into(),
            moment::show(self.as_of.as_ref()),
            self.etag.clone(),
        ]
    }
}
