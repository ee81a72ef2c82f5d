//! Slots: the latest record of a topic, as bytes.

use std::path::PathBuf;

use controld::shm::{RawReader, RawWriter};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{bytes_of, os_error, record_of};

#[pyclass(module = "runtime.shm._native")]
pub struct Writer {
    raw: RawWriter,
    words: Vec<u64>,
    seq: u64,
}

#[pymethods]
impl Writer {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(dir: PathBuf, topic: &str) -> PyResult<Self> {
        let info = record_of(topic)?;
        let raw = RawWriter::open(&dir, topic, info).map_err(|e| os_error(&e))?;
        let mut words = vec![0; info.size / 8];
        // A restarted writer counts on, so that its first record is not taken for an old one.
        let seq = if raw.newest(&mut words) { words.first().copied().unwrap_or(0) } else { 0 };
        Ok(Self { raw, words, seq })
    }

    /// Writes a record of the topic's exact size; a sequence number of 0 is replaced by the next one. Returns that number.
    fn write(&mut self, record: &[u8]) -> PyResult<u64> {
        if record.len() != self.words.len() * 8 {
            let problem = format!("a record of {} bytes, where the topic's has {}", record.len(), self.words.len() * 8);
            return Err(PyValueError::new_err(problem));
        }
        for (word, chunk) in self.words.iter_mut().zip(record.chunks_exact(8)) {
            *word = chunk.try_into().map_or(0, u64::from_le_bytes);
        }
        if let Some(seq) = self.words.first_mut() {
            if *seq == 0 {
                *seq = self.seq.wrapping_add(1).max(1);
            }
            self.seq = *seq;
        }
        self.raw.write(&self.words);
        Ok(self.seq)
    }
}

#[pyclass(module = "runtime.shm._native")]
pub struct Reader {
    raw: RawReader,
    words: Vec<u64>,
}

#[pymethods]
impl Reader {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(dir: PathBuf, topic: &str) -> PyResult<Self> {
        let info = record_of(topic)?;
        let raw = RawReader::new(&dir, topic, info).map_err(|e| os_error(&e))?;
        Ok(Self { raw, words: vec![0; info.size / 8] })
    }

    /// The newest whole and valid record, or None.
    fn latest<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = self.raw.latest(&mut self.words).map_err(|e| os_error(&e))?;
        Ok(found.then(|| PyBytes::new(py, &bytes_of(&self.words))))
    }
}
