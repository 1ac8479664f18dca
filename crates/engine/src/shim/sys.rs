//! The few calls of the operating system that no safe wrapper offers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use longshore_domain::job::ResourceUse;

/// Which side of a fork this is.
pub(super) enum Forked {
    /// The process that forked.
    Parent,
    /// The new process.
    Child,
}

/// Splits the process in two. Call only while it has a single thread.
#[expect(unsafe_code, reason = "a shim is made by fork without exec, which no safe wrapper offers")]
pub(super) fn fork() -> io::Result<Forked> {
    // SAFETY: the spawner has one thread, so the child cannot find a lock held by a thread that it lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        _ => Ok(Forked::Parent),
    }
}

/// Ends this process at once, without running what the process it was forked from has registered for its end.
#[expect(unsafe_code, reason = "a forked process must not run its parent's exit handlers")]
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Lets go of the pages of programs and libraries that this process has run through so far: two thirds of what a shim
/// has in memory, and a good part of what a daemon has that has just started. Those that it needs again are found in the
/// memory that all processes share.
///
/// Source: madvise(2), `MADV_DONTNEED` of private mappings of files. Only code is let go of, which nobody has written to.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "advice on memory has no safe wrapper")]
pub fn let_go_of_code() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (start, end) in maps.lines().filter_map(code_of_file) {
        // SAFETY: the mapping is of a file, was never writable, and comes back as it was.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

#[cfg(not(target_os = "linux"))]
/// Elsewhere the system is left to it.
pub fn let_go_of_code() {}

/// The addresses of a mapping that holds code of a file. Source: proc_pid_maps(5).
#[cfg(target_os = "linux")]
fn code_of_file(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next() == Some("r-xp") && fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_code.then_some((address(start)?, address(end)?))
}

/// Closes every descriptor above the standard ones that this process inherited.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "closes descriptors that nobody here owns")]
pub(super) fn close_inherited() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: called first thing in `run_spawner`, before anything here owns a descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
}

/// Elsewhere there is no bounded way; programs there open their descriptors close-on-exec.
#[cfg(not(target_os = "linux"))]
pub(super) fn close_inherited() {}

extern "C" fn ignore(_: libc::c_int) {}

static WAKE: AtomicI32 = AtomicI32::new(-1);

#[expect(unsafe_code, reason = "a signal handler may only make such calls")]
extern "C" fn wake(_: libc::c_int) {
    // SAFETY: `write` may be called in signal handlers; the pipe is never closed and does not block. A pipe that is
    // full already wakes. errno is left as the interrupted code had it.
    unsafe {
        let errno = errno_location();
        let before = *errno;
        libc::write(WAKE.load(Ordering::Relaxed), [1u8].as_ptr().cast(), 1);
        *errno = before;
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "errno has no safe accessor")]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: always returns this thread's errno.
    unsafe { libc::__errno_location() }
}

#[cfg(not(target_os = "linux"))]
#[expect(unsafe_code, reason = "errno has no safe accessor")]
unsafe fn errno_location() -> *mut libc::c_int {
    // SAFETY: always returns this thread's errno.
    unsafe { libc::__error() }
}

