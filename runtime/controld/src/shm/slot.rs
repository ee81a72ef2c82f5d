//! A slot: the latest record of one topic.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use layout::file::{FileKind, RING_WORD, SLOT_DEPTH, WORD_HEAD, ring_file_bytes};
use layout::{Message, MessageInfo};

use super::header::is_retired;
use super::map::try_lock;
use super::{Header, Map, Read, Ring, ShmError, topic_path};

fn header_of(info: &MessageInfo, topic: &str) -> Header {
    Header {
        kind: FileKind::Slot,
        topic: topic.to_owned(),
        record_bytes: info.size,
        depth: SLOT_DEPTH,
        file_bytes: ring_file_bytes(info.size / 8, SLOT_DEPTH),
        extra: Vec::new(),
    }
}

fn ring_of(info: &MessageInfo) -> Ring {
    Ring::new(WORD_HEAD, RING_WORD, SLOT_DEPTH, info.size / 8)
}

/// Maps a slot for reading; its file is made where it is missing, so that it can be mapped before its writer has started.
/// One that is there and sound is only read: on a robot it belongs to another user.
fn map_to_read(dir: &Path, topic: &str, info: &MessageInfo) -> Result<Map, ShmError> {
    let (header, path) = (header_of(info, topic), topic_path(dir, topic)?);
    match Map::open(&path, false) {
        Ok(map) if header.check(&map, &path).is_ok() => return Ok(map),
        _ => header.open_or_create(&path).map(drop)?,
    }
    let map = Map::open(&path, false)?;
    header.check(&map, &path)?;
    Ok(map)
}

/// Writes a topic's records as words; the one writer of the topic while it lives.
pub struct RawWriter {
    map: Map,
    ring: Ring,
}

impl RawWriter {
    /// # Errors
    /// When the file cannot be written or the topic has a writer.
    pub fn open(dir: &Path, topic: &str, info: &MessageInfo) -> Result<Self, ShmError> {
        let path = topic_path(dir, topic)?;
        let map = header_of(info, topic).open_or_create(&path)?;
        if !try_lock(map.file()) {
            return Err(ShmError::new(&path, format!("{topic} has a writer already; a topic has one")));
        }
        Ok(Self { map, ring: ring_of(info) })
    }

    #[inline]
    pub fn write(&self, record: &[u64]) -> u64 {
        self.ring.write(self.map.words(), record)
    }

    /// The newest record, whoever wrote it: a restarted writer counts on from it.
    #[must_use]
    pub fn newest(&self, out: &mut [u64]) -> bool {
        matches!(self.ring.read_latest(self.map.words(), out), Read::Whole(_))
    }

    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }
}

/// Reads a topic whose file may come, go and be replaced: for everyone but the control cycle.
pub struct RawReader {
    path: PathBuf,
    header: Header,
    ring: Ring,
    info: &'static MessageInfo,
    map: Option<Map>,
}

impl RawReader {
    /// # Errors
    /// When the topic's name is not sound.
    pub fn new(dir: &Path, topic: &str, info: &'static MessageInfo) -> Result<Self, ShmError> {
        Ok(Self { path: topic_path(dir, topic)?, header: header_of(info, topic), ring: ring_of(info), info, map: None })
    }

    /// The newest record if there is one, it is whole, and its enums hold.
    ///
    /// # Errors
    /// When the file exists and is not this topic's.
    pub fn latest(&mut self, out: &mut [u64]) -> Result<bool, ShmError> {
        if self.map.as_ref().is_none_or(is_retired) {
            match Map::open(&self.path, false) {
                Ok(map) => {
                    self.header.check(&map, &self.path)?;
                    self.map = Some(map);
                }
                Err(e) if e.missing => self.map = None,
                Err(e) => return Err(e),
            }
        }
        let Some(map) = &self.map else { return Ok(false) };
        Ok(matches!(self.ring.read_latest(map.words(), out), Read::Whole(_)) && (self.info.valid)(out))
    }
}

/// Writes one type of message.
pub struct SlotWriter<T: Message> {
    raw: RawWriter,
    words: Vec<u64>,
    message: PhantomData<T>,
}

impl<T: Message> SlotWriter<T> {
    /// # Errors
    /// As `RawWriter::open`.
    pub fn open(dir: &Path, topic: &str) -> Result<Self, ShmError> {
        Ok(Self { raw: RawWriter::open(dir, topic, T::INFO)?, words: vec![0; T::WORDS], message: PhantomData })
    }

    #[inline]
    pub fn write(&mut self, message: &T) {
        message.encode(&mut self.words);
        self.raw.write(&self.words);
    }

    #[must_use]
    pub fn map(&self) -> &Map {
        self.raw.map()
    }
}

/// Reads one type of message from a file that was there at start; neither opens, allocates nor waits afterwards.
pub struct SlotReader<T: Message> {
    map: Map,
    ring: Ring,
    words: Vec<u64>,
    last: Option<T>,
    last_number: u64,
    /// Reads that gave nothing because the writer kept disturbing, or the slot's words make no sense.
    pub torn: u64,
    /// Records whose enums held no declared value.
    pub invalid: u64,
}

impl<T: Message> SlotReader<T> {
    /// Opens the slot, making its file where it is missing.
    ///
    /// # Errors
    /// When the file cannot be made or mapped.
    pub fn open(dir: &Path, topic: &str) -> Result<Self, ShmError> {
        let (map, ring) = (map_to_read(dir, topic, T::INFO)?, ring_of(T::INFO));
        Ok(Self { map, ring, words: vec![0; T::WORDS], last: None, last_number: 0, torn: 0, invalid: 0 })
    }

    /// The newest sound record. One that is torn or invalid leaves the last sound one standing, which then grows old.
    #[inline]
    pub fn latest(&mut self) -> Option<&T> {
        let words = self.map.words();
        let head = self.ring.head(words);
        if head != self.last_number {
            match self.ring.read_latest(words, &mut self.words) {
                Read::Whole(number) => {
                    self.last_number = number;
                    let message = T::decode(&self.words);
                    if message.valid() {
                        self.last = Some(message);
                    } else {
                        self.invalid = self.invalid.wrapping_add(1);
                    }
                }
                Read::Torn => self.torn = self.torn.wrapping_add(1),
                Read::Empty => {}
            }
        }
        self.last.as_ref()
    }

    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }
}
