//! What other users of the machine may not do, and what the daemon's user may not do with its files. Only the
//! super-user can play somebody else: as anybody else these tests say that they prove nothing.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, Uid, geteuid, kill_process};

use crate::harness::{Home, ran, until_there};

/// `nobody`.
const OTHER: u32 = 65_534;

/// Whether somebody else can be played here.
fn can_play_others() -> bool {
    let root = geteuid().is_root();
    if !root {
        say("not the super-user: other users cannot be played, nothing is proved");
    }
    root
}

#[expect(clippy::print_stderr, reason = "a test that proves nothing must say so")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Does something as another user: credentials are a thread's own on Linux.
fn as_other<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let played = std::thread::spawn(move || {
        let other = Uid::from_raw(OTHER);
        rustix::thread::set_thread_res_uid(other, other, other).unwrap();
        work()
    });
    played.join().unwrap()
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn another_user_reaches_no_socket() {
    if !can_play_others() {
        return;
    }
    let home = Home::new();
    let go = home.scratch("go");
    let id = home.submit(&["--", "sh", "-c", &until_there(&go)]);
    assert_eq!(home.first_line(&id), "up\n");
    // Its shim listens once its daemon is gone.
    let daemon = home.daemon()["pid"].as_i64().unwrap() as i32;
    kill_process(Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
    let shim = home.path("run/1.1.sock");
    while !std::fs::symlink_metadata(&shim).unwrap().file_type().is_socket() {
        std::thread::yield_now();
    }
    home.daemon();
    let sockets = ["run/mcp.sock", "run/1.1.sock"].map(|name| home.path(name));
    for socket in sockets.clone() {
        let refused = as_other(move || UnixStream::connect(socket).unwrap_err().kind());
        assert_eq!(refused, ErrorKind::PermissionDenied);
    }

    // Should the permissions ever be lost, the daemon itself still looks who calls.
    for folder in [home.path("").parent().unwrap(), &home.path(""), &home.path("run")] {
        allow(folder, 0o755);
    }
    let socket = sockets[0].clone();
    allow(&socket, 0o777);
    let heard = as_other(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        let mut heard = vec![];
        // The other side may reset the connection.
        stream.read_to_end(&mut heard).ok();
        heard
    });
    assert_eq!(heard, b"", "it is turned away without a word");
    std::fs::write(&go, "").unwrap();
    assert_eq!(home.run(&["wait", &id]).code, 7);
}

#[test]
fn a_write_protected_store_is_said_and_loses_nothing() {
    if !can_play_others() {
        return;
    }
    let home = Home::new();
    let outer = home.path("").parent().unwrap().to_owned();
    chown(&outer, Some(OTHER), None).unwrap();
    let run = |args: &[&str]| ran(home.command(args).uid(OTHER).output().unwrap());
    run(&["run", "--name", "kept", "--", "true"]).ok();
    run(&["down"]).ok();
    let data = home.path("data");
    let protect = |owner: u32, folder: u32, file: u32| {
        for entry in std::fs::read_dir(&data).unwrap() {
            let path = entry.unwrap().path();
            chown(&path, Some(owner), None).unwrap();
            allow(&path, file);
        }
        chown(&data, Some(owner), None).unwrap();
        allow(&data, folder);
    };
    protect(0, 0o755, 0o644);
    let refused = run(&["ls"]);
    assert!(refused.stderr.contains("error[store_read_only]") && refused.stderr.contains("next:"), "{refused:?}");
    assert_eq!(refused.code, 74, "{refused:?}");
    protect(OTHER, 0o700, 0o600);
    assert_eq!(run(&["show", "--json", "1"]).ok().json()["name"], "kept");
    run(&["down"]).ok();
}

/// Set in the process that has mounts of its own.
const OWN_MOUNTS: &str = "LONGSHORE_TEST_OWN_MOUNTS";

#[test]
fn a_full_disk_refuses_new_jobs_and_keeps_the_end_of_a_running_one() {
    let unshare = || Command::new("unshare").arg("-m").arg("true").status().is_ok_and(|status| status.success());
    #[expect(clippy::disallowed_methods, reason = "the test that starts itself anew must know it")]
    let inside = std::env::var_os(OWN_MOUNTS).is_some();
    match inside {
        true => on_a_small_disk(),
        false if geteuid().is_root() && unshare() => {
            let mut again = Command::new("unshare");
            again.arg("-m").arg(std::env::current_exe().unwrap()).arg("--exact").env(OWN_MOUNTS, "1");
            let name = "privileges::a_full_disk_refuses_new_jobs_and_keeps_the_end_of_a_running_one";
            let inside = ran(again.args([name, "--nocapture"]).output().unwrap());
            assert!(inside.code == 0 && inside.text().contains("1 passed"), "{}{}", inside.text(), inside.stderr);
        }
        false => {
            say("no mounts of its own: only the store's tests, with a limit of pages, prove what a full disk does")
        }
    }
}

fn on_a_small_disk() {
    let home = Home::new();
    let disk = home.path("");
    std::fs::create_dir_all(&disk).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"]).arg(&disk);
    assert!(mount.status().unwrap().success());
    let (go, over) = (home.scratch("go"), home.scratch("over"));
    assert!(Command::new("mkfifo").arg(&over).status().unwrap().success());
    let wait = until_there(&go).replace("exit 7", &format!("head -c 300000 /dev/zero; echo >{over}; exit 7"));
    let id = home.submit(&["--", "sh", "-c", &wait]);
    assert_eq!(home.first_line(&id), "up\n");

    let filler = home.path("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[b'x'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    drop(file);
    // What the store had already reserved may take some more.
    let refused = (0..100).map(|_| home.run(&["run", "--detach", "--", "true"])).find(|ran| ran.code != 0).unwrap();
    assert!(refused.code == 74 && refused.stderr.contains("error[store_full]"), "{refused:?}");
    assert_eq!(home.run(&["show", "--json", &id]).ok().json()["state"], "running");
    std::fs::write(&go, "").unwrap();
    std::fs::read(&over).unwrap();
    std::fs::remove_file(&filler).unwrap();

    assert_eq!(home.run(&["wait", &id]).code, 7);
    let shown = home.run(&["show", "--json", &id]).ok().json();
    assert_eq!(shown["report"]["output"]["bytes"], "up\ndown\n".len() + 300_000, "{shown}");
    assert!(shown["report"]["output"]["write_error"].is_string(), "what could not be kept is said: {shown}");
    assert_eq!(home.run(&["run", "--", "echo", "room"]).ok().text(), "room\n");
    home.run(&["down"]).ok();
    assert!(Command::new("umount").arg("--lazy").arg(&disk).status().unwrap().success());
}
