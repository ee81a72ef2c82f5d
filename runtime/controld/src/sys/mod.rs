//! What is asked of the kernel directly. Beside `shm::map` the only place with unsafe code; every block says why it is sound.
#![allow(unsafe_code)]

pub mod alloc;
pub mod can;
pub mod clock;
pub mod filter;
pub mod gpio;
pub mod law;
pub mod rights;
pub mod signals;
