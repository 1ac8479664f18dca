//! The cgroup v2 folder in which every attempt gets a leaf of its own: which one it is, what is done to have the kernel
//! hold limits there, and what can be seen of that.
//!
//! A leaf has the limits that its parent hands on (`cgroup.subtree_control`), and a parent that hands any on may have no
//! processes itself, unless it is the root. Source: the kernel's admin-guide/cgroup-v2, "Controlling Controllers".

use std::fs;
use std::path::{Path, PathBuf};

use super::machine;
use crate::config::Cgroup;

/// What limits are held with.
const MEMORY: &str = "memory";
const PROCESSES: &str = "pids";
/// The leaf of this process where it stood in the way.
const OWN_LEAF: &str = "longshore";
/// The file of a folder's own processes.
const PROCS: &str = "cgroup.procs";
/// The file of what a folder may hand on.
const CONTROLLERS: &str = "cgroup.controllers";
/// The file of what a folder hands on.
const SUBTREE_CONTROL: &str = "cgroup.subtree_control";

/// Where shims and commands are put, so that they outlive this process and are held to their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Shims go into a systemd scope of their own.
    pub(crate) scope: bool,
    /// Commands get leaves in this folder.
    pub(crate) cgroup: Option<PathBuf>,
}

impl Placement {
    /// The rule. `own` is the folder of this process if it was delegated.
    pub(crate) fn decide(asked: &Cgroup, is_service: bool, own: Option<PathBuf>) -> Self {
        let cgroup = match asked {
            // A command in a service's own cgroup would be stopped with the service.
            Cgroup::Auto => own.filter(|_| !is_service),
            Cgroup::Off => None,
            Cgroup::At(folder) => Some(folder.clone()),
        };
        Self { scope: is_service, cgroup }
    }
}

/// What the kernel does for leaves of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// It kills all of one at once.
    pub(crate) kill: bool,
    /// It holds all of one to a limit on memory.
    pub(crate) memory: bool,
    /// It holds all of one to a number of processes.
    pub(crate) processes: bool,
}

/// Looks at what holds in a folder; nothing if it is no cgroup v2 folder. Changes nothing.
pub(crate) fn look(folder: &Path) -> Option<Held> {
    let handed_on = words(&folder.join(SUBTREE_CONTROL))?;
    let has = |controller: &str| handed_on.iter().any(|found| found == controller);
    Some(Held { kill: can_kill(folder), memory: has(MEMORY), processes: has(PROCESSES) })
}

/// The root has no such file, but all below it do.
fn can_kill(folder: &Path) -> bool {
    let has = |folder: &Path| folder.join("cgroup.kill").exists();
    let below = fs::read_dir(folder).into_iter().flatten().flatten();
    has(folder) || is_root(folder) && below.into_iter().any(|entry| has(&entry.path()))
}

fn is_root(folder: &Path) -> bool {
    !folder.join("cgroup.type").exists()
}

/// What to do for a folder to hand on a controller.
pub(crate) fn advice(folder: &Path, controller: &str) -> String {
    let has =
        |file: &str, word: &str| words(&folder.join(file)).is_some_and(|words| words.iter().any(|found| found == word));
    if !has(CONTROLLERS, controller) {
        return format!(
            "have `+{controller}` written to {SUBTREE_CONTROL} of the folder above, then start the daemon anew"
        );
    }
    match words(&folder.join(PROCS)).is_none_or(|processes| processes.is_empty()) {
        true => "start the daemon anew: it has the kernel hold them".into(),
        false => "move the processes that are in the folder itself elsewhere, then start the daemon anew".into(),
    }
}

/// Has a folder hand on what limits are held with, as far as it is offered. This process moves into a leaf of its own if
/// it is the only one in the way; where others are, nothing is handed on, and leaves are there to be killed.
pub(crate) fn prepare(folder: &Path) {
    let offered = words(&folder.join(CONTROLLERS)).unwrap_or_default();
    let handed_on = words(&folder.join(SUBTREE_CONTROL)).unwrap_or_default();
    let missing = [MEMORY, PROCESSES].into_iter().filter(|&name| {
        let is_in = |list: &[String]| list.iter().any(|found| found == name);
        is_in(&offered) && !is_in(&handed_on)
    });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() || !(is_root(folder) || make_way(folder)) {
        return;
    }
    for controller in missing {
        // One by one: of several in one line none is taken if one is not.
        if let Err(error) = fs::write(folder.join(SUBTREE_CONTROL), format!("+{controller}")) {
            tracing::warn!(folder = %folder.display(), controller, %error, "the kernel does not hold limits by cgroup");
        }
    }
}

/// Whether no process is left in the folder itself. Not even `pids` may be handed on beside one, although the kernel lets
/// it: the leaves could then hold none.
fn make_way(folder: &Path) -> bool {
    let own = std::process::id().to_string();
    match words(&folder.join(PROCS)).as_deref() {
        Some([]) => true,
        Some([only]) if *only == own => {
            let leaf = folder.join(OWN_LEAF);
            // It may be there, from a daemon before.
            fs::create_dir(&leaf).ok();
            fs::write(leaf.join(PROCS), own).is_ok()
        }
        _ => false,
    }
}

