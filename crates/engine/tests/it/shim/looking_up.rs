//! Finding attempts again after the daemon that began them is gone.

use longshore_engine::process::{
    AttemptPlan, Found, ShimLink, ShimReport, Spawner, Traces, exit_record, forget, kill_leftovers,
};
use longshore_testkit::CgroupFolder;
use rustix::process::Signal;

use super::kit::{Kit, ended, gone, kill, lives, options, parent, printed, recorded, started, within};

#[tokio::test]
async fn a_daemon_that_comes_back_gets_the_rest_and_the_report() {
    let kit = Kit::new().await;
    let plan = kit.shell("mkfifo gate; echo before; read x < gate; echo after; exit 9");
    let mut link = kit.start(&plan).await;
    let process = started(&mut link).await;
    link.control().follow(true);
    printed(&mut link, 7).await;
    drop(link);
    let Kit { spawner, run_dir, folder, _folder: _keep, _shims: _end, .. } = kit;
    drop(spawner);
    let spawner = within(Spawner::launch(options(run_dir.clone()))).await.unwrap();
    let found = within(longshore_engine::process::look_up(&run_dir, plan.number, plan.attempt, plan.nonce)).await;
    let Found::Running(mut link) = found else { panic!("{found:?}") };
    assert_eq!(started(&mut link).await, process);
    assert!(matches!(within(link.next()).await, Some(ShimReport::Output { total: 7, .. })));
    std::fs::write(folder.join("gate"), "go\n").unwrap();
    let report = ended(&mut link).await;
    assert_eq!((report.exit_code, report.output.bytes), (Some(9), 13));
    drop(link);
    assert_eq!(recorded(&run_dir, &plan).await, report);
    drop(spawner);
}

#[tokio::test]
async fn an_end_that_nobody_heard_is_on_record() {
    let kit = Kit::new().await;
    let plan = kit.shell("exit 6");
    let mut link = kit.start(&plan).await;
    let command = started(&mut link).await.pid;
    drop(link);
    gone(command).await;
    // Its shim either still concludes, and then tells, or has concluded.
    let report = match kit.look_up(&plan).await {
        Found::Ended(report) => report,
        Found::Running(mut link) => ended(&mut link).await,
        other => panic!("{other:?}"),
    };
    assert_eq!(report.exit_code, Some(6));
    let stranger = longshore_domain::Nonce::new(1);
    assert_eq!(exit_record(&kit.run_dir, plan.number, plan.attempt, stranger).await, None);
    forget(&kit.run_dir, plan.number, plan.attempt);
    assert!(matches!(kit.look_up(&plan).await, Found::NeverStarted));
}

#[tokio::test]
async fn shims_live_on_when_their_spawner_is_killed() {
    let kit = Kit::new().await;
    let plan = kit.plan(&["sleep", "1000"]);
    let mut link = kit.start(&plan).await;
    started(&mut link).await;
    let spawner = std::fs::read_to_string(kit.run_dir.join("spawner.lock")).unwrap().trim().parse().unwrap();
    kill(spawner, Signal::KILL);
    gone(spawner).await;
    drop(link);
    let Found::Running(mut link) = kit.look_up(&plan).await else { panic!("the shim lives") };
    let Found::Running(mut other) = kit.look_up(&plan).await else { panic!("it goes on listening") };
    other.control().stop(false);
    assert!(ended(&mut other).await.stopped);
    assert!(ended(&mut link).await.stopped);
}

#[tokio::test]
async fn a_killed_shim_is_gone_and_its_command_is_found_by_its_mark() {
    let kit = Kit::new().await;
    let plan = kit.shell("setsid sleep 1000 & echo $! > child; sleep 1000 & echo ready; wait");
    let mut link = kit.start(&plan).await;
    let command = started(&mut link).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    let shim = parent(command.pid);
    kill(shim, Signal::KILL);
    assert!(within(link.next()).await.is_none());
    assert!(matches!(kit.look_up(&plan).await, Found::Gone));
    let traces = Traces { nonce: plan.nonce, command: Some(command.clone()), leaf: None };
    let leftovers = within(kill_leftovers(&traces)).await;
    assert!(leftovers.len() >= 3, "{leftovers:?}");
    assert!(leftovers.iter().all(|process| process.stopped && !lives(process.pid)), "{leftovers:?}");
    assert!(leftovers.iter().any(|process| process.pid == command.pid));
    assert!(within(kill_leftovers(&traces)).await.is_empty());
}

#[tokio::test]
async fn what_a_killed_shim_left_is_found_by_its_cgroup_too_and_that_is_removed() {
    let Some(folder) = CgroupFolder::make("left-behind") else { return };
    let kit = Kit::with_cgroup(Some(folder.path().to_owned())).await;
    // Nobody's child, without the mark, and deaf.
    let line = "(trap '' TERM; env -i setsid /bin/sleep 1000 & echo $! > child); echo ready; exec sleep 1000";
    let plan = kit.shell(line);
    let mut link = kit.start(&plan).await;
    let command = started(&mut link).await;
    link.control().follow(true);
    printed(&mut link, 6).await;
    let leaf = folder.path().join(format!("{}.{}", plan.job, plan.attempt));
    assert!(leaf.exists());
    kill(parent(command.pid), Signal::KILL);
    assert!(within(link.next()).await.is_none());
    let child: u32 = std::fs::read_to_string(kit.folder.join("child")).unwrap().trim().parse().unwrap();
    assert!(lives(child));
    let traces = Traces { nonce: plan.nonce, command: Some(command), leaf: Some(leaf.clone()) };
    let leftovers = within(kill_leftovers(&traces)).await;
    assert!(leftovers.iter().any(|process| process.pid == child && process.stopped), "{leftovers:?}");
    assert!(!lives(child) && !leaf.exists());
}

