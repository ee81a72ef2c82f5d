//! Tier 1's decisions: pure functions of readings, commands and time.
//!
//! [`controller::Controller`] is what `controld` calls; its stages are listed there in order. Around it: [`params`] (the
//! control file and its bounds), [`model`] (the arm as a rigid body chain), [`estimator`], [`sensing`] (which sensor frames
//! are believed), [`gate`] (which commands are), [`shield`] (what may be commanded), [`ladder`] and [`exec`] (stops and
//! states), [`liveness`]. Nothing here allocates after construction, does I/O, reads a clock or panics.
#![forbid(unsafe_code)]
// `!(x <= limit)` is how a limit is written here: NaN must refuse.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

mod assess;
pub mod controller;
pub mod estimator;
pub mod exec;
pub mod gate;
pub mod ladder;
pub mod liveness;
pub mod model;
pub mod params;
mod report;
pub mod sensing;
pub mod shield;

pub use controller::{Controller, Inputs};
