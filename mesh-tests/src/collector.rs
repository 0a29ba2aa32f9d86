//! Where the services' spans go: an OTLP collector that keeps them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// A span and the service that told it.
#[derive(Clone, Debug)]
pub struct Told {
    pub service: String,
    pub span: Span,
}

/// A collector on a port of its own, for as long as the test runs.
#[derive(Clone)]
pub struct Collector {
    pub address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let collector = Self {
            address: listener.local_addr().expect("an address"),
            told: Arc::default(),
        };
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        collector
    }

    pub fn spans(&self) -> Vec<Told> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The spans of each trace.
    pub fn traces(&self) -> HashMap<Vec<u8>, Vec<Told>> {
        let mut traces: HashMap<_, Vec<_>> = HashMap::new();
        for told in self.spans() {
            let trace = told.span.trace_id.clone();
            traces.entry(trace).or_default().push(told);
        }
        traces
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let service = resource
                .resource
                .iter()
                .flat_map(|resource| &resource.attributes)
                .find(|attribute| attribute.key == "service.name")
                .and_then(|attribute| attribute.value.clone()?.value)
                .and_then(|value| match value {
                    Value::StringValue(text) => Some(text),
                    _ => None,
                })
                .unwrap_or_default();
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                let service = service.clone();
                told.push(Told { service, span });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
