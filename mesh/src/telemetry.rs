//! Logs, traces and metrics of a process, set up once in `main`.

use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt,
};

use crate::config::{LogFormat, TelemetryConfig};

/// The crates whose spans are exported.
const TRACED: [&str; 5] = [
    "mesh::",
    "auth_svc::",
    "access_svc::",
    "biometric_svc::",
    "edge_rest::",
];

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("telemetry.log_filter is wrong: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("telemetry.otlp_endpoint is wrong: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    #[error("metrics cannot be set up: {0}")]
    Metrics(String),
    #[error("a logger is installed already")]
    Installed,
}

/// Keeps the exporters alive; flushes when dropped.
pub struct Telemetry {
    pub registry: prometheus::Registry,
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(tracer) = &self.tracer {
            let _ = tracer.shutdown();
        }
        let _ = self.meter.shutdown();
    }
}

/// Spans of the libraries below would drown our own; events belong to the log.
fn is_own_span(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    metadata.is_span() && TRACED.iter().any(|name| target.starts_with(name))
}

/// Installs the process's logger, tracer and meter.
pub fn init(service: &'static str, config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&config.log_filter)?;
    let format: Box<dyn Layer<Registry> + Send + Sync> = match config.log_format {
        LogFormat::Json => Box::new(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .with_writer(std::io::stderr)
                .with_filter(filter),
        ),
        LogFormat::Pretty => Box::new(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_filter(filter),
        ),
    };
    let resource = Resource::builder().with_service_name(service).build();

    let tracer = config
        .otlp_endpoint
        .as_ref()
        .map(|endpoint| {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()?;
            Ok::<_, TelemetryError>(
                SdkTracerProvider::builder()
                    .with_resource(resource.clone())
                    .with_batch_exporter(exporter)
                    .build(),
            )
        })
        .transpose()?;
    let spans = tracer.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_filter(filter_fn(is_own_span))
    });

    let registry = prometheus::Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()
        .map_err(|error| TelemetryError::Metrics(error.to_string()))?;
    let meter = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .build();
    global::set_meter_provider(meter.clone());
    global::set_text_map_propagator(TraceContextPropagator::new());

    tracing_subscriber::registry()
        .with(format)
        .with(spans)
        .try_init()
        .map_err(|_| TelemetryError::Installed)?;
    Ok(Telemetry {
        registry,
        tracer,
        meter,
    })
}
