//! What a call inherits from the call that caused it: its deadline and its
//! request id; and who made it. Set by the server's layer, read by the client's
//! and by what writes down who did a thing.

use std::time::{Duration, Instant};

use crate::Caller;

tokio::task_local! {
    static CONTEXT: CallContext;
}

/// Metadata that carries the request id between services.
pub const REQUEST_ID: &str = "x-request-id";

#[derive(Clone, Debug)]
pub struct CallContext {
    pub deadline: Instant,
    pub request_id: String,
    /// None outside of a mesh server.
    pub caller: Option<Caller>,
}

impl CallContext {
    pub fn new(budget: Duration, request_id: String) -> Self {
        Self {
            deadline: Instant::now() + budget,
            request_id,
            caller: None,
        }
    }

    #[must_use]
    pub fn made_by(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// The context of the running call; none outside of one.
    pub fn current() -> Option<Self> {
        CONTEXT.try_with(Clone::clone).ok()
    }

    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CONTEXT.scope(self, work).await
    }
}

/// A caller's request id is kept when it is short and plain, so that it can
/// be logged and sent on.
pub fn acceptable_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

pub fn new_request_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
