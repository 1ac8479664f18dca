//! Captured output: every byte, in order, with exact counts.

use longshore_domain::job::OutputMode;
use longshore_engine::process::ShimReport;
use longshore_engine::process::output::{OutputFile, Stream};

use super::kit::{Kit, ended, printed, read_all, started, within};

#[tokio::test]
async fn bytes_are_kept_as_they_came() {
    let kit = Kit::new().await;
    let bytes: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(kit.folder.join("bytes"), &bytes).unwrap();
    let (report, output) = kit.output(&kit.plan(&["cat", "bytes"])).await;
    assert_eq!(output, bytes);
    let newlines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert_eq!(report.output.bytes, 100_000);
    assert_eq!(report.output.lines, newlines + u64::from(bytes.last() != Some(&b'\n')));
    assert_eq!((report.output.omitted_bytes, report.output.omitted_lines), (0, 0));
}

#[tokio::test]
async fn silence_leaves_no_files() {
    let kit = Kit::new().await;
    let plan = kit.plan(&["true"]);
    let report = kit.run(&plan).await;
    assert_eq!((report.output.bytes, report.output.lines), (0, 0));
    assert!(!plan.output_path.exists());
    assert_eq!(OutputFile::open(&plan.output_path).unwrap().read(0, 10).unwrap().bytes, b"");
}

#[tokio::test]
async fn beyond_the_cap_head_and_tail_are_kept_and_the_rest_is_counted() {
    const BYTES: u64 = 200 * 1024 * 1024;
    const CAP: u64 = 10_000_000;
    const HEAD: u64 = CAP / 5;
    let kit = Kit::new().await;
    let mut plan = kit.shell(&format!("yes 'a line of text' | head -c {BYTES}"));
    plan.spec.limits.output_bytes_max = CAP;
    let report = kit.run(&plan).await;
    let line = b"a line of text\n";
    let all = |from: u64, to: u64| -> Vec<u8> { (from..to).map(|at| line[(at % 15) as usize]).collect() };
    let newlines_before = |offset: u64| offset / 15;
    assert_eq!(report.output.bytes, BYTES);
    assert_eq!(report.output.lines, BYTES.div_ceil(15));
    let tail_from = BYTES - (CAP - HEAD);
    assert_eq!(report.output.omitted_bytes, BYTES - CAP);
    assert_eq!(report.output.omitted_lines, newlines_before(tail_from) - newlines_before(HEAD));
    assert_eq!(std::fs::metadata(&plan.output_path).unwrap().len(), CAP);

    let file = OutputFile::open(&plan.output_path).unwrap();
    assert_eq!(file.total(), BYTES);
    let head = file.read(0, usize::MAX / 2).unwrap();
    assert_eq!((head.offset, head.gap, head.next_offset), (0, 0, HEAD));
    assert_eq!(head.bytes, all(0, HEAD));
    let tail = file.read(head.next_offset, usize::MAX / 2).unwrap();
    assert_eq!((tail.offset, tail.gap, tail.next_offset), (tail_from, BYTES - CAP, BYTES));
    assert_eq!(tail.bytes, all(tail_from, BYTES));
    let middle = file.read(BYTES / 2, 100).unwrap();
    assert_eq!((middle.offset, middle.gap), (tail_from, tail_from - BYTES / 2));
    let last = file.tail_start(3).unwrap();
    assert_eq!(last, BYTES / 15 * 15 - 30);
    let behind = (newlines_before(BYTES) - newlines_before(tail_from) + 1) as usize;
    let starts = [behind, behind + 1, usize::MAX].map(|lines| file.tail_start(lines).unwrap());
    assert_eq!(starts, [tail_from, HEAD / 15 * 15, 0], "what is not kept ends a line");
}

#[tokio::test]
async fn a_ring_is_never_read_torn() {
    let kit = Kit::new().await;
    let mut plan = kit.shell("i=100000000; while [ $i -lt 100400000 ]; do echo $i; i=$((i+1)); done");
    plan.spec.limits.output_bytes_max = 65_536;
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    let mut checked = 0u64;
    loop {
        let file = OutputFile::open(&plan.output_path).unwrap();
        for offset in [0, 13_107, file.total().saturating_sub(60_000), file.total() / 2] {
            let Ok(chunk) = file.read(offset, 40_000) else { continue };
            for (at, &byte) in chunk.bytes.iter().enumerate() {
                let position = chunk.offset + at as u64;
                let line = format!("{}\n", 100_000_000 + position / 10);
                assert_eq!(byte, line.as_bytes()[(position % 10) as usize], "at {position}");
                checked += 1;
            }
        }
        if let Some(ShimReport::Ended(report)) = within(link.next()).await {
            assert_eq!(report.output.bytes, 4_000_000);
            break;
        }
    }
    assert!(checked > 100_000);
}

