//! Tier 1 of the runtime. The cycle is in `cycle`, what it decides with in the crate `decide`, what it speaks in `layout`.

pub mod control;
pub mod shm;
