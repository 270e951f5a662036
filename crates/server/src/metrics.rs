//! What the daemon counts, as Prometheus reads it.

use muster_clients::machine::Counters;
use muster_engine::{Engine, services::update::Downloads};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::{
        MetricType,
        counter::{ConstCounter, Counter},
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use std::sync::Arc;

/// Calls to machines, counted where they are made.
#[derive(Debug)]
struct MachineCalls(Arc<Counters>);

impl Collector for MachineCalls {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for (name, help, value) in [
            ("machine_requests", "Requests to machines", self.0.requests()),
            ("machine_handshakes", "TLS handshakes with machines", self.0.handshakes()),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}

/// What came from the update source, and the room for it.
struct Updates(Engine);

impl std::fmt::Debug for Updates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Updates")
    }
}

impl Collector for Updates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let done = self.0.refreshes();
        for (name, help, value) in [
            ("updates_fetched_bytes", "Bytes from the update source", done.bytes()),
            ("updates_refreshes", "Refreshes that went well", done.succeeded()),
            ("updates_refresh_failures", "Refreshes that failed", done.failed()),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let space = self.0.update_space().ok();
        let bytes = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1);
        for (name, help, value) in [
            ("updates_refreshed_time_seconds", "When the last refresh went well, 0 for never", done.succeeded_at()),
            ("updates_available_bytes", "Room for updates, -1 if unknown", bytes(space.map(|space| space.available))),
            (
                "updates_file_system_bytes",
                "Size of their file system, -1 if unknown",
                bytes(space.map(|space| space.total)),
            ),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Machines that are kept for somebody, as of the last look at the subscriptions.
struct Subscriptions(Engine);

impl std::fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscriptions")
    }
}

impl Collector for Subscriptions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let totals = self.0.subscribed();
        for (name, help, value) in [
            ("subscriptions_active", "Subscriptions that are neither stopped nor over", totals.active()),
            ("subscriptions_wanted_machines", "Machines that they ask for", totals.wanted()),
            ("subscriptions_missing_machines", "Machines that they lack", totals.missing()),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Downloads of update files, counted where they have their turns.
struct Loading(Arc<Downloads>);

impl std::fmt::Debug for Loading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loading")
    }
}

impl Collector for Loading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let served = ConstCounter::new(self.0.bytes());
        let help = "Bytes of update files sent to machines";
        served.encode(encoder.encode_descriptor("update_bytes_served", help, None, served.metric_type())?)?;
        let (sending, waiting) = self.0.count();
        for (name, help, value) in [
            ("update_downloads_sending", "Downloads of update files that are being sent", sending),
            ("update_downloads_waiting", "Downloads of update files that wait until others are done", waiting),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Images that are prepared for seeds.
struct Preparing(Engine);

impl std::fmt::Debug for Preparing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Preparing")
    }
}

impl Collector for Preparing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let splitting = self.0.splitting();
        for (name, help, value) in [
            ("images_prepared", "Images prepared for seeds", splitting.done()),
            ("images_prepare_failures", "Images that could not be prepared for seeds", splitting.failed()),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let (done, size) = splitting.progress();
        for (name, help, value) in [
            ("images_unprepared", "Images that can be asked for and are not prepared yet", splitting.unprepared()),
            ("image_preparing_read_bytes", "Bytes that are done of the image that is being prepared", done),
            ("image_preparing_bytes", "Bytes of the image that is being prepared, 0 for none", size),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Machines by their state.
struct Machines(Engine);

impl std::fmt::Debug for Machines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Machines")
    }
}

impl Collector for Machines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counted = self.0.counted_machines();
        let help = "Machines by lifecycle state, as of the last minute";
        let mut family = encoder.encode_descriptor("machines", help, None, MetricType::Gauge)?;
        for (state, count) in &counted.states {
            ConstGauge::new(*count).encode(family.encode_family(&[("lifecycle", state.as_str())])?)?;
        }
        let overdue = ConstGauge::new(counted.overdue);
        let help = "Machines that are longer than expected in a state that passes by itself";
        overdue.encode(encoder.encode_descriptor("machines_overdue", help, None, overdue.metric_type())?)
    }
}

/// The registry and its members. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Counter,
    failures: Counter,
}

impl Metrics {
    /// All at zero, started at this second since the epoch.
    pub fn new(started: i64, engine: &Engine, downloads: &Arc<Downloads>) -> Self {
        let (requests, failures, start) = (Counter::default(), Counter::default(), Gauge::<i64>::default());
        start.set(started);
        let mut registry = Registry::with_prefix("muster");
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_failures", "Requests answered with a server error", failures.clone());
        registry.register("start_time_seconds", "When the daemon started", start);
        registry.register_collector(Box::new(MachineCalls(engine.machine_calls().clone())));
        registry.register_collector(Box::new(Updates(engine.clone())));
        registry.register_collector(Box::new(Preparing(engine.clone())));
        registry.register_collector(Box::new(Subscriptions(engine.clone())));
        registry.register_collector(Box::new(Loading(downloads.clone())));
        registry.register_collector(Box::new(Machines(engine.clone())));
        Self { registry: Arc::new(registry), requests, failures }
    }

    /// Counts an answer.
    pub fn answered(&self, status: axum::http::StatusCode) {
        self.requests.inc();
        if status.is_server_error() {
            self.failures.inc();
        }
    }

    /// The exposition text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        encode(&mut text, &self.registry).ok();
        text
    }
}