#[tokio::test]
async fn one_pipe_keeps_the_order_of_both_streams() {
    let kit = Kit::new().await;
    let line = "i=0; while [ $i -lt 10000 ]; do echo $i; echo $i >&2; i=$((i+1)); done";
    let (report, output) = kit.output(&kit.shell(line)).await;
    let expected: String = (0..10_000).map(|i| format!("{i}\n{i}\n")).collect();
    assert_eq!(String::from_utf8(output).unwrap(), expected);
    assert_eq!(report.output.lines, 20_000);
}

#[tokio::test]
async fn two_pipes_label_their_streams() {
    let kit = Kit::new().await;
    let mut plan = kit.shell("echo out; read x < gate4; echo err >&2; read x < gate8; echo out again");
    plan.spec.output = OutputMode::Split;
    for gate in ["gate4", "gate8"] {
        assert!(std::process::Command::new("mkfifo").arg(kit.folder.join(gate)).status().unwrap().success());
    }
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    for bytes in [4, 8] {
        printed(&mut link, bytes).await;
        let gate = kit.folder.join(format!("gate{bytes}"));
        tokio::task::spawn_blocking(move || std::fs::write(gate, "go\n").unwrap()).await.unwrap();
    }
    ended(&mut link).await;
    let file = OutputFile::open(&plan.output_path).unwrap();
    assert_eq!(read_all(&plan.output_path), b"out\nerr\nout again\n");
    let labels = file.labels(0..file.total()).unwrap().labels;
    let found: Vec<_> = labels.iter().map(|label| (label.offset, label.stream)).collect();
    assert_eq!(found, [(0, Stream::Stdout), (4, Stream::Stderr), (8, Stream::Stdout)]);
    assert!(labels.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let within_error: Vec<_> = file.labels(5..8).unwrap().labels.iter().map(|label| label.offset).collect();
    assert_eq!(within_error, [4]);
}

#[tokio::test]
async fn output_that_cannot_be_written_does_not_stop_the_command() {
    let kit = Kit::new().await;
    let mut plan = kit.shell("echo a; echo b; exit 7");
    plan.output_path = kit.folder.join("no/such/folder/out");
    let report = kit.run(&plan).await;
    assert_eq!(report.exit_code, Some(7));
    assert_eq!((report.output.bytes, report.output.lines, report.output.omitted_bytes), (4, 2, 4));
    assert!(report.output.write_error.is_some());
    let plan = kit.shell("head -c 1000000 /dev/zero");
    std::os::unix::fs::symlink("/dev/full", &plan.output_path).unwrap();
    let report = kit.run(&plan).await;
    assert_eq!((report.exit_code, report.output.bytes), (Some(0), 1_000_000));
    assert!(report.output.write_error.is_some());
}

#[tokio::test]
async fn progress_is_told_without_being_asked_for() {
    let kit = Kit::new().await;
    let mut link = kit.start(&kit.shell("echo '[3/4] building'; exec sleep 1000")).await;
    started(&mut link).await;
    let report = within(link.next()).await.unwrap();
    let ShimReport::Output { total: 15.., progress: Some(progress) } = report else { panic!("{report:?}") };
    assert_eq!((progress.percent, progress.text.as_str()), (75.0, "[3/4]"));
    link.control().stop(true);
    ended(&mut link).await;
}

#[tokio::test]
async fn output_can_be_read_while_it_grows() {
    let kit = Kit::new().await;
    let plan = kit.shell("echo one; echo two; exec sleep 1000");
    let mut link = kit.start(&plan).await;
    link.control().follow(true);
    printed(&mut link, 8).await;
    let file = OutputFile::open(&plan.output_path).unwrap();
    let chunk = file.read(4, 100).unwrap();
    assert_eq!((chunk.bytes.as_slice(), chunk.next_offset), (b"two\n".as_slice(), 8));
    assert_eq!(file.read(8, 100).unwrap().bytes, b"");
    let tails: Vec<u64> = (0..4).map(|lines| file.tail_start(lines).unwrap()).collect();
    assert_eq!(tails, [8, 4, 0, 0]);
    link.control().stop(false);
    let report = ended(&mut link).await;
    assert!(report.stopped);
    assert_eq!(report.signal, Some(15));
}
