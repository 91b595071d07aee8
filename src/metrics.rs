//! The Prometheus endpoint: which metrics there are, and the thread that serves them.
//!
//! Distributions are recorded as they happen, once per batch or group. Everything that is counted
//! anyway (see `command::stats`) is copied over once a second. Without `--metrics-listen` none of
//! this exists.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use metrics::{Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};

/// How often counters are copied.
const REFRESH: Duration = Duration::from_secs(1);
/// Upper bounds of the latency buckets, in seconds.
const SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];
/// Upper bounds of the size buckets.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0];

const METADATA: Metadata<'static> = Metadata::new("ringstone", Level::INFO, None);

/// What a metric is.
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: kind, name, unit and help.
const ALL: &[(Kind, &str, Unit, &str)] = &[
    (Kind::Counter, "ringstone_commands_total", Unit::Count, "Commands executed, by name."),
    (
        Kind::Counter,
        "ringstone_command_failures_total",
        Unit::Count,
        "Commands that answered with an error, by name.",
    ),
    (Kind::Counter, "ringstone_errors_total", Unit::Count, "Error replies, by their code."),
    (
        Kind::Histogram,
        COMMAND_SECONDS,
        Unit::Seconds,
        "Time from a batch's arrival to its replies, those to writes durable; one observation for \
         each command name in the batch.",
    ),
    (Kind::Counter, "ringstone_batches_total", Unit::Count, "Pipeline batches run."),
    (Kind::Histogram, "ringstone_batch_commands", Unit::Count, "Commands in a pipeline batch."),
    (Kind::Histogram, "ringstone_group_commands", Unit::Count, "Commands in a write group."),
    (
        Kind::Histogram,
        "ringstone_group_seconds",
        Unit::Seconds,
        "Time a write group spent on fetching records, executing, and committing.",
    ),
    (Kind::Gauge, "ringstone_connections", Unit::Count, "Connections open."),
    (Kind::Counter, "ringstone_connections_accepted_total", Unit::Count, "Connections accepted."),
    (Kind::Counter, "ringstone_connections_rejected_total", Unit::Count, "Connections refused."),
    (
        Kind::Counter,
        "ringstone_tls_handshakes_total",
        Unit::Count,
        "TLS handshakes that succeeded, by kind: full, or resumed from an earlier session.",
    ),
    (
        Kind::Counter,
        "ringstone_tls_handshake_failures_total",
        Unit::Count,
        "TLS handshakes that failed.",
    ),
    (Kind::Counter, "ringstone_received_bytes_total", Unit::Bytes, "Bytes of requests."),
    (Kind::Counter, "ringstone_sent_bytes_total", Unit::Bytes, "Bytes of replies."),
    (
        Kind::Counter,
        "ringstone_keyspace_hits_total",
        Unit::Count,
        "Keys that reading commands found.",
    ),
    (
        Kind::Counter,
        "ringstone_keyspace_misses_total",
        Unit::Count,
        "Keys that reading commands did not find.",
    ),
    (
        Kind::Counter,
        "ringstone_expired_keys_total",
        Unit::Count,
        "Keys removed because their time had come.",
    ),
];

const COMMAND_SECONDS: &str = "ringstone_command_seconds";

/// One value counted elsewhere: its metric, a label for it, and what it is now.
pub struct Figure {
    /// The metric's name.
    pub name: &'static str,
    /// A label's name and value.
    pub label: Option<(&'static str, &'static str)>,
    /// The value.
    pub value: u64,
}

impl Figure {
    /// A figure without a label.
    pub fn new(name: &'static str, value: u64) -> Figure {
        Figure { name, label: None, value }
    }

    /// A figure for one value of a label.
    pub fn of(name: &'static str, label: (&'static str, &'static str), value: u64) -> Figure {
        Figure { name, label: Some(label), value }
    }
}

/// What a write group spent its time on.
#[derive(Debug, Clone, Copy, Default)]
pub struct GroupTimes {
    /// Waiting for records.
    pub reads: Duration,
    /// Running commands.
    pub execution: Duration,
    /// Making the result durable.
    pub commit: Duration,
}

/// The distributions, to be recorded into.
pub struct Metrics {
    recorder: PrometheusRecorder,
    /// By command number, made when first used: most commands never are.
    commands: Vec<(&'static str, OnceLock<Histogram>)>,
    batch_commands: Histogram,
    group_commands: Histogram,
    group_reads: Histogram,
    group_execution: Histogram,
    group_commit: Histogram,
}

impl Metrics {
    fn new(recorder: PrometheusRecorder, commands: Vec<&'static str>) -> Metrics {
        for (kind, name, unit, help) in ALL {
            let (name, unit, help) = (KeyName::from_const_str(name), Some(*unit), (*help).into());
            match kind {
                Kind::Counter => recorder.describe_counter(name, unit, help),
                Kind::Gauge => recorder.describe_gauge(name, unit, help),
                Kind::Histogram => recorder.describe_histogram(name, unit, help),
            }
        }
        let plain = |name| recorder.register_histogram(&Key::from_static_name(name), &METADATA);
        let phase = |phase| histogram(&recorder, "ringstone_group_seconds", ("phase", phase));
        Metrics {
            commands: commands.into_iter().map(|name| (name, OnceLock::new())).collect(),
            batch_commands: plain("ringstone_batch_commands"),
            group_commands: plain("ringstone_group_commands"),
            group_reads: phase("reads"),
            group_execution: phase("execution"),
            group_commit: phase("commit"),
            recorder,
        }
    }

