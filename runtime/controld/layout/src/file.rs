//! Where things lie in a shared file: word numbers and sizes, no I/O.
//!
//! Every file is a header page and a ring of entries. A slot is a ring of four: a reader that copies the newest entry is
//! disturbed only by a writer that laps it. An entry is a version word (odd while being written) and the record's words.

use crate::histogram::{BUCKETS, SUB_BITS, TOP_EXPONENT, UNIT_NS};
use crate::{STAGES, declare::Message, messages::Miss, messages::StateFrame};

/// "bedplate" in ASCII, read as a little-endian number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"bedplate");
pub const FORMAT: u64 = 1;
pub const HEADER_BYTES: usize = 4096;

pub const WORD_MAGIC: usize = 0;
pub const WORD_FORMAT: usize = 1;
pub const WORD_KIND: usize = 2;
pub const WORD_RECORD_BYTES: usize = 3;
pub const WORD_DEPTH: usize = 4;
pub const WORD_FILE_BYTES: usize = 5;
/// Raised by each start of `controld`; in the state file only.
pub const WORD_EPOCH: usize = 6;
/// Not 0 once another file has taken this one's place: open again.
pub const WORD_RETIRED: usize = 7;
pub const WORD_HASH: usize = 8;
pub const WORD_TOPIC: usize = 12;
pub const TOPIC_WORDS: usize = 8;
/// Images only: NumPy type code (ASCII, padded with zeros), number of dimensions, dimensions.
pub const WORD_IMAGE_TYPE: usize = 24;
pub const WORD_IMAGE_DIMS: usize = 25;
pub const WORD_IMAGE_SHAPE: usize = 26;
/// How many records were ever written; the newest is entry `head % depth`. On a cache line of its own.
pub const WORD_HEAD: usize = 128;
/// State file only: the ledger's head.
pub const WORD_LEDGER_HEAD: usize = 136;

pub const SLOT_DEPTH: usize = 4;
pub const IMAGE_DEPTH: usize = 4;
/// About two seconds of cycles.
pub const STATE_DEPTH: usize = 2048;
pub const LEDGER_DEPTH: usize = 256;
/// In front of an image's bytes: capture time and sequence.
pub const IMAGE_PREFIX_WORDS: usize = 2;
/// 64 MiB: more than any camera here, less than what a wrong shape could ask for.
pub const IMAGE_MAX_BYTES: usize = 64 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum FileKind {
    Slot = 1,
    State = 2,
    Image = 3,
}

/// Words from one entry to the next: version word and record, in whole cache lines.
#[must_use]
pub const fn entry_stride(record_words: usize) -> usize {
    (1 + record_words).div_ceil(8) * 8
}

/// First word of the ring.
pub const RING_WORD: usize = HEADER_BYTES / 8;

#[must_use]
pub const fn ring_file_bytes(record_words: usize, depth: usize) -> usize {
    HEADER_BYTES + entry_stride(record_words) * depth * 8
}

pub const LEDGER_WORD: usize = RING_WORD + entry_stride(StateFrame::WORDS) * STATE_DEPTH;
pub const HISTOGRAM_WORD: usize = LEDGER_WORD + entry_stride(Miss::WORDS) * LEDGER_DEPTH;
pub const STATE_FILE_BYTES: usize = (HISTOGRAM_WORD + STAGES * BUCKETS) * 8;

/// The file's constants as text, for the layout hash.
#[must_use]
pub fn describe() -> String {
    format!(
        "format {FORMAT} header {HEADER_BYTES} slot {SLOT_DEPTH} image {IMAGE_DEPTH} state {STATE_DEPTH} ledger {LEDGER_DEPTH} \
         words {WORD_EPOCH} {WORD_RETIRED} {WORD_HASH} {WORD_TOPIC} {WORD_IMAGE_TYPE} {WORD_HEAD} {WORD_LEDGER_HEAD} \
         at {LEDGER_WORD} {HISTOGRAM_WORD} histogram {BUCKETS} {SUB_BITS} {TOP_EXPONENT} {UNIT_NS}\n"
    )
}
