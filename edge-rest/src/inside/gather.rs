//! Token requests of about the same time go inside in one call: a call between
//! services costs more than the signature it asks for.

use futures::FutureExt;
use mesh::{
    client::MeshChannel,
    error::of_refusal,
    gather::{Gatherer, Rejected},
};
use propdev_proto::auth::{
    IssueTokenRequest, IssueTokenResponse, IssueTokensRequest, client_credentials::Method,
    issue_token_result::Result as Outcome, token_service_client::TokenServiceClient,
};
use prost::Message;
use tonic::Status;

/// What a request waits for inside: the answer to a group comes with its
/// slowest, so that each kind goes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// For nothing: what must be known is in memory.
    Plain,
    /// For a device to be looked up, or an assertion to be used up.
    Checked,
    /// For a person to be recognised.
    Subject,
}

impl Kind {
    fn of(request: &IssueTokenRequest) -> Self {
        let credentials = request.credentials.as_ref();
        let by_assertion = credentials.is_some_and(|one| one.method() == Method::PrivateKeyJwt);
        if request.evidence.is_some() {
            Self::Subject
        } else if by_assertion || !request.device_id.is_empty() {
            Self::Checked
        } else {
            Self::Plain
        }
    }
}

/// Token requests, gathered by kind.
pub(super) struct TokenRequests {
    plain: Requests,
    checked: Requests,
    subject: Requests,
}

impl TokenRequests {
    pub(super) fn start(client: TokenServiceClient<MeshChannel>) -> Self {
        Self {
            plain: Requests::start(client.clone(), 2, 64),
            // These wait for other services or the disk, which gather again.
            checked: Requests::start(client.clone(), 4, 32),
            subject: Requests::start(client, 4, 32),
        }
    }

    pub(super) async fn issue(
        &self,
        request: IssueTokenRequest,
    ) -> Result<IssueTokenResponse, Status> {
        let requests = match Kind::of(&request) {
            Kind::Plain => &self.plain,
            Kind::Checked => &self.checked,
            Kind::Subject => &self.subject,
        };
        requests.issue(request).await
    }
}

struct Requests(Gatherer<IssueTokenRequest, Result<IssueTokenResponse, Status>>);

impl Requests {
    fn start(client: TokenServiceClient<MeshChannel>, calls: usize, together: usize) -> Self {
        let work = move |requests| call(client.clone(), requests).boxed();
        Self(Gatherer::start_sized(
            calls,
            together,
            IssueTokenRequest::encoded_len,
            work,
        ))
    }

    async fn issue(&self, request: IssueTokenRequest) -> Result<IssueTokenResponse, Status> {
        match self.0.submit(request).await {
            Ok(result) => result,
            Err(Rejected::Full) => Err(Status::resource_exhausted("too many token requests wait")),
            Err(Rejected::GivenUp) => Err(Status::internal("a request got no result")),
        }
    }
}

async fn call(
    mut client: TokenServiceClient<MeshChannel>,
    requests: Vec<IssueTokenRequest>,
) -> Vec<Result<IssueTokenResponse, Status>> {
    let count = requests.len();
    match client.issue_tokens(IssueTokensRequest { requests }).await {
        Ok(response) => {
            let results = response.into_inner().results.into_iter();
            results
                .map(|result| match result.result {
                    Some(Outcome::Issued(issued)) => Ok(issued),
                    Some(Outcome::Refusal(refusal)) => Err(of_refusal(refusal)),
                    None => Err(Status::internal("a result says nothing")),
                })
                .collect()
        }
        Err(status) => vec![Err(status); count],
    }
}

#[cfg(test)]
mod tests {
    use propdev_proto::auth::{ClientCredentials, PlateReading, issue_token_request::Evidence};

    use super::*;

    #[test]
    fn what_waits_for_something_goes_apart_from_what_does_not() {
        let by = |method: Method| IssueTokenRequest {
            credentials: Some(ClientCredentials {
                method: method.into(),
                ..ClientCredentials::default()
            }),
            ..IssueTokenRequest::default()
        };
        let for_device = IssueTokenRequest {
            device_id: "door-1".into(),
            ..by(Method::ClientSecretBasic)
        };
        let by_plate = IssueTokenRequest {
            evidence: Some(Evidence::Plate(PlateReading::default())),
            ..by(Method::PrivateKeyJwt)
        };
        for (request, kind) in [
            (by(Method::ClientSecretBasic), Kind::Plain),
            (by(Method::ClientSecretPost), Kind::Plain),
            (by(Method::Tls), Kind::Plain),
            (IssueTokenRequest::default(), Kind::Plain),
            (by(Method::PrivateKeyJwt), Kind::Checked),
            (for_device, Kind::Checked),
            (by_plate, Kind::Subject),
        ] {
            assert_eq!(Kind::of(&request), kind);
        }
    }
}
