//! What models see of jobs.

use insta::assert_json_snapshot;
use serde_json::{Value, json};

use crate::kit::{Client, Kit, job_of, modern_meta};
use crate::redact::redact;
use crate::tokens::is_short;

#[tokio::test]
async fn a_quick_command_answers_with_its_result() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let good = client.tool("run", json!({ "command": ["echo", "hello"], "name": "greeting" })).await;
    assert_json_snapshot!("run_ok", redact(&good));
    let bad = client.tool("run", json!({ "command": "echo oh no >&2; exit 3", "shell": true })).await;
    assert_json_snapshot!("run_failed", redact(&bad));
    let missing = client.tool("run", json!({ "command": ["/no/such/program"] })).await;
    assert_eq!(missing["isError"], true);
    assert_eq!(missing["structuredContent"]["outcome"]["reason"], "spawn");
    let long = client.tool("run", json!({ "command": ["seq", "100"] })).await;
    assert_json_snapshot!("run_long_output", redact(&long));
}

#[tokio::test]
async fn a_slow_command_answers_with_a_handle_that_is_short_and_can_be_followed() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    let again = json!({ "command": gate.line(), "shell": true, "wait_s": 0.01, "key": "gated" });
    let handle = client.tool("run", again).await;
    assert_eq!(job_of(&handle), job);
    is_short("handle of `run`", &handle);
    assert_json_snapshot!("run_handle", redact(&handle));
    let waited = client.tool("job_wait", json!({ "jobs": [job], "wait_s": 0 })).await;
    is_short("`job_wait` that timed out", &waited);
    assert_json_snapshot!("job_wait_timed_out", redact(&waited));
    let read = client.tool("job_read", json!({ "job": job })).await;
    assert_json_snapshot!("job_read_running", redact(&read));
    let cursor = read["structuredContent"]["cursor"].clone();
    gate.open().await;
    let waited = client.tool("job_wait", json!({ "jobs": [job], "cursor": "w1" })).await;
    assert_json_snapshot!("job_wait_ended", redact(&waited));
    let read = client.tool("job_read", json!({ "job": job, "cursor": cursor })).await;
    assert_json_snapshot!("job_read_on", redact(&read));
}

#[tokio::test]
async fn two_polls_never_look_alike() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    let one = client.tool("job_wait", json!({ "jobs": [job], "wait_s": 0.01 })).await;
    let other = client.tool("job_wait", json!({ "jobs": [job], "wait_s": 0.01 })).await;
    assert_ne!(one["structuredContent"]["cursor"], other["structuredContent"]["cursor"]);
    assert_ne!(one["structuredContent"]["next"], other["structuredContent"]["next"]);
}

#[tokio::test]
async fn several_jobs_are_waited_for_at_once() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let slow = client.waiting_job(&kit, &gate).await;
    let quick = job_of(&client.tool("run", json!({ "command": ["false"] })).await);
    let any = client.tool("job_wait", json!({ "jobs": [slow, quick], "any": true })).await;
    assert_json_snapshot!("job_wait_any", redact(&any));
}

#[tokio::test]
async fn jobs_are_listed_by_conversation() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    client.tool("run", json!({ "command": ["true"], "name": "first" })).await;
    client.tool("run", json!({ "command": ["false"] })).await;
    let list = client.tool("job_list", json!({})).await;
    assert_json_snapshot!("job_list", redact(&list));
    let page = client.tool("job_list", json!({ "limit": 1 })).await;
    let cursor = page["structuredContent"]["cursor"].clone();
    let rest = client.tool("job_list", json!({ "limit": 1, "cursor": cursor })).await;
    assert_eq!(rest["structuredContent"]["jobs"][0]["title"], "first");
    let failed = client.tool("job_list", json!({ "outcome": "failed", "state": "finished", "text": "fal" })).await;
    assert_eq!(failed["structuredContent"]["jobs"].as_array().unwrap().len(), 1);
    let mut other = kit.bridge("another chat").await;
    other.shake_hands("2025-11-25").await;
    let none = other.tool("job_list", json!({})).await;
    assert_json_snapshot!("job_list_empty", redact(&none));
    let all = other.tool("job_list", json!({ "all": true })).await;
    assert_eq!(all["structuredContent"]["jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_job_is_cancelled_once() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let gate = kit.gate();
    let job = client.waiting_job(&kit, &gate).await;
    let cancelled = client.tool("job_cancel", json!({ "job": job, "reason": "not needed" })).await;
    assert_json_snapshot!("job_cancel", redact(&cancelled));
    let again = client.tool("job_cancel", json!({ "job": job })).await;
    assert_json_snapshot!("job_cancel_finished", redact(&again));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_with_the_way_out() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let unknown = "j_00000000000000000000000000000000000000";
    let calls = [
        ("run", json!({})),
        ("run", json!({ "command": "echo hi" })),
        ("run", json!({ "comand": ["echo"] })),
        ("run", json!({ "command": ["echo"], "cwd": "/no/such/directory" })),
        ("run", json!({ "command": ["echo"], "env": { "LD_PRELOAD": "x" } })),
        ("run", json!({ "command": ["echo"], "retry": 1000 })),
        ("run", json!({ "command": ["echo"], "after": [unknown] })),
        ("run", json!([])),
        ("job_wait", json!({ "jobs": [] })),
        ("job_wait", json!({ "jobs": "j_1" })),
        ("job_read", json!({ "job": unknown })),
        ("job_read", json!({ "job": "1" })),
        ("job_read", json!({ "job": unknown, "cursor": "nowhere" })),
        ("job_list", json!({ "state": "sleeping" })),
        ("job_list", json!({ "cursor": "x" })),
        ("job_cancel", json!({ "job": unknown })),
    ];
    let mut answers = vec![];
    for (tool, arguments) in calls {
        let answer = client.tool(tool, arguments.clone()).await;
        assert_eq!(answer["isError"], true, "{answer}");
        answers.push(json!({ "tool": tool, "arguments": arguments, "result": answer }));
    }
    assert_json_snapshot!("tool_errors", answers);
}

#[tokio::test]
async fn one_key_is_one_job() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let run = |word: &str, key: &str| json!({ "command": ["echo", word], "key": key });
    let first = client.tool("run", run("a", "k")).await;
    let again = client.tool("run", run("a", "k")).await;
    assert_eq!(job_of(&first), job_of(&again));
    assert_eq!(again["structuredContent"]["existing"], true);
    let other = client.tool("run", run("b", "k")).await;
    assert_json_snapshot!("key_conflict", redact(&other));
    let params = json!({
        "name": "run",
        "arguments": { "command": ["echo", "a"] },
        "_meta": { "dev.longshore/idempotencyKey": "k" },
    });
    let by_meta = client.request("tools/call", params).await;
    assert_eq!(job_of(&by_meta["result"]), job_of(&first));
}

