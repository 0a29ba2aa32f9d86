//! Whose store this is and where it may lie. Software proves configuration,
//! not geography.

use std::{fmt, sync::Arc};

use futures::FutureExt;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, DatabaseTransaction, EntityTrait};

use super::{Custodian, CustodyError, config::ResidencyConfig, entity::store_identity};
use crate::{clock::to_micros, db::Db};

/// The one row of `store_identity`.
pub(super) const ROW: i32 = 1;

/// Three words that a store, its backups and its ledger all bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub service: String,
    pub deployment: String,
    pub region: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            deployment,
            region,
        } = self;
        write!(f, "{service} of deployment {deployment} in region {region}")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ResidencyError {
    #[error("residency.{0} must be 1 to 100 letters, digits, dots, hyphens and underscores")]
    Invalid(&'static str),
    #[error(
        "the store is of {found}, and this is {wanted}: \
         correct [residency] or database.url, whichever is wrong"
    )]
    OfAnother { found: String, wanted: String },
    #[error(
        "the store has data and does not say whose it is, so it may not be of {wanted}: \
         correct database.url, or set residency.adopt_store_without_identity = true \
         for one start if it is this service's own"
    )]
    Unlabelled { wanted: String },
}

/// Whose store it must be, by the configuration.
pub(super) fn wanted(service: &str, config: &ResidencyConfig) -> Result<Identity, ResidencyError> {
    for (name, value) in [
        ("region", &config.region),
        ("deployment", &config.deployment),
    ] {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !(1..=100).contains(&value.len()) || !value.bytes().all(plain) {
            return Err(ResidencyError::Invalid(name));
        }
    }
    Ok(Identity {
        service: service.into(),
        deployment: config.deployment.clone(),
        region: config.region.clone(),
    })
}

/// Refuses a store of another; labels one that is new and empty.
pub(super) async fn check(
    db: &Db,
    custodian: &Arc<dyn Custodian>,
    wanted: &Identity,
    adopt: bool,
    now: Timestamp,
) -> Result<(), CustodyError> {
    if let Some(row) = store_identity::Entity::find_by_id(ROW)
        .one(&db.read)
        .await?
    {
        return compare(row, wanted);
    }
    let (custodian, label) = (custodian.clone(), wanted.clone());
    let labelled: Result<(), CustodyError> = db
        .writer
        .write(move |txn| async move { claim(txn, &*custodian, label, adopt, now).await }.boxed())
        .await;
    match labelled {
        // A replica that started at the same time was faster.
        Err(error) if error.is_unique_violation() => {}
        other => return other,
    }
    match store_identity::Entity::find_by_id(ROW)
        .one(&db.read)
        .await?
    {
        Some(row) => compare(row, wanted),
        None => Err(unlabelled(wanted)),
    }
}

async fn claim(
    txn: &DatabaseTransaction,
    custodian: &dyn Custodian,
    wanted: Identity,
    adopt: bool,
    now: Timestamp,
) -> Result<(), CustodyError> {
    if !adopt {
        for table in custodian.tables() {
            if !table.is_made_at_start() && !table.is_empty(txn).await? {
                return Err(unlabelled(&wanted));
            }
        }
    }
    tracing::info!(%wanted, "the store is labelled");
    store_identity::Entity::insert(store_identity::ActiveModel {
        id: Set(ROW),
        service: Set(wanted.service),
        deployment: Set(wanted.deployment),
        region: Set(wanted.region),
        created_at: Set(to_micros(now)),
        replay_after: Set(None),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

fn compare(row: store_identity::Model, wanted: &Identity) -> Result<(), CustodyError> {
    let found = Identity {
        service: row.service,
        deployment: row.deployment,
        region: row.region,
    };
    if found == *wanted {
        return Ok(());
    }
    Err(ResidencyError::OfAnother {
        found: found.to_string(),
        wanted: wanted.to_string(),
    }
    .into())
}

fn unlabelled(wanted: &Identity) -> CustodyError {
    ResidencyError::Unlabelled {
        wanted: wanted.to_string(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custody::testing::Place;

    async fn refusal(place: &Place) -> String {
        place.open().await.err().expect("refused").to_string()
    }

    async fn a_store_of_another_is_refused(place: Place) {
        place.open().await.expect("labelled");
        place.open().await.expect("its own");
        for (field, found) in [
            ("region", "ru-moscow"),
            ("deployment", "d-1"),
            ("service", "a-svc"),
        ] {
            let mut other = place.again();
            match field {
                "region" => other.residency.region = "elsewhere".into(),
                "deployment" => other.residency.deployment = "elsewhere".into(),
                _ => other.service = "elsewhere",
            }
            let error = refusal(&other).await;
            assert!(
                error.contains("elsewhere") && error.contains(found),
                "{error}"
            );
        }
    }

    async fn a_store_with_data_and_no_label_is_refused(place: Place) {
        place.add_things(3).await;
        let error = refusal(&place).await;
        assert!(error.contains("adopt_store_without_identity"), "{error}");
        let mut adopting = place.again();
        adopting.residency.adopt_store_without_identity = true;
        adopting.open().await.expect("adopted");
        place.open().await.expect("labelled");
    }

    crate::custody::testing::on_each_database!(
        a_store_of_another_is_refused,
        a_store_with_data_and_no_label_is_refused,
    );

    #[test]
    fn what_no_region_is_called_is_refused() {
        let good = ResidencyConfig {
            region: "ru-moscow".into(),
            deployment: "7d6c0c1e-3c4b-4f43-9d9c-0e0d8f6b7a11".into(),
            adopt_store_without_identity: false,
        };
        assert!(wanted("a-svc", &good).is_ok());
        for region in ["", "ru moscow", "ru/moscow", &"x".repeat(101)] {
            let bad = ResidencyConfig {
                region: region.into(),
                ..good.clone()
            };
            let error = wanted("a-svc", &bad).expect_err("refused");
            assert!(error.to_string().contains("residency.region"), "{error}");
        }
    }
}
