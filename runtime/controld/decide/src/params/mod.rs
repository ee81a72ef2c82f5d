//! The control section of the profile, as Tier 1 reads it: every field named, none unknown, each with its bounds.

mod schema;
mod validate;

pub use schema::*;
pub use validate::{KEEP_OUTS, Problem};