#[expect(unsafe_code, reason = "signal dispositions have no safe wrapper")]
fn set_action(signal: libc::c_int, handler: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: zero is a valid sigaction; the handlers used here only make calls allowed in handlers. A signal that
    // cannot be changed is left as it is.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

#[expect(unsafe_code, reason = "signal dispositions have no safe wrapper")]
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: only reads the disposition into a valid place.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

#[expect(unsafe_code, reason = "the signal mask has no safe wrapper")]
fn unblock_all() {
    // SAFETY: an empty set is initialised before it is used.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Gives every signal its default meaning, but for those that shall not end a spawner or shim.
///
/// These get a handler that does nothing instead of being ignored: programs inherit what is ignored, not handlers.
/// SIGPIPE stays ignored, as the standard library has it, which gives it back to the programs it starts.
pub(super) fn reset_signals() {
    const LAST: libc::c_int = 64;
    unblock_all();
    (1..=LAST).filter(|&signal| signal != libc::SIGPIPE && is_ignored(signal)).for_each(|signal| {
        set_action(signal, libc::SIG_DFL, 0);
    });
    for signal in [libc::SIGINT, libc::SIGHUP, libc::SIGTERM, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2] {
        set_action(signal, ignore as extern "C" fn(libc::c_int) as libc::sighandler_t, libc::SA_RESTART);
    }
}

/// Has the kernel reap the children of this process.
pub(super) fn leave_children_to_kernel() {
    set_action(libc::SIGCHLD, libc::SIG_DFL, libc::SA_NOCLDWAIT);
}

/// A descriptor that becomes readable whenever a child has ended. Call once in a process.
pub(super) fn watch_children() -> io::Result<OwnedFd> {
    let (reader, writer) = super::command::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    WAKE.store(std::os::fd::IntoRawFd::into_raw_fd(writer), Ordering::Relaxed);
    let flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
    set_action(libc::SIGCHLD, wake as extern "C" fn(libc::c_int) as libc::sighandler_t, flags);
    Ok(reader)
}

/// A child that has ended and is reaped.
pub(super) struct EndedChild {
    pub(super) pid: u32,
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) usage: ResourceUse,
}

/// What there was to reap.
pub(super) enum Reaped {
    /// This child, and perhaps more.
    Child(EndedChild),
    /// All children still live.
    NoneEnded,
    /// There are no children.
    NoChildren,
}

/// Reaps one child that has ended, without waiting.
#[expect(unsafe_code, reason = "wait4 also tells what the child has used")]
pub(super) fn reap() -> Reaped {
    let mut status = 0;
    // SAFETY: zero is a valid rusage, and both places outlive the call.
    let (pid, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    match u32::try_from(pid) {
        Err(_) => Reaped::NoChildren,
        Ok(0) => Reaped::NoneEnded,
        Ok(pid) => Reaped::Child(EndedChild {
            pid,
            exit_code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            usage: resource_use(&usage),
        }),
    }
}

fn resource_use(usage: &libc::rusage) -> ResourceUse {
    /// Linux counts `ru_maxrss` in KiB, macOS in bytes.
    const MEMORY_UNIT: u64 = if cfg!(target_os = "linux") { 1024 } else { 1 };
    ResourceUse {
        user_ms: millis(usage.ru_utime),
        system_ms: millis(usage.ru_stime),
        memory_max_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * MEMORY_UNIT,
    }
}

fn millis(time: libc::timeval) -> u64 {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    let rest = Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0));
    u64::try_from((seconds + rest).as_millis()).unwrap_or(u64::MAX)
}

/// Makes this process the parent of all its descendants' orphans.
#[cfg(target_os = "linux")]
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Elsewhere orphans go to the first process of the system.
#[cfg(not(target_os = "linux"))]
pub(super) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// Whether the process at the other end of a Unix socket belongs to this process's user.
#[cfg(target_os = "linux")]
pub(super) fn is_same_user(socket: impl AsFd) -> bool {
    rustix::net::sockopt::socket_peercred(socket).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}

/// Elsewhere the mode of the socket and of its folder alone keep others out.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_same_user(_: impl AsFd) -> bool {
    true
}

/// Puts `/dev/null` in the place of standard input.
#[expect(unsafe_code, reason = "replaces a descriptor by number")]
pub(super) fn replace_stdin(null: &OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor 0 is not owned by any value in a forked shim.
    match unsafe { libc::dup2(null.as_raw_fd(), 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Locks one byte of a file for as long as the descriptor, or a copy of it, is open.
///
/// # Errors
/// If somebody else has it, or there are no such locks here.
#[cfg(target_os = "linux")]
pub(super) fn lock_byte(file: &impl AsFd, at: i64) -> io::Result<()> {
    on_byte(file, libc::F_OFD_SETLK, at).map(drop)
}

/// Whether somebody has such a lock.
///
/// # Errors
/// If there are no such locks here.
#[cfg(target_os = "linux")]
pub(super) fn is_byte_locked(file: &impl AsFd, at: i64) -> io::Result<bool> {
    Ok(on_byte(file, libc::F_OFD_GETLK, at)? != libc::F_UNLCK)
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "locks of open file descriptions have no safe wrapper for a range")]
fn on_byte(file: &impl AsFd, command: libc::c_int, at: i64) -> io::Result<i32> {
    // SAFETY: zero is a valid flock, and the call only reads it and writes into it.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = at;
        lock.l_len = 1;
        match libc::fcntl(file.as_fd().as_raw_fd(), command, &raw mut lock) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(i32::from(lock.l_type)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn lock_byte(_: &impl AsFd, _: i64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_byte_locked(_: &impl AsFd, _: i64) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_let_go_of() {
        let code = "55a0e000-55a1f000 r-xp 00554000 fe:00 5736277                    /usr/bin/some program";
        assert_eq!(code_of_file(code), Some((0x55a0_e000, 0x55a1_f000)));
        for other in [
            "55a1f000-55a2f000 r--p 01807000 fe:00 5736277                    /usr/bin/some program",
            "55a2f000-55a30000 rw-p 0187b000 fe:00 5736277                    /usr/bin/some program",
            "7ffd4000-7ffd6000 r-xp 00000000 00:00 0                          [vdso]",
            "7fa4d000-7fa4e000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code_of_file(other), None, "{other}");
        }
    }

    #[test]
    fn what_was_let_go_of_comes_back() {
        let_go_of_code();
        assert_eq!("still here".to_uppercase(), "STILL HERE");
    }
}
