//! What other processes say: one slot each, opened before the loop starts, read once a cycle.

use std::path::Path;

use layout::{Directive, MotionCommand, People, SafetyVerdict};

use crate::shm::{ShmError, SlotReader};

pub struct Slots {
    pub policy: SlotReader<MotionCommand>,
    pub fallback: SlotReader<MotionCommand>,
    pub people: SlotReader<People>,
    pub verdict: SlotReader<SafetyVerdict>,
    pub directive: SlotReader<Directive>,
}

impl Slots {
    /// # Errors
    /// When a slot cannot be made or mapped.
    pub fn open(dir: &Path) -> Result<Self, ShmError> {
        Ok(Self {
            policy: SlotReader::open(dir, "command.policy")?,
            fallback: SlotReader::open(dir, "command.fallback")?,
            people: SlotReader::open(dir, "people")?,
            verdict: SlotReader::open(dir, "verdict")?,
            directive: SlotReader::open(dir, "directive")?,
        })
    }

    /// The mappings that another process could cut short.
    #[must_use]
    pub fn ranges(&self) -> [(usize, usize); 5] {
        [
            self.policy.map().range(),
            self.fallback.map().range(),
            self.people.map().range(),
            self.verdict.map().range(),
            self.directive.map().range(),
        ]
    }
}
