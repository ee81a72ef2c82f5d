//! Tier 1's decisions: pure functions of readings, commands and time.
#![forbid(unsafe_code)]

pub mod model;
pub mod params;
