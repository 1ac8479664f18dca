//! What nodes have, and what jobs require of the node that runs them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A set of labels: at most [`Labels::COUNT_MAX`], each 1 to 64 of `a-z A-Z 0-9 . _ - = / :`, for example `gpu` or
/// `os=linux`. As text they stand in their order with a space between two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Labels(BTreeSet<String>);

/// Text that is no set of labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// One of them is not made as labels are.
    #[error("`{}` is no label: give 1 to 64 letters, digits or any of . _ - = / :", .0.escape_debug())]
    Label(String),
    /// There are too many.
    #[error("{0} labels are too many: give at most {max}", max = Labels::COUNT_MAX)]
    Count(usize),
}

impl Labels {
    /// Most labels of one job or node.
    pub const COUNT_MAX: usize = 32;
    const BYTES_MAX: usize = 64;

    /// Takes labels in any order, each once.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(labels: impl IntoIterator<Item = String>) -> Result<Self, InvalidLabels> {
        let labels: BTreeSet<_> = labels.into_iter().collect();
        if labels.len() > Self::COUNT_MAX {
            return Err(InvalidLabels::Count(labels.len()));
        }
        match labels.iter().find(|label| !is_label(label)) {
            Some(label) => Err(InvalidLabels::Label(label.clone())),
            None => Ok(Self(labels)),
        }
    }

    /// Whether all of `required` are among them.
    pub fn cover(&self, required: &Self) -> bool {
        required.0.is_subset(&self.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn is_label(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-=/:".contains(c);
    (1..=Labels::BYTES_MAX).contains(&text.len()) && text.chars().all(good)
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, label) in self.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            f.write_str(label)?;
        }
        Ok(())
    }
}

impl FromStr for Labels {
    type Err = InvalidLabels;

    fn from_str(text: &str) -> Result<Self, InvalidLabels> {
        Self::new(text.split_ascii_whitespace().map(str::to_owned))
    }
}

impl TryFrom<Vec<String>> for Labels {
    type Error = InvalidLabels;

    fn try_from(labels: Vec<String>) -> Result<Self, InvalidLabels> {
        Self::new(labels)
    }
}

impl From<Labels> for Vec<String> {
    fn from(labels: Labels) -> Self {
        labels.0.into_iter().collect()
    }
}
