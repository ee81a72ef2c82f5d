//! Drives of the tests: an object dictionary, the power state machine, and an axis that follows its target.

use std::collections::{HashMap, VecDeque};

use super::pdo::{COMMAND_ALL_ID, Command, SYNC_ID, Status, command_id};
use super::{Bus, DriveState, Frame};

pub struct FakeDrive {
    pub node: u8,
    pub objects: HashMap<u32, u32>,
    pub refuses: Option<u32>,
    pub silent: bool,
    pub status_word: u16,
    pub position: i32,
    pub following_error: bool,
    pub running: bool,
    last_control: u16,
    pending: Option<Command>,
    /// Largest step that a target asked of an enabled drive.
    pub largest_step: i32,
}

impl FakeDrive {
    pub fn new(node: u8, position: i32) -> Self {
        Self {
            node,
            objects: HashMap::new(),
            refuses: None,
            silent: false,
            status_word: 0x40,
            position,
            following_error: false,
            running: false,
            last_control: 0,
            pending: None,
            largest_step: 0,
        }
    }

    pub fn fault(&mut self) {
        self.status_word = 0x08;
    }

    fn offset(&self, fd: bool) -> usize {
        // Counts the dummies of its own mapping, as a real drive would.
        let entries = self.objects.get(&0x0016_0000).copied().unwrap_or(0);
        let skipped = (1..=entries).filter(|sub| self.objects.get(&(0x0016_0000 | sub)) == Some(&0x0007_0020)).count();
        if fd { skipped * 4 } else { 0 }
    }

    fn hear(&mut self, frame: &Frame, answers: &mut VecDeque<Frame>) {
        if self.silent {
            return;
        }
        if frame.id == 0 {
            self.running = frame.data[1] == self.node && frame.data[0] == 1 || self.running && frame.data[1] != self.node;
        } else if frame.id == 0x600 + u16::from(self.node) {
            answers.push_back(self.write_object(frame));
        } else if self.running && (frame.id == command_id(self.node) || frame.id == COMMAND_ALL_ID) {
            self.pending = Command::unpack(frame, self.offset(frame.fd));
        } else if self.running && frame.id == SYNC_ID {
            self.sync(answers);
        }
    }

    fn write_object(&mut self, frame: &Frame) -> Frame {
        let object = u32::from(frame.data[1]) << 8 | u32::from(frame.data[2]) << 16 | u32::from(frame.data[3]);
        let value = u32::from_le_bytes(frame.get(4).unwrap());
        let [_, low, high, sub] = frame.get(0).unwrap();
        if self.refuses == Some(object) {
            return Frame::new(0x580 + u16::from(self.node), &[0x80, low, high, sub, 0x30, 0x00, 0x09, 0x06]);
        }
        self.objects.insert(object, value);
        Frame::new(0x580 + u16::from(self.node), &[0x60, low, high, sub])
    }

    fn sync(&mut self, answers: &mut VecDeque<Frame>) {
        let before = self.position;
        if let Some(command) = self.pending.take() {
            self.obey(&command);
        }
        let fd = self.objects.get(&0x001a_0000) == Some(&4);
        let velocity = fd.then(|| (self.position - before) * 1000);
        let word = self.status_word | u16::from(self.following_error) << 13;
        let status = Status { status_word: word, position: self.position, velocity, torque_permille: 250 };
        answers.push_back(status.frame(self.node));
    }

    fn obey(&mut self, command: &Command) {
        let reset = command.control_word & 0x80 != 0 && self.last_control & 0x80 == 0;
        self.last_control = command.control_word;
        self.status_word = match (DriveState::of(self.status_word), command.control_word & 0x0f) {
            (DriveState::Fault, _) if reset => 0x40,
            (DriveState::Fault, _) => 0x08,
            (_, word) if word & 0x02 == 0 => 0x40,
            (DriveState::SwitchOnDisabled | DriveState::SwitchedOn | DriveState::Enabled, 0x06) => 0x21,
            (DriveState::ReadyToSwitchOn, 0x07) => 0x23,
            (DriveState::SwitchedOn, 0x0f) => 0x27,
            _ => self.status_word,
        };
        if DriveState::of(self.status_word) == DriveState::Enabled {
            self.largest_step = self.largest_step.max((command.target - self.position).abs());
            self.position = command.target;
        }
    }
}

/// A wire with drives on it.
pub struct FakeBus {
    pub drives: Vec<FakeDrive>,
    pub full: bool,
    pub sent: Vec<Frame>,
    pub answers: VecDeque<Frame>,
}

impl Bus for FakeBus {
    fn send(&mut self, frame: &Frame) -> bool {
        if self.full {
            return false;
        }
        self.sent.push(*frame);
        for drive in &mut self.drives {
            drive.hear(frame, &mut self.answers);
        }
        true
    }

    fn receive(&mut self) -> Option<Frame> {
        self.answers.pop_front()
    }
}
