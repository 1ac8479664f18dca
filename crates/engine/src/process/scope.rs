//! A systemd scope: a cgroup beside the service or the login session that starts it, so that it does not end with that.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// What scopes are told where systemd knows it. All jobs share one: what the kernel kills of one for want of memory must not
/// end the others, and their number is bound by their own limits. Source: systemd.scope(5), systemd.resource-control(5).
const PROPERTIES: [&str; 2] = ["OOMPolicy=continue", "TasksMax=infinity"];

/// Where the manager of a user is found; a service with `User=` is not told. Source: pam_systemd(8).
const RUNTIME_DIRS: &str = "/run/user";

/// Ways to run `program` in a scope, the better one first: an older systemd refuses properties that it does not know.
pub fn scoped<A: AsRef<OsStr>>(program: &Path, args: &[A]) -> [Command; 2] {
    [&PROPERTIES[..], &[]].map(|properties| {
        let is_root = rustix::process::geteuid().is_root();
        let mut command = Command::new("systemd-run");
        command.args([if is_root { "--system" } else { "--user" }, "--scope", "--collect", "--quiet"]);
        for property in properties {
            command.args(["--property", property]);
        }
        let runtime = Path::new(RUNTIME_DIRS).join(rustix::process::geteuid().as_raw().to_string());
        if !is_root && runtime.is_dir() {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        command.arg("--").arg(program).args(args);
        command
    })
}
