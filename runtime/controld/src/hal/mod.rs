//! The hardware behind one pair of calls: what the drives report, and what they shall do.

pub mod cia402;
mod sim;

use std::path::Path;

use decide::params::{self, Control};
use layout::{Actuators, Sensors};

use crate::shm::ShmError;
use crate::sys::can::Socket;

pub use cia402::Cia402;
pub use sim::Sim;

/// The hardware of this robot; a closed set, so that the cycle calls no function it does not know.
pub enum Hal {
    Sim(Box<Sim>),
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

/// Why the hardware cannot be reached.
#[derive(Debug)]
pub enum OpenError {
    Shm(ShmError),
    /// The profile asks of the bus what does not fit it.
    Schedule(String),
    Hardware(String),
}

impl Hal {
    /// Opens what the profile names; for drives on a bus, after the check that one cycle's frames fit it.
    ///
    /// # Errors
    /// What is missing, or does not fit.
    pub fn open(control: &Control, dir: &Path) -> Result<Self, OpenError> {
        match &control.hal {
            params::Hal::Sim { .. } => Sim::open(dir).map(|s| Self::Sim(Box::new(s))).map_err(OpenError::Shm),
            params::Hal::Cia402 { interface, fd, .. } => {
                if let Some(schedule) = schedule_of(control) {
                    schedule.check().map_err(OpenError::Schedule)?;
                }
                let bus = Socket::open(interface, *fd).map_err(|e| {
                    OpenError::Hardware(format!("CAN interface {interface}: {e}\n  try  ip link set {interface} up"))
                })?;
                let axes = cia402::axes_of(control);
                let drives = Cia402::start(bus, axes, *fd, control.cycle.period_us, &mut Milliseconds::default());
                drives
                    .map(|d| Self::Cia402(Box::new(d)))
                    .map_err(|e| OpenError::Hardware(format!("CAN interface {interface}: {e}")))
            }
        }
    }
}

/// The frames of one cycle on this robot's wire; none where there is no wire.
#[must_use]
pub fn schedule_of(control: &Control) -> Option<cia402::Schedule> {
    let params::Hal::Cia402 { fd, bitrate_bps, data_bitrate_bps, nodes, .. } = &control.hal else {
        return None;
    };
    Some(cia402::Schedule {
        axes: nodes.len(),
        period_us: control.cycle.period_us,
        fd: *fd,
        bitrate_bps: *bitrate_bps,
        data_bitrate_bps: *data_bitrate_bps,
    })
}

/// Half a second of patience with a drive.
#[derive(Debug, Default)]
struct Milliseconds {
    waited: u32,
}

impl cia402::Waiter for Milliseconds {
    fn wait(&mut self) -> bool {
        std::thread::sleep(std::time::Duration::from_millis(1));
        self.waited += 1;
        self.waited < 500
    }

    fn restart(&mut self) {
        self.waited = 0;
    }
}
