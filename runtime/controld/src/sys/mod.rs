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

/// Opens a file without allocating: what the filter must stop.
#[cfg(feature = "plant-faults")]
pub fn planted_syscall() {
    // SAFETY: a C string; the call does not get through.
    unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDONLY) };
}
