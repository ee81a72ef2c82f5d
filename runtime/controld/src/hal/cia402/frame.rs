//! One CAN frame, and what carries it.

/// Base identifiers only; up to 8 bytes, or 64 with FD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub id: u16,
    pub len: u8,
    pub fd: bool,
    pub data: [u8; 64],
}

impl Frame {
    /// A classical frame; what exceeds its 8 bytes is left out.
    #[must_use]
    pub fn new(id: u16, payload: &[u8]) -> Self {
        let mut frame = Self { id, len: 0, fd: false, data: [0; 64] };
        for (to, from) in frame.data.iter_mut().zip(payload.iter().take(8)) {
            *to = *from;
            frame.len += 1;
        }
        frame
    }

    /// An FD frame with bit-rate switch.
    #[must_use]
    pub fn new_fd(id: u16, payload: &[u8]) -> Self {
        let mut frame = Self { id, len: 0, fd: true, data: [0; 64] };
        frame.put(0, payload);
        frame
    }

    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.data.get(..usize::from(self.len)).unwrap_or(&self.data)
    }

    /// Writes bytes at an offset and lengthens the frame to the next length that CAN FD has.
    pub fn put(&mut self, offset: usize, bytes: &[u8]) {
        for (to, from) in self.data.iter_mut().skip(offset).zip(bytes) {
            *to = *from;
        }
        self.len = self.len.max(fd_length(offset + bytes.len()));
    }

    /// Bytes at an offset, if the frame has them.
    #[must_use]
    pub fn get<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.payload().get(offset..)?.first_chunk::<N>().copied()
    }
}

/// CAN FD knows no other lengths than these beyond eight bytes.
#[must_use]
pub fn fd_length(bytes: usize) -> u8 {
    const LENGTHS: [u8; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64];
    if bytes == 0 { 0 } else { LENGTHS.into_iter().find(|l| usize::from(*l) >= bytes).unwrap_or(64) }
}

/// A CAN interface. Neither call waits.
pub trait Bus {
    /// Whether the frame was taken.
    fn send(&mut self, frame: &Frame) -> bool;
    fn receive(&mut self) -> Option<Frame>;
}
