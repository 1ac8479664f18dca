//! Arguments of a tool: read by name and type, with messages that say what was expected.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use longshore_domain::Fault;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::nearest::nearest;

/// The arguments of one call. Null counts as absent.
#[derive(Debug)]
pub(crate) struct Arguments {
    values: BTreeMap<String, Box<RawValue>>,
}

/// Members in the order they came, so that a name that comes twice is seen.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = vec![];
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Arguments {
    /// Takes the arguments apart. `known` are the names that the tool has.
    ///
    /// # Errors
    /// `invalid_argument` for what is no object, for a name that is unknown and for one that comes twice.
    pub(crate) fn parse(raw: Option<&RawValue>, known: &[&str]) -> Result<Self, Fault> {
        let mut values = BTreeMap::new();
        let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(Self { values }) };
        let members: Members = serde_json::from_str(raw.get())
            .map_err(|_| wrong_type("arguments", "an object of named arguments", raw))?;
        for (name, value) in members.0 {
            if !known.contains(&name.as_str()) {
                return Err(unknown(&name, known));
            }
            if values.insert(name.clone(), value).is_some() {
                return Err(Fault::invalid(&name, "is given twice").next("give each argument once"));
            }
        }
        values.retain(|_, value| value.get() != "null");
        Ok(Self { values })
    }

    /// An argument of any type, as JSON.
    pub(crate) fn raw(&self, name: &str) -> Option<&RawValue> {
        self.values.get(name).map(|value| &**value)
    }

    fn get<T: serde::de::DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, Fault> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| wrong_type(name, expected, raw))
    }

    /// A text, if given.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        self.get(name, "a string")
    }

    /// A text that must be given.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, Fault> {
        self.text(name)?.ok_or_else(|| missing(name, "a string"))
    }

    /// True or false; false if not given.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.get(name, "true or false")?.unwrap_or(false))
    }

    /// A whole number within `range`, if given.
    pub(crate) fn integer(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        // Some clients write whole numbers as 5.0.
        let Some(value) = self.get::<f64>(name, &expected)? else { return Ok(None) };
        let within = value.fract() == 0.0 && value >= *range.start() as f64 && value <= *range.end() as f64;
        match (within, self.raw(name)) {
            (true, _) => Ok(Some(value as u64)),
            (false, Some(raw)) => Err(wrong_type(name, &expected, raw)),
            (false, None) => Ok(None),
        }
    }

    /// A length of time in seconds of at most `max`, if given.
    pub(crate) fn seconds(&self, name: &str, max: Duration) -> Result<Option<Duration>, Fault> {
        let expected = format!("a number of seconds from 0 to {}", max.as_secs());
        let Some(value) = self.get::<f64>(name, &expected)? else { return Ok(None) };
        match (Duration::try_from_secs_f64(value), self.raw(name)) {
            (Ok(length), _) if length <= max => Ok(Some(length)),
            (_, Some(raw)) => Err(wrong_type(name, &expected, raw)),
            (_, None) => Ok(None),
        }
    }

    /// A list of texts; empty if not given.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Fault> {
        let Some(items) = self.get::<Vec<Box<RawValue>>>(name, "an array of strings")? else { return Ok(vec![]) };
        let text = |(at, raw): (usize, Box<RawValue>)| {
            serde_json::from_str(raw.get()).map_err(|_| wrong_type(&format!("{name}[{at}]"), "a string", &raw))
        };
        items.into_iter().enumerate().map(text).collect()
    }

    /// Named texts; empty if not given.
    pub(crate) fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let Some(Members(members)) = self.get(name, "an object of strings")? else { return Ok(BTreeMap::new()) };
        let mut map = BTreeMap::new();
        for (key, raw) in members {
            let path = format!("{name}.{}", printable(&key));
            let value = serde_json::from_str(raw.get()).map_err(|_| wrong_type(&path, "a string", &raw))?;
            if map.insert(key, value).is_some() {
                return Err(Fault::invalid(&path, "is given twice").next("give each name once"));
            }
        }
        Ok(map)
    }
}

fn missing(name: &str, expected: &str) -> Fault {
    Fault::invalid(name, format!("is missing: expected {expected}")).next("add it and call again; nothing was done")
}

