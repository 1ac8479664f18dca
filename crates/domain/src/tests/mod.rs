mod machine;
mod model;
mod values;
