//! What models pay for our words, counted by a public vocabulary: o200k, of the GPT models since 4o.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tiktoken_rs::o200k_base_singleton;

use crate::kit::{Kit, modern_meta};

/// How many tokens the vocabulary has, without its marks.
const ORDINARY: u32 = 199_998;
/// Most tokens of the whole list of tools.
const LIST_MAX: usize = 2_000;
/// Most tokens of an answer that says how a job stands, in either of its forms: clients show one of them.
const STATUS_MAX: usize = 150;

pub(crate) fn count(text: &str) -> usize {
    o200k_base_singleton().encode_ordinary(text).len()
}

#[expect(clippy::print_stdout, reason = "the figure itself is worth seeing")]
fn costs_at_most(what: &str, text: &str, most: usize) {
    let tokens = count(text);
    println!("{what}: {tokens} tokens; at most {most}");
    assert!(tokens <= most, "{what} costs {tokens} tokens, at most {most} are good: {text}");
}

/// Both forms of an answer cost few tokens.
pub(crate) fn is_short(what: &str, result: &Value) {
    costs_at_most(&format!("{what}, structure"), &result["structuredContent"].to_string(), STATUS_MAX);
    costs_at_most(&format!("{what}, text"), result["content"][0]["text"].as_str().unwrap(), STATUS_MAX);
}

#[tokio::test]
async fn the_whole_list_of_tools_costs_few_tokens() {
    let kit = Kit::new().await;
    let mut client = kit.legacy().await;
    for (era, params) in [("legacy", json!({})), ("modern", json!({ "_meta": modern_meta() }))] {
        let answer = client.request("tools/list", params).await;
        costs_at_most(&format!("tools/list, {era}"), &answer["result"].to_string(), LIST_MAX);
    }
}

/// The characters for which the engine takes one token are those that have one.
#[test]
fn common_characters_are_those_of_the_vocabulary() {
    let common = include_str!("../../../engine/src/ops/brief/common.txt");
    let is_alone = |text: &String| !text.is_ascii() && text.chars().count() == 1;
    let ranks = 0..ORDINARY;
    let of_the_vocabulary: BTreeSet<String> =
        ranks.filter_map(|rank| o200k_base_singleton().decode(&[rank]).ok()).filter(is_alone).collect();
    assert_eq!(common, String::from_iter(of_the_vocabulary));
}

#[test]
fn tokens_are_those_of_the_vocabulary() {
    for (text, tokens) in [("", 0), ("hello world", 2), ("job_wait", 2), (r#"{"job":"j_0"}"#, 7)] {
        assert_eq!(count(text), tokens, "{text}");
    }
}