fn words(file: &Path) -> Option<Vec<String>> {
    Some(fs::read_to_string(file).ok()?.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The cgroup v2 folder of this process, if it was delegated, is not the root, and we may write there.
pub(crate) fn delegated() -> Option<PathBuf> {
    let path = machine::unified_of(std::process::id()).filter(|path| !path.is_empty())?;
    let folder = mounted_at(&fs::read_to_string("/proc/self/mountinfo").ok()?)?.join(path);
    let marked = |name: &str| rustix::fs::getxattr(&folder, name, &mut [0u8; 8]).is_ok();
    let writable = rustix::fs::access(folder.join(SUBTREE_CONTROL), rustix::fs::Access::WRITE_OK).is_ok();
    ((marked("user.delegate") || marked("trusted.delegate")) && writable).then_some(folder)
}

/// Where the whole of cgroup v2 is mounted. Source: proc_pid_mountinfo(5).
fn mounted_at(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        (kind.starts_with("cgroup2 ") && fields.next()? == "/").then(|| fields.next().map(PathBuf::from))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shims_and_commands_are_put_where_they_outlive_the_service() {
        let own = || Some(PathBuf::from("/own"));
        let at = || Cgroup::At("/given".into());
        // asked for, whether systemd supervises, own folder if delegated; scope, folder of leaves
        let table = [
            (Cgroup::Auto, false, None, false, None),
            (Cgroup::Auto, false, own(), false, Some("/own")),
            (Cgroup::Auto, true, None, true, None),
            (Cgroup::Auto, true, own(), true, None),
            (Cgroup::Off, false, own(), false, None),
            (Cgroup::Off, true, own(), true, None),
            (at(), false, None, false, Some("/given")),
            (at(), false, own(), false, Some("/given")),
            (at(), true, own(), true, Some("/given")),
        ];
        for (asked, is_service, own, scope, cgroup) in table {
            let expected = Placement { scope, cgroup: cgroup.map(PathBuf::from) };
            assert_eq!(Placement::decide(&asked, is_service, own), expected, "{asked:?} {is_service}");
        }
    }

    /// A folder with the files of a cgroup that is not the root.
    fn folder(controllers: &str, handed_on: &str, processes: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            (CONTROLLERS, controllers),
            (SUBTREE_CONTROL, handed_on),
            (PROCS, processes),
            ("cgroup.type", "domain\n"),
            ("cgroup.kill", ""),
        ];
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    #[test]
    fn what_holds_is_seen_in_the_files() {
        let held = |memory, processes| Some(Held { kill: true, memory, processes });
        let table = [
            ("", held(false, false)),
            ("cpu io\n", held(false, false)),
            ("memory\n", held(true, false)),
            ("cpu memory pids\n", held(true, true)),
        ];
        for (handed_on, expected) in table {
            assert_eq!(look(folder("cpu memory pids\n", handed_on, "").path()), expected, "{handed_on}");
        }
        let old = folder("memory\n", "memory\n", "");
        fs::remove_file(old.path().join("cgroup.kill")).unwrap();
        assert_eq!(look(old.path()), Some(Held { kill: false, memory: true, processes: false }));
        assert_eq!(look(tempfile::tempdir().unwrap().path()), None);
    }

    #[test]
    fn what_to_do_depends_on_what_is_in_the_way() {
        let table = [
            ("cpu\n", "", "written to cgroup.subtree_control of the folder above"),
            ("memory\n", "", "start the daemon anew: it"),
            ("memory\n", "17\n", "move the processes"),
        ];
        for (offered, processes, expected) in table {
            let told = advice(folder(offered, "", processes).path(), MEMORY);
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn limits_are_handed_on_where_no_process_is_in_the_way() {
        let own = std::process::id();
        // offered, handed on before, processes in the folder; last written, moved
        let table = [
            ("cpu memory pids\n", "", String::new(), "+pids", false),
            ("cpu memory\n", "cpu\n", String::new(), "+memory", false),
            ("cpu\n", "", format!("{own}\n"), "", false),
            ("memory pids\n", "memory pids\n", format!("{own}\n"), "memory pids\n", false),
            ("memory pids\n", "", format!("{own}\n"), "+pids", true),
            ("memory pids\n", "", format!("{own}\n1\n"), "", false),
            ("memory pids\n", "", "0\n".to_owned(), "", false),
        ];
        for (offered, before, processes, written, moved) in table {
            let folder = folder(offered, before, &processes);
            prepare(folder.path());
            let found = fs::read_to_string(folder.path().join(SUBTREE_CONTROL)).unwrap();
            assert_eq!(found, written, "{offered}{before}{processes}");
            let joined = fs::read_to_string(folder.path().join(OWN_LEAF).join(PROCS)).ok();
            assert_eq!(joined, moved.then(|| own.to_string()), "{offered}{before}{processes}");
        }
    }

    #[test]
    fn the_mount_of_cgroup_v2_is_told_from_those_of_v1() {
        let mounts = "25 20 0:22 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      26 20 0:23 /below /mnt rw - cgroup2 cgroup2 rw\n\
                      27 20 0:23 / /sys/fs/cgroup/unified rw,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(mounted_at(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mounted_at(mounts.lines().next().unwrap()), None);
    }
}
