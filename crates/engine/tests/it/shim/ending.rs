//! How attempts end: by themselves, at deadlines, by order; and what must be gone afterwards.

use std::time::Duration;

use longshore_engine::process::AttemptPlan;
use longshore_testkit::CgroupFolder;

use super::kit::{Kit, ended, gone, lives, parent, printed, started};

const SHORT: Duration = Duration::from_millis(100);

/// Reads a process number that the command wrote.
fn number(kit: &Kit, name: &str) -> u32 {
    std::fs::read_to_string(kit.folder.join(name)).unwrap().trim().parse().unwrap()
}

fn with_grace(mut plan: AttemptPlan, grace: Duration) -> AttemptPlan {
    plan.spec.deadlines.grace = grace;
    plan
}

#[tokio::test]
async fn a_background_child_does_not_keep_the_job_open() {
    let kit = Kit::new().await;
    let report = kit.run(&kit.shell("sleep 1000 & echo $! > child; echo done; exit 3")).await;
    assert_eq!(report.exit_code, Some(3));
    assert!(!report.stopped && !report.output.cut_off);
    assert!(report.ran < Duration::from_secs(30));
    assert_eq!(report.output.bytes, 5);
    let [leftover] = report.leftovers.as_slice() else { panic!("{report:?}") };
    assert_eq!((leftover.pid, leftover.command.as_str(), leftover.stopped), (number(&kit, "child"), "sleep", true));
    assert!(!lives(leftover.pid));
}

#[tokio::test]
async fn a_child_that_ends_soon_after_may_still_print() {
    let kit = Kit::new().await;
    let report =
        kit.run(&kit.shell("parent=$$; (while kill -0 $parent; do :; done 2>&-; echo last words) & exit 0")).await;
    assert!(report.leftovers.is_empty(), "{report:?}");
    assert_eq!(report.output.bytes, 11);
}

#[tokio::test]
async fn a_silent_daemon_is_named_and_stopped_too() {
    let kit = Kit::new().await;
    let report = kit.run(&kit.shell("setsid sh -c 'sleep 1000 & exit' >/dev/null 2>&1 </dev/null; exit 0")).await;
    assert_eq!(report.exit_code, Some(0));
    assert_eq!(report.leftovers.len(), 1);
    assert!(report.leftovers[0].stopped && !lives(report.leftovers[0].pid));
}

#[tokio::test]
async fn a_stop_reaches_what_detached_itself() {
    let kit = Kit::new().await;
    let plan = kit.shell("setsid sh -c 'sleep 1000 & echo $! > child; echo ready; wait' & wait");
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    link.control().stop(false);
    let report = ended(&mut link).await;
    assert!(report.stopped && !report.deadline_passed);
    assert_eq!(report.signal, Some(15));
    assert!(!lives(number(&kit, "child")));
}

#[tokio::test]
async fn a_tree_that_ignores_sigterm_is_killed_after_its_grace() {
    let kit = Kit::new().await;
    let line =
        "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ > child; echo ready; while :; do sleep 1000; done') &
        while :; do sleep 1000; done";
    let plan = with_grace(kit.shell(line), SHORT);
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    link.control().stop(false);
    let report = ended(&mut link).await;
    assert!(report.stopped);
    assert_eq!(report.signal, Some(9));
    assert!(report.ran >= SHORT);
    assert!(!lives(number(&kit, "child")));
}

#[tokio::test]
async fn a_kill_does_not_wait_for_any_grace() {
    let kit = Kit::new().await;
    let plan =
        with_grace(kit.shell("trap '' TERM; echo ready; while :; do sleep 1000; done"), Duration::from_secs(3_600));
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    link.control().stop(false);
    link.control().stop(true);
    let report = ended(&mut link).await;
    assert!(report.stopped);
    assert_eq!(report.signal, Some(9));
}

