use futures::FutureExt;
use jiff::Timestamp;
use propdev_proto::access::{AuthEvent as EventMessage, AuthEventKind};
use prost::Message;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use uuid::Uuid;

use super::{Page, Store, entity};
use crate::error::Error;

/// An event, encoded as auth-svc tells its own; it holds nothing personal.
pub(crate) struct AuthEvent {
    /// UUID, version 7.
    pub(crate) id: Uuid,
    /// Empty for nobody who had proved who they are.
    pub(crate) client_id: String,
    pub(crate) payload: Vec<u8>,
}

/// An order of an operator that changed something.
pub(crate) struct PassageChange {
    pub(crate) site: Uuid,
    /// Its partner and the partner's id of it; none for the whole site.
    pub(crate) device: Option<(Uuid, String)>,
    pub(crate) code: &'static str,
    pub(crate) actor: String,
}

impl AuthEvent {
    /// A client's requests of the last minute that a limit refused.
    pub(crate) fn rate_limited(client_id: String, count: u32, at: Timestamp) -> Self {
        let id = Uuid::now_v7();
        let message = EventMessage {
            event_id: id.to_string(),
            at: Some(prost_types::Timestamp {
                seconds: at.as_second(),
                nanos: at.subsec_nanosecond(),
            }),
            kind: AuthEventKind::RateLimited.into(),
            client_id: client_id.clone(),
            code: "rate_limited".into(),
            count,
            ..EventMessage::default()
        };
        Self {
            id,
            client_id,
            payload: message.encode_to_vec(),
        }
    }

    pub(crate) fn passage_changed(
        change: PassageChange,
        request_id: String,
        at: Timestamp,
    ) -> Self {
        let id = Uuid::now_v7();
        let (partner_id, device_id) = match change.device {
            Some((partner, device)) => (partner.to_string(), device),
            None => (String::new(), String::new()),
        };
        let message = EventMessage {
            event_id: id.to_string(),
            at: Some(prost_types::Timestamp {
                seconds: at.as_second(),
                nanos: at.subsec_nanosecond(),
            }),
            kind: AuthEventKind::PassageChanged.into(),
            partner_id,
            code: change.code.into(),
            device_id,
            count: 1,
            actor: change.actor,
            request_id,
            site_id: change.site.to_string(),
            ..EventMessage::default()
        };
        Self {
            id,
            client_id: String::new(),
            payload: message.encode_to_vec(),
        }
    }
}

impl Store {
    pub(crate) async fn insert_auth_events(&self, mut events: Vec<AuthEvent>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        // One order everywhere, or two replicas lock each other out.
        events.sort_by_key(|event| event.id);
        self.db
            .writer
            .write(move |txn| insert(txn, events).boxed())
            .await
    }

    /// Newest first.
    pub(crate) async fn list_auth_events(
        &self,
        client_id: Option<String>,
        page: Page,
    ) -> Result<Vec<AuthEvent>, Error> {
        use entity::auth_event::{Column, Entity};
        let mut query = Entity::find().order_by_desc(Column::Id);
        if let Some(client_id) = client_id {
            query = query.filter(Column::ClientId.eq(client_id));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.lt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows
            .into_iter()
            .map(|row| AuthEvent {
                id: row.id,
                client_id: row.client_id,
                payload: row.payload,
            })
            .collect())
    }
}

/// With what they tell of, in the same transaction: neither is there without
/// the other.
pub(super) async fn insert(txn: &DatabaseTransaction, events: Vec<AuthEvent>) -> Result<(), Error> {
    use entity::auth_event::{ActiveModel, Column, Entity};
    let rows = events.into_iter().map(|event| ActiveModel {
        id: Set(event.id),
        client_id: Set(event.client_id),
        payload: Set(event.payload),
    });
    Entity::insert_many(rows)
        .on_conflict(OnConflict::column(Column::Id).do_nothing().to_owned())
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
