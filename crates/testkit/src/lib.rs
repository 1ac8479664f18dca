//! Development only: what the tests of several crates share, the checks of MCP servers ([`pack`], binary `mcp_pack`)
//! and of whole histories ([`history`]), the crash test (binary `crash`) and that of several nodes (`cluster`). The
//! workspace's own rules are held by `tests/rules.rs`.

mod cgroup;
mod dice;
pub mod history;
pub mod pack;
pub mod postgres;
mod shims;

pub use cgroup::CgroupFolder;
pub use dice::{Dice, random_seed};
pub use shims::{ShimsEnd, working_in};
