//! Before the loop: settings and mappings written into each drive by SDO, then the network is started.

use std::fmt;

use super::pdo::{COMMAND_ALL_ID, COMMAND_BYTES, command_id, status_id};
use super::{Axis, Bus, Frame};

/// Lets time pass between tries, so that this file needs no clock.
pub trait Waiter {
    /// Waits about a millisecond; false once it was enough.
    fn wait(&mut self) -> bool;
    /// Starts the count anew.
    fn restart(&mut self);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// The drive did not answer in time.
    Silent { node: u8, object: u32 },
    /// The drive refused a setting, with its abort code.
    Refused { node: u8, object: u32, code: u32 },
    /// The interface took no frame.
    BusFull,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { node, object } => {
                let (index, sub) = (object >> 8, object & 0xff);
                write!(
                    f,
                    "drive {node} does not answer (asked for object {index:#06x}:{sub}): check its power, its node number and the bit rate"
                )
            }
            Self::Refused { node, object, code } => {
                let (index, sub) = (object >> 8, object & 0xff);
                write!(
                    f,
                    "drive {node} refuses object {index:#06x}:{sub} with abort code {code:#010x}: this drive cannot be used as configured"
                )
            }
            Self::BusFull => write!(f, "the CAN interface takes no frames: is it up, and is anybody on the bus?"),
        }
    }
}

const SDO_REQUEST: u16 = 0x600;
const SDO_ANSWER: u16 = 0x580;
const NMT_ID: u16 = 0x000;
const NMT_START: u8 = 1;
const NMT_PRE_OPERATIONAL: u8 = 128;

const CYCLIC_SYNCHRONOUS_POSITION: u32 = 8;
const INVALID_COB: u32 = 1 << 31;
/// A mapping entry that the drive skips: 32 bits of dummy.
const SKIP_32: u32 = 0x0007_0020;

const CONTROL_WORD: u32 = 0x6040_0010;
const TARGET_POSITION: u32 = 0x607a_0020;
const TORQUE_OFFSET: u32 = 0x60b2_0010;
const STATUS_WORD: u32 = 0x6041_0010;
const POSITION: u32 = 0x6064_0020;
const VELOCITY: u32 = 0x606c_0020;
const TORQUE: u32 = 0x6077_0010;

/// An object's index and sub-index as one number.
const fn object(index: u32, sub: u32) -> u32 {
    index << 8 | sub
}

/// One object to write: index and sub-index as one number, value, bytes.
type Setting = (u32, u32, u8);

fn settings(axis: &Axis, slot: usize, fd: bool, period_us: u64) -> Vec<Setting> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rated_mnm = (axis.rated_torque_nm * 1e3).round().clamp(0.0, f64::from(u32::MAX)) as u32;
    let (interpolation, exponent) = if period_us % 1000 == 0 { (period_us / 1000, -3i8) } else { (period_us / 100, -4) };
    let mut list = vec![
        (object(0x6060, 0), CYCLIC_SYNCHRONOUS_POSITION, 1),
        (object(0x60c2, 1), u32::try_from(interpolation).unwrap_or(255), 1),
        (object(0x60c2, 2), u32::from(exponent.to_ne_bytes()[0]), 1),
        (object(0x6076, 0), rated_mnm, 4),
    ];
    let skipped = if fd { slot * COMMAND_BYTES / 4 } else { 0 };
    let command: Vec<u32> = std::iter::repeat_n(SKIP_32, skipped).chain([CONTROL_WORD, TARGET_POSITION, TORQUE_OFFSET]).collect();
    let command_cob = if fd { COMMAND_ALL_ID } else { command_id(axis.node) };
    let status: &[u32] = if fd { &[STATUS_WORD, POSITION, VELOCITY, TORQUE] } else { &[STATUS_WORD, POSITION, TORQUE] };
    list.extend(mapping(0x1400, 0x1600, command_cob, &command));
    list.extend(mapping(0x1800, 0x1a00, status_id(axis.node), status));
    list
}

/// A process data object is switched off, mapped, and switched on again: with every SYNC.
fn mapping(parameters: u32, map: u32, cob: u16, entries: &[u32]) -> Vec<Setting> {
    let mut list =
        vec![(object(parameters, 1), INVALID_COB | u32::from(cob), 4), (object(parameters, 2), 1, 1), (object(map, 0), 0, 1)];
    list.extend(entries.iter().zip(1u32..).map(|(entry, sub)| (object(map, sub), *entry, 4)));
    list.push((object(map, 0), u32::try_from(entries.len()).unwrap_or(0), 1));
    list.push((object(parameters, 1), u32::from(cob), 4));
    list
}

/// Configures every drive and starts them.
pub fn configure(bus: &mut dyn Bus, axes: &[Axis], fd: bool, period_us: u64, waiter: &mut dyn Waiter) -> Result<(), SetupError> {
    for (slot, axis) in axes.iter().enumerate() {
        send(bus, &Frame::new(NMT_ID, &[NMT_PRE_OPERATIONAL, axis.node]), waiter)?;
        for setting in settings(axis, slot, fd, period_us) {
            download(bus, axis.node, setting, waiter)?;
        }
    }
    for axis in axes {
        send(bus, &Frame::new(NMT_ID, &[NMT_START, axis.node]), waiter)?;
    }
    Ok(())
}

fn send(bus: &mut dyn Bus, frame: &Frame, waiter: &mut dyn Waiter) -> Result<(), SetupError> {
    waiter.restart();
    while !bus.send(frame) {
        if !waiter.wait() {
            return Err(SetupError::BusFull);
        }
    }
    Ok(())
}

/// One expedited download, answered or refused.
fn download(bus: &mut dyn Bus, node: u8, (object, value, bytes): Setting, waiter: &mut dyn Waiter) -> Result<(), SetupError> {
    let [sub, low, high, _] = object.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    let command = 0x23 | ((4 - bytes.min(4)) << 2);
    send(bus, &Frame::new(SDO_REQUEST + u16::from(node), &[command, low, high, sub, v0, v1, v2, v3]), waiter)?;
    loop {
        while let Some(answer) = bus.receive() {
            if answer.id != SDO_ANSWER + u16::from(node) || answer.get(1) != Some([low, high, sub]) {
                continue;
            }
            match answer.get(0) {
                Some([0x60]) => return Ok(()),
                Some([0x80]) => {
                    let code = u32::from_le_bytes(answer.get(4).unwrap_or_default());
                    return Err(SetupError::Refused { node, object, code });
                }
                _ => {}
            }
        }
        if !waiter.wait() {
            return Err(SetupError::Silent { node, object });
        }
    }
}
