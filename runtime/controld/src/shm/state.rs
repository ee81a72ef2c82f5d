//! The state file: the ring of cycles, the ledger of misses and the stages' histograms. It outlives the process that writes it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use layout::file::{
    FileKind, HISTOGRAM_WORD, LEDGER_DEPTH, LEDGER_WORD, RING_WORD, STATE_DEPTH, STATE_FILE_BYTES, WORD_EPOCH, WORD_HEAD,
    WORD_LEDGER_HEAD,
};
use layout::histogram::{BUCKETS, bucket_of};
use layout::{Message, Miss, Stage, StateFrame};

use super::header::is_retired;
use super::map::try_lock;
use super::{Header, Map, Read, Ring, ShmError, topic_path};

pub const STATE_RING: Ring = Ring::new(WORD_HEAD, RING_WORD, STATE_DEPTH, StateFrame::WORDS);
pub const LEDGER_RING: Ring = Ring::new(WORD_LEDGER_HEAD, LEDGER_WORD, LEDGER_DEPTH, Miss::WORDS);

fn header() -> Header {
    Header {
        kind: FileKind::State,
        topic: "state".to_owned(),
        record_bytes: StateFrame::INFO.size,
        depth: STATE_DEPTH,
        file_bytes: STATE_FILE_BYTES,
        extra: Vec::new(),
    }
}

fn histogram(words: &[AtomicU64], stage: Stage) -> &[AtomicU64] {
    let start = HISTOGRAM_WORD + stage as usize * BUCKETS;
    words.get(start..start + BUCKETS).unwrap_or_default()
}

pub struct StateWriter {
    map: Map,
    words: Vec<u64>,
    miss_words: Vec<u64>,
    epoch: u64,
    /// The last frame of the process before this one, if the file is its.
    inherited: Option<StateFrame>,
}

impl StateWriter {
    /// Takes the state file over, or makes it, and raises its epoch.
    ///
    /// # Errors
    /// When the file cannot be written, or another `controld` holds it.
    pub fn open(dir: &Path) -> Result<Self, ShmError> {
        let path = topic_path(dir, "state")?;
        let map = header().open_or_create(&path)?;
        if !try_lock(map.file()) {
            let problem = "another controld holds it; a robot has one: stop that one first".to_owned();
            return Err(ShmError::new(&path, problem));
        }
        let mut words = vec![0; StateFrame::WORDS];
        let inherited = matches!(STATE_RING.read_latest(map.words(), &mut words), Read::Whole(_))
            .then(|| StateFrame::decode(&words))
            .filter(Message::valid);
        let epoch_word = map.words().get(WORD_EPOCH);
        let epoch = epoch_word.map_or(0, |w| w.load(Ordering::Relaxed)).wrapping_add(1).max(1);
        if let Some(word) = epoch_word {
            word.store(epoch, Ordering::Release);
        }
        Ok(Self { map, words, miss_words: vec![0; Miss::WORDS], epoch, inherited })
    }

