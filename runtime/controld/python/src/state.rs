//! The state file: newest cycle, ring of cycles, ledger, histograms.

use std::path::PathBuf;

use controld::shm::{StateReader as Raw, StateWriter as RawWriter};
use layout::{Message, Stage, StateFrame};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::{bytes_of, os_error};

#[pyclass(module = "runtime.shm._native")]
pub struct StateReader {
    raw: Raw,
    words: Vec<u64>,
}

#[pymethods]
impl StateReader {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(dir: PathBuf) -> PyResult<Self> {
        Ok(Self { raw: Raw::new(&dir).map_err(|e| os_error(&e))?, words: vec![0; StateFrame::WORDS] })
    }

    fn latest<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let found = self.raw.latest(&mut self.words).map_err(|e| os_error(&e))?;
        Ok(found.then(|| PyBytes::new(py, &bytes_of(&self.words))))
    }

    fn epoch(&mut self) -> PyResult<u64> {
        self.raw.epoch().map_err(|e| os_error(&e))
    }

    fn frames<'py>(&mut self, py: Python<'py>, since_cycle: u64) -> PyResult<Bound<'py, PyBytes>> {
        let words = self.raw.frames(since_cycle).map_err(|e| os_error(&e))?;
        Ok(PyBytes::new(py, &bytes_of(&words)))
    }

    fn ledger<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let words = self.raw.ledger(0).map_err(|e| os_error(&e))?;
        Ok(PyBytes::new(py, &bytes_of(&words)))
    }

    /// Counts by bucket, for each stage by name.
    fn histograms(&mut self) -> PyResult<Vec<(&'static str, Vec<u64>)>> {
        let mut all = Vec::new();
        for stage in Stage::ALL {
            all.push((stage.name(), self.raw.histogram(*stage).map_err(|e| os_error(&e))?));
        }
        Ok(all)
    }
}

/// Publishes made-up cycles where no control process runs: replays and the tests of whoever reads the state.
#[pyclass(module = "runtime.shm._native")]
pub struct StateWriter {
    raw: RawWriter,
    words: Vec<u64>,
}

#[pymethods]
impl StateWriter {
    #[new]
    #[allow(clippy::needless_pass_by_value)]
    fn new(dir: PathBuf, topic: &str) -> PyResult<Self> {
        if topic != "state" {
            return Err(PyValueError::new_err(format!("'{topic}' is not the state")));
        }
        Ok(Self { raw: RawWriter::open(&dir).map_err(|e| os_error(&e))?, words: vec![0; StateFrame::WORDS] })
    }

    fn write(&mut self, record: &[u8]) -> PyResult<u64> {
        if record.len() != StateFrame::INFO.size {
            return Err(PyValueError::new_err(format!("a state of {} bytes, not {}", record.len(), StateFrame::INFO.size)));
        }
        for (word, chunk) in self.words.iter_mut().zip(record.chunks_exact(8)) {
            *word = chunk.try_into().map_or(0, u64::from_le_bytes);
        }
        let mut frame = StateFrame::decode(&self.words);
        if frame.seq == 0 {
            frame.seq = self.raw.head().wrapping_add(1);
        }
        self.raw.publish(&frame);
        Ok(frame.seq)
    }
}
