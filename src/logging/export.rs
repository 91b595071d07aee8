//! Spans on their way to an OpenTelemetry collector: OTLP over HTTP (feature `otlp`).
//!
//! The standard variables say where to, as whose, and how many of them: `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_MAX_QUEUE_SIZE` and others that the SDK knows. A
//! worker puts a finished span into the SDK's queue, or drops it where that is full; a thread of the SDK
//! sends what is there every few seconds. Nobody waits for it but the end of the process.

use std::env;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::{Builder, Runtime};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use crate::limits::EXPORT_TIMEOUT;

/// Without one of these nothing is exported.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// Exports while it lives; what is left when it is dropped is sent then, if that takes but a few seconds.
pub(super) struct Export(SdkTracerProvider);

impl Export {
    /// Begins, if the environment says where to.
    pub(super) fn start() -> Result<Option<Export>, String> {
        let value = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let Some(endpoint) = ENDPOINTS.into_iter().find_map(value) else { return Ok(None) };
        if !endpoint.starts_with("http://") {
            // It is not told: a password may be in it.
            return Err("the collector's address is to begin with http://".to_owned());
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let http = HyperClient::with_default_connector(EXPORT_TIMEOUT, None);
        let exporter =
            SpanExporter::builder().with_http().with_http_client(Client { http, runtime });
        let exporter = exporter.build().map_err(|error| error.to_string())?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let mut resource = Resource::builder().with_attribute(version);
        if value("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("ringstone");
        }
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter);
        Ok(Some(Export(provider.with_resource(resource.build()).build())))
    }

    /// What hands it this program's spans, whatever the level of the log.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer("ringstone"));
        // Spans are not entered: they would say that nothing but waiting was done.
        let layer = layer.with_tracked_inactivity(false).with_threads(false).with_location(false);
        layer.with_filter(Targets::new().with_target("ringstone", LevelFilter::DEBUG))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

/// HTTP for the SDK's thread, which has no event loop.
#[derive(Debug)]
struct Client {
    http: HyperClient,
    runtime: Runtime,
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.runtime.block_on(self.http.send_bytes(request))
    }
}
