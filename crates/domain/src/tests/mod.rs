mod fixture;
mod machine;
mod model;
mod questions;
mod scopes;
mod values;
