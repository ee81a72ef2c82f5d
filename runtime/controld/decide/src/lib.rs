//! Tier 1's decisions: pure functions of readings, commands and time.
#![forbid(unsafe_code)]
// `!(x <= limit)` is how a limit is written here: NaN must refuse.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

pub mod model;
pub mod params;
pub mod shield;
