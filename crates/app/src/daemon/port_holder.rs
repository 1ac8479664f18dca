//! Which process listens on a port, where the system lets us see it.

use std::net::SocketAddr;

/// State `LISTEN` in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// Number and name of a process of this user that listens on the port of `address`; Linux only.
pub(crate) fn find(address: SocketAddr) -> Option<(u32, String)> {
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let table = std::fs::read_to_string(table).ok()?;
    let inode = listening_inode(&table, address.port())?;
    let wanted = format!("socket:[{inode}]");
    let pids = std::fs::read_dir("/proc").ok()?.flatten();
    let pid = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid| holds(*pid, &wanted))?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().to_owned()))
}

/// The inode of the socket that listens on `port` (proc_pid_net(5): local address is column 1, state 3, inode 9).
fn listening_inode(table: &str, port: u16) -> Option<&str> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let local = columns.get(1)?.rsplit_once(':')?.1;
        let matches = u16::from_str_radix(local, 16) == Ok(port) && *columns.get(3)? == LISTENING;
        matches.then(|| columns.get(9).copied())?
    })
}

fn holds(pid: u32, wanted: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    entries.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted))
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn finds_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (pid, _) = super::find(listener.local_addr().unwrap()).unwrap();
        assert_eq!(pid, std::process::id());
    }
}