#[tokio::test]
async fn a_command_may_end_in_its_own_way_when_asked_to() {
    let kit = Kit::new().await;
    let plan = kit.shell("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    link.control().stop(false);
    let report = ended(&mut link).await;
    assert_eq!((report.exit_code, report.stopped), (Some(5), true));
    assert!(super::kit::read_all(&plan.output_path).ends_with(b"bye\n"));
}

#[tokio::test]
async fn the_hard_deadline_stops_the_tree() {
    let kit = Kit::new().await;
    let mut plan = kit.shell("sleep 1000 & echo $! > child; sleep 1000");
    plan.spec.deadlines.hard = Some(SHORT);
    let report = kit.run(&plan).await;
    assert!(report.deadline_passed && !report.stopped);
    assert_eq!(report.signal, Some(15));
    assert!(report.ran >= SHORT && report.ran < Duration::from_secs(30));
    assert!(!lives(number(&kit, "child")));
}

#[tokio::test]
async fn a_stop_after_the_deadline_is_nothing_new() {
    let kit = Kit::new().await;
    let mut plan = with_grace(
        kit.shell("trap 'echo asked' TERM; while :; do sleep 1000 & wait; done"),
        Duration::from_secs(3_600),
    );
    plan.spec.deadlines.hard = Some(SHORT);
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    link.control().stop(false);
    link.control().stop(true);
    let report = ended(&mut link).await;
    assert!(report.deadline_passed && !report.stopped, "{report:?}");
    assert_eq!((report.signal, report.output.bytes), (Some(9), 6));
}

#[tokio::test]
async fn the_soft_deadline_asks_once_and_only_once() {
    let kit = Kit::new().await;
    let mut plan = kit.shell("trap 'echo asked' TERM; while :; do sleep 0.02; done");
    plan.spec.deadlines.soft = Some(SHORT);
    plan.spec.deadlines.hard = Some(SHORT * 5);
    plan.spec.deadlines.grace = SHORT;
    let report = kit.run(&plan).await;
    assert!(report.deadline_passed);
    assert_eq!(report.signal, Some(9));
    // Once at the soft deadline, once at the hard one; the shell also tells of children that were terminated.
    let printed = String::from_utf8(super::kit::read_all(&plan.output_path)).unwrap();
    assert_eq!(printed.lines().filter(|&line| line == "asked").count(), 2, "{printed}");
    let mut plan = kit.shell("trap 'exit 4' TERM; while :; do sleep 0.02; done");
    plan.spec.deadlines.soft = Some(SHORT);
    let report = kit.run(&plan).await;
    assert_eq!((report.exit_code, report.deadline_passed, report.stopped), (Some(4), false, false));
}

#[tokio::test]
async fn a_race_between_stop_and_end_is_told_consistently() {
    let kit = Kit::new().await;
    let mut stopped = 0;
    for round in 0..100u32 {
        let mut link = kit.start(&kit.plan(&["sleep", if round % 4 == 0 { "1000" } else { "0.001" }])).await;
        for _ in 0..round * 20 {
            std::hint::spin_loop();
        }
        link.control().stop(false);
        let report = ended(&mut link).await;
        match (report.exit_code, report.signal) {
            (Some(0), None) => {}
            (None, Some(15)) => assert!(report.stopped, "{report:?}"),
            _ => panic!("{report:?}"),
        }
        stopped += u32::from(report.stopped);
    }
    assert!(stopped >= 25);
}

#[tokio::test]
async fn a_stop_after_the_end_changes_nothing() {
    let kit = Kit::new().await;
    let plan = with_grace(kit.shell("trap '' TERM; (trap '' TERM; echo ready; exec sleep 1000) & exit 0"), SHORT);
    let mut link = kit.start(&plan).await;
    let command = started(&mut link).await.pid;
    gone(command).await;
    link.control().stop(true);
    let report = ended(&mut link).await;
    assert_eq!((report.exit_code, report.leftovers.len()), (Some(0), 1), "{report:?}");
    assert!(!report.stopped);
}

#[tokio::test]
async fn many_orphans_leave_no_zombies() {
    let kit = Kit::new().await;
    let line = "i=0; while [ $i -lt 50 ]; do (true & exit 0); i=$((i+1)); done; echo ready; exec sleep 1000";
    let mut link = kit.start(&kit.shell(line)).await;
    let command = started(&mut link).await.pid;
    link.control().follow(true);
    printed(&mut link, 6).await;
    let shim = parent(command);
    let children = || std::fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap();
    // The last orphans may take a moment; the shim reaps whatever ends.
    super::kit::within(async {
        while children().split_ascii_whitespace().count() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    link.control().stop(false);
    assert!(ended(&mut link).await.leftovers.is_empty());
    gone(shim).await;
}

#[tokio::test]
async fn a_cgroup_ends_with_its_attempt() {
    let Some(folder) = CgroupFolder::make("ends-with-its-attempt") else { return };
    let kit = Kit::with_cgroup(Some(folder.path().to_owned())).await;
    let plan = kit.shell("cat /proc/self/cgroup; (trap '' TERM; exec setsid sleep 1000) & echo ready; wait");
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 20).await;
    let leaf = format!("{}.{}", plan.job, plan.attempt);
    assert!(folder.path().join(&leaf).exists());
    link.control().stop(true);
    let report = ended(&mut link).await;
    assert!(report.stopped && !report.memory_ran_out);
    let printed = String::from_utf8(super::kit::read_all(&plan.output_path)).unwrap();
    assert!(printed.lines().any(|line| line.starts_with("0::") && line.ends_with(&leaf)), "{printed}");
    assert!(!folder.path().join(&leaf).exists());
}

#[tokio::test]
async fn a_cgroup_that_cannot_be_had_is_done_without() {
    let kit = Kit::with_cgroup(Some("/no/such/cgroup".into())).await;
    let mut plan = kit.shell("ulimit -v");
    plan.spec.limits.memory_bytes = Some(1024 * 1024 * 1024);
    let (report, printed) = kit.output(&plan).await;
    assert_eq!((report.exit_code, printed.as_slice()), (Some(0), b"1048576\n".as_slice()));
}

/// Where the kernel hands no controllers to the folder, each process is limited alone.
#[tokio::test]
async fn a_limit_is_the_cgroups_where_that_holds_it() {
    let Some(folder) = CgroupFolder::make("limits") else { return };
    let kit = Kit::with_cgroup(Some(folder.path().to_owned())).await;
    let mut plan = kit.shell("ulimit -v");
    plan.spec.limits.memory_bytes = Some(1024 * 1024 * 1024);
    let (_, printed) = kit.output(&plan).await;
    let controllers = std::fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap();
    let expected = if controllers.contains("memory") { "unlimited\n" } else { "1048576\n" };
    assert_eq!(String::from_utf8(printed).unwrap(), expected);
}
