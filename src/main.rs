//! The `ringstone` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringstone::cli::run(std::env::args_os(), std::env::vars_os(), ringstone::server::run)
}