fn wrong_type(path: &str, expected: &str, found: &RawValue) -> Fault {
    let shown = printable(found.get());
    Fault::invalid(path, format!("expected {expected}, found {shown}"))
        .next("correct it and call again; nothing was done")
}

fn unknown(name: &str, known: &[&str]) -> Fault {
    let meant = nearest(name, known).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Fault::invalid(&printable(name), format!("there is no such argument{meant}"))
        .why(format!("the arguments are: {}", known.join(", ")))
        .next("correct the name and call again; nothing was done")
}

/// What a caller sent, cut and cleaned so that it can stand in a message.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let cut: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
    if cut.len() < text.len() { cut + "…" } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Arguments, Fault> {
        let raw: Box<RawValue> = serde_json::from_str(json).unwrap();
        Arguments::parse(Some(&raw), &["command", "env", "wait_s", "limit", "any"])
    }

    #[test]
    fn wrong_arguments_are_named_with_what_was_expected() {
        let wait = |json| parse(json).and_then(|a| a.seconds("wait_s", Duration::from_secs(60)).map(|_| ()));
        let limit = |json| parse(json).and_then(|a| a.integer("limit", 1..=50).map(|_| ()));
        let env = |json| parse(json).and_then(|a| a.map("env").map(|_| ()));
        let command = |json| parse(json).and_then(|a| a.texts("command").map(|_| ()));
        let any = |json| parse(json).and_then(|a| a.flag("any").map(|_| ()));
        let table: Vec<(Result<(), Fault>, &str)> = vec![
            (wait("[1]"), "`arguments`: expected an object of named arguments, found [1]"),
            (wait(r#"{"wait":1}"#), "`wait`: there is no such argument; did you mean `wait_s`?"),
            (wait(r#"{"wait_s":1,"wait_s":2}"#), "`wait_s`: is given twice"),
            (wait(r#"{"wait_s":"1"}"#), "`wait_s`: expected a number of seconds from 0 to 60, found \"1\""),
            (wait(r#"{"wait_s":-1}"#), "`wait_s`: expected a number of seconds from 0 to 60, found -1"),
            (wait(r#"{"wait_s":1e999}"#), "`wait_s`: expected a number of seconds from 0 to 60, found 1e999"),
            (limit(r#"{"limit":51}"#), "`limit`: expected a whole number from 1 to 50, found 51"),
            (limit(r#"{"limit":1.5}"#), "`limit`: expected a whole number from 1 to 50, found 1.5"),
            (limit(r#"{"limit":99999999999999999999999}"#), "`limit`: expected a whole number from 1 to 50, found 99"),
            (env(r#"{"env":{"A":1}}"#), "`env.A`: expected a string, found 1"),
            (env(r#"{"env":{"A":"1","A":"2"}}"#), "`env.A`: is given twice"),
            (env(r#"{"env":["A"]}"#), "`env`: expected an object of strings, found [\"A\"]"),
            (command(r#"{"command":["a",null]}"#), "`command[1]`: expected a string, found null"),
            (command(r#"{"command":["\ud800"]}"#), "`command[0]`: expected a string, found \"\\ud800\""),
            (any(r#"{"any":"yes"}"#), "`any`: expected true or false, found \"yes\""),
        ];
        for (result, expected) in table {
            let message = result.unwrap_err().message;
            assert!(message.starts_with(expected), "{message} should begin with {expected}");
        }
        let long = format!(r#"{{"any":"{}"}}"#, "x".repeat(1000));
        assert!(any(&long).unwrap_err().message.len() < 200);
    }

    #[test]
    fn good_arguments_are_read() {
        let arguments = parse(r#"{"command":["a","\u0000"],"env":null,"wait_s":0.5,"limit":5.0}"#).unwrap();
        assert_eq!(arguments.texts("command").unwrap(), ["a", "\0"]);
        assert!(arguments.map("env").unwrap().is_empty());
        assert_eq!(arguments.seconds("wait_s", Duration::from_secs(1)).unwrap(), Some(Duration::from_millis(500)));
        assert_eq!(arguments.integer("limit", 1..=50).unwrap(), Some(5));
        assert!(!arguments.flag("any").unwrap());
        assert!(Arguments::parse(None, &[]).is_ok());
    }
}
