//! Every case of the suite, over PostgreSQL.

use super::Schema;

crate::conformance!(Schema::new());
