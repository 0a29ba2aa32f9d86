use propdev_proto::access::{
    AppendAuthEventsRequest, AppendAuthEventsResponse, AuthEvent as EventMessage,
    ListAuthEventsRequest, ListAuthEventsResponse, audit_service_server::AuditService,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    Api,
    convert::{fault, id, next_page, optional_text, page},
};
use crate::{error::Error, store::AuthEvent};

/// Most events of one call.
const MOST: usize = 1_000;

#[tonic::async_trait]
impl AuditService for Api {
    async fn append_auth_events(
        &self,
        request: Request<AppendAuthEventsRequest>,
    ) -> Result<Response<AppendAuthEventsResponse>, Status> {
        let messages = request.into_inner().events;
        if messages.len() > MOST {
            return Err(fault("events", "must be at most 1,000").into());
        }
        let events = messages
            .into_iter()
            .map(|message| {
                let id = id("events.event_id", &message.event_id)?;
                AuthEvent::of(id, message).ok_or_else(|| fault("events.at", "is required"))
            })
            .collect::<Result<_, Error>>()?;
        self.app.append_auth_events(events).await?;
        Ok(Response::new(AppendAuthEventsResponse {}))
    }

    async fn list_auth_events(
        &self,
        request: Request<ListAuthEventsRequest>,
    ) -> Result<Response<ListAuthEventsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let client_id = optional_text(request.client_id);
        let mut events = self.app.list_auth_events(client_id, page).await?;
        let next_page_token = next_page(&mut events, page, |(id, _)| *id);
        let events = events
            .iter()
            .map(|(_, payload)| EventMessage::decode(payload.as_slice()))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Corrupt("audit event"))?;
        Ok(Response::new(ListAuthEventsResponse {
            events,
            next_page_token,
        }))
    }
}
