//! The `ringstone` program.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ringstone::cli::run(std::env::args_os(), std::env::vars_os(), ringstone::server::run)
}