#[tokio::test]
async fn signals_to_a_shim_do_not_end_it() {
    let kit = Kit::new().await;
    let plan = kit.plan(&["sleep", "1000"]);
    let mut link = kit.start(&plan).await;
    let shim = parent(started(&mut link).await.pid);
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        kill(shim, signal);
    }
    link.control().stop(false);
    assert!(ended(&mut link).await.stopped);
}

#[tokio::test]
async fn attempts_side_by_side_never_mix() {
    let kit = Kit::new().await;
    let plans: Vec<_> =
        (0..20).map(|i| kit.shell(&format!("for x in 1 2 3 4 5; do echo {i}; done; exit {i}"))).collect();
    let mut links = vec![];
    for plan in &plans {
        links.push(kit.start(plan).await);
    }
    for (i, (plan, mut link)) in plans.iter().zip(links).enumerate() {
        assert_eq!(ended(&mut link).await.exit_code, Some(i as i32));
        assert_eq!(super::kit::read_all(&plan.output_path), format!("{i}\n").repeat(5).into_bytes());
        drop(link);
        assert_eq!(recorded(&kit.run_dir, plan).await.exit_code, Some(i as i32));
    }
}

/// Waits for somebody to say something at the gate, so that its shim is found before it is gone.
const WAITS: &str = "mkfifo gate; echo ready; read x < gate; exit 4";

/// Runs a command that [`WAITS`] until its end is told, and nothing was done about that; its line and its shim.
async fn heard_of_its_end(kit: &Kit, plan: &AttemptPlan) -> (ShimLink, u32) {
    let mut link = kit.start(plan).await;
    let shim = parent(started(&mut link).await.pid);
    link.control().follow(true);
    printed(&mut link, 6).await;
    std::fs::write(kit.folder.join("gate"), "go\n").unwrap();
    ended(&mut link).await;
    (link, shim)
}

/// Whoever hears of the end may store it, and the shim is spared the record.
#[tokio::test]
async fn an_end_that_is_stored_in_time_is_not_put_on_record() {
    let kit = Kit::new().await;
    let plan = kit.shell(WAITS);
    let (link, shim) = heard_of_its_end(&kit, &plan).await;
    forget(&kit.run_dir, plan.number, plan.attempt);
    drop(link);
    gone(shim).await;
    assert_eq!(exit_record(&kit.run_dir, plan.number, plan.attempt, plan.nonce).await, None);
}

#[tokio::test]
async fn an_end_that_nobody_stores_in_time_is_put_on_record() {
    let kit = Kit::new().await;
    let plan = kit.shell("exit 4");
    let mut link = kit.start(&plan).await;
    let report = ended(&mut link).await;
    assert_eq!(recorded(&kit.run_dir, &plan).await, report);
    assert!(matches!(kit.look_up(&plan).await, Found::Ended(_)));
}

/// What is being written is removed with the rest, and the shim must not make it anew.
#[tokio::test]
async fn an_end_that_is_stored_while_it_is_put_on_record_leaves_nothing() {
    let kit = Kit::new().await;
    let plan = kit.shell(WAITS);
    let record = kit.run_dir.join(format!("{}.{}.exit.tmp", plan.number, plan.attempt));
    // A shim that opens a pipe waits for its reader, and cannot sync it.
    assert!(std::process::Command::new("mkfifo").arg(&record).status().unwrap().success());
    let (link, shim) = heard_of_its_end(&kit, &plan).await;
    let reading = tokio::task::spawn_blocking(move || std::fs::File::open(record).unwrap());
    let reader = within(reading).await.unwrap();
    forget(&kit.run_dir, plan.number, plan.attempt);
    drop(link);
    gone(shim).await;
    drop(reader);
    let left = std::fs::read_dir(&kit.run_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let of_the_attempt = format!("{}.", plan.number);
    assert_eq!(left.filter(|name| name.starts_with(&of_the_attempt)).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn a_run_folder_may_have_a_long_name() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("x".repeat(150));
    std::fs::create_dir(&run_dir).unwrap();
    let spawner = within(Spawner::launch(options(run_dir.clone()))).await.unwrap();
    let kit = Kit::new().await;
    let plan = kit.plan(&["sleep", "1000"]);
    let mut link = within(spawner.spawn(plan.clone())).await.unwrap();
    started(&mut link).await;
    drop(link);
    let found = within(longshore_engine::process::look_up(&run_dir, plan.number, plan.attempt, plan.nonce)).await;
    let Found::Running(mut other) = found else { panic!("{found:?}") };
    other.control().stop(true);
    assert!(ended(&mut other).await.stopped);
}

#[tokio::test]
async fn what_is_not_understood_is_ignored() {
    use tokio::io::AsyncWriteExt;
    let kit = Kit::new().await;
    let plan = kit.plan(&["sleep", "1000"]);
    let mut link = kit.start(&plan).await;
    started(&mut link).await;
    drop(link);
    let Found::Running(mut link) = kit.look_up(&plan).await else { panic!("the shim lives") };
    let path = kit.run_dir.join(format!("{}.{}.sock", plan.number, plan.attempt));
    let mut socket = tokio::net::UnixStream::connect(&path).await.unwrap();
    let lines =
        b"garbage\n{\"dance\":{}}\n\xff\xfe\n{\"follow\":{\"on\":true,\"loudly\":1}}\n{\"stop\":{\"why\":\"test\"}}\n";
    socket.write_all(lines).await.unwrap();
    let report = ended(&mut link).await;
    assert!(report.stopped);
    assert_eq!(report.signal, Some(15));
}
