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

#[test]
fn what_the_disk_did_not_take_is_missing_at_the_end() {
    let home = Home::new();
    let id = home.submit(&["--", "seq", "1", "1000"]);
    let job = home.finished(&id);
    let printed = job["report"]["output"]["bytes"].as_u64().unwrap();
    let days = std::fs::read_dir(home.path("output")).unwrap().map(|day| day.unwrap().path());
    let files: Vec<_> = days.map(|day| day.join(format!("{id}.1.log"))).filter(|file| file.exists()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    std::fs::File::options().write(true).open(file).unwrap().set_len(100).unwrap();
    let said = format!("… {} bytes were not kept …\n", printed - 100);

    let logs = |more: &[&str]| home.run(&[&["logs", &id], more].concat()).ok();
    let all = logs(&[]);
    assert_eq!((all.stdout.len(), all.stderr.as_str()), (100, said.as_str()));
    let tail = logs(&["-f", "--tail", "2"]);
    assert_eq!((tail.text().lines().count(), tail.stderr.as_str()), (2, said.as_str()));
    let json = logs(&["--json"]).text();
    let pieces: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = pieces.iter().map(|piece| (&piece["omitted"], &piece["end"])).collect();
    assert_eq!(told, [(&0.into(), &false.into()), (&(printed - 100).into(), &true.into())]);
    let next = pieces[1]["next"].as_str().unwrap();
    assert_eq!((pieces[1]["from"].as_str(), next), (Some(next), format!("1.{printed}").as_str()));
    let read = logs(&["--since", next]);
    assert_eq!((read.stdout.len(), read.stderr.as_str()), (0, ""));
    let within = logs(&["--since", "1.200"]);
    assert_eq!(within.stderr, format!("… {} bytes were not kept …\n", printed - 200));

    let result = home.run(&["result", "--lines", "1", &id]).ok();
    assert!(result.text().contains("succeeded") && result.stderr == said, "{result:?}");
    let result = home.run(&["result", "--json", &id]).ok().json();
    assert_eq!(result["omitted"], printed - 100);
    std::fs::remove_file(file).unwrap();
    assert_eq!(logs(&[]).stderr, format!("… {printed} bytes were not kept …\n"));
}
