//! How commands start, or why they do not.

use std::os::unix::fs::PermissionsExt;

use longshore_engine::process::{Found, ProcessError};

use rustix::process::Signal;

use super::kit::{Kit, ended, kill, options, started};

#[tokio::test]
async fn exit_codes_are_reported_as_they_are() {
    let kit = Kit::new().await;
    for code in [0, 1, 3, 255] {
        let report = kit.run(&kit.shell(&format!("exit {code}"))).await;
        assert_eq!((report.exit_code, report.signal), (Some(code), None));
        assert!(!report.stopped && !report.deadline_passed && report.leftovers.is_empty());
    }
}

#[tokio::test]
async fn signals_are_reported_as_signals() {
    let kit = Kit::new().await;
    for signal in [9, 11, 15] {
        let report = kit.run(&kit.shell(&format!("kill -{signal} $$"))).await;
        assert_eq!((report.exit_code, report.signal), (None, Some(signal)));
        assert!(!report.stopped);
    }
}

#[tokio::test]
async fn what_cannot_start_is_explained() {
    let kit = Kit::new().await;
    let folder = kit.folder.display().to_string();
    std::fs::write(kit.folder.join("plain"), "echo hi\n").unwrap();
    std::fs::write(kit.folder.join("garbage"), [0u8, 1, 2, 3]).unwrap();
    std::fs::set_permissions(kit.folder.join("garbage"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(kit.folder.join("script"), "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(kit.folder.join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (vec!["no-such-program"], folder.clone(), "there is no program `no-such-program` on the PATH"),
        (vec!["/no/such/program"], folder.clone(), "there is no program `/no/such/program`"),
        (vec!["./absent"], folder.clone(), "there is no program `./absent` in `"),
        (vec!["true"], "/no/such/folder".into(), "the directory `/no/such/folder` does not exist"),
        (vec!["/bin/true"], "/no/such/folder".into(), "the directory `/no/such/folder` does not exist"),
        (vec!["no-such-program"], "/no/such/folder".into(), "the directory `/no/such/folder` does not exist"),
        (vec!["true"], "/etc/passwd".into(), "`/etc/passwd` is not a directory"),
        (vec!["./plain"], folder.clone(), "`./plain` is not executable: permission denied"),
        (vec!["./garbage"], folder.clone(), "exec format error"),
        (vec!["./script"], folder.clone(), "needs an interpreter"),
        (vec!["/etc"], folder, "`/etc` is a directory, not a program"),
    ];
    for (argv, cwd, expected) in cases {
        let mut plan = kit.plan(&argv);
        plan.spec.cwd = cwd;
        let report = kit.run(&plan).await;
        let error = report.spawn_error.expect("it does not start");
        assert!(error.contains(expected), "{argv:?}: {error}");
        assert_eq!(report.program_missing, expected.starts_with("there is no program"), "{argv:?}: {error}");
        assert_eq!((report.exit_code, report.signal), (None, None));
    }
}

#[tokio::test]
async fn an_argument_list_can_be_too_long() {
    let kit = Kit::new().await;
    let long = "x".repeat(100_000);
    let words: Vec<&str> = std::iter::once("true").chain((0..35).map(|_| long.as_str())).collect();
    let report = kit.run(&kit.plan(&words)).await;
    assert!(report.spawn_error.unwrap().contains("argument list is too long"));
    let report = kit.run(&kit.plan(&words[..9])).await;
    assert_eq!(report.exit_code, Some(0));
}

#[tokio::test]
async fn a_request_can_be_too_large() {
    let kit = Kit::new().await;
    let long = "x".repeat(5_000_000);
    let error = kit.spawner.spawn(kit.plan(&["true", &long])).await.unwrap_err();
    assert!(matches!(error, ProcessError::Request { .. }) && error.never_started());
    assert_eq!(kit.run(&kit.plan(&["true"])).await.exit_code, Some(0));
}

#[tokio::test]
async fn programs_are_found_on_the_path_of_the_command() {
    let kit = Kit::new().await;
    let bin = kit.folder.join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("mine"), "#!/bin/sh\necho \"$0 $1\"\n").unwrap();
    std::fs::set_permissions(bin.join("mine"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut plan = kit.plan(&["mine", "a b"]);
    plan.spec.env.insert("PATH".into(), format!("/nowhere:{}:/usr/bin:/bin", bin.display()));
    let (report, output) = kit.output(&plan).await;
    assert_eq!(report.exit_code, Some(0), "{report:?}");
    assert_eq!(String::from_utf8(output).unwrap(), format!("{} a b\n", bin.join("mine").display()));
    let mut plan = kit.plan(&["./bin/mine", "x"]);
    plan.spec.env.clear();
    assert_eq!(kit.output(&plan).await.1, b"./bin/mine x\n");
}

#[tokio::test]
async fn an_attempt_never_begins_twice() {
    let kit = Kit::new().await;
    let plan = kit.shell("echo once >> marks; cat");
    let fifo = kit.folder.join("gate");
    let mut blocked = plan.clone();
    blocked.spec.argv = vec![format!("mkfifo {0}; echo once >> marks; cat {0}", fifo.display())];
    let mut link = kit.start(&blocked).await;
    started(&mut link).await;
    let error = kit.spawner.spawn(plan).await.unwrap_err();
    assert!(matches!(&error, ProcessError::Refused { .. }), "{error}");
    link.control().stop(true);
    ended(&mut link).await;
}

#[tokio::test]
async fn a_spawner_that_died_is_replaced() {
    let kit = Kit::new().await;
    assert_eq!(kit.run(&kit.plan(&["true"])).await.exit_code, Some(0));
    let mut link = kit.start(&kit.plan(&["sleep", "1000"])).await;
    started(&mut link).await;
    let spawner = std::fs::read_to_string(kit.run_dir.join("spawner.lock")).unwrap().trim().parse().unwrap();
    super::kit::kill(spawner, rustix::process::Signal::KILL);
    super::kit::gone(spawner).await;
    assert_eq!(kit.run(&kit.plan(&["true"])).await.exit_code, Some(0));
    link.control().stop(false);
    assert!(ended(&mut link).await.stopped);
}

#[tokio::test]
async fn a_program_that_is_no_spawner_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = options(folder.path().to_owned());
    wrong.program = "/bin/true".into();
    let error = super::kit::within(longshore_engine::process::Spawner::launch(wrong.clone())).await.err().unwrap();
    assert!(matches!(error, ProcessError::Launch { .. }));
    wrong.program = "/no/such/program".into();
    let error = super::kit::within(longshore_engine::process::Spawner::launch(wrong)).await.err().unwrap();
    assert!(matches!(error, ProcessError::Launch { .. }));
}

#[tokio::test]
async fn the_next_spawner_waits_for_the_one_before() {
    let kit = Kit::new().await;
    let plan = kit.plan(&["sleep", "1000"]);
    let mut link = kit.start(&plan).await;
    started(&mut link).await;
    let second = longshore_engine::process::Spawner::launch(options(kit.run_dir.clone()));
    let Kit { spawner, _folder: _keep, _shims: _end, .. } = kit;
    let both = async {
        tokio::join!(second, async {
            tokio::task::yield_now().await;
            drop(spawner);
        })
        .0
    };
    let spawner = super::kit::within(both).await.unwrap();
    drop(spawner);
    link.control().stop(true);
    assert!(ended(&mut link).await.stopped);
}

/// A request that a frozen shim does not read fits into no buffer; those after it go to other shims.
#[tokio::test]
async fn shims_that_are_frozen_before_they_begin_hold_nothing_up() {
    let kit = Kit::new().await;
    let spawner = std::fs::read_to_string(kit.run_dir.join("spawner.lock")).unwrap();
    let frozen = waiting_shims(spawner.trim()).await;
    frozen.iter().for_each(|&shim| kill(shim, Signal::STOP));
    let mut large = kit.plan(&["true"]);
    large.spec.env.extend((0..20).map(|i| (format!("FILLER_{i}"), "x".repeat(100_000))));
    let other = kit.plan(&["true"]);
    let (first, second, ()) = tokio::join!(
        biased;
        kit.run(&large),
        async {
            let mut large = large.clone();
            (large.number, large.output_path) = (other.number, other.output_path.clone());
            kit.run(&large).await
        },
        async {
            assert_eq!(kit.run(&kit.shell("exit 5")).await.exit_code, Some(5));
            frozen.iter().for_each(|&shim| kill(shim, Signal::CONT));
        }
    );
    assert_eq!((first.exit_code, second.exit_code), (Some(0), Some(0)));
}

/// The shims that a spawner has made ahead.
async fn waiting_shims(spawner: &str) -> Vec<u32> {
    let listed = format!("/proc/{spawner}/task/{spawner}/children");
    loop {
        let children = std::fs::read_to_string(&listed).unwrap();
        let children: Vec<u32> = children.split_whitespace().map(|child| child.parse().unwrap()).collect();
        if children.len() == 2 {
            return children;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_never_started_leaves_no_trace() {
    let kit = Kit::new().await;
    assert!(matches!(kit.look_up(&kit.plan(&["true"])).await, Found::NeverStarted));
}
