//! Which source wins for each setting, and whether its value can be used.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use longshore_domain::fault::{Fault, FaultCode};
use longshore_domain::job::QueueName;
use toml::Spanned;

use super::Shown;
use super::file::{ConfigFile, Source};
use super::units;

/// Picks the winning value of each setting and notes where it came from.
pub(crate) struct Resolver {
    defaults: Source,
    file: Option<Source>,
    shown: Vec<Shown>,
}

/// A value as text with its source.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    key: &'static str,
    raw: String,
    origin: String,
}

impl Given {
    /// The value `raw` of the setting `key`.
    pub(crate) fn new(key: &'static str, raw: String, origin: &str) -> Self {
        Self { key, raw, origin: origin.into() }
    }

    /// Interprets the value.
    ///
    /// # Errors
    /// `config_invalid` naming the setting and its source, with the sentence of `parse` as the cause.
    pub(crate) fn resolve<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Fault> {
        parse(&self.raw).map_err(|problem| invalid(self.key, &self.origin, problem))
    }
}

/// Longest name of a client that a budget may be given for, in characters; of what clients say no more is kept.
const CLIENT_CHARS_MAX: usize = 100;

type Field<T> = fn(&ConfigFile) -> &Option<Spanned<T>>;

impl Resolver {
    pub(crate) fn new(defaults: Source, file: Option<Source>) -> Self {
        Self { defaults, file, shown: vec![] }
    }

    /// The winning text: the first of `extra` that is there, else the file's, else the default.
    pub(crate) fn text<const N: usize>(
        &mut self,
        key: &'static str,
        field: Field<String>,
        extra: [Option<Given>; N],
    ) -> Given {
        let given = self.winner(key, field, extra);
        self.note(key, given.raw.clone(), given.origin.clone());
        given
    }

    /// The winning text of a setting that may hold a secret: it is interpreted, and shown as `shown` says.
    ///
    /// # Errors
    /// `config_invalid`.
    pub(crate) fn secret<T, const N: usize>(
        &mut self,
        key: &'static str,
        field: Field<String>,
        extra: [Option<Given>; N],
        parse: impl FnOnce(&str) -> Result<(T, String), String>,
    ) -> Result<T, Fault> {
        let given = self.winner(key, field, extra);
        let (value, shown) = given.resolve(parse)?;
        self.note(key, shown, given.origin);
        Ok(value)
    }

    /// A yes or no.
    pub(crate) fn flag(&mut self, key: &'static str, field: Field<bool>) -> bool {
        let (value, origin) = self.pick(field);
        self.note(key, value.to_string(), origin);
        value
    }

    /// A list of words.
    pub(crate) fn list(&mut self, key: &'static str, field: Field<Vec<String>>) -> Vec<String> {
        let (value, origin) = self.pick(field);
        self.note(key, format!("{value:?}"), origin);
        value
    }

    /// A list of words with a meaning.
    ///
    /// # Errors
    /// `config_invalid`, with the sentence of `parse` as the cause.
    pub(crate) fn words<T>(
        &mut self,
        key: &'static str,
        field: Field<Vec<String>>,
        parse: impl FnOnce(Vec<String>) -> Result<T, String>,
    ) -> Result<T, Fault> {
        let (value, origin) = self.pick(field);
        self.note(key, format!("{value:?}"), origin.clone());
        parse(value).map_err(|problem| invalid(key, &origin, problem))
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// `config_invalid`.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        field: Field<u32>,
        range: RangeInclusive<u32>,
    ) -> Result<u32, Fault> {
        let (value, origin) = self.pick(field);
        self.note(key, value.to_string(), origin.clone());
        match range.contains(&value) {
            true => Ok(value),
            false => Err(invalid(key, &origin, format!("must be {} to {}", range.start(), range.end()))),
        }
    }

    /// A length of time whose whole seconds lie within `range`.
    ///
    /// # Errors
    /// `config_invalid`.
    pub(crate) fn length(
        &mut self,
        key: &'static str,
        field: Field<String>,
        range: RangeInclusive<u64>,
    ) -> Result<Duration, Fault> {
        self.text(key, field, []).resolve(|text| length_within(text, &range))
    }

