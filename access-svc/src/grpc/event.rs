use futures::{StreamExt, future::join_all, stream::BoxStream};
use mesh::{error::refusal, trace::as_its_own};
use propdev_proto::access::{
    BodyFault, CommandResult as ResultMessage, CommandStatus, CredentialKind as KindMessage,
    CredentialOpening as OpeningMessage, Event as EventMessage, EventFault, FollowEventsRequest,
    FollowEventsResponse, ListEventsRequest, ListEventsResponse, RecordCommandResultsRequest,
    RecordCommandResultsResponse, RecordCredentialOpeningsBatchRequest,
    RecordCredentialOpeningsBatchResponse, RecordCredentialOpeningsRequest,
    RecordCredentialOpeningsResponse, RecordCredentialOpeningsResult, WebhookSignature,
    event_service_server::EventService, record_credential_openings_result,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{cursor, fault, next_page, optional_id, optional_text, page, presented, timestamp},
};
use crate::{
    domain::{
        event::{CommandResult, CredentialKind, CredentialOpening, Event},
        signature::Signed,
        syntax::is_partner_id,
    },
    error::Error,
    store::Filter,
};

/// Most events of one call.
const MOST_EVENTS: usize = 1_000;
/// Calls that come in one.
const MOST_CALLS: usize = 64;

impl Api {
    async fn credential_openings(
        &self,
        request: RecordCredentialOpeningsRequest,
    ) -> Result<RecordCredentialOpeningsResponse, Error> {
        let kind = match request.kind() {
            KindMessage::Key => CredentialKind::Key,
            KindMessage::Fob => CredentialKind::Fob,
            KindMessage::Unspecified => return Err(fault("kind", "is required")),
        };
        let presented = presented(request.access_token, request.certificate_sha256);
        let signed = request.signature.map(signed);
        let bearer = self.app.event_writer(&presented, signed.as_ref()).await?;
        check_body(request.body_fault, request.events.len())?;
        let events = parse(request.events, request.faults, credential_opening)?;
        let recorded = self
            .app
            .record_credential_openings(&bearer, kind, events)
            .await?;
        Ok(RecordCredentialOpeningsResponse {
            accepted: recorded.accepted,
            duplicates: recorded.duplicates,
        })
    }
}

#[tonic::async_trait]
impl EventService for Api {
    async fn record_credential_openings(
        &self,
        request: Request<RecordCredentialOpeningsRequest>,
    ) -> Result<Response<RecordCredentialOpeningsResponse>, Status> {
        let recorded = self.credential_openings(request.into_inner()).await?;
        Ok(Response::new(recorded))
    }

    async fn record_credential_openings_batch(
        &self,
        request: Request<RecordCredentialOpeningsBatchRequest>,
    ) -> Result<Response<RecordCredentialOpeningsBatchResponse>, Status> {
        let requests = request.into_inner().requests;
        if !(1..=MOST_CALLS).contains(&requests.len()) {
            return Err(fault("requests", "must be 1 to 64").into());
        }
        let results = requests.into_iter().map(|message| async move {
            let (id, parent) = (message.request_id.clone(), message.traceparent.clone());
            as_its_own(&id, &parent, self.credential_openings(message)).await
        });
        let results = join_all(results).await.into_iter().map(|result| {
            use record_credential_openings_result::Result as Outcome;
            let result = match result {
                Ok(recorded) => Outcome::Recorded(recorded),
                Err(error) => Outcome::Refusal(refusal(&error.into())),
            };
            RecordCredentialOpeningsResult {
                result: Some(result),
            }
        });
        Ok(Response::new(RecordCredentialOpeningsBatchResponse {
            results: results.collect(),
        }))
    }

    async fn record_command_results(
        &self,
        request: Request<RecordCommandResultsRequest>,
    ) -> Result<Response<RecordCommandResultsResponse>, Status> {
        let request = request.into_inner();
        let presented = presented(request.access_token, request.certificate_sha256);
        let signed = request.signature.map(signed);
        let bearer = self.app.event_writer(&presented, signed.as_ref()).await?;
        check_body(request.body_fault, request.results.len())?;
        let results = parse(request.results, request.faults, command_result)?;
        let recorded = self.app.record_command_results(&bearer, results).await?;
        Ok(Response::new(RecordCommandResultsResponse {
            accepted: recorded.accepted,
            duplicates: recorded.duplicates,
        }))
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let partner = optional_id("partner_id", &request.partner_id)?;
        let mut events = self.app.list_events(partner, page).await?;
        let next_page_token = next_page(&mut events, page, |event| event.id);
        Ok(Response::new(ListEventsResponse {
            events: events.into_iter().map(message).collect(),
            next_page_token,
        }))
    }

    type FollowEventsStream = BoxStream<'static, Result<FollowEventsResponse, Status>>;

