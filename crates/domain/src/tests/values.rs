//! Ids, lengths, specs, back-off, estimates and hints.

use std::collections::HashSet;
use std::time::Duration;

use crate::estimate::{Estimate, remaining_by_progress};
use crate::fault::FaultCode;
use crate::id::{JobId, Nonce};
use crate::job::{AttemptReport, CommandSpec, FailReason, RetryPolicy, StateName};
use crate::label::{InvalidLabels, Labels};
use crate::poll::poll_hint;
use crate::time::{Timestamp, format_length, parse_length};

fn command(argv: &[&str]) -> CommandSpec {
    CommandSpec::new(argv, "/", &[])
}

#[test]
fn ids_round_trip_and_sort_by_time() {
    let early = JobId::new(Timestamp::from_millis(1_790_000_000_000), u128::MAX);
    let late = JobId::new(Timestamp::from_millis(1_790_000_000_001), 0);
    for id in [early, late] {
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        assert_eq!(id.to_string().len(), JobId::LEN);
        assert_eq!(id.to_string().to_uppercase().replacen('J', "j", 1).parse::<JobId>(), Ok(id));
    }
    assert!(early < late && early.to_string() < late.to_string());
}

#[test]
fn ten_thousand_ids_of_one_millisecond_differ() {
    let at = Timestamp::from_millis(1);
    let ids: HashSet<String> = (0..10_000u128).map(|random| JobId::new(at, random).to_string()).collect();
    assert_eq!(ids.len(), 10_000);
}

#[test]
fn what_is_not_an_id_is_refused() {
    let good = JobId::new(Timestamp::from_millis(1), 7).to_string();
    let overflow = format!("j_{}{}", "0".repeat(10), "z".repeat(26));
    for bad in ["", "j_", "job", &good[..20], &format!("{good}0"), &good.replace("j_", "q_"), "j_../../etc", &overflow]
    {
        assert!(bad.parse::<JobId>().is_err(), "{bad}");
    }
}

#[test]
fn a_nonce_does_not_print_itself() {
    assert_eq!(format!("{:?}", Nonce::new(77)), "Nonce(..)");
}

