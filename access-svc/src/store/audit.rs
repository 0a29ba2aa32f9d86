use audit_log::{Entry, Kind};
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::from_proto;
use propdev_proto::access::{AuthEvent as EventMessage, AuthEventKind};
use prost::Message;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::{Page, Store, entity, log};
use crate::error::Error;

/// An event, encoded as auth-svc tells its own; it holds nothing personal.
pub(crate) struct AuthEvent {
    /// UUID, version 7.
    id: Uuid,
    /// Empty for nobody who had proved who they are.
    client_id: String,
    payload: Vec<u8>,
    /// The same as the audit log has it.
    entry: Entry,
}

impl AuthEvent {
    /// An event as auth-svc tells it; none without a time.
    pub(crate) fn of(id: Uuid, message: EventMessage) -> Option<Self> {
        Some(Self {
            id,
            entry: entry(id, &message)?,
            payload: message.encode_to_vec(),
            client_id: message.client_id,
        })
    }

    /// A client's requests of the last minute that a limit refused.
    pub(crate) fn rate_limited(client_id: String, count: u32, at: Timestamp) -> Option<Self> {
        let id = Uuid::now_v7();
        let message = EventMessage {
            event_id: id.to_string(),
            at: Some(prost_types::Timestamp {
                seconds: at.as_second(),
                nanos: at.subsec_nanosecond(),
            }),
            kind: AuthEventKind::RateLimited.into(),
            client_id,
            code: "rate_limited".into(),
            count,
            ..EventMessage::default()
        };
        Self::of(id, message)
    }
}

fn entry(id: Uuid, message: &EventMessage) -> Option<Entry> {
    let at = message.at.as_ref()?;
    let at = from_proto(at.seconds, at.nanos).ok()?;
    let (kind, code) = match message.kind() {
        AuthEventKind::TokenIssued => (Kind::Token, "issued"),
        AuthEventKind::TokenRefused => (Kind::Token, "refused"),
        AuthEventKind::TokenRevoked => (Kind::Token, "revoked"),
        AuthEventKind::AuthenticationFailed => (Kind::Authentication, "failed"),
        AuthEventKind::RateLimited => (Kind::Limit, "rate_limited"),
        AuthEventKind::ClientChanged => (Kind::Client, "changed"),
        AuthEventKind::SigningKeyChanged => (Kind::SigningKey, "changed"),
        AuthEventKind::Unspecified => (Kind::Other, "other"),
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let id_of = |text: &str| Uuid::try_parse(text).ok();
    Some(Entry {
        partner: id_of(&message.partner_id),
        device: text(&message.device_id),
        client: text(&message.client_id),
        means: text(&message.means),
        who: id_of(&message.audit_pseudonym),
        actor: text(&message.actor),
        request: text(&message.request_id),
        subject: text(&message.jti),
        count: (message.count > 1).then_some(message.count),
        ..Entry::with_id(
            id,
            kind,
            text(&message.code).unwrap_or_else(|| code.to_owned()),
            at,
        )
    })
}

impl Store {
    pub(crate) async fn insert_auth_events(&self, mut events: Vec<AuthEvent>) -> Result<(), Error> {
        if events.is_empty() {
            return Ok(());
        }
        // One order everywhere, or two replicas lock each other out.
        events.sort_by_key(|event| event.id);
        let tellings = events
            .iter()
            .map(|event| self.new_entry(event.entry.clone(), None))
            .collect::<Result<Vec<_>, _>>()?;
        self.db
            .writer
            .write(move |txn| {
                async move {
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
                    log::insert(txn, tellings).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    /// Newest first, as they were told.
    pub(crate) async fn list_auth_events(
        &self,
        client_id: Option<String>,
        page: Page,
    ) -> Result<Vec<(Uuid, Vec<u8>)>, Error> {
        use entity::auth_event::{Column, Entity};
        let mut query = Entity::find().order_by_desc(Column::Id);
        if let Some(client_id) = client_id {
            query = query.filter(Column::ClientId.eq(client_id));
        }
        if let Some(after) = page.after {
            query = query.filter(Column::Id.lt(after));
        }
        let rows = query.limit(page.limit).all(&self.db.read).await?;
        Ok(rows.into_iter().map(|row| (row.id, row.payload)).collect())
    }
}
