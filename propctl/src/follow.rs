//! Lists that go on with what comes: streams that are taken up again, by their
//! cursor, where they break off.

use std::time::Duration;

use mesh::context::CallContext;
use tonic::{Code, Response, Status, Streaming};

use crate::{
    connection::Session,
    error::Failure,
    output::{Output, Row, note},
};

/// Before a stream that has ended is asked for again.
const PAUSE: Duration = Duration::from_millis(500);
/// For the call that begins a stream; its contract allows it less.
const BEGIN: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Follow {
    /// Tell what comes, as it comes, until interrupted or for as long as --timeout says
    #[arg(long, conflicts_with = "limit")]
    follow: bool,
    /// Go on where an earlier --follow ended; 0 is the beginning, without it, now
    #[arg(long, requires = "follow", value_name = "CURSOR")]
    cursor: Option<String>,
}

/// An answer of such a stream.
pub(crate) trait Told {
    type Item: Row;

    /// What it tells, if anything, and how far the stream has come.
    fn into_parts(self) -> (Option<Self::Item>, String);
}

/// How a stream came to its end.
enum End {
    InOrder,
    /// Whoever read has seen enough.
    NobodyReads,
}

impl Follow {
    pub(crate) fn is_wanted(&self) -> bool {
        self.follow
    }

    /// Asks with the cursor, again and again.
    pub(crate) async fn run<A: Told>(
        self,
        session: &Session,
        ask: impl AsyncFnMut(String) -> Result<Response<Streaming<A>>, Status>,
    ) -> Result<(), Failure> {
        let following = self.go_on(&session.output, ask);
        match session.limit {
            Some(limit) => tokio::time::timeout(limit, following)
                .await
                .unwrap_or(Ok(())),
            None => following.await,
        }
    }

    async fn go_on<A: Told>(
        self,
        output: &Output,
        mut ask: impl AsyncFnMut(String) -> Result<Response<Streaming<A>>, Status>,
    ) -> Result<(), Failure> {
        let mut cursor = self.cursor.unwrap_or_default();
        let mut begun = false;
        let request_id = CallContext::current().map_or_else(String::new, |call| call.request_id);
        output.begin::<A::Item>()?;
        loop {
            let reading = async {
                let mut answers = ask(cursor.clone()).await?.into_inner();
                while let Some(answer) = answers.message().await? {
                    let (item, next) = answer.into_parts();
                    if let Some(item) = item
                        && !output.next(&item, &next)?
                    {
                        return Ok(End::NobodyReads);
                    }
                    cursor = next;
                    begun = true;
                }
                Ok::<_, Failure>(End::InOrder)
            };
            // Each call has time of its own, however long this has gone on.
            let context = CallContext::new(BEGIN, request_id.clone());
            match context.scope(reading).await {
                Ok(End::InOrder) => {}
                Ok(End::NobodyReads) => return Ok(()),
                Err(Failure::Call { status, .. }) if begun && may_pass(&status) => {
                    note("the stream broke off; it is taken up again");
                }
                Err(failure) => {
                    if begun {
                        note(&format!("to go on from here: --cursor {cursor}"));
                    }
                    return Err(failure);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A connection that breaks in the middle of an answer has no code of its own.
fn may_pass(status: &Status) -> bool {
    mesh::error::is_unavailable(status) || status.code() == Code::Unknown
}