#[tokio::test]
async fn a_request_sent_again_by_its_bridge_finds_its_job() {
    let kit = Kit::new().await;
    let call = json!({
        "jsonrpc": "2.0", "id": "r1", "method": "tools/call",
        "params": { "name": "run", "arguments": { "command": ["echo", "once"] } },
    });
    let mut jobs = vec![];
    for bridge in ["b1", "b1", "b2"] {
        let mut client = kit.bridge(bridge).await;
        client.say(&call).await;
        jobs.push(job_of(&client.hear().await["result"]));
    }
    assert_eq!(jobs[0], jobs[1]);
    assert_ne!(jobs[0], jobs[2]);
}

#[tokio::test]
async fn each_era_gets_the_content_it_knows() {
    let kit = Kit::new().await;
    let background = json!({ "command": ["true"], "background": true, "start_in_s": 3600 });
    let kinds = |result: &Value| -> Vec<String> {
        result["content"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap().into()).collect()
    };
    let mut oldest = kit.bridge("old").await;
    oldest.shake_hands("2025-03-26").await;
    let result = oldest.tool("run", background.clone()).await;
    assert_eq!(kinds(&result), ["text"]);
    assert!(result.get("structuredContent").is_none());
    let mut newest = kit.bridge("new").await;
    let params = json!({ "name": "run", "arguments": background, "_meta": modern_meta() });
    let result = newest.request("tools/call", params).await;
    assert_eq!(kinds(&result["result"]), ["text", "resource_link"]);
    assert_json_snapshot!("run_modern_waiting", redact(&result));
}

#[tokio::test]
async fn output_is_shown_clean_and_counted() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    let shell = |line: &str| json!({ "command": line, "shell": true });
    let coloured = client.tool("run", shell(r"printf '\033[31mred\033[0m\n10%%\r100%%\n'")).await;
    assert_eq!(coloured["structuredContent"]["output"], "red\n100%\n");
    let binary = client.tool("run", shell("head -c 3000 /dev/zero")).await;
    assert_json_snapshot!("binary_output", redact(&binary));
    let lines = job_of(&client.tool("run", json!({ "command": ["seq", "-w", "1", "9999"] })).await);
    let read = everything(&mut client, &lines).await;
    assert_eq!(read.lines().count(), 9_999);
    assert!(read.starts_with("0001\n0002\n") && read.ends_with("9998\n9999\n"));
    let tail = client.tool("job_read", json!({ "job": lines, "tail_lines": 9000, "max_bytes": 12 })).await;
    assert_json_snapshot!("job_read_tail_cut", redact(&tail));
}

/// All the output of a job, page by page.
async fn everything(client: &mut Client, job: &str) -> String {
    let mut cursor = json!("1.0");
    let mut read = String::new();
    loop {
        let page = client.tool("job_read", json!({ "job": job, "cursor": cursor, "max_bytes": 1000 })).await;
        let page = &page["structuredContent"];
        read += page["output"].as_str().unwrap();
        if page["next"] == "nothing to do" {
            return read;
        }
        assert_ne!(page["cursor"], cursor);
        cursor = page["cursor"].clone();
    }
}
