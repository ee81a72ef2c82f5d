//! Whether one cycle's frames fit the wire, counted bit by bit with the worst stuffing there can be.
//!
//! `bedplate config check` counts the same way (conf/canbus.py); tests/conf/test_bus_schedule.py holds the two together.

use std::fmt;

use super::frame::fd_length;
use super::pdo::{COMMAND_BYTES, STATUS_BYTES_CLASSICAL, STATUS_BYTES_FD};

/// Above this share of the period there is no room for what is not scheduled: emergencies, errors sent again, the cycle's own
/// time before it sends.
pub const MOST_LOAD: f64 = 0.9;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    pub axes: usize,
    pub period_us: u64,
    pub fd: bool,
    pub bitrate_bps: u64,
    pub data_bitrate_bps: u64,
}

/// How long one cycle's frames occupy the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    pub wire_us: f64,
    pub ratio: f64,
    pub frames: usize,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames take {:.0} us, {:.0} % of the cycle", self.frames, self.wire_us, self.ratio * 100.0)
    }
}

/// Bits of a classical frame with base identifier, worst stuffing and the gap behind it.
#[must_use]
pub const fn classical_bits(bytes: usize) -> usize {
    let stuffed = 34 + 8 * bytes;
    stuffed + (stuffed - 1) / 4 + 13
}

/// Bits of an FD frame with bit-rate switch: those at the nominal and those at the data rate, worst stuffing in both.
#[must_use]
pub const fn fd_bits(bytes: usize) -> (usize, usize) {
    // Start to the bit-rate switch: stuffed. Acknowledge, end of frame and gap: not.
    let arbitration = 17;
    let nominal = arbitration + (arbitration - 1) / 4 + 12;
    // Error state indicator, length code and data: stuffed as before.
    let stuffed = 1 + 4 + 8 * bytes;
    let crc = if bytes <= 16 { 17 } else { 21 };
    // Stuff count and checksum carry a fixed stuff bit in front and after every four bits; one delimiter.
    let fixed = 4 + crc;
    let data = stuffed + stuffed / 4 + fixed + 1 + fixed.div_ceil(4) + 1;
    (nominal, data)
}

impl Schedule {
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn load(&self) -> Load {
        let classical_us = |bytes: usize| classical_bits(bytes) as f64 * 1e6 / self.bitrate_bps as f64;
        let fd_us = |bytes: usize| {
            let (nominal, data) = fd_bits(usize::from(fd_length(bytes)));
            (nominal as f64 / self.bitrate_bps as f64 + data as f64 / self.data_bitrate_bps as f64) * 1e6
        };
        let sync_us = classical_us(0);
        let (wire_us, frames) = if self.fd {
            let answers = self.axes as f64 * fd_us(STATUS_BYTES_FD);
            (sync_us + fd_us(COMMAND_BYTES * self.axes) + answers, self.axes + 2)
        } else {
            let pair = classical_us(COMMAND_BYTES) + classical_us(STATUS_BYTES_CLASSICAL);
            (sync_us + self.axes as f64 * pair, 2 * self.axes + 1)
        };
        Load { wire_us, ratio: wire_us / self.period_us as f64, frames }
    }

    /// # Errors
    /// When it does not fit, with the figure and what would.
    pub fn check(&self) -> Result<Load, String> {
        let load = self.load();
        // Written so that a rate of 0 fails.
        if load.ratio <= MOST_LOAD {
            return Ok(load);
        }
        let wire = if self.fd {
            format!("CAN FD at {} and {} bit/s", self.bitrate_bps, self.data_bitrate_bps)
        } else {
            format!("classical CAN at {} bit/s", self.bitrate_bps)
        };
        let advice = if self.fd { "raise the data bit rate, or the period" } else { "use CAN FD (hal.fd), or raise the period" };
        Err(format!(
            "the bus schedule does not fit: {} axes every {} us on {wire}: {load}, at most {:.0} % may be\n  \
             drives would get their targets late and one after another\n  try  {advice}",
            self.axes,
            self.period_us,
            MOST_LOAD * 100.0
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSICAL: Schedule =
        Schedule { axes: 7, period_us: 1000, fd: false, bitrate_bps: 1_000_000, data_bitrate_bps: 5_000_000 };

    #[test]
    fn frame_lengths_are_those_of_the_standard() {
        // 135 is the well-known worst case of a classical frame of eight bytes, gap included; 55 that of an empty one.
        assert_eq!(classical_bits(8), 135);
        assert_eq!(classical_bits(0), 55);
        let (nominal, data) = fd_bits(64);
        assert_eq!(nominal, 33);
        assert_eq!(data, 517 + 129 + 25 + 1 + 7 + 1);
    }

    #[test]
    fn seven_axes_at_1_khz_do_not_fit_classical_can_and_the_error_says_by_how_much() {
        let error = CLASSICAL.check().unwrap_err();
        assert!(error.contains("7 axes every 1000 us on classical CAN at 1000000 bit/s"), "{error}");
        assert!(error.contains("15 frames take 1945 us, 194 % of the cycle"), "{error}");
        assert!(error.contains("use CAN FD"), "{error}");
    }

    #[test]
    fn seven_axes_at_1_khz_fit_can_fd() {
        let load = Schedule { fd: true, ..CLASSICAL }.check().unwrap();
        assert!((0.6..0.8).contains(&load.ratio), "{load}");
    }

    #[test]
    fn slower_cycles_fit_and_slower_wires_do_not() {
        assert!(Schedule { period_us: 4000, ..CLASSICAL }.check().is_ok());
        assert!(Schedule { fd: true, data_bitrate_bps: 1_000_000, ..CLASSICAL }.check().is_err());
        assert!(Schedule { fd: true, data_bitrate_bps: 0, ..CLASSICAL }.check().is_err());
    }
}
