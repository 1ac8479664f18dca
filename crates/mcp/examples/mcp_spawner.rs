//! A program that is nothing but a spawner, for the integration tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(longshore_engine::shim::run_spawner())
}
