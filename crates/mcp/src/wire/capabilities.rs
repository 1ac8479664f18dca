//! What a client says it can do.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ask::AskKind;

/// The capabilities of a client that matter here; all others are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing a client can or cannot do")]
pub(crate) struct Capabilities {
    /// Shows forms to its user.
    #[serde(default)]
    pub(crate) form: bool,
    /// Opens pages for its user.
    #[serde(default)]
    pub(crate) url: bool,
    /// Lets us ask its model.
    #[serde(default)]
    pub(crate) sampling: bool,
    /// Tells in which folders it works.
    #[serde(default)]
    pub(crate) roots: bool,
}

impl Capabilities {
    /// What can be understood of `raw`; what is not understood counts as absent.
    pub(crate) fn lenient(raw: Option<&RawValue>) -> Self {
        #[derive(Default, Deserialize)]
        struct Declared<'a> {
            #[serde(borrow)]
            elicitation: Option<&'a RawValue>,
            #[serde(borrow)]
            sampling: Option<&'a RawValue>,
            #[serde(borrow)]
            roots: Option<&'a RawValue>,
        }
        #[derive(Default, Deserialize)]
        struct Elicitation<'a> {
            #[serde(borrow)]
            form: Option<&'a RawValue>,
            #[serde(borrow)]
            url: Option<&'a RawValue>,
        }
        let is_object = |value: Option<&RawValue>| value.is_some_and(|value| value.get().starts_with('{'));
        let declared: Declared<'_> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let elicitation = declared.elicitation.filter(|value| is_object(Some(value)));
        let modes: Elicitation<'_> =
            elicitation.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        let (form, url) = (is_object(modes.form), is_object(modes.url));
        Self {
            // An empty object means forms only. Source: MCP 2025-11-25, elicitation.
            form: form || (elicitation.is_some() && !url),
            url,
            sampling: is_object(declared.sampling),
            roots: is_object(declared.roots),
        }
    }

    /// Whether the client can be asked that.
    pub(crate) fn allow(self, kind: AskKind) -> bool {
        match kind {
            AskKind::Form => self.form,
            AskKind::Url => self.url,
            AskKind::Sampling => self.sampling,
            AskKind::Roots => self.roots,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_declared_can_be_asked() {
        let kinds = [AskKind::Form, AskKind::Url, AskKind::Sampling, AskKind::Roots];
        for (raw, expected) in [
            ("{}", [false; 4]),
            ("7", [false; 4]),
            (r#"{"elicitation":null,"sampling":true,"roots":[]}"#, [false; 4]),
            (r#"{"elicitation":{}}"#, [true, false, false, false]),
            (r#"{"elicitation":{"form":{}}}"#, [true, false, false, false]),
            (r#"{"elicitation":{"url":{}}}"#, [false, true, false, false]),
            (r#"{"elicitation":{"form":{},"url":{}}}"#, [true, true, false, false]),
            (r#"{"sampling":{"tools":{}},"roots":{"listChanged":true}}"#, [false, false, true, true]),
        ] {
            let raw: Box<RawValue> = serde_json::from_str(raw).unwrap();
            let capabilities = Capabilities::lenient(Some(&raw));
            assert_eq!(kinds.map(|kind| capabilities.allow(kind)), expected, "{raw}");
        }
        assert_eq!(Capabilities::lenient(None), Capabilities::default());
    }
}
