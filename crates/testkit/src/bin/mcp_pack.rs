//! The pack of MCP checks as a program; see `tests/pack/README.md`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use longshore_testkit::pack;

fn main() -> Result<ExitCode> {
    let options = pack::Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let passed = runtime.block_on(pack::run(options))?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
