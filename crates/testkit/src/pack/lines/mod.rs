//! The checks, one file for each line of the list in `tests/pack/README.md` (or two that belong together).

mod answers;
mod cancel;
mod continuation;
mod crossings;
mod disconnect;
mod errors;
pub(super) mod gateway;
mod headers;
mod json;
mod kill;
mod listen;
mod matrix;
mod owners;
pub(super) mod reference;
mod restart;
mod storm;
mod ttl;
mod undeclared;

use super::Check;

/// Every check, in the order of the lines.
pub(super) fn all() -> impl Iterator<Item = &'static Check> {
    let lines = [
        undeclared::CHECKS,
        crossings::CHECKS,
        errors::CHECKS,
        listen::CHECKS,
        kill::CHECKS,
        restart::CHECKS,
        answers::CHECKS,
        owners::CHECKS,
        cancel::CHECKS,
        ttl::CHECKS,
        disconnect::CHECKS,
        matrix::CHECKS,
        json::CHECKS,
        continuation::CHECKS,
        gateway::CHECKS,
        headers::CHECKS,
        storm::CHECKS,
    ];
    lines.into_iter().flatten()
}