    /// What the names of clients begin with, and how long a call of these clients may be held, in whole seconds within
    /// `range`. Longer names come first, so that the one that says most is the first that fits.
    ///
    /// # Errors
    /// `config_invalid`, also for a name that no client can have or that stands there twice.
    pub(crate) fn call_budgets(&mut self, range: RangeInclusive<u64>) -> Result<Vec<(String, Duration)>, Fault> {
        let Some(file) = self.file.clone() else { return Ok(vec![]) };
        let mut budgets: Vec<(String, Duration)> = vec![];
        for (name, written) in &file.settings.call_budgets {
            let origin = origin(&file, written);
            let key = format!("call_budgets.{name:?}");
            let raw = written.get_ref();
            let budget = client_name(name, &budgets).and_then(|()| length_within(raw, &range));
            let budget = budget.map_err(|problem| invalid(&key, &origin, problem))?;
            self.note(&key, raw.clone(), origin);
            budgets.push((name.clone(), budget));
        }
        budgets.sort_by_key(|(name, _)| Reverse(name.len()));
        Ok(budgets)
    }

    /// The limits of queues.
    ///
    /// # Errors
    /// `config_invalid` for a name that no queue can have.
    pub(crate) fn queues(&mut self) -> Result<BTreeMap<QueueName, u32>, Fault> {
        let Some(file) = self.file.clone() else { return Ok(BTreeMap::new()) };
        let mut queues = BTreeMap::new();
        for (name, queue) in &file.settings.queues {
            let origin = origin(&file, &queue.concurrency);
            let key = format!("queues.{name}.concurrency");
            let limit = *queue.concurrency.get_ref();
            let queue = QueueName::try_from(name.clone()).map_err(|error| invalid(&key, &origin, error.problem))?;
            self.shown.push(Shown { key, value: limit.to_string(), origin });
            queues.insert(queue, limit);
        }
        Ok(queues)
    }

    /// Every setting that was picked, in that order.
    pub(crate) fn into_shown(self) -> Vec<Shown> {
        self.shown
    }

    fn winner<const N: usize>(&self, key: &'static str, field: Field<String>, extra: [Option<Given>; N]) -> Given {
        extra.into_iter().flatten().next().unwrap_or_else(|| {
            let (raw, origin) = self.pick(field);
            Given { key, raw, origin }
        })
    }

    fn pick<T: Clone>(&self, field: fn(&ConfigFile) -> &Option<Spanned<T>>) -> (T, String) {
        let written = self.file.as_ref().and_then(|file| Some((file, field(&file.settings).as_ref()?)));
        match written {
            Some((file, value)) => (value.get_ref().clone(), origin(file, value)),
            None => {
                let value = field(&self.defaults.settings).as_ref().expect("every setting has a default");
                (value.get_ref().clone(), "default".into())
            }
        }
    }

    fn note(&mut self, key: &str, value: String, origin: String) {
        self.shown.push(Shown { key: key.into(), value, origin });
    }
}

/// Reads a length of time whose whole seconds lie within `range`.
fn length_within(text: &str, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    let length = units::length(text)?;
    let shown = |seconds: &u64| units::show_length(Duration::from_secs(*seconds));
    match range.contains(&length.as_secs()) {
        true => Ok(length),
        false => Err(format!("must be {} to {}", shown(range.start()), shown(range.end()))),
    }
}

/// Whether names of clients may begin so, and none of `others` says the same.
fn client_name(name: &str, others: &[(String, Duration)]) -> Result<(), String> {
    if name.trim().is_empty() || name.chars().count() > CLIENT_CHARS_MAX {
        return Err(format!(
            "expected what the name of a client begins with, of at most {CLIENT_CHARS_MAX} characters"
        ));
    }
    match others.iter().find(|(other, _)| other.to_lowercase() == name.to_lowercase()) {
        Some((other, _)) => Err(format!("`{other}` stands for the same clients: the case of letters does not matter")),
        None => Ok(()),
    }
}

fn origin<T>(file: &Source, value: &Spanned<T>) -> String {
    format!("{} line {}", file.name, file.line(value))
}

fn invalid(key: &str, origin: &str, problem: String) -> Fault {
    Fault::new(FaultCode::ConfigInvalid, format!("`{key}` ({origin}) cannot be used"))
        .why(problem)
        .next("correct it; `longshore config default` lists every setting")
}