    /// A batch in which this command occurred took so long.
    pub fn command(&self, number: usize, latency_ns: u64) {
        let (name, handle) = &self.commands[number];
        handle
            .get_or_init(|| histogram(&self.recorder, COMMAND_SECONDS, ("command", name)))
            .record(latency_ns as f64 / 1e9);
    }

    /// A batch had so many commands.
    pub fn batch(&self, commands: usize) {
        self.batch_commands.record(commands as f64);
    }

    /// A write group had so many commands and took so long.
    pub fn group(&self, commands: usize, times: GroupTimes) {
        self.group_commands.record(commands as f64);
        self.group_reads.record(times.reads);
        self.group_execution.record(times.execution);
        self.group_commit.record(times.commit);
    }

    fn refresh(&self, figures: Vec<Figure>) {
        for Figure { name, label, value } in figures {
            let labels = label.map(|(name, value)| Label::from_static_parts(name, value));
            let key = Key::from_parts(name, labels.into_iter().collect::<Vec<_>>());
            if name == "ringstone_connections" {
                self.recorder.register_gauge(&key, &METADATA).set(value as f64);
            } else {
                self.recorder.register_counter(&key, &METADATA).absolute(value);
            }
        }
    }
}

fn histogram(
    recorder: &PrometheusRecorder,
    name: &'static str,
    (label, value): (&'static str, &'static str),
) -> Histogram {
    let key = Key::from_parts(name, vec![Label::from_static_parts(label, value)]);
    recorder.register_histogram(&key, &METADATA)
}

/// What the rest of the process knows and the endpoint shows.
pub trait Source: Send + Sync {
    /// Keeps the distributions, to record into them; called once, before anything is served.
    fn attach(&self, metrics: Metrics);
    /// The distributions given to [`Source::attach`].
    fn metrics(&self) -> Option<&Metrics>;
    /// Everything counted so far.
    fn figures(&self) -> Vec<Figure>;
}

/// Serves the metrics on `addr` from a thread of its own; `commands` are the names of all commands by
/// number.
pub fn serve<S: Source + 'static>(
    addr: SocketAddr,
    commands: Vec<&'static str>,
    source: std::sync::Arc<S>,
) -> Result<(), String> {
    let (started, is_started) = channel();
    let thread = std::thread::Builder::new().name("metrics".to_owned());
    thread
        .spawn(move || run(addr, commands, &*source, &started))
        .map_err(|error| error.to_string())?;
    is_started.recv().map_err(|_| "the thread ended".to_owned())?
}

fn run<S: Source>(
    addr: SocketAddr,
    commands: Vec<&'static str>,
    source: &S,
    started: &Sender<Result<(), String>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error.to_string()))),
    };
    runtime.block_on(async {
        let built = PrometheusBuilder::new()
            .with_http_listener(addr)
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_commands".to_owned()), SIZES)
            })
            .and_then(PrometheusBuilder::build);
        let exporter = match built {
            Ok((recorder, exporter)) => {
                source.attach(Metrics::new(recorder, commands));
                exporter
            }
            Err(error) => return drop(started.send(Err(error.to_string()))),
        };
        let refresh = async {
            let mut tick = tokio::time::interval(REFRESH);
            loop {
                tick.tick().await;
                if let Some(metrics) = source.metrics() {
                    metrics.refresh(source.figures());
                }
            }
        };
        // Whoever started this waits for the answer.
        let _ = started.send(Ok(()));
        tokio::select! {
            _ = exporter => tracing::error!(%addr, "the metrics endpoint has ended"),
            () = refresh => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_as_prometheus_wants_them() {
        for (at, (kind, name, unit, help)) in ALL.iter().enumerate() {
            assert!(name.starts_with("ringstone_"), "{name}");
            assert_eq!(matches!(kind, Kind::Counter), name.ends_with("_total"), "{name}");
            assert_eq!(*unit == Unit::Seconds, name.ends_with("_seconds"), "{name}");
            assert!(help.ends_with('.'), "{name}");
            assert!(ALL[..at].iter().all(|(_, other, ..)| other != name), "{name}");
        }
    }

    #[test]
    fn figures_and_distributions_are_rendered() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let metrics = Metrics::new(recorder, vec!["get", "set"]);
        metrics.command(1, 1_500_000);
        metrics.group(3, GroupTimes::default());
        metrics.refresh(vec![
            Figure::new("ringstone_connections", 7),
            Figure::of("ringstone_commands_total", ("command", "get"), 12),
        ]);
        let text = handle.render();
        assert!(text.contains("ringstone_commands_total{command=\"get\"} 12"), "{text}");
        assert!(text.contains("ringstone_connections 7"), "{text}");
        assert!(text.contains("ringstone_command_seconds_count{command=\"set\"} 1"), "{text}");
        assert!(!text.contains("command_seconds_count{command=\"get\"}"), "{text}");
    }
}
