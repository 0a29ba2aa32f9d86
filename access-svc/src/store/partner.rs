use audit_log::Entry;
use futures::FutureExt;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Page, Store, context, entity, log};
use crate::{
    domain::partner::{Credentials, Partner, PartnerChange},
    error::{Error, Noun},
};

const INTERCOM: &str = "partner intercom secret";
const BARRIER: &str = "partner barrier secret";

impl From<entity::partner::Model> for Partner {
    fn from(row: entity::partner::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            token_url: row.token_url,
            api_base: row.api_base,
            door_path: row.door_path,
            barrier_path: row.barrier_path,
            minimal: row.minimal,
            ca_pem: row.ca_pem,
            settings_version: row.settings_version,
        }
    }
}

impl Store {
    pub(crate) async fn insert_partner(
        &self,
        partner: Partner,
        intercom: Credentials,
        barrier: Credentials,
        now: i64,
        telling: Entry,
    ) -> Result<(), Error> {
        let telling = self.new_entry(telling, None)?;
        let (key, wrapped) = self.keyring.new_data_key(partner.id.as_bytes())?;
        let seal = |column, secret: &Zeroizing<String>| {
            key.seal(secret.as_bytes(), &context(column, partner.id))
        };
        let row = entity::partner::ActiveModel {
            id: Set(partner.id),
            intercom_secret: Set(seal(INTERCOM, &intercom.client_secret)?),
            barrier_secret: Set(seal(BARRIER, &barrier.client_secret)?),
            name: Set(partner.name),
            token_url: Set(partner.token_url),
            api_base: Set(partner.api_base),
            door_path: Set(partner.door_path),
            barrier_path: Set(partner.barrier_path),
            minimal: Set(partner.minimal),
            ca_pem: Set(partner.ca_pem),
            settings_version: Set(partner.settings_version),
            epoch: Set(wrapped.epoch),
            wrapped_key: Set(wrapped.sealed),
            intercom_client_id: Set(intercom.client_id),
            barrier_client_id: Set(barrier.client_id),
            created_at: Set(now),
        };
        self.db
            .writer
            .write(move |txn| {
                async move {
                    entity::partner::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Only the state of that version, where it is not 0.
    pub(crate) async fn update_partner(
        &self,
        id: Uuid,
        version: i64,
        change: PartnerChange,
        telling: Entry,
    ) -> Result<Partner, Error> {
        let store = self.clone();
        let telling = self.new_entry(telling, None)?;
        self.db
            .writer
            .write(move |txn| {
                async move {
                    use entity::partner::{Column, Entity};
                    let row = Entity::find_by_id(id)
                        .lock(LockType::NoKeyUpdate)
                        .one(txn)
                        .await?
                        .ok_or(Error::NotFound(Noun::Partner))?;
                    if version != 0 && version != row.settings_version {
                        return Err(Error::EtagMismatch);
                    }
                    let key = store.unwrap(row.epoch, &row.wrapped_key, id)?;
                    let partner = Partner::from(row).changed(&change)?;
                    let value = |text: &str| Expr::value(text.to_owned());
                    let mut update = Entity::update_many()
                        .col_expr(Column::Name, value(&partner.name))
                        .col_expr(Column::TokenUrl, value(&partner.token_url))
                        .col_expr(Column::ApiBase, value(&partner.api_base))
                        .col_expr(Column::DoorPath, value(&partner.door_path))
                        .col_expr(Column::BarrierPath, value(&partner.barrier_path))
                        .col_expr(Column::Minimal, Expr::value(partner.minimal))
                        .col_expr(Column::CaPem, value(&partner.ca_pem))
                        .col_expr(
                            Column::SettingsVersion,
                            Expr::value(partner.settings_version),
                        )
                        .filter(Column::Id.eq(id));
                    if let Some(new) = &change.intercom {
                        let secret = new.client_secret.as_bytes();
                        let sealed = key.seal(secret, &context(INTERCOM, id))?;
                        update = update
                            .col_expr(Column::IntercomClientId, value(&new.client_id))
                            .col_expr(Column::IntercomSecret, Expr::value(sealed));
                    }
                    if let Some(new) = &change.barrier {
                        let secret = new.client_secret.as_bytes();
                        let sealed = key.seal(secret, &context(BARRIER, id))?;
                        update = update
                            .col_expr(Column::BarrierClientId, value(&new.client_id))
                            .col_expr(Column::BarrierSecret, Expr::value(sealed));
                    }
                    update.exec(txn).await?;
                    log::insert(txn, vec![telling]).await?;
                    Ok(partner)
                }
                .boxed()
            })
            .await
    }

    pub(crate) async fn partner(&self, id: Uuid) -> Result<Option<Partner>, Error> {
        let row = entity::partner::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?;
        Ok(row.map(Partner::from))
    }

    pub(crate) async fn has_partners(&self) -> Result<bool, Error> {
        let first = entity::partner::Entity::find()
            .select_only()
            .column(entity::partner::Column::Id)
            .into_tuple::<Uuid>()
            .one(&self.db.read)
            .await?;
        Ok(first.is_some())
    }

    pub(crate) async fn list_partners(&self, page: Page) -> Result<Vec<Partner>, Error> {
        let mut query = entity::partner::Entity::find().order_by_asc(entity::partner::Column::Id);
        if let Some(after) = page.after {
            query = query.filter(entity::partner::Column::Id.gt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(Partner::from).collect())
    }

    /// The partner with our intercom and our barrier client's secrets there.
    pub(crate) async fn egress_settings(
        &self,
        id: Uuid,
    ) -> Result<Option<(Partner, Credentials, Credentials)>, Error> {
        let Some(row) = entity::partner::Entity::find_by_id(id)
            .one(&self.db.read)
            .await?
        else {
            return Ok(None);
        };
        let key = self.unwrap(row.epoch, &row.wrapped_key, row.id)?;
        let open = |column, sealed: &[u8]| -> Result<Zeroizing<String>, Error> {
            let plain = key.open(sealed, &context(column, row.id))?;
            std::str::from_utf8(&plain)
                .map(|text| Zeroizing::new(text.to_owned()))
                .map_err(|_| Error::Corrupt("partner secret"))
        };
        let intercom = Credentials {
            client_id: row.intercom_client_id.clone(),
            client_secret: open(INTERCOM, &row.intercom_secret)?,
        };
        let barrier = Credentials {
            client_id: row.barrier_client_id.clone(),
            client_secret: open(BARRIER, &row.barrier_secret)?,
        };
        Ok(Some((row.into(), intercom, barrier)))
    }
}