    async fn follow_events(
        &self,
        request: Request<FollowEventsRequest>,
    ) -> Result<Response<Self::FollowEventsStream>, Status> {
        let request = request.into_inner();
        let filter = Filter {
            partner: optional_id("partner_id", &request.partner_id)?,
            device_id: optional_text(request.device_id),
        };
        let cursor = cursor(&request.cursor)?;
        let followed = self.app.follow_events(cursor, filter).await?;
        let answers = followed.map(|told| -> Result<_, Status> {
            let told = told?;
            Ok(FollowEventsResponse {
                event: told.thing.map(message),
                cursor: told.cursor.to_string(),
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}

fn signed(message: WebhookSignature) -> Signed {
    Signed {
        id: message.id,
        timestamp: message.timestamp,
        signature: message.signature,
        body: Zeroizing::new(message.body),
    }
}

fn check_body(body_fault: Option<BodyFault>, events: usize) -> Result<(), Error> {
    if let Some(fault) = body_fault {
        return Err(Error::Body {
            reason: fault.reason,
            detail: fault.detail,
        });
    }
    if events > MOST_EVENTS {
        return Err(Error::Body {
            reason: "PAYLOAD_TOO_LARGE".into(),
            detail: "a call takes at most 1,000 events".into(),
        });
    }
    Ok(())
}

/// All of a call's events, or every one of its faults: the edge's and ours.
fn parse<M, T>(
    messages: Vec<M>,
    told: Vec<EventFault>,
    parse_one: impl Fn(M) -> Result<T, &'static str>,
) -> Result<Vec<T>, Error> {
    let mut faults: Vec<(u32, String)> = told
        .into_iter()
        .map(|fault| (fault.index, fault.detail))
        .collect();
    // Events that the edge could not read are missing from the list, so that
    // positions tell nothing then; it has checked the others the same way.
    if !faults.is_empty() {
        faults.sort();
        return Err(Error::InvalidEvents(faults));
    }
    let mut events = Vec::with_capacity(messages.len());
    for (index, message) in (0..).zip(messages) {
        match parse_one(message) {
            Ok(event) => events.push(event),
            Err(detail) => faults.push((index, detail.to_owned())),
        }
    }
    if faults.is_empty() {
        Ok(events)
    } else {
        Err(Error::InvalidEvents(faults))
    }
}

fn partner_id(text: String, detail: &'static str) -> Result<Option<String>, &'static str> {
    match optional_text(text) {
        Some(id) if !is_partner_id(&id) => Err(detail),
        id => Ok(id),
    }
}

fn credential_opening(message: OpeningMessage) -> Result<CredentialOpening, &'static str> {
    let credential_id = Zeroizing::new(message.credential_id);
    if !is_partner_id(&credential_id) {
        return Err("the id of the key or fob must be 1 to 128 of [A-Za-z0-9._:-]");
    }
    Ok(CredentialOpening {
        credential_id,
        opened_at: message
            .opened_at
            .and_then(|time| mesh::clock::from_proto(time.seconds, time.nanos).ok())
            .ok_or("opened_at is required")?,
        device_id: partner_id(
            message.device_id,
            "device_id must be 1 to 128 of [A-Za-z0-9._:-]",
        )?,
        event_id: partner_id(
            message.event_id,
            "event_id must be 1 to 128 of [A-Za-z0-9._:-]",
        )?,
    })
}

/// An id that is none can be no command of the partner's: told as absent.
fn command_result(message: ResultMessage) -> Result<CommandResult, &'static str> {
    let opened = match message.status() {
        CommandStatus::Opened => true,
        CommandStatus::Failed => false,
        _ => return Err("status must be opened or failed"),
    };
    Ok(CommandResult {
        command_id: Uuid::try_parse(&message.command_id).unwrap_or_default(),
        opening_id: Uuid::try_parse(&message.opening_id).unwrap_or_default(),
        opened,
        at: message
            .at
            .and_then(|time| mesh::clock::from_proto(time.seconds, time.nanos).ok())
            .ok_or("at is required")?,
        event_id: partner_id(
            message.event_id,
            "event_id must be 1 to 128 of [A-Za-z0-9._:-]",
        )?,
    })
}

fn message(event: Event) -> EventMessage {
    EventMessage {
        event_uid: event.id.to_string(),
        kind: match event.kind {
            CredentialKind::Key => KindMessage::Key,
            CredentialKind::Fob => KindMessage::Fob,
        }
        .into(),
        partner_id: event.partner.to_string(),
        device_id: event.device_id.unwrap_or_default(),
        device_known: event.device_known,
        holder_known: event.holder.is_some(),
        audit_pseudonym: event.holder.map_or_else(String::new, |id| id.to_string()),
        opened_at: timestamp(event.opened_at),
        received_at: timestamp(event.received_at),
    }
}
