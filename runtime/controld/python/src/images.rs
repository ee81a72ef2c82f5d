//! Image slots: pictures of fixed shape, copied in and out of buffers that Python owns.

use std::cell::Cell;
use std::path::PathBuf;

use controld::shm::{ImageReader as RawReader, ImageShape, ImageWriter as RawWriter};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyValueError};
use pyo3::prelude::*;

use crate::os_error;

#[pyclass(module = "runtime.shm._native")]
pub struct ImageWriter {
    raw: RawWriter,
}

#[pymethods]
impl ImageWriter {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(dir: PathBuf, topic: &str, type_code: String, item_bytes: usize, dims: Vec<usize>) -> PyResult<Self> {
        let shape = ImageShape { type_code, item_bytes, dims };
        Ok(Self { raw: RawWriter::open(&dir, topic, shape).map_err(|e| os_error(&e))? })
    }

    /// Writes the bytes of one C-contiguous picture; returns its sequence number.
    #[allow(clippy::needless_pass_by_value)]
    fn write(&self, py: Python<'_>, picture: PyBuffer<u8>, capture_ns: i64) -> PyResult<u64> {
        let bytes = picture.as_slice(py).ok_or_else(|| PyBufferError::new_err("a picture must be contiguous"))?;
        let want = self.raw.shape().bytes();
        if bytes.len() != want {
            let problem = format!("a picture of {} bytes, where {:?} has {want}", bytes.len(), self.raw.shape().dims);
            return Err(PyValueError::new_err(problem));
        }
        Ok(self.raw.write(capture_ns, |i| {
            let chunk = bytes.get(i * 8..).unwrap_or_default();
            match chunk.first_chunk::<8>() {
                Some(whole) => u64::from_le_bytes(std::array::from_fn(|k| whole.get(k).map_or(0, |b| b.get()))),
                None => chunk.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(byte.get())),
            }
        }))
    }
}

#[pyclass(module = "runtime.shm._native")]
pub struct ImageReader {
    raw: RawReader,
}

#[pymethods]
impl ImageReader {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(dir: PathBuf, topic: &str) -> PyResult<Self> {
        Ok(Self { raw: RawReader::new(&dir, topic).map_err(|e| os_error(&e))? })
    }

    /// NumPy type code and dimensions, or None while there is no file.
    fn shape(&mut self) -> PyResult<Option<(String, Vec<usize>)>> {
        let shape = self.raw.shape().map_err(|e| os_error(&e))?;
        Ok(shape.map(|s| (s.type_code, s.dims)))
    }

    fn sequence(&self) -> u64 {
        self.raw.sequence()
    }

    /// Copies the newest picture into a writable buffer of exactly its size: (capture_ns, sequence), or None.
    #[allow(clippy::needless_pass_by_value)]
    fn latest_into(&mut self, py: Python<'_>, out: PyBuffer<u8>) -> PyResult<Option<(i64, u64)>> {
        let bytes: &[Cell<u8>] =
            out.as_mut_slice(py).ok_or_else(|| PyBufferError::new_err("the buffer must be writable and contiguous"))?;
        let want = self.raw.shape().map_err(|e| os_error(&e))?.map(|s| s.bytes());
        if want != Some(bytes.len()) {
            return Ok(None);
        }
        let taken = self.raw.latest(|i, word| {
            let chunk = bytes.get(i * 8..).unwrap_or_default();
            for (to, from) in chunk.iter().zip(word.to_le_bytes()) {
                to.set(from);
            }
        });
        Ok(taken.map(|t| (t.capture_ns, t.sequence)))
    }
}
