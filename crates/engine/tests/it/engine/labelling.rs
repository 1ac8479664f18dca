//! When and from which stream output came.

use std::ops::Range;

use longshore_domain::Job;
use longshore_domain::job::{CommandLimits, OutputMode};
use longshore_engine::ops::{OutputCursor, OutputStart, Submit};
use longshore_engine::process::output::Stream;

use super::kit::{Kit, shell};

/// Bytes of output that are kept, and how many of them from the beginning.
const CAP: u64 = 65_536;
const HEAD: u64 = CAP / 5;
/// Bytes that the job prints.
const TOTAL: u64 = 4 + 4 + 1_000_000 + 4;

/// A job that prints `out` and `err`, then more than is kept, and `end` on standard error; each once all before was
/// read, so that the order of the two streams is known.
pub(super) async fn both_streams(kit: &Kit) -> Job {
    let gates = ["first", "second", "third"].map(|name| kit.gate(name));
    let [first, second, third] = gates.each_ref().map(super::kit::Gate::wait);
    let line = format!("echo out; {first}; echo err >&2; {second}; head -c 1000000 /dev/zero; {third}; echo end >&2");
    let limits = CommandLimits { output_bytes_max: CAP, ..CommandLimits::default() };
    let job = kit.submit(Submit { limits, output: OutputMode::Split, ..shell(line) }).await;
    for (gate, printed) in gates.iter().zip([4, 8, TOTAL - 4]) {
        let mut start = OutputStart::Head;
        loop {
            let page = kit.output(&job, start).await.unwrap();
            if page.next.offset == printed {
                break;
            }
            start = OutputStart::Cursor(page.next);
        }
        gate.open().await;
    }
    kit.ended(&job).await
}

/// Every stretch that is there, with its stream; neighbours of one stream are one.
pub(super) async fn streams(kit: &Kit, job: &Job) -> Vec<(Range<u64>, Stream)> {
    let mut found: Vec<(Range<u64>, Stream)> = vec![];
    let mut start = OutputStart::Head;
    loop {
        let page = kit.labelled(job, start).await.unwrap();
        let bytes = page.from.offset..page.from.offset + page.bytes.len() as u64;
        assert!(page.labels.first().is_none_or(|label| label.offset <= bytes.start));
        assert!(page.labels.windows(2).all(|pair| pair[0].offset < pair[1].offset && pair[0].at <= pair[1].at));
        let ends = page.labels.iter().skip(1).map(|label| label.offset).chain([bytes.end]);
        for (label, end) in page.labels.iter().zip(ends) {
            let start = label.offset.max(bytes.start);
            match found.last_mut() {
                Some((last, stream)) if last.end == start && *stream == label.stream => last.end = end,
                _ => found.push((start..end, label.stream)),
            }
        }
        if page.end {
            return found;
        }
        start = OutputStart::Cursor(page.next);
    }
}

/// What [`streams`] finds of [`both_streams`].
pub(super) fn expected() -> Vec<(Range<u64>, Stream)> {
    let floor = TOTAL - (CAP - HEAD);
    vec![
        (0..4, Stream::Stdout),
        (4..8, Stream::Stderr),
        (8..HEAD, Stream::Stdout),
        (floor..TOTAL - 4, Stream::Stdout),
        (TOTAL - 4..TOTAL, Stream::Stderr),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_tell_the_stream_of_every_byte_that_is_kept() {
    let kit = Kit::new().await;
    let job = both_streams(&kit).await;
    assert_eq!(streams(&kit, &job).await, expected());
    let within = OutputCursor { attempt: job.attempt, offset: 6 };
    let page = kit.labelled(&job, OutputStart::Cursor(within)).await.unwrap();
    assert_eq!((page.from.offset, page.labels[0].offset), (6, 4), "the label in force at the first byte");
    let times = job.submitted_at..=kit.engine.clock().now();
    assert!(page.labels.iter().all(|label| times.contains(&label.at)), "{times:?}: {:?}", page.labels);
    assert_eq!(kit.output(&job, OutputStart::Head).await.unwrap().labels, [], "nobody asked for them");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_streams_are_one_labels_tell_the_time_alone() {
    let kit = Kit::new().await;
    let job = kit.ended(&kit.submit(shell("echo out; echo err >&2")).await).await;
    assert_eq!(streams(&kit, &job).await, [(0..8, Stream::Merged)]);
}
