//! The `ringstone` program.

use std::process::ExitCode;

use ringstone::config::Config;

fn main() -> ExitCode {
    ringstone::cli::run(std::env::args_os(), std::env::vars_os(), serve)
}

fn serve(_: Config) -> ExitCode {
    eprintln!("ringstone: this build has no server");
    ExitCode::FAILURE
}
