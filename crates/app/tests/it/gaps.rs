//! What is said of output that was not kept.

use crate::harness::Home;

#[test]
fn the_last_lines_may_begin_before_what_was_not_kept() {
    let home = Home::new();
    let id = home.submit(&["--output-max", "64K", "--", "seq", "1", "100000"]);
    home.run(&["wait", &id]).ok();
    let all = home.run(&["logs", &id]).ok();
    let said = all.stderr.as_str();
    assert!(said.starts_with("… ") && said.ends_with(" bytes were not kept …\n"), "{said}");
    let lines: Vec<String> = all.text().lines().map(str::to_owned).collect();
    let tail = |lines: usize| home.run(&["logs", "--tail", &lines.to_string(), &id]).ok();
    let within = tail(3);
    assert_eq!((within.text().as_str(), within.stderr.as_str()), ("99998\n99999\n100000\n", ""));
    let across = tail(lines.len());
    assert_eq!((across.text().lines().count(), across.stderr.as_str()), (lines.len() - 1, said));
    assert_eq!(across.text(), lines[1..].iter().map(|line| format!("{line}\n")).collect::<String>());
    let beyond = tail(100_000);
    assert_eq!((beyond.stdout, beyond.stderr.as_str()), (all.stdout, said));
}
