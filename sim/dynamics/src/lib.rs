//! The simulated arm without its cell: rigid bodies, drives, brakes, sensors and a suction cup, a thousand times a second.
//!
//! What it leaves out, and the whole cell (sim/plant.py) has: contacts of any kind, the weight of what is carried, the part
//! itself, and injected faults. A joint stops dead at the end of its range. The cup seals on a part that perception reports
//! under its rim, and holds it for as long as the vacuum stands.
#![forbid(unsafe_code)]
// Indices run over `0..n` with `n ≤ J`; every array here has J entries.
#![allow(clippy::indexing_slicing, clippy::needless_range_loop)]

pub mod arm;
pub mod drives;
pub mod obey;
pub mod offline;
pub mod options;
pub mod plant;
pub mod sensing;
pub mod suction;

/// One step of the physics, and of the clock's grid.
pub const STEP_NS: i64 = 1_000_000;
pub const STEP_S: f64 = 1e-3;
