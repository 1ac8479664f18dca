//! The shape of answers: the part of JSON Schema that MCP elicitation uses for forms, less formats and patterns.
//! A keyword that is not checked here is refused, so that no shape promises more than is held.
//!
//! Source: MCP 2025-11-25, client/elicitation, "Requested Schema".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::question::QuestionKind;

/// Most fields of a form, and most options of a choice.
const ITEMS_MAX: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(rename = "type")]
    _type: Object,
    #[serde(default, rename = "title")]
    _title: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    properties: BTreeMap<String, Field>,
    #[serde(default)]
    required: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Object {
    Object,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Field {
    #[serde(rename = "type")]
    of: Primitive,
    #[serde(default, rename = "title")]
    _title: Option<String>,
    #[serde(default, rename = "description")]
    _description: Option<String>,
    default: Option<Value>,
    #[serde(rename = "enum")]
    options: Option<Vec<String>>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Primitive {
    String,
    Number,
    Integer,
    Boolean,
}

/// Checks that a schema belongs to its kind and that something fits it.
pub(super) fn check_schema(kind: QuestionKind, schema: Option<&Value>) -> Result<(), String> {
    match (kind, schema) {
        (QuestionKind::Approval | QuestionKind::Text, None) => Ok(()),
        (QuestionKind::Approval | QuestionKind::Text, Some(_)) => {
            Err(format!("belongs to choices and forms only, not to a question of kind {}", kind.as_str()))
        }
        (QuestionKind::Choice, Some(schema)) => {
            let field = read::<Field>(schema)?;
            match field.options {
                Some(_) => field.check(),
                None => Err("must name the options of a choice in `enum`".into()),
            }
        }
        (QuestionKind::Form, Some(schema)) => read::<Form>(schema)?.check(),
        (QuestionKind::Choice | QuestionKind::Form, None) => {
            Err(format!("is missing: a question of kind {} needs it", kind.as_str()))
        }
    }
}

/// Checks that a value fits its question.
pub(super) fn check_answer(kind: QuestionKind, schema: Option<&Value>, value: &Value) -> Result<(), String> {
    match (kind, schema) {
        (QuestionKind::Approval, _) if value.is_boolean() => Ok(()),
        (QuestionKind::Approval, _) => Err("must be true or false".into()),
        (QuestionKind::Text, _) => match value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(()),
            _ => Err("must be a text that is not blank".into()),
        },
        (QuestionKind::Choice, Some(schema)) => read::<Field>(schema)?.fits(value),
        (QuestionKind::Form, Some(schema)) => read::<Form>(schema)?.fits(value),
        (QuestionKind::Choice | QuestionKind::Form, None) => Err("cannot be checked: the question has no shape".into()),
    }
}

fn read<'de, T: Deserialize<'de>>(schema: &'de Value) -> Result<T, String> {
    T::deserialize(schema).map_err(|error| format!("is none that answers can be checked against: {error}"))
}

impl Form {
    fn check(&self) -> Result<(), String> {
        if !(1..=ITEMS_MAX).contains(&self.properties.len()) {
            return Err(format!("must have 1 to {ITEMS_MAX} fields"));
        }
        for (name, field) in &self.properties {
            field.check().map_err(|wrong| format!("field `{name}`: {wrong}"))?;
        }
        match self.required.iter().find(|name| !self.properties.contains_key(*name)) {
            Some(name) => Err(format!("requires `{name}`, which is no field of it")),
            None => Ok(()),
        }
    }

    fn fits(&self, value: &Value) -> Result<(), String> {
        let Some(given) = value.as_object() else { return Err("must be an object of the form's fields".into()) };
        if let Some(name) = self.required.iter().find(|name| !given.contains_key(*name)) {
            return Err(format!("field `{name}` is missing"));
        }
        for (name, value) in given {
            let Some(field) = self.properties.get(name) else {
                let names: Vec<_> = self.properties.keys().map(|name| format!("`{name}`")).collect();
                return Err(format!("the form has no field `{name}`, only {}", names.join(", ")));
            };
            field.fits(value).map_err(|wrong| format!("field `{name}` {wrong}"))?;
        }
        Ok(())
    }
}

impl Field {
    fn check(&self) -> Result<(), String> {
        let numeric = matches!(self.of, Primitive::Number | Primitive::Integer);
        if !numeric && (self.minimum.is_some() || self.maximum.is_some()) {
            return Err("`minimum` and `maximum` belong to numbers only".into());
        }
        let lengths = self.min_length.is_some() || self.max_length.is_some();
        if self.of != Primitive::String && (lengths || self.options.is_some()) {
            return Err("`enum`, `minLength` and `maxLength` belong to strings only".into());
        }
        let upside_down = self.minimum.zip(self.maximum).is_some_and(|(least, most)| least > most)
            || self.min_length.zip(self.max_length).is_some_and(|(least, most)| least > most);
        if upside_down {
            return Err("its minimum is above its maximum".into());
        }
        if let Some(options) = &self.options {
            check_options(options)?;
        }
        match &self.default {
            Some(value) => self.fits(value).map_err(|wrong| format!("its default {wrong}")),
            None => Ok(()),
        }
    }

    fn fits(&self, value: &Value) -> Result<(), String> {
        match self.of {
            Primitive::Boolean if value.is_boolean() => Ok(()),
            Primitive::Boolean => Err("must be true or false".into()),
            Primitive::String => self.fits_text(value),
            Primitive::Number | Primitive::Integer => self.fits_number(value),
        }
    }

    fn fits_text(&self, value: &Value) -> Result<(), String> {
        let Some(text) = value.as_str() else { return Err("must be a string".into()) };
        if let Some(options) = &self.options
            && !options.iter().any(|option| option == text)
        {
            let options: Vec<_> = options.iter().map(|option| format!("`{option}`")).collect();
            return Err(format!("must be one of {}", options.join(", ")));
        }
        let length = text.chars().count() as u64;
        match (self.min_length, self.max_length) {
            (Some(least), _) if length < least => Err(format!("has {length} characters; at least {least} are needed")),
            (_, Some(most)) if length > most => Err(format!("has {length} characters; at most {most} fit")),
            _ => Ok(()),
        }
    }

    fn fits_number(&self, value: &Value) -> Result<(), String> {
        let Some(number) = value.as_f64() else { return Err("must be a number".into()) };
        if self.of == Primitive::Integer && number.fract() != 0.0 {
            return Err("must be a whole number".into());
        }
        match (self.minimum, self.maximum) {
            (Some(least), _) if number < least => Err(format!("must be at least {least}")),
            (_, Some(most)) if number > most => Err(format!("must be at most {most}")),
            _ => Ok(()),
        }
    }
}

fn check_options(options: &[String]) -> Result<(), String> {
    if !(1..=ITEMS_MAX).contains(&options.len()) {
        return Err(format!("`enum` must have 1 to {ITEMS_MAX} options"));
    }
    match options.iter().enumerate().find(|(at, option)| options[..*at].contains(option)) {
        Some((_, twice)) => Err(format!("`enum` has `{twice}` twice")),
        None => Ok(()),
    }
}
