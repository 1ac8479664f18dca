//! Real cgroups for tests.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than killed processes take to leave.
const PATIENCE: Duration = Duration::from_secs(10);

/// A folder of a cgroup v2 hierarchy that a test may write to. What is left in it when it is dropped is killed, and it is
/// removed.
#[derive(Debug)]
pub struct CgroupFolder(PathBuf);

impl CgroupFolder {
    /// A new one. A machine that has none is told of on standard error, past whatever captures it: `test` shows nothing
    /// there.
    pub fn make(test: &str) -> Option<Self> {
        let made =
            ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].iter().find_map(|root| Self::make_in(Path::new(root), test));
        if made.is_none() {
            let told = format!("NOT TESTED: {test}: there is no cgroup v2 folder here that may be written\n");
            std::io::stderr().write_all(told.as_bytes()).ok();
        }
        made
    }

    fn make_in(root: &Path, test: &str) -> Option<Self> {
        let folder = root.join(format!("longshore-{test}-{}", std::process::id()));
        // In a folder that is none of cgroup v2 the file is missing.
        std::fs::create_dir(&folder).ok()?;
        match folder.join("cgroup.kill").exists() {
            true => Some(Self(folder)),
            false => std::fs::remove_dir(&folder).ok().and(None),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for CgroupFolder {
    fn drop(&mut self) {
        let give_up_at = Instant::now() + PATIENCE;
        std::fs::write(self.0.join("cgroup.kill"), "1").ok();
        while !remove(&self.0) && Instant::now() < give_up_at {
            std::thread::yield_now();
        }
    }
}

fn remove(cgroup: &Path) -> bool {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    std::fs::remove_dir(cgroup).is_ok()
}
