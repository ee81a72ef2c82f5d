//! Tier 1 of the runtime. The cycle is in `cycle`, what it decides with in the crate `decide`, what it speaks in `layout`.
#![deny(unsafe_code)]

pub mod control;
pub mod hal;
pub mod shm;
pub mod sys;
