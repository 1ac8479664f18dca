//! What only the machine knows: its boot, the age of its processes, who supervises us.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

use crate::config::environment;

/// A name for this boot of the machine; another value means that no process of before can live.
#[cfg(target_os = "linux")]
pub(crate) fn boot() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    named_boot(text.trim())
}

/// A name for this boot of the machine, made from the instant at which the kernel says it began.
#[cfg(not(target_os = "linux"))]
pub(crate) fn boot() -> String {
    let answer = std::process::Command::new("sysctl").args(["-n", "kern.boottime"]).output();
    let text = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned()).unwrap_or_default();
    named_boot(text.split('}').next().unwrap_or_default().trim_start_matches(['{', ' ']).trim())
}

/// The name of the machine.
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A boot that cannot be told from others gets a fixed name: processes are then told apart by their start alone.
fn named_boot(text: &str) -> String {
    match text.is_empty() {
        true => "unknown".into(),
        false => text.into(),
    }
}

/// When the process `pid` began, in clock ticks since boot; nothing if there is no such process or no `/proc`.
///
/// A process that has ended and that nobody has waited for yet counts as gone.
pub(crate) fn started_ticks(pid: u32) -> Option<u64> {
    /// Position of `starttime` after the command name (proc(5): field 22; the name is field 2).
    const FIELDS_AFTER_NAME: usize = 19;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(") ")?.1;
    if after_name.starts_with(['Z', 'X']) {
        return None;
    }
    after_name.split(' ').nth(FIELDS_AFTER_NAME)?.parse().ok()
}

/// Whether a process with this number exists, one that has ended and that nobody has waited for yet included.
pub(crate) fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Whether systemd supervises this process as a service, so that it would stop everything in its cgroup with us.
pub(crate) fn is_systemd_service() -> bool {
    environment::variable("INVOCATION_ID").is_some() && Path::new("/run/systemd/system").exists()
}

/// The scope of the login session that a process belongs to, if it belongs to one.
pub(crate) fn session_of(pid: u32) -> Option<String> {
    session_in(&cgroups_of(pid)?)
}

/// Source: systemd's `session-N.scope`, of which pam_systemd(8) makes one for each login.
fn session_in(cgroups: &str) -> Option<String> {
    let parts = cgroups.lines().flat_map(|line| line.rsplit(':').next().unwrap_or_default().split('/'));
    let mut sessions = parts.filter(|part| part.starts_with("session-") && part.ends_with(".scope"));
    sessions.next().map(str::to_owned)
}

/// The cgroup of the service that a process belongs to, such as `system.slice/longshore.service`, if it belongs to one.
pub(crate) fn service_of(pid: u32) -> Option<String> {
    service_in(&cgroups_of(pid)?)
}

fn service_in(cgroups: &str) -> Option<String> {
    let path = unified_in(cgroups)?;
    let parts: Vec<_> = path.split('/').collect();
    let at = parts.iter().rposition(|part| part.ends_with(".service"))?;
    Some(parts[..=at].join("/"))
}

/// The path of a process in cgroup v2, from its root and without a slash before it.
pub(crate) fn unified_of(pid: u32) -> Option<String> {
    unified_in(&cgroups_of(pid)?).map(str::to_owned)
}

/// Source: proc_pid_cgroup(5).
fn cgroups_of(pid: u32) -> Option<String> {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()
}

fn unified_in(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// Whether a process is root's; where that cannot be seen, whether this one is.
pub(crate) fn is_roots(pid: u32) -> bool {
    let owner = std::fs::metadata(format!("/proc/{pid}")).map(|folder| folder.uid());
    owner.unwrap_or_else(|_| rustix::process::geteuid().as_raw()) == 0
}

/// Whether systemd lets processes of this user outlive the login: it always does for root's own services and scopes, for
/// others if they may linger. Source: loginctl(1).
pub(crate) fn may_linger() -> bool {
    let lingers = |user: String| Path::new("/var/lib/systemd/linger").join(user).exists();
    Path::new("/run/systemd/system").exists()
        && (rustix::process::geteuid().is_root() || environment::variable("USER").is_some_and(lingers))
}

/// How many files this process may have open at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenFiles {
    /// Until they were made more; absent = there was no limit.
    pub(crate) before: Option<u64>,
    /// From now on.
    pub(crate) now: u64,
}

impl OpenFiles {
    /// Most that a daemon asks for: some systems say that there is no limit, and have one.
    const MOST: u64 = 65_536;

    /// Takes as many as the system lets this process have. Source: setrlimit(2), `RLIMIT_NOFILE`.
    pub(crate) fn raise() -> Self {
        let Rlimit { current: before, maximum } = getrlimit(Resource::Nofile);
        let (had, wanted) = (before.unwrap_or(Self::MOST), maximum.unwrap_or(Self::MOST).min(Self::MOST));
        let raised = wanted > had && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
        Self { before, now: if raised { wanted } else { had } }
    }
}

/// Bytes free for us on the file system of `path`.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_login_session_is_told_from_services_and_other_scopes() {
        let session = "0::/user.slice/user-1000.slice/session-3.scope\n";
        assert_eq!(super::session_in(session).as_deref(), Some("session-3.scope"));
        let old = "1:name=systemd:/user.slice/user-0.slice/session-c1.scope\n0::/\n";
        assert_eq!(super::session_in(old).as_deref(), Some("session-c1.scope"));
        for other in [
            "0::/system.slice/longshore.service\n",
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope\n",
            "0::/\n",
            "",
        ] {
            assert_eq!(super::session_in(other), None, "{other}");
        }
    }

    #[test]
    fn a_service_is_the_innermost_of_those_around_a_process() {
        for (cgroup, expected) in [
            ("system.slice/longshore.service/longshore", Some("system.slice/longshore.service")),
            ("user.slice/user@7.service/app.slice/a.service", Some("user.slice/user@7.service/app.slice/a.service")),
            ("user.slice/user-0.slice/session-3.scope", None),
            ("", None),
        ] {
            assert_eq!(super::service_in(&format!("0::/{cgroup}\n")).as_deref(), expected);
        }
    }

    #[test]
    fn this_process_has_a_start_and_exists() {
        let pid = std::process::id();
        assert!(super::exists(pid));
        assert_eq!(super::started_ticks(pid).is_some(), std::path::Path::new("/proc/self/stat").exists());
        assert!(!super::exists(u32::MAX));
    }
}
