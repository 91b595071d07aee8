//! The `ringstone` program.

use std::process::ExitCode;

use ringstone::cli::{self, Program};
use ringstone::server;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program { serve: server::run, doctor: server::doctor };
    cli::run(std::env::args_os(), std::env::vars_os(), &program)
}
