//! The simulated plant: two slots of shared memory.

use std::path::Path;

use layout::{Actuators, Sensors};

use crate::shm::{ShmError, SlotReader, SlotWriter};

pub struct Sim {
    sensors: SlotReader<Sensors>,
    actuators: SlotWriter<Actuators>,
}

impl Sim {
    /// # Errors
    /// When the slots cannot be made.
    pub fn open(dir: &Path) -> Result<Self, ShmError> {
        Ok(Self { sensors: SlotReader::open(dir, "hal.sensors")?, actuators: SlotWriter::open(dir, "hal.actuators")? })
    }

    #[inline]
    pub fn read(&mut self) -> Option<Sensors> {
        self.sensors.latest().copied()
    }

    #[inline]
    pub fn write(&mut self, actuators: &Actuators) {
        self.actuators.write(actuators);
    }

    /// The mappings that another process could cut short.
    #[must_use]
    pub fn ranges(&self) -> [(usize, usize); 2] {
        [self.sensors.map().range(), self.actuators.map().range()]
    }
}
