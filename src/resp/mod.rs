//! RESP, the wire protocol: requests out of bytes ([`Parser`]) and replies into bytes ([`Reply`]).
//!
//! Both are sans-I/O: they see byte slices and vectors, never a socket, so that the event loop, the
//! tests and the fuzzer run the same code. Connections call the parser, command handlers the
//! encoder.

mod encode;
mod error;
mod inline;
mod parse;

pub use encode::{Mark, Protocol, Reply};
pub use error::ProtocolError;
pub use parse::{ParseLimits, Parser, Progress, Requests, Span};
