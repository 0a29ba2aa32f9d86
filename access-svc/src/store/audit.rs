use audit_log::{Entry, Kind};
use futures::FutureExt;
use jiff::Timestamp;
use mesh::clock::from_proto;
use propdev_proto::access::{AuthEvent as EventMessage, AuthEventKind};
use prost::Message;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use uuid::Uuid;

use super::{Page, Store, entity, log};
use crate::error::Error;

/// The only one whose events tell of custody.
const AUTH: &str = "auth-svc";

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

/// An order of an operator that changed something.
pub(crate) struct PassageChange {
    pub(crate) site: Uuid,
    /// Its partner and the partner's id of it; none for the whole site.
    pub(crate) device: Option<(Uuid, String)>,
    pub(crate) code: &'static str,
    pub(crate) actor: String,
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

    pub(crate) fn passage_changed(
        change: PassageChange,
        request_id: String,
        at: Timestamp,
    ) -> Self {
        let id = Uuid::now_v7();
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let entry = Entry {
            partner: change.device.as_ref().map(|(partner, _)| *partner),
            site: Some(change.site),
            device: change.device.as_ref().map(|(_, device)| device.clone()),
            actor: text(&change.actor),
            request: text(&request_id),
            ..Entry::with_id(id, Kind::Act, change.code, at)
        };
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
            entry,
        }
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
        AuthEventKind::PassageChanged => (Kind::Act, "passage_changed"),
        AuthEventKind::Custody => (Kind::Act, "custody"),
        AuthEventKind::Unspecified => (Kind::Other, "other"),
    };
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let service = (message.kind() == AuthEventKind::Custody).then(|| AUTH.to_owned());
    let id_of = |text: &str| Uuid::try_parse(text).ok();
    Some(Entry {
        partner: id_of(&message.partner_id),
        site: id_of(&message.site_id),
        device: text(&message.device_id),
        client: text(&message.client_id),
        means: text(&message.means),
        who: id_of(&message.audit_pseudonym),
        actor: text(&message.actor),
        service,
        request: text(&message.request_id),
        subject: text(&message.jti).or_else(|| text(&message.subject)),
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
        let store = self.clone();
        self.db
            .writer
            .write(move |txn| async move { insert(&store, txn, events).await }.boxed())
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

/// With what they tell of, in the same transaction: neither is there without
/// the other; and with what the audit log says of them.
pub(super) async fn insert(
    store: &Store,
    txn: &DatabaseTransaction,
    events: Vec<AuthEvent>,
) -> Result<(), Error> {
    use entity::auth_event::{ActiveModel, Column, Entity};
    let tellings = events
        .iter()
        .map(|event| store.new_entry(event.entry.clone(), None))
        .collect::<Result<Vec<_>, _>>()?;
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
