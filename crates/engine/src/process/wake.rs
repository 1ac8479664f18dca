//! Wakes shims that somebody has frozen.

use longshore_domain::job::ProcessIdentity;
use rustix::process::Signal;

use crate::shim::tree;

/// Has the shim of a command go on if it was stopped by a signal; any other is left alone. Elsewhere than on Linux
/// nothing can be found for certain, and nothing is touched.
pub(crate) fn wake_shim(command: &ProcessIdentity) {
    if let Some(shim) = tree::stopped_parent(command) {
        tracing::warn!(process = shim.pid, "a shim that somebody had stopped is woken, so that it ends its command");
        tree::signal(&shim, Signal::CONT);
    }
}
