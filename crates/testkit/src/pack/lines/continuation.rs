//! Line 16: a client without tasks gets a long call's result over several legs, held together by a signed state.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::super::modern::{Ask, LEGS, Modern, pause};
use super::super::wire::Exchange;
use super::super::world::{World, not_run};
use super::super::{BOTH, Check, HTTP, check};

pub(super) const CHECKS: &[Check] = &[
    check!(16, BOTH, "continuation/result", result, "work that outlives a leg arrives on a later one, run once"),
    check!(16, BOTH, "continuation/repeated-leg", repeated_leg, "a leg that was lost can be repeated"),
    check!(16, BOTH, "continuation/tampered", tampered, "a state that was changed anywhere is refused"),
    check!(16, BOTH, "continuation/other-call", other_call, "a state is refused with another tool or other arguments"),
    check!(16, BOTH, "continuation/expired", expired, "a state is taken until its time is over, and then refused"),
    check!(16, HTTP, "continuation/foreign", foreign, "a state is refused from somebody else"),
    check!(
        16,
        BOTH,
        "continuation/last-leg",
        last_leg,
        "work that outlives every leg is named in an ordinary result, and goes on"
    ),
];

/// No name of a task is shorter.
const NAME_LEN: usize = 8;

fn params(seconds: f64, label: &str) -> Value {
    json!({"name": "slow_compute", "arguments": {"seconds": seconds, "label": label}})
}

async fn leg(client: &Modern, mut params: Value, state: &str) -> Result<Exchange> {
    params["requestState"] = json!(state);
    client.ask(Ask::new("tools/call", params).declares(json!({}))).await
}

/// The first leg of a call that outlives it, and its state.
async fn first(world: &World, seconds: f64, label: &str) -> Result<(Modern, String)> {
    let client = world.client_with(&["slow_compute"]).await?;
    let told = client.undeclared("tools/call", params(seconds, label)).await?;
    match state_of(&told)? {
        Some(state) => Ok((client, state)),
        None => Err(not_run(format!("needs a server that answers in legs shorter than --beyond-leg ({seconds} s)"))),
    }
}

/// The state of a leg that only says to come again; `None` when it is the result.
fn state_of(told: &Exchange) -> Result<Option<String>> {
    let result = told.result()?;
    if result["resultType"] == "complete" {
        return Ok(None);
    }
    told.ensure(result["resultType"] == "input_required", "neither a result nor a continuation")?;
    told.ensure(result.get("inputRequests").is_none(), "a question to a client that cannot be asked")?;
    let state = result["requestState"].as_str().ok_or_else(|| told.fault("no `requestState`"))?;
    Ok(Some(state.to_owned()))
}

async fn result(world: &World) -> Result<()> {
    let seconds = world.options.beyond_leg;
    let (client, mut state) = first(world, seconds, "continuation").await?;
    for _ in 1..LEGS {
        let told = leg(&client, params(seconds, "continuation"), &state).await?;
        match state_of(&told)? {
            Some(next) => state = next,
            None => return told.ensure(told.result()?["content"].is_array(), "the result has no content"),
        }
    }
    anyhow::bail!("no result after {LEGS} legs");
}

async fn repeated_leg(world: &World) -> Result<()> {
    let seconds = world.options.beyond_leg;
    let (client, state) = first(world, seconds, "repeated").await?;
    let other = world.beside(&client).await?;
    let call = params(seconds, "repeated");
    let (one, two) = tokio::join!(leg(&client, call.clone(), &state), leg(&other, call.clone(), &state));
    for told in [one?, two?] {
        state_of(&told)?;
    }
    Ok(())
}

async fn tampered(world: &World) -> Result<()> {
    let seconds = world.options.beyond_leg;
    let (client, state) = first(world, seconds, "tampered").await?;
    let places: Vec<usize> = (0..8).map(|part| part * (state.len() - 1) / 7).collect();
    let changed = places.iter().map(|at| {
        let byte = if state.as_bytes()[*at] == b'A' { "B" } else { "A" };
        format!("{}{byte}{}", &state[..*at], &state[at + 1..])
    });
    let shortened = [String::new(), state[..state.len() / 2].to_owned(), format!("{state}A"), "{}".to_owned()];
    for wrong in changed.chain(shortened) {
        let told = leg(&client, params(seconds, "tampered"), &wrong).await?;
        told.any_error().map_err(|_| told.fault(&format!("the state {wrong} was taken for {state}")))?;
    }
    Ok(())
}

async fn other_call(world: &World) -> Result<()> {
    let seconds = world.options.beyond_leg;
    let (client, state) = first(world, seconds, "mine").await?;
    leg(&client, params(seconds, "another"), &state).await?.any_error()?;
    let greet = json!({"name": "greet", "arguments": {"name": "Ada"}});
    leg(&client, greet, &state).await?.any_error().map(|_| ())
}

async fn foreign(world: &World) -> Result<()> {
    let thief = world.somebody_else()?;
    let seconds = world.options.beyond_leg;
    let (_, state) = first(world, seconds, "mine").await?;
    leg(&thief, params(seconds, "mine"), &state).await?.any_error().map(|_| ())
}

async fn expired(world: &World) -> Result<()> {
    let Some(lifetime) = world.options.state_lifetime else { return Err(not_run("needs --state-lifetime")) };
    let seconds = world.options.beyond_leg;
    let begun = Instant::now();
    let (client, state) = first(world, seconds, "expired").await?;
    let made = Instant::now();
    loop {
        let asked = Instant::now();
        let told = leg(&client, params(seconds, "expired"), &state).await?;
        if told.any_error().is_ok() {
            let due = begun.elapsed().as_secs_f64() >= lifetime;
            return told.error(-32602).and_then(|_| told.ensure(due, "refused before its time was over"));
        }
        state_of(&told)?;
        told.ensure((asked - made).as_secs_f64() < lifetime, "taken after its time was over")?;
        pause().await;
    }
}

/// What the last leg names is work that goes on: a name in it is that of a task that works, and can be cancelled.
async fn goes_on(client: &Modern, told: &Exchange) -> Result<()> {
    let result = told.result()?;
    let words = [&result["structuredContent"], &result["content"]].map(ToString::to_string).concat();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let names: BTreeSet<_> = words.split(|c| !is_part(c)).filter(|word| word.len() >= NAME_LEN).collect();
    for name in names {
        let found = client.call("tasks/get", json!({"taskId": name})).await?;
        if found.result().is_ok_and(|task| task["status"] == "working") {
            client.cancel(name).await?;
            return client.until_status(name, "cancelled").await.map(|_| ());
        }
    }
    Err(told.fault("nothing in the last leg names work that goes on"))
}

async fn last_leg(world: &World) -> Result<()> {
    let Some(seconds) = world.options.beyond_legs else { return Err(not_run("needs --beyond-legs")) };
    let (client, mut state) = first(world, seconds, "last leg").await?;
    let mut legs = 1;
    loop {
        let told = leg(&client, params(seconds, "last leg"), &state).await?;
        legs += 1;
        ensure!(legs <= LEGS, "{LEGS} legs, and the server would go on: a client's driver has given up by now");
        match state_of(&told)? {
            Some(next) => state = next,
            None => {
                told.ensure(told.result()?["isError"] != true, "the last leg is a failure")?;
                return goes_on(&client, &told).await;
            }
        }
    }
}
