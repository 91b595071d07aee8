//! The `ringstone` program.

fn main() {}
