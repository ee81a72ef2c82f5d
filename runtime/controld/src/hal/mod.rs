//! The hardware behind one pair of calls: what the drives report, and what they shall do.

pub mod cia402;
mod sim;

use layout::{Actuators, Sensors};

use crate::sys::can::Socket;

pub use cia402::Cia402;
pub use sim::Sim;

/// The hardware of this robot; a closed set, so that the cycle calls no function it does not know.
pub enum Hal {
    Sim(Sim),
    Cia402(Box<Cia402<Socket>>),
}

impl Hal {
    /// The newest report; none while there never was one.
    #[inline]
    pub fn read(&mut self, now_ns: i64) -> Option<Sensors> {
        match self {
            Self::Sim(sim) => sim.read(),
            Self::Cia402(drives) => drives.read(now_ns),
        }
    }

    #[inline]
    pub fn write(&mut self, actuators: &Actuators) {
        match self {
            Self::Sim(sim) => sim.write(actuators),
            Self::Cia402(drives) => drives.write(actuators),
        }
    }

    /// Descriptors that the cycle reads and writes.
    #[must_use]
    pub fn bus_fds(&self) -> Vec<i32> {
        match self {
            Self::Sim(_) => Vec::new(),
            Self::Cia402(drives) => vec![drives.bus().fd()],
        }
    }
}
