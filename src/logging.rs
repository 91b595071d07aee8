//! The log: events at or above the configured level, to standard error.
//!
//! [`crate::cli`] calls [`init`] once, before anything is logged. Below `trace`, libraries are
//! heard only when they warn, so that `debug` explains this program and not theirs. A span is one line,
//! written when it ends. In builds with the feature `otlp` spans also go to an OpenTelemetry collector.

#[cfg(feature = "otlp")]
mod export;

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{LogFormat, LogLevel};

/// To be kept until everything that may be logged has been: what is still to be exported is when this is
/// dropped.
#[must_use]
pub struct Logging {
    #[cfg(feature = "otlp")]
    _export: Option<export::Export>,
}

/// Logs to standard error from here on, with colour if that is a terminal and `NO_COLOR` is unset.
///
/// A process that logs already (a test that started one server before) keeps its log.
pub fn init(level: LogLevel, format: LogFormat) -> Logging {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stderr().is_terminal() && !no_color;
    let lines = lines(level, format, colour, io::stderr);
    #[cfg(feature = "otlp")]
    let exported = export::Export::start();
    #[cfg(feature = "otlp")]
    let lines = {
        let layer = exported.as_ref().ok().and_then(Option::as_ref).map(export::Export::layer);
        lines.into_iter().chain(layer.map(Layer::boxed)).collect::<Vec<_>>()
    };
    // Fails only if there is a log already.
    let _ = tracing_subscriber::registry().with(lines).try_init();
    Logging {
        #[cfg(feature = "otlp")]
        _export: exported.unwrap_or_else(|cause| {
            tracing::warn!(cause, "spans are not exported");
            None
        }),
    }
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

fn lines<W>(level: LogLevel, format: LogFormat, colour: bool, writer: W) -> Vec<Lines>
where
    W: for<'w> MakeWriter<'w, Writer: Write> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    let lines = lines.with_span_events(FmtSpan::CLOSE);
    let lines: Lines = match format {
        LogFormat::Human => Box::new(lines.compact().with_target(false)),
        LogFormat::Json => Box::new(lines.json().flatten_event(true)),
    };
    vec![lines.with_filter(filter(level)).boxed()]
}

fn filter(level: LogLevel) -> Targets {
    let (own, libraries) = match level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new().with_default(libraries).with_target("ringstone", own)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat) -> String {
        logged_of(level, format, || {
            tracing::error!(key = 7, "own error");
            tracing::info!("own info");
            tracing::debug!("own debug");
            tracing::trace!("own trace");
            tracing::warn!(target: "fjall", "library warn");
            tracing::info!(target: "fjall", "library info");
        })
    }

    fn logged_of(level: LogLevel, format: LogFormat, f: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = lines(level, format, false, move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), f);
        let bytes = sink.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_span_is_one_line_with_what_became_of_it() {
        let span = || {
            let span = tracing::debug_span!("group", commands = tracing::field::Empty);
            span.record("commands", 7);
        };
        let text = logged_of(LogLevel::Debug, LogFormat::Human, span);
        assert!(text.contains("DEBUG group: close") && text.ends_with(" commands=7\n"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(logged_of(LogLevel::Info, LogFormat::Human, span), "");
    }

    #[test]
    fn levels_keep_their_own_events_and_quiet_libraries() {
        for (level, heard) in [
            (LogLevel::Error, &["own error"][..]),
            (LogLevel::Warn, &["own error", "library warn"]),
            (LogLevel::Info, &["own error", "own info", "library warn"]),
            (LogLevel::Debug, &["own error", "own info", "own debug", "library warn"]),
            (
                LogLevel::Trace,
                &[
                    "own error",
                    "own info",
                    "own debug",
                    "own trace",
                    "library warn",
                    "library info",
                ],
            ),
        ] {
            let text = logged(level, LogFormat::Human);
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), heard.len(), "{level:?}: {text}");
            for (line, event) in lines.iter().zip(heard) {
                assert!(line.contains(event), "{level:?}: {line}");
            }
        }
    }

    #[test]
    fn human_lines_are_plain_without_a_terminal() {
        let text = logged(LogLevel::Error, LogFormat::Human);
        assert!(text.ends_with("ERROR own error key=7\n"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn json_lines_are_objects_with_fields() {
        let text = logged(LogLevel::Error, LogFormat::Json);
        let line = text.strip_suffix('\n').unwrap();
        assert!(line.starts_with('{') && line.ends_with('}') && !line.contains('\n'), "{line}");
        for field in [r#""level":"ERROR""#, r#""message":"own error""#, r#""key":7"#] {
            assert!(line.contains(field), "{line}");
        }
    }
}
