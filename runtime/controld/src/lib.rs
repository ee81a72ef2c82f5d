//! Tier 1 of the runtime. The cycle is in `cycle`, what it decides with in the crate `decide`, what it speaks in `layout`.
#![deny(unsafe_code)]

pub mod account;
pub mod control;
pub mod cycle;
pub mod hal;
pub mod looping;
pub mod notify;
pub mod options;
pub mod shm;
pub mod slots;
pub mod sys;
pub mod watchdog;
