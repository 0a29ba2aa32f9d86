//! A stream that is followed.

use std::sync::{Arc, Mutex};

use propdev_proto::access::{
    FollowOpeningsRequest, FollowOpeningsResponse, GetOpeningRequest, GetOpeningResponse,
    ListOpeningsRequest, ListOpeningsResponse, OpenBatchRequest, OpenBatchResponse, OpenRequest,
    OpenResponse, Opening,
    opening_service_server::{OpeningService, OpeningServiceServer},
};
use serde_json::{Value, json};
use tonic::{Request, Response, Status, codegen::tokio_stream, service::Routes};

use crate::house::{House, propctl, text};

/// Streams that break off after one opening each, and the last for good.
#[derive(Clone, Default)]
struct Openings {
    cursors: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl OpeningService for Openings {
    async fn open(&self, _: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    type OpenBatchStream = tokio_stream::Empty<Result<OpenBatchResponse, Status>>;

    async fn open_batch(
        &self,
        _: Request<OpenBatchRequest>,
    ) -> Result<Response<Self::OpenBatchStream>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn get_opening(
        &self,
        _: Request<GetOpeningRequest>,
    ) -> Result<Response<GetOpeningResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    async fn list_openings(
        &self,
        _: Request<ListOpeningsRequest>,
    ) -> Result<Response<ListOpeningsResponse>, Status> {
        Err(Status::unimplemented("not asked here"))
    }

    type FollowOpeningsStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<FollowOpeningsResponse, Status>>>;

    async fn follow_openings(
        &self,
        request: Request<FollowOpeningsRequest>,
    ) -> Result<Response<Self::FollowOpeningsStream>, Status> {
        let cursor = request.into_inner().cursor;
        if cursor == "none" {
            return Err(Status::invalid_argument("no answer gave it"));
        }
        let mut cursors = self.cursors.lock().expect("a lock");
        cursors.push(cursor);
        let number = cursors.len();
        let answer = |opening: Option<&str>, cursor: usize| {
            Ok(FollowOpeningsResponse {
                opening: opening.map(|id| Opening {
                    opening_id: id.into(),
                    ..Opening::default()
                }),
                cursor: cursor.to_string(),
            })
        };
        let told = format!("o{number}");
        let mut answers = vec![answer(None, number - 1), answer(Some(&told), number)];
        match number {
            // The connection broke, the service went away, its minute was over.
            1 => answers.push(Err(Status::unknown("broken"))),
            2 => answers.push(Err(Status::unavailable("as told"))),
            3 => {}
            _ => answers.push(Err(Status::out_of_range("for good"))),
        }
        Ok(Response::new(tokio_stream::iter(answers)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_is_taken_up_again() {
    let openings = Openings::default();
    let mut house = House::new();
    let routes = Routes::new(OpeningServiceServer::new(openings.clone()));
    house.serve("access-svc", routes).await;
    let settings = house.settings("operator/viewer/anna");
    let arguments = ["opening", "list", "--follow", "--output", "json"];
    let followed = propctl(&settings, &arguments).await;
    let told = text(&followed.stderr);
    assert_eq!(followed.status.code(), Some(1), "{told}");
    assert!(told.contains("OUT_OF_RANGE: for good"), "{told}");
    assert!(told.contains("--cursor 4"), "{told}");
    let lines: Vec<Value> = text(&followed.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["opening_id"].clone(), line["cursor"].clone()))
        .collect();
    let wanted = [("o1", "1"), ("o2", "2"), ("o3", "3"), ("o4", "4")];
    assert_eq!(seen, wanted.map(|(id, cursor)| (json!(id), json!(cursor))));
    let asked = openings.cursors.lock().expect("a lock").clone();
    assert_eq!(asked, ["", "1", "2", "3"], "each goes on from the last");

    // What another stream has told is where this one begins; a cursor alone
    // means nothing.
    let arguments = ["opening", "list", "--follow", "--cursor", "7"];
    let followed = propctl(&settings, &arguments).await;
    assert_eq!(followed.status.code(), Some(1));
    assert!(text(&followed.stdout).starts_with("DECIDED  OPENING"));
    let asked = openings.cursors.lock().expect("a lock").clone();
    assert_eq!(asked[4], "7");
    // From one that was refused nobody shall go on.
    let arguments = ["opening", "list", "--follow", "--cursor", "none"];
    let refused = propctl(&settings, &arguments).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(!text(&refused.stderr).contains("--cursor"));
    let usage = propctl(&settings, &["opening", "list", "--cursor", "7"]).await;
    assert_eq!(usage.status.code(), Some(2));
    let both = ["opening", "list", "--follow", "--limit", "5"];
    assert_eq!(propctl(&settings, &both).await.status.code(), Some(2));
}
