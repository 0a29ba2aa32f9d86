use futures::{StreamExt, stream::BoxStream};
use mesh::{error::refusal, server::answer_each};
use propdev_proto::access::{
    Check, Command as CommandMessage, CommandStatus as StatusMessage, Decision,
    FollowOpeningsRequest, FollowOpeningsResponse, GetOpeningRequest, GetOpeningResponse,
    ListOpeningsRequest, ListOpeningsResponse, OpenBatchRequest, OpenBatchResponse,
    OpenRequest as OpenMessage, OpenResponse, OpenResult, Opening as OpeningMessage, open_request,
    open_result, opening_service_server::OpeningService,
};
use tonic::{Request, Response, Status};
use zeroize::Zeroizing;

use super::{
    Api,
    convert::{
        cursor, fault, kind, kind_message, next_page, optional_id, optional_text, optional_time,
        page, presented, timestamp,
    },
};
use crate::{
    app::{Evidence, OpenRequest},
    domain::opening::{CommandStatus, Opening},
    store::Filter,
};

/// Requests that come in one call.
const MOST_REQUESTS: usize = 64;

impl Api {
    async fn judge(&self, request: OpenMessage) -> Result<OpenResponse, Status> {
        if request.body_digest.len() != 32 {
            return Err(fault("body_digest", "must have 32 bytes").into());
        }
        let opened = self
            .app
            .open(OpenRequest {
                kind: kind(request.device_kind())?,
                presented: presented(request.access_token, request.certificate_sha256),
                device_id: request.device_id,
                evidence: match request.evidence {
                    None => Evidence::None,
                    Some(open_request::Evidence::Face(face)) => Evidence::Face(face),
                    Some(open_request::Evidence::Plate(plate)) => Evidence::Plate {
                        number: Zeroizing::new(plate.number),
                        country: plate.country,
                    },
                    Some(open_request::Evidence::BodyFault(fault)) => Evidence::Fault {
                        reason: fault.reason,
                        detail: fault.detail,
                    },
                },
                captured_at: optional_time("captured_at", request.captured_at)?,
                body_digest: request.body_digest,
                idempotency_key: optional_text(request.idempotency_key),
            })
            .await?;
        Ok(OpenResponse {
            opening: Some(for_partner(opened.opening)),
            replayed: opened.replayed,
        })
    }
}

#[tonic::async_trait]
impl OpeningService for Api {
    async fn open(&self, request: Request<OpenMessage>) -> Result<Response<OpenResponse>, Status> {
        Ok(Response::new(self.judge(request.into_inner()).await?))
    }

    type OpenBatchStream = BoxStream<'static, Result<OpenBatchResponse, Status>>;

    async fn open_batch(
        &self,
        request: Request<OpenBatchRequest>,
    ) -> Result<Response<Self::OpenBatchStream>, Status> {
        let (_, extensions, OpenBatchRequest { requests }) = request.into_parts();
        if !(1..=MOST_REQUESTS).contains(&requests.len()) {
            return Err(fault("requests", "must be 1 to 64").into());
        }
        let requests = requests.into_iter().map(|mut message| {
            let api = self.clone();
            let member = message.member.take();
            (member, async move { api.judge(message).await })
        });
        let answers = answer_each(&extensions, requests).map(|results| {
            let results = results
                .into_iter()
                .map(|(index, result)| result_message(index, result));
            Ok(OpenBatchResponse {
                results: results.collect(),
            })
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn get_opening(
        &self,
        request: Request<GetOpeningRequest>,
    ) -> Result<Response<GetOpeningResponse>, Status> {
        let request = request.into_inner();
        let presented = presented(request.access_token, request.certificate_sha256);
        let opening = self
            .app
            .get_opening(&presented, &request.opening_id)
            .await?;
        Ok(Response::new(GetOpeningResponse {
            opening: Some(for_partner(opening)),
        }))
    }

    async fn list_openings(
        &self,
        request: Request<ListOpeningsRequest>,
    ) -> Result<Response<ListOpeningsResponse>, Status> {
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let partner = optional_id("partner_id", &request.partner_id)?;
        let mut openings = self
            .app
            .list_openings(partner, optional_text(request.device_id), page)
            .await?;
        let next_page_token = next_page(&mut openings, page, |opening| opening.id);
        Ok(Response::new(ListOpeningsResponse {
            openings: openings.into_iter().map(for_operator).collect(),
            next_page_token,
        }))
    }

    type FollowOpeningsStream = BoxStream<'static, Result<FollowOpeningsResponse, Status>>;

    async fn follow_openings(
        &self,
        request: Request<FollowOpeningsRequest>,
    ) -> Result<Response<Self::FollowOpeningsStream>, Status> {
        let request = request.into_inner();
        let filter = Filter {
            partner: optional_id("partner_id", &request.partner_id)?,
            device_id: optional_text(request.device_id),
        };
        let cursor = cursor(&request.cursor)?;
        let followed = self.app.follow_openings(cursor, filter).await?;
        let answers = followed.map(|told| -> Result<_, Status> {
            let told = told?;
            Ok(FollowOpeningsResponse {
                opening: told.thing.map(for_operator),
                cursor: told.cursor.to_string(),
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}

fn result_message(index: u32, result: Result<OpenResponse, Status>) -> OpenResult {
    let result = match result {
        Ok(opened) => open_result::Result::Opened(opened),
        Err(status) => open_result::Result::Refusal(refusal(&status)),
    };
    OpenResult {
        index,
        result: Some(result),
    }
}

/// Never who it was.
fn for_partner(opening: Opening) -> OpeningMessage {
    OpeningMessage {
        means: String::new(),
        audit_pseudonym: String::new(),
        client_id: String::new(),
        checks: vec![],
        ..for_operator(opening)
    }
}

fn for_operator(opening: Opening) -> OpeningMessage {
    OpeningMessage {
        opening_id: opening.id.to_string(),
        device_id: opening.device_id,
        device_kind: kind_message(opening.kind),
        decision: if opening.denial_code.is_none() {
            Decision::Granted
        } else {
            Decision::Denied
        }
        .into(),
        denial_code: opening.denial_code.unwrap_or_default(),
        command: opening.command.map(|command| CommandMessage {
            command_id: command.id.to_string(),
            status: status(command.status).into(),
            expires_at: timestamp(command.expires_at),
        }),
        decided_at: timestamp(opening.decided_at),
        means: opening.means.as_str().to_owned(),
        audit_pseudonym: opening
            .audit_pseudonym
            .map_or_else(String::new, |id| id.to_string()),
        client_id: opening.client_id,
        checks: opening
            .checks
            .into_iter()
            .map(|check| Check {
                name: check.name,
                passed: check.passed,
                cause: check.cause.unwrap_or_default(),
            })
            .collect(),
    }
}

fn status(status: CommandStatus) -> StatusMessage {
    match status {
        CommandStatus::Pending => StatusMessage::Pending,
        CommandStatus::Delivered => StatusMessage::Delivered,
        CommandStatus::Opened => StatusMessage::Opened,
        CommandStatus::Failed => StatusMessage::Failed,
        CommandStatus::Rejected => StatusMessage::Rejected,
        CommandStatus::Expired => StatusMessage::Expired,
        CommandStatus::Unknown => StatusMessage::Unknown,
    }
}
