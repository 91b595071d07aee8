//! Spans of groups, at debug level: what each of them did, and what it spent its time on.
//!
//! A span begins and ends with its group, and is never entered: several groups take turns on one thread.
//! As long as nobody listens to that level, it costs a relaxed load.

use tracing::Span;
use tracing::field::Empty;

use crate::metrics::{Stage, Times};
use crate::store::Mode;

/// Of a group that begins now.
pub(super) fn begin(mode: Mode) -> Span {
    tracing::debug_span!(
        parent: None,
        "group",
        mode = mode.name(),
        commands = Empty,
        bytes = Empty,
        execution_us = Empty,
        read_version_us = Empty,
        reads_us = Empty,
        commit_us = Empty,
        retry_us = Empty,
    )
}

/// The group has executed so many commands and written so many bytes.
pub(super) fn end(span: Span, commands: usize, bytes: usize, times: &Times) {
    if span.is_disabled() {
        return;
    }
    span.record("commands", commands).record("bytes", bytes);
    for (stage, ns) in times.iter() {
        let field = match stage {
            Stage::Execution => "execution_us",
            Stage::ReadVersion => "read_version_us",
            Stage::Reads => "reads_us",
            Stage::Commit => "commit_us",
            Stage::Retry => "retry_us",
            Stage::Authorization | Stage::Queue | Stage::Flush => continue,
        };
        span.record(field, ns / 1000);
    }
}
