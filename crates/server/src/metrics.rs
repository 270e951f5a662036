//! What the daemon counts, as Prometheus reads it.

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use std::sync::Arc;

/// The registry and its members. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Requests answered.
    pub requests: Counter,
    /// Server errors among them.
    pub failures: Counter,
}

impl Metrics {
    /// All at zero, started at this second since the epoch.
    pub fn new(started: i64) -> Self {
        let (requests, failures, start) = (Counter::default(), Counter::default(), Gauge::<i64>::default());
        start.set(started);
        let mut registry = Registry::with_prefix("muster");
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_failures", "Requests answered with a server error", failures.clone());
        registry.register("start_time_seconds", "When the daemon started", start);
        Self { registry: Arc::new(registry), requests, failures }
    }

    /// The exposition text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        encode(&mut text, &self.registry).ok();
        text
    }
}
