//! One output line of a GPIO chip, toggled each cycle so that an oscilloscope sees the loop. Opened before the loop starts;
//! toggling is then the one `ioctl` that the system-call filter lets through.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use decide::params::Gpio;

const MAX_LINES: usize = 64;
const FLAG_OUTPUT: u64 = 1 << 3;
const GET_LINE: libc::c_ulong = request(0x07, size_of::<LineRequest>());
const SET_VALUES: libc::c_ulong = request(0x0f, size_of::<LineValues>());

/// `_IOWR(0xB4, number, size)`.
const fn request(number: libc::c_ulong, size: usize) -> libc::c_ulong {
    (3 << 30) | ((size as libc::c_ulong) << 16) | (0xB4 << 8) | number
}

/// `struct gpio_v2_line_attribute` within its `gpio_v2_line_config_attribute`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Attribute {
    id: u32,
    padding: u32,
    value: u64,
    mask: u64,
}

/// `struct gpio_v2_line_request`.
#[repr(C)]
struct LineRequest {
    offsets: [u32; MAX_LINES],
    consumer: [u8; 32],
    flags: u64,
    attribute_count: u32,
    config_padding: [u32; 5],
    attributes: [Attribute; 10],
    line_count: u32,
    event_buffer_size: u32,
    padding: [u32; 5],
    fd: i32,
}

/// `struct gpio_v2_line_values`.
#[repr(C)]
struct LineValues {
    bits: u64,
    mask: u64,
}

const _: () = assert!(size_of::<LineRequest>() == 592 && size_of::<LineValues>() == 16, "the kernel's layout");

pub struct Line {
    file: File,
    level: bool,
}

impl Line {
    /// # Errors
    /// When the chip is not there or the line is in use.
    pub fn open(gpio: &Gpio) -> io::Result<Self> {
        let chip = OpenOptions::new().read(true).write(true).open(&gpio.chip)?;
        let mut wanted = LineRequest {
            offsets: [0; MAX_LINES],
            consumer: [0; 32],
            flags: FLAG_OUTPUT,
            attribute_count: 0,
            config_padding: [0; 5],
            attributes: [Attribute { id: 0, padding: 0, value: 0, mask: 0 }; 10],
            line_count: 1,
            event_buffer_size: 0,
            padding: [0; 5],
            fd: -1,
        };
        wanted.consumer.iter_mut().zip(b"controld cycle").for_each(|(to, from)| *to = *from);
        if let Some(first) = wanted.offsets.first_mut() {
            *first = gpio.line;
        }
        // SAFETY: an open descriptor and the struct that this request is defined on.
        if unsafe { libc::ioctl(chip.as_raw_fd(), GET_LINE, &raw mut wanted) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel made this descriptor for us just now, and nobody else owns it.
        Ok(Self { file: unsafe { File::from_raw_fd(wanted.fd) }, level: false })
    }

    #[must_use]
    pub fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }

    #[inline]
    pub fn toggle(&mut self) {
        self.level = !self.level;
        let mut values = LineValues { bits: u64::from(self.level), mask: 1 };
        // SAFETY: an open line descriptor and the struct that this request is defined on.
        unsafe { libc::ioctl(self.file.as_raw_fd(), SET_VALUES, &raw mut values) };
    }
}
