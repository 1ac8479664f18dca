//! What a command finds around it when it begins.

use std::collections::BTreeMap;

use longshore_engine::process::Found;

use super::kit::{Kit, ended, parent, printed, started};

#[tokio::test]
async fn the_environment_is_exactly_what_was_planned() {
    let kit = Kit::new().await;
    let mut plan = kit.plan(&["/usr/bin/env", "-0"]);
    plan.spec.env = BTreeMap::from([("A".into(), "1\n2".into()), ("EMPTY".into(), String::new())]);
    let (_, output) = kit.output(&plan).await;
    let mut found: Vec<String> = String::from_utf8(output).unwrap().split_terminator('\0').map(str::to_owned).collect();
    found.sort();
    let marks = [
        "A=1\n2".to_owned(),
        "EMPTY=".to_owned(),
        "LONGSHORE_ATTEMPT=1".to_owned(),
        format!("LONGSHORE_JOB={}", plan.job),
        format!("LONGSHORE_MARK={}", plan.nonce),
    ];
    assert_eq!(found, marks);
}

#[tokio::test]
async fn no_shell_runs_code_named_by_the_environment() {
    let kit = Kit::new().await;
    std::fs::write(kit.folder.join("evil"), "echo evil\n").unwrap();
    let mut plan = kit.shell("echo good");
    plan.spec.env.insert("ENV".into(), kit.folder.join("evil").display().to_string());
    plan.spec.env.insert("BASH_ENV".into(), kit.folder.join("evil").display().to_string());
    assert_eq!(kit.output(&plan).await.1, b"good\n");
}

#[tokio::test]
async fn there_is_nothing_to_read() {
    let kit = Kit::new().await;
    let (report, output) = kit.output(&kit.shell("readlink /proc/self/fd/0; cat; echo end")).await;
    assert_eq!(report.exit_code, Some(0));
    assert_eq!(output, b"/dev/null\nend\n");
}

#[tokio::test]
async fn no_descriptor_leaks_into_the_command() {
    let kit = Kit::new().await;
    for mode in ["merged", "split"] {
        let mut plan = kit.plan(&["ls", "/proc/self/fd"]);
        plan.spec.output = serde_json::from_str(&format!("\"{mode}\"")).unwrap();
        // The fourth is the folder that `ls` itself reads.
        assert_eq!(kit.output(&plan).await.1, b"0\n1\n2\n3\n", "{mode}");
    }
}

#[tokio::test]
async fn signals_have_their_default_meaning() {
    let kit = Kit::new().await;
    let (_, output) = kit.output(&kit.plan(&["cat", "/proc/self/status"])).await;
    let text = String::from_utf8(output).unwrap();
    // 32 and 33 belong to the C library, which lets nobody change them.
    const RESERVED: u64 = 0b11 << 31;
    for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
        let mask = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        assert_eq!(u64::from_str_radix(mask, 16).unwrap() & !RESERVED, 0, "{name} {mask}");
    }
    let (report, output) = kit.output(&kit.shell("yes | head -1")).await;
    assert_eq!((report.exit_code, output.as_slice()), (Some(0), b"y\n".as_slice()));
}

#[tokio::test]
async fn the_command_leads_a_group_within_the_session_of_its_shim() {
    let kit = Kit::new().await;
    let mut link = kit.start(&kit.shell("umask > mask; pwd; exec sleep 1000")).await;
    link.control().follow(true);
    let command = started(&mut link).await.pid;
    printed(&mut link, 1).await;
    let shim = parent(command);
    let stat = std::fs::read_to_string(format!("/proc/{command}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
    assert_eq!((fields[2], fields[3]), (command.to_string().as_str(), shim.to_string().as_str()));
    let own = std::process::Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
    assert_eq!(std::fs::read(kit.folder.join("mask")).unwrap(), own);
    link.control().stop(true);
    ended(&mut link).await;
}

#[tokio::test]
async fn files_of_a_shim_are_for_its_user_only() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt};
    let kit = Kit::new().await;
    let plan = kit.shell("echo x; exec sleep 1000");
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 2).await;
    let socket = kit.run_dir.join(format!("{}.{}.sock", plan.number, plan.attempt));
    let index = longshore_engine::process::output::index_path(&plan.output_path);
    for path in [&socket, &plan.output_path, &index] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    drop(link);
    let Found::Running(mut link) = kit.look_up(&plan).await else { panic!("the shim lives") };
    let listens = std::fs::metadata(&socket).unwrap();
    assert!(listens.file_type().is_socket() && listens.permissions().mode() & 0o777 == 0o600, "{listens:?}");
    link.control().stop(true);
    ended(&mut link).await;
}

#[tokio::test]
async fn limits_hold_in_the_command() {
    let kit = Kit::new().await;
    let mut plan = kit.shell("ulimit -v; ulimit -u; nice");
    plan.spec.limits.memory_bytes = Some(512 * 1024 * 1024);
    plan.spec.limits.processes = Some(5_000);
    plan.spec.limits.nice = Some(7);
    let (_, output) = kit.output(&plan).await;
    let text = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "524288");
    let ours = rustix::process::getpriority_process(None).unwrap();
    assert_eq!(lines[lines.len() - 1], (ours + 7).min(19).to_string(), "it is added to ours");
}

#[tokio::test]
async fn what_a_command_used_is_reported() {
    let kit = Kit::new().await;
    let report = kit.run(&kit.shell("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")).await;
    assert!(report.usage.user_ms > 0 && report.usage.memory_max_bytes > 100_000, "{:?}", report.usage);
    assert!(report.finished_at >= report.started_at && !report.ran.is_zero());
}
