//! A shared file as a slice of atomic words: the only place where memory is mapped.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::ShmError;

/// A mapped file. The mapping lives as long as this value; the file may be unlinked or replaced meanwhile.
pub struct Map {
    base: NonNull<AtomicU64>,
    words: usize,
    writable: bool,
    file: File,
}

// SAFETY: the mapping is plain shared memory without thread affinity, reached through atomics only.
unsafe impl Send for Map {}
// SAFETY: as above; every access is an atomic load or store.
unsafe impl Sync for Map {}

impl Map {
    /// Maps an existing file, whole.
    ///
    /// # Errors
    /// When the file cannot be opened or mapped, or is not made of whole words.
    pub fn open(path: &Path, writable: bool) -> Result<Self, ShmError> {
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
            .open(path)
            .map_err(|e| ShmError::io(path, "open", &e))?;
        Self::of(file, path, writable)
    }

    pub(super) fn of(file: File, path: &Path, writable: bool) -> Result<Self, ShmError> {
        let bytes = file.metadata().map_err(|e| ShmError::io(path, "stat", &e))?.len();
        let bytes = usize::try_from(bytes).unwrap_or(0);
        if bytes == 0 || bytes % 8 != 0 {
            return Err(ShmError::new(path, format!("has {bytes} bytes, which no shared file of this robot has")));
        }
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        // SAFETY: a new shared mapping at an address of the kernel's choice; the descriptor is open, the length not 0.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(ShmError::io(path, "map", &std::io::Error::last_os_error()));
        }
        match NonNull::new(base.cast::<AtomicU64>()) {
            Some(base) => Ok(Self { base, words: bytes / 8, writable, file }),
            None => Err(ShmError::new(path, "was mapped at address 0".to_owned())),
        }
    }

    /// The file's words. Other processes change them at any time, which atomics allow.
    #[must_use]
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page-aligned, `words` words long, and stays until `self` is dropped; AtomicU64 has the size and
        // alignment of u64 and permits changes from outside. A read-only mapping is only loaded from: see `is_writable`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }

    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    #[must_use]
    pub fn bytes(&self) -> usize {
        self.words * 8
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Address range of the mapping, for the handler that survives a file cut short under it.
    #[must_use]
    pub fn range(&self) -> (usize, usize) {
        let start = self.base.as_ptr() as usize;
        (start, start + self.bytes())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `of` mapped, and no slice of it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes()) };
    }
}

/// Takes the file's advisory lock for as long as the file stays open.
pub(super) fn try_lock(file: &File) -> bool {
    // SAFETY: a plain call on an open descriptor.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}
