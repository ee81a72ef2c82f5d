//! `runtime.shm._native`: what Python needs of the shared memory, with real acquire and release behind it.
//!
//! Records cross as bytes; `runtime/shm/__init__.py` gives them their NumPy types from the tables exported here.

mod dynamics;
mod images;
mod lockstep;
mod slots;
mod state;

use layout::histogram::{BUCKETS, bucket_upper_ns};
use layout::{ENUMS, MESSAGES};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

/// A file problem becomes an `OSError`, with the sentence that says what and where.
fn os_error(error: &controld::shm::ShmError) -> PyErr {
    PyOSError::new_err(error.to_string())
}

fn record_of(topic: &str) -> PyResult<&'static layout::MessageInfo> {
    layout::message_of(topic).ok_or_else(|| PyValueError::new_err(format!("no topic '{topic}' is declared")))
}

/// Little-endian bytes of words.
fn bytes_of(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// One field of a record: name, NumPy type, shape, offset, enum or None.
type FieldRow = (&'static str, &'static str, Vec<usize>, usize, Option<&'static str>);
/// One record: its name, topics, size in bytes, fields.
type RecordRow = (&'static str, Vec<&'static str>, usize, Vec<FieldRow>);

fn records() -> Vec<RecordRow> {
    let field = |f: &layout::Field| {
        let shape = f.shape.iter().copied().filter(|n| *n > 0).collect();
        (f.name, f.kind.numpy(), shape, f.offset, f.choices)
    };
    MESSAGES.iter().map(|m| (m.record, m.topics.to_vec(), m.size, m.fields.iter().map(field).collect())).collect()
}

/// Upper bounds of the histograms' buckets in ns; the last, which takes everything longer, is 0.
fn bucket_bounds() -> Vec<u64> {
    (0..BUCKETS).map(|b| bucket_upper_ns(b).unwrap_or(0)).collect()
}

#[pymodule]
fn _native(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("LAYOUT_HASH", layout::layout_hash_hex())?;
    m.add("RECORDS", records())?;
    m.add("ENUMS", ENUMS.iter().map(|e| (e.name, e.values.to_vec())).collect::<Vec<_>>())?;
    m.add("BUCKET_UPPER_NS", bucket_bounds())?;
    m.add("CHALLENGE_KEY", layout::CHALLENGE_KEY)?;
    dynamics::add_to(m)?;
    m.add_class::<lockstep::Core>()?;
    m.add_class::<slots::Writer>()?;
    m.add_class::<slots::Reader>()?;
    m.add_class::<state::StateReader>()?;
    m.add_class::<state::StateWriter>()?;
    m.add_class::<images::ImageWriter>()?;
    m.add_class::<images::ImageReader>()?;
    Ok(())
}
