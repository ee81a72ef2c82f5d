//! A SocketCAN raw socket, non-blocking, classical or FD: one `read` or `write` a frame.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};

use crate::hal::cia402::{Bus, Frame};

/// `struct can_frame` and `struct canfd_frame`: identifier, length, flags, two bytes of padding, data.
const CLASSICAL_BYTES: usize = 16;
const FD_BYTES: usize = 72;
const DATA_OFFSET: usize = 8;
const FLAG_BIT_RATE_SWITCH: u8 = 1;
/// Upper bits of the identifier mark extended, remote and error frames, none of which a drive sends here.
const PLAIN_IDS: u32 = 0x7ff;

pub struct Socket {
    file: File,
}

impl Socket {
    /// # Errors
    /// When the kernel has no CAN, or the interface is not there, down, or not FD-capable.
    pub fn open(interface: &str, fd: bool) -> io::Result<Self> {
        let name = CString::new(interface).map_err(|_| io::Error::other("the interface's name holds a zero byte"))?;
        // SAFETY: a C string.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: constant arguments.
        let socket = unsafe { libc::socket(libc::PF_CAN, kind, libc::CAN_RAW) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor made just now that nobody else owns.
        let file = unsafe { File::from_raw_fd(socket) };
        if fd {
            enable_fd(&file)?;
        }
        bind(&file, index)?;
        Ok(Self { file })
    }

    #[must_use]
    pub fn fd(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

fn enable_fd(file: &File) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = u32::try_from(size_of::<libc::c_int>()).unwrap_or(4);
    // SAFETY: an open socket and an int of the given length.
    let result =
        unsafe { libc::setsockopt(file.as_raw_fd(), libc::SOL_CAN_RAW, libc::CAN_RAW_FD_FRAMES, (&raw const on).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn bind(file: &File, index: u32) -> io::Result<()> {
    // SAFETY: an all-zero address is a valid one.
    let mut address: libc::sockaddr_can = unsafe { std::mem::zeroed() };
    address.can_family = u16::try_from(libc::AF_CAN).unwrap_or(29);
    address.can_ifindex = i32::try_from(index).unwrap_or(0);
    let length = u32::try_from(size_of::<libc::sockaddr_can>()).unwrap_or(0);
    // SAFETY: an open socket and an address of the given length.
    let result = unsafe { libc::bind(file.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Bus for Socket {
    fn send(&mut self, frame: &Frame) -> bool {
        let mut bytes = [0u8; FD_BYTES];
        let (head, data) = bytes.split_at_mut(DATA_OFFSET);
        let [i0, i1, i2, i3] = u32::from(frame.id).to_ne_bytes();
        let header = [i0, i1, i2, i3, frame.len, u8::from(frame.fd) * FLAG_BIT_RATE_SWITCH];
        head.iter_mut().zip(header).for_each(|(to, from)| *to = from);
        data.iter_mut().zip(frame.payload()).for_each(|(to, from)| *to = *from);
        let size = if frame.fd { FD_BYTES } else { CLASSICAL_BYTES };
        bytes.get(..size).is_some_and(|bytes| self.file.write(bytes).is_ok_and(|n| n == size))
    }

    fn receive(&mut self) -> Option<Frame> {
        let mut bytes = [0u8; FD_BYTES];
        loop {
            let size = self.file.read(&mut bytes).ok()?;
            let id = u32::from_ne_bytes(*bytes.first_chunk::<4>()?);
            let len = *bytes.get(4)?;
            let room = size.checked_sub(DATA_OFFSET)?;
            if id & !PLAIN_IDS != 0 || usize::from(len) > room {
                continue;
            }
            let mut frame = Frame::new(u16::try_from(id).ok()?, &[]);
            frame.len = len;
            frame.fd = size == FD_BYTES;
            frame.data.iter_mut().zip(bytes.iter().skip(DATA_OFFSET)).for_each(|(to, from)| *to = *from);
            return Some(frame);
        }
    }
}