#[test]
fn lengths_are_read_and_written() {
    for (text, seconds) in
        [("90", 90.0), ("1.5", 1.5), ("90s", 90.0), ("5m", 300.0), ("1h 30m", 5400.0), ("250ms", 0.25)]
    {
        assert_eq!(parse_length(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
    }
    for bad in ["", "soon", "-5", "-5m", "1e400"] {
        assert!(parse_length(bad).is_err(), "{bad}");
    }
    for (seconds, text) in
        [(0.4, "0.4s"), (42.0, "42s"), (302.0, "5m 02s"), (11_220.0, "3h 07m"), (190_000.0, "2d 04h")]
    {
        assert_eq!(format_length(Duration::from_secs_f64(seconds)), text);
    }
}

#[test]
fn a_clock_set_back_gives_no_negative_age() {
    assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    assert_eq!(Timestamp::from_millis(i64::MAX).plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
}

#[test]
fn specs_that_can_never_run_are_refused() {
    let with_env = |name: &str| {
        let mut spec = command(&["true"]);
        spec.env.insert(name.into(), "x".into());
        spec
    };
    let mut shell = command(&["a", "b"]);
    shell.shell = true;
    let mut relative = command(&["true"]);
    relative.cwd = "src".into();
    let mut deadline = command(&["true"]);
    deadline.deadlines.soft = Some(Duration::from_secs(9));
    deadline.deadlines.hard = Some(Duration::from_secs(9));
    let long = "x".repeat(200_000);
    let many = "x".repeat(100_000);
    let cases = [
        (command(&[]), "command", false),
        (command(&[" "]), "command", false),
        (command(&["a\0b"]), "command", false),
        (command(&["echo", &long]), "command", true),
        (command(&[many.as_str(); 11]), "command", true),
        (shell, "command", false),
        (relative, "cwd", false),
        (with_env("BASH_ENV"), "env", false),
        (with_env("LD_PRELOAD"), "env", false),
        (with_env("BASH_FUNC_ls%%"), "env", false),
        (with_env("LONGSHORE_JOB"), "env", false),
        (with_env("A=B"), "env", false),
        (deadline, "soft_deadline", false),
    ];
    for (spec, argument, too_large) in cases {
        let problem = spec.check().expect_err(argument);
        assert_eq!((problem.argument, problem.too_large), (argument, too_large), "{problem}");
    }
    assert_eq!(command(&["true"]).check(), Ok(()));
}

#[test]
fn likeness_tells_commands_apart_by_words_not_by_letters() {
    let like = |argv: &[&str]| crate::job::JobSpec::Command(command(argv)).likeness();
    assert_eq!(like(&["make", "all"]), like(&["make", "all"]));
    assert_ne!(like(&["make", "all"]), like(&["makea", "ll"]));
}

#[test]
fn backoff_doubles_within_its_bounds() {
    let policy = RetryPolicy::times(5);
    for failures in 1..40 {
        let full = Duration::from_secs(1 << (failures - 1).min(20)).min(policy.backoff_max);
        for jitter in 0..50 {
            let wait = policy.wait_after(failures, jitter);
            assert!(wait >= full / 2 && wait <= full, "{failures} {wait:?}");
        }
    }
    assert_ne!(policy.wait_after(8, 1), policy.wait_after(8, 2));
    assert!(policy.allows(5, FailReason::Exit) && !policy.allows(6, FailReason::Exit));
    assert!(!policy.allows(1, FailReason::Denied) && !policy.allows(1, FailReason::Blocked));
}

#[test]
fn an_estimate_needs_samples_and_gives_a_range() {
    let seconds = |list: &[u64]| list.iter().map(|&s| Duration::from_secs(s)).collect::<Vec<_>>();
    assert_eq!(Estimate::from_samples(&seconds(&[10, 12])), None);
    let estimate = Estimate::from_samples(&seconds(&[30, 10, 12, 11, 13])).expect("five samples");
    assert_eq!((estimate.low.as_secs(), estimate.middle.as_secs(), estimate.high.as_secs()), (10, 12, 30));
    assert_eq!(estimate.remaining(Duration::from_secs(4)), Some(Duration::from_secs(8)));
    assert_eq!(estimate.remaining(Duration::from_secs(20)), Some(Duration::from_secs(5)));
    assert_eq!(estimate.remaining(Duration::from_secs(31)), None);
    assert_eq!(estimate.share_done(Duration::from_secs(3)), Some(0.25));
}

#[test]
fn progress_tells_what_is_left_once_there_is_enough_of_it() {
    let table = [
        (50.0, 60, Some(60)),
        (25.0, 10, Some(30)),
        (5.0, 3, Some(57)),
        (4.9, 600, None),
        (50.0, 2, None),
        (99.0, 99, Some(1)),
        (100.0, 60, None),
        (130.0, 60, None),
        (0.0, 60, None),
        (-5.0, 60, None),
        (f64::NAN, 60, None),
    ];
    for (percent, elapsed, left) in table {
        let found = remaining_by_progress(percent, Duration::from_secs(elapsed));
        assert_eq!(found, left.map(Duration::from_secs), "{percent} {elapsed}");
    }
}

#[test]
fn hints_are_short_at_first_and_bounded() {
    let hint = |state, seconds| poll_hint(state, Duration::from_secs(seconds), None).as_secs();
    assert_eq!(hint(StateName::Finished, 9), 0);
    assert_eq!(
        [hint(StateName::Running, 0), hint(StateName::Running, 40), hint(StateName::Running, 4000)],
        [2, 10, 60]
    );
    assert_eq!([hint(StateName::Queued, 0), hint(StateName::Queued, 900)], [5, 60]);
    assert_eq!([hint(StateName::Held, 0), hint(StateName::Held, 900)], [10, 30]);
    let estimate = Estimate::from_samples(&[Duration::from_secs(20); 3]);
    assert_eq!(poll_hint(StateName::Running, Duration::from_secs(10), estimate.as_ref()).as_secs(), 5);
}

#[test]
fn fault_codes_are_distinct_and_exit_codes_stay_clear_of_jobs() {
    let names: HashSet<&str> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(names.len(), FaultCode::ALL.len());
    assert!(FaultCode::ALL.iter().all(|code| (64..100).contains(&code.exit_code())));
    for code in FaultCode::ALL {
        assert_eq!(serde_json::to_value(code).expect("a name"), code.as_str());
    }
}

#[test]
fn labels_are_a_set_with_one_way_to_write_it() {
    let labels: Labels = " os=linux gpu\tgpu ".parse().expect("labels");
    assert_eq!((labels.to_string(), labels.iter().count()), ("gpu os=linux".to_owned(), 2));
    assert_eq!(serde_json::to_value(&labels).expect("JSON"), serde_json::json!(["gpu", "os=linux"]));
    assert_eq!("".parse(), Ok(Labels::default()));
    let some: Labels = "gpu".parse().expect("labels");
    assert!(labels.cover(&some) && labels.cover(&Labels::default()) && labels.cover(&labels) && !some.cover(&labels));
    for bad in ["", "a b", "ü", "a\n", &"x".repeat(65)] {
        assert_eq!(Labels::new([bad.to_owned()]), Err(InvalidLabels::Label(bad.to_owned())));
    }
    let many = (0..=Labels::COUNT_MAX).map(|number| number.to_string());
    assert_eq!(Labels::new(many), Err(InvalidLabels::Count(33)));
}

#[test]
fn an_end_says_which_limit_had_a_part_in_it() {
    let report =
        |exit_code, signal| AttemptReport { exit_code, signal, memory_ran_out: true, ..AttemptReport::default() };
    let table = [
        (report(None, Some(9)), Some(FailReason::Signal), Some("ended by signal 9")),
        (report(Some(137), None), Some(FailReason::Exit), Some("ended with exit code 137")),
        (report(Some(0), None), None, None),
    ];
    for (report, reason, end) in table {
        let memory = "the kernel killed processes of it for want of memory";
        let processes = "the kernel refused it more processes than its limit";
        for (report, limit) in [
            (AttemptReport { processes_ran_out: true, ..report.clone() }, memory),
            (AttemptReport { memory_ran_out: false, processes_ran_out: true, ..report.clone() }, processes),
            (report, memory),
        ] {
            let message = end.map_or(limit.to_owned(), |end| format!("{end}; {limit}"));
            let (_, found, told) = report.verdict();
            assert_eq!((found, told), (reason, Some(message)));
        }
    }
}
