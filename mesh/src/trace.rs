//! The trace and the request id of requests that go together in one call: the
//! call's own metadata can name but one.

use std::collections::HashMap;

use opentelemetry::{global, trace::TraceContextExt};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::context::{CallContext, acceptable_request_id, new_request_id};

/// Links that a span keeps.
const MOST_LINKS: usize = 128;

/// `traceparent` of the current span (W3C Trace Context); empty without a trace.
pub fn traceparent() -> String {
    let mut carrier: HashMap<String, String> = HashMap::new();
    let context = Span::current().context();
    global::get_text_map_propagator(|p| p.inject_context(&context, &mut carrier));
    carrier.remove("traceparent").unwrap_or_default()
}

/// Does the work of one of several requests that came in one call: in that
/// request's own trace, and under its own id.
pub async fn as_its_own<F: Future>(request_id: &str, traceparent: &str, work: F) -> F::Output {
    let Some(mut context) = CallContext::current() else {
        return work.await;
    };
    if acceptable_request_id(request_id) {
        context.request_id = request_id.to_owned();
    }
    let span = tracing::info_span!("member", request_id = %context.request_id);
    if !traceparent.is_empty() {
        let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
        let parent = global::get_text_map_propagator(|p| p.extract(&carrier));
        let _ = span.set_parent(parent);
    }
    context.scope(work).instrument(span).await
}

/// Where the work for several requests is done: a trace and an id of its own,
/// which each of theirs is linked with.
pub(crate) struct Together {
    pub(crate) span: Span,
    pub(crate) request_id: String,
}

impl Together {
    pub(crate) fn of<'a>(members: impl ExactSizeIterator<Item = &'a Span>) -> Self {
        let request_id = new_request_id();
        let span = tracing::info_span!(
            parent: None,
            "together",
            request_id = %request_id,
            members = members.len(),
        );
        for member in members.take(MOST_LINKS) {
            let context = member.context().span().span_context().clone();
            if context.is_valid() {
                span.add_link(context);
            }
            member.in_scope(|| tracing::debug!(together = %request_id, "goes with others"));
        }
        Self { span, request_id }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_of_several_keeps_its_own_id() {
        let call = CallContext::new(Duration::from_secs(5), "the-call".into());
        let deadline = call.deadline;
        let seen = async |own: &str| {
            let work = async { CallContext::current().expect("a context") };
            as_its_own(own, "", work).await
        };
        let own = call.clone().scope(seen("mine")).await;
        assert_eq!((own.request_id.as_str(), own.deadline), ("mine", deadline));
        let none = call.scope(seen("")).await;
        assert_eq!(none.request_id, "the-call");
        assert_eq!(traceparent(), "", "there is no trace here");
    }
}
