//! Line 17: what a gateway makes of an upstream some of whose tools no strict client takes. And of line 15, whether bytes
//! come through it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::super::gateway::{Gateway, Plain};
use super::super::message::Era;
use super::super::upstream::{Fault, said, sound};
use super::super::wire::short;
use super::super::world::World;
use super::super::{BOTH, Check, check, tool};
use super::json::{NASTY, came_back};

pub(super) const CHECKS: &[Check] = &[
    check!(15, BOTH, "gateway/json", json, "arguments and results come through byte for byte"),
    check!(17, BOTH, "gateway/sound", nothing, "sound tools are listed and answer"),
    check!(
        17,
        BOTH,
        "gateway/input-schema",
        input_schema,
        "so they do beside tools without an `inputSchema`, or with one of no object"
    ),
    check!(17, BOTH, "gateway/output-schema", output_schema, "beside tools with an `outputSchema` of no object"),
    check!(17, BOTH, "gateway/broken-schema", broken_schema, "beside tools whose schemas are none"),
    check!(17, BOTH, "gateway/names", names, "beside tools without a name, or with another's"),
    check!(17, BOTH, "gateway/members", members, "beside what is no tool, or has members of a wrong type"),
];

/// Whether a check is of a gateway, not of a server.
pub(in super::super) fn has(check: &Check) -> bool {
    check.id.starts_with("gateway/")
}

async fn nothing(world: &World) -> Result<()> {
    survives(world, Fault::None).await
}

async fn input_schema(world: &World) -> Result<()> {
    survives(world, Fault::InputSchema).await
}

async fn output_schema(world: &World) -> Result<()> {
    survives(world, Fault::OutputSchema).await
}

async fn broken_schema(world: &World) -> Result<()> {
    survives(world, Fault::BrokenSchema).await
}

async fn names(world: &World) -> Result<()> {
    survives(world, Fault::Names).await
}

async fn members(world: &World) -> Result<()> {
    survives(world, Fault::Members).await
}

/// The sound tools are there and answer; what stands beside them is gone or mended.
async fn survives(world: &World, fault: Fault) -> Result<()> {
    let gateway = Gateway::start(world, fault).await?;
    let client = gateway.client(world).await?;
    let tools = client.tools().await?;
    quarantined(&tools, client.era())?;
    answers(&client, &tools).await
}

/// Whether a list has every sound tool, and none that a strict client does not take.
fn quarantined(tools: &[Value], era: Era) -> Result<()> {
    let faults = tools.iter().filter_map(|tool| {
        let fault = tool::acceptable(tool, era).err()?;
        Some(format!("the tool {} was let through: {fault}", tool["name"]))
    });
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    let twice = names.iter().enumerate().filter(|(at, name)| names[..*at].contains(name));
    let twice = twice.map(|(_, name)| format!("the name `{name}` stands twice"));
    let sound = sound();
    let missing = sound.iter().filter_map(|tool| changed(tools, tool).err().map(|error| error.to_string()));
    let wrong: Vec<String> = faults.chain(twice).chain(missing).collect();
    ensure!(wrong.is_empty(), "{}\n      <- {}", wrong.join("\n      "), short(&json!(tools).to_string()));
    Ok(())
}

/// A sound tool's place in a list.
fn changed(tools: &[Value], sound: &Value) -> Result<()> {
    let name = sound["name"].as_str().unwrap_or_default();
    let found = named(tools, name)?;
    let schema = &found["inputSchema"]["properties"];
    ensure!(*schema == sound["inputSchema"]["properties"], "the schema of `{name}` came through as {schema}");
    Ok(())
}

/// The tool of this name. Gateways may set the upstream's name before it.
fn named<'a>(tools: &'a [Value], name: &str) -> Result<&'a Value> {
    let is = |tool: &&Value| {
        let before = tool["name"].as_str().and_then(|found| found.strip_suffix(name));
        before.is_some_and(|before| !before.ends_with(char::is_alphanumeric))
    };
    let found: Vec<&Value> = tools.iter().filter(is).collect();
    match found[..] {
        [tool] => Ok(tool),
        [] => bail!("the sound tool `{name}` is missing"),
        _ => bail!("the sound tool `{name}` is there {} times", found.len()),
    }
}

fn name_of<'a>(tools: &'a [Value], name: &str) -> Result<&'a str> {
    named(tools, name)?["name"].as_str().context("a name")
}

async fn answers(client: &Plain, tools: &[Value]) -> Result<()> {
    for name in ["sound", "typed"] {
        let told = client.tool(name_of(tools, name)?, r#"{"a":"x"}"#).await?;
        let result = told.result()?;
        for (member, value) in said(name).as_object().into_iter().flatten() {
            told.ensure(result[member] == *value, &format!("`{member}` is not {value}"))?;
        }
    }
    Ok(())
}

async fn json(world: &World) -> Result<()> {
    let gateway = Gateway::start(world, Fault::None).await?;
    let client = gateway.client(world).await?;
    let tools = client.tools().await?;
    let echo = name_of(&tools, "echo")?;
    for arguments in NASTY {
        let told = client.tool(echo, arguments).await?;
        told.judge(came_back(&told, arguments))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::upstream::faulty;
    use super::*;

    const FAULTS: [Fault; 5] =
        [Fault::InputSchema, Fault::OutputSchema, Fault::BrokenSchema, Fault::Names, Fault::Members];

    #[test]
    fn a_list_without_its_bad_tools_passes() {
        let mut renamed = sound();
        renamed.iter_mut().for_each(|tool| tool["name"] = json!(format!("up__{}", tool["name"].as_str().unwrap())));
        let mut more = sound();
        more.push(json!({"name": "own_sounds", "inputSchema": {"type": "object"}}));
        let mut mended = sound();
        mended.push(json!({"name": "input_missing", "inputSchema": {"type": "object", "additionalProperties": true}}));
        for tools in [sound(), renamed, more, mended] {
            quarantined(&tools, Era::Legacy).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn what_is_let_through_is_found() {
        for fault in FAULTS {
            for bad in faulty(fault) {
                let both = bad["name"] == "twice";
                let tools: Vec<Value> = sound().into_iter().chain([bad.clone()]).chain(both.then_some(bad)).collect();
                assert!(quarantined(&tools, Era::Legacy).is_err(), "{}", tools[3]);
            }
        }
    }

    #[test]
    fn what_was_lost_with_it_is_found() {
        for at in 0..sound().len() {
            let mut tools = sound();
            let lost = tools.remove(at);
            assert!(quarantined(&tools, Era::Modern).is_err(), "without {lost}");
            tools.extend([lost.clone(), lost]);
            assert!(quarantined(&tools, Era::Modern).is_err(), "with {} twice", tools[2]);
        }
        let mut emptied = sound();
        emptied[0]["inputSchema"] = json!({"type": "object"});
        assert!(quarantined(&emptied, Era::Modern).is_err(), "a schema was lost");
        assert!(quarantined(&[], Era::Modern).is_err(), "the whole list was lost");
    }
}