    /// Sets the epoch itself: lock-step runs declare theirs, so that equal runs give equal bytes.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = epoch;
        if let Some(word) = self.map.words().get(WORD_EPOCH) {
            word.store(epoch, Ordering::Release);
        }
    }

    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How many frames the ring ever held.
    #[must_use]
    pub fn head(&self) -> u64 {
        STATE_RING.head(self.map.words())
    }

    #[must_use]
    pub fn inherited(&self) -> Option<&StateFrame> {
        self.inherited.as_ref()
    }

    #[inline]
    pub fn publish(&mut self, frame: &StateFrame) {
        frame.encode(&mut self.words);
        STATE_RING.write(self.map.words(), &self.words);
    }

    #[inline]
    pub fn record_miss(&mut self, miss: &Miss) {
        miss.encode(&mut self.miss_words);
        LEDGER_RING.write(self.map.words(), &self.miss_words);
    }

    /// Counts one duration of one stage. Only this process writes, so load and store need no lock prefix.
    #[inline]
    pub fn count(&self, stage: Stage, duration_ns: i64) {
        if let Some(bucket) = histogram(self.map.words(), stage).get(bucket_of(duration_ns)) {
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    #[must_use]
    pub fn map(&self) -> &Map {
        &self.map
    }
}

pub struct StateReader {
    path: PathBuf,
    map: Option<Map>,
}

impl StateReader {
    /// # Errors
    /// When the folder's path cannot carry the file's name.
    pub fn new(dir: &Path) -> Result<Self, ShmError> {
        Ok(Self { path: topic_path(dir, "state")?, map: None })
    }

    fn map(&mut self) -> Result<Option<&Map>, ShmError> {
        if self.map.as_ref().is_none_or(is_retired) {
            self.map = match Map::open(&self.path, false) {
                Ok(map) => {
                    header().check(&map, &self.path)?;
                    Some(map)
                }
                Err(e) if e.missing => None,
                Err(e) => return Err(e),
            };
        }
        Ok(self.map.as_ref())
    }

    /// # Errors
    /// When the file exists and is no state file of this layout; so for all below.
    pub fn latest(&mut self, out: &mut [u64]) -> Result<bool, ShmError> {
        let Some(map) = self.map()? else { return Ok(false) };
        let whole = matches!(STATE_RING.read_latest(map.words(), out), Read::Whole(_));
        Ok(whole && (StateFrame::INFO.valid)(out))
    }

    /// # Errors
    /// As `latest`.
    pub fn epoch(&mut self) -> Result<u64, ShmError> {
        Ok(self.map()?.and_then(|m| m.words().get(WORD_EPOCH)).map_or(0, |w| w.load(Ordering::Acquire)))
    }

    /// Every frame the ring still holds of a cycle after `since_cycle`, oldest first, as words one after the other.
    ///
    /// # Errors
    /// As `latest`.
    pub fn frames(&mut self, since_cycle: u64) -> Result<Vec<u64>, ShmError> {
        let Some(map) = self.map()? else { return Ok(Vec::new()) };
        let mut words = vec![0; StateFrame::WORDS];
        let Read::Whole(newest) = STATE_RING.read_latest(map.words(), &mut words) else { return Ok(Vec::new()) };
        // Cycles and ring numbers rise together, so the distance of one is the distance of the other.
        let wanted = StateFrame::decode(&words).cycle.saturating_sub(since_cycle);
        Ok(read_above(map.words(), &STATE_RING, newest.saturating_sub(wanted), StateFrame::INFO))
    }

    /// Every row the ledger still holds whose number is above `since`, oldest first.
    ///
    /// # Errors
    /// As `latest`.
    pub fn ledger(&mut self, since: u64) -> Result<Vec<u64>, ShmError> {
        Ok(self.map()?.map_or_else(Vec::new, |m| read_above(m.words(), &LEDGER_RING, since, Miss::INFO)))
    }

    /// The counts of one stage, by bucket.
    ///
    /// # Errors
    /// As `latest`.
    pub fn histogram(&mut self, stage: Stage) -> Result<Vec<u64>, ShmError> {
        let Some(map) = self.map()? else { return Ok(vec![0; BUCKETS]) };
        Ok(histogram(map.words(), stage).iter().map(|w| w.load(Ordering::Relaxed)).collect())
    }
}

fn read_above(words: &[AtomicU64], ring: &Ring, since: u64, info: &layout::MessageInfo) -> Vec<u64> {
    let head = ring.head(words);
    let first = since.saturating_add(1).max(head.saturating_sub(ring.depth() as u64).saturating_add(1));
    let mut rows = Vec::new();
    let mut row = vec![0; info.size / 8];
    for number in first..=head {
        if ring.read_at(words, number, &mut row) && (info.valid)(&row) {
            rows.extend_from_slice(&row);
        }
    }
    rows
}
