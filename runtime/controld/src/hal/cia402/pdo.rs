//! How commands and reports lie in their frames. The mapping is written into the drives at start (`setup`).

use super::Frame;

pub const SYNC_ID: u16 = 0x080;
/// FD: one frame carries every axis, each drive maps its own eight bytes of it. Below every single command's identifier.
pub const COMMAND_ALL_ID: u16 = 0x200;
/// Bytes of one axis' command.
pub const COMMAND_BYTES: usize = 8;
pub const STATUS_BYTES_CLASSICAL: usize = 8;
pub const STATUS_BYTES_FD: usize = 12;

#[must_use]
pub const fn command_id(node: u8) -> u16 {
    0x200 + node as u16
}

#[must_use]
pub const fn status_id(node: u8) -> u16 {
    0x180 + node as u16
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    pub control_word: u16,
    pub target: i32,
    pub torque_permille: i16,
}

impl Command {
    fn bytes(&self) -> [u8; COMMAND_BYTES] {
        let [c0, c1] = self.control_word.to_le_bytes();
        let [p0, p1, p2, p3] = self.target.to_le_bytes();
        let [t0, t1] = self.torque_permille.to_le_bytes();
        [c0, c1, p0, p1, p2, p3, t0, t1]
    }

    #[must_use]
    pub fn frame(&self, node: u8) -> Frame {
        Frame::new(command_id(node), &self.bytes())
    }

    pub fn pack_into(&self, frame: &mut Frame, slot: usize) {
        frame.put(slot * COMMAND_BYTES, &self.bytes());
    }

    /// What a drive reads.
    #[cfg(test)]
    #[must_use]
    pub fn unpack(frame: &Frame, offset: usize) -> Option<Self> {
        Some(Self {
            control_word: u16::from_le_bytes(frame.get(offset)?),
            target: i32::from_le_bytes(frame.get(offset + 2)?),
            torque_permille: i16::from_le_bytes(frame.get(offset + 6)?),
        })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub status_word: u16,
    pub position: i32,
    /// Classical frames have no room for it.
    pub velocity: Option<i32>,
    pub torque_permille: i16,
}

impl Status {
    #[must_use]
    pub fn unpack(frame: &Frame, fd: bool) -> Option<Self> {
        let (velocity, torque_at) = if fd { (Some(i32::from_le_bytes(frame.get(6)?)), 10) } else { (None, 6) };
        Some(Self {
            status_word: u16::from_le_bytes(frame.get(0)?),
            position: i32::from_le_bytes(frame.get(2)?),
            velocity,
            torque_permille: i16::from_le_bytes(frame.get(torque_at)?),
        })
    }

    /// What a drive sends.
    #[cfg(test)]
    #[must_use]
    pub fn frame(&self, node: u8) -> Frame {
        let mut frame =
            if self.velocity.is_some() { Frame::new_fd(status_id(node), &[]) } else { Frame::new(status_id(node), &[]) };
        frame.put(0, &self.status_word.to_le_bytes());
        frame.put(2, &self.position.to_le_bytes());
        let torque_at = self.velocity.map_or(6, |velocity| {
            frame.put(6, &velocity.to_le_bytes());
            10
        });
        frame.put(torque_at, &self.torque_permille.to_le_bytes());
        frame
    }
}
