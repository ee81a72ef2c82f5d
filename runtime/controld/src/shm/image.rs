//! An image slot: the newest picture of one camera, of fixed shape and number type.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use layout::file::{
    FileKind, IMAGE_DEPTH, IMAGE_MAX_BYTES, IMAGE_PREFIX_WORDS, RING_WORD, WORD_HEAD, WORD_IMAGE_DIMS, WORD_IMAGE_SHAPE,
    WORD_IMAGE_TYPE, WORD_MAGIC, ring_file_bytes,
};

use super::header::is_retired;
use super::map::try_lock;
use super::{Header, Map, Read, Ring, ShmError, topic_path};

/// At most four dimensions and a NumPy type code such as `|u1` or `<f4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageShape {
    pub type_code: String,
    pub item_bytes: usize,
    pub dims: Vec<usize>,
}

impl ImageShape {
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.dims.iter().fold(self.item_bytes, |bytes, dim| bytes.saturating_mul(*dim))
    }

    fn record_words(&self) -> usize {
        IMAGE_PREFIX_WORDS + self.bytes().div_ceil(8)
    }

    fn ring(&self) -> Ring {
        Ring::new(WORD_HEAD, RING_WORD, IMAGE_DEPTH, self.record_words())
    }

    fn header(&self, topic: &str) -> Header {
        let mut code = [0u8; 8];
        code.iter_mut().zip(self.type_code.bytes()).for_each(|(to, from)| *to = from);
        let mut extra = vec![(WORD_IMAGE_TYPE, u64::from_le_bytes(code)), (WORD_IMAGE_DIMS, self.dims.len() as u64)];
        extra.extend(self.dims.iter().enumerate().map(|(i, dim)| (WORD_IMAGE_SHAPE + i, *dim as u64)));
        Header {
            kind: FileKind::Image,
            topic: topic.to_owned(),
            record_bytes: self.record_words() * 8,
            depth: IMAGE_DEPTH,
            file_bytes: ring_file_bytes(self.record_words(), IMAGE_DEPTH),
            extra,
        }
    }

    fn check(&self, path: &Path) -> Result<(), ShmError> {
        let sound = (1..=4).contains(&self.dims.len()) && self.bytes() > 0 && self.bytes() <= IMAGE_MAX_BYTES;
        if sound && item_bytes(&self.type_code) == Some(self.item_bytes) {
            return Ok(());
        }
        let problem = format!("{self:?} is no image: 1 to 4 dimensions of numbers, at most {IMAGE_MAX_BYTES} bytes");
        Err(ShmError::new(path, problem))
    }

    /// What a file's header says, if that is an image at all.
    fn of(map: &Map, path: &Path) -> Result<Self, ShmError> {
        let get = |index: usize| map.words().get(index).map_or(0, |w| w.load(Ordering::Relaxed));
        let type_code: String =
            get(WORD_IMAGE_TYPE).to_le_bytes().iter().take_while(|b| **b != 0).map(|b| char::from(*b)).collect();
        let count = usize::try_from(get(WORD_IMAGE_DIMS)).unwrap_or(usize::MAX).min(5);
        let dims = (0..count).map(|i| usize::try_from(get(WORD_IMAGE_SHAPE + i)).unwrap_or(usize::MAX)).collect();
        let item_bytes = item_bytes(&type_code).unwrap_or(0);
        let shape = Self { type_code, item_bytes, dims };
        shape.check(path)?;
        Ok(shape)
    }
}

/// NumPy's codes end in the item's size in bytes.
fn item_bytes(type_code: &str) -> Option<usize> {
    match type_code {
        "|u1" | "|i1" | "|b1" => Some(1),
        "<u2" | "<i2" | "<f2" => Some(2),
        "<u4" | "<i4" | "<f4" => Some(4),
        "<u8" | "<i8" | "<f8" => Some(8),
        _ => None,
    }
}

pub struct ImageWriter {
    map: Map,
    ring: Ring,
    shape: ImageShape,
}

impl ImageWriter {
    /// # Errors
    /// When the shape is not sound, the file cannot be written, or the topic has a writer.
    pub fn open(dir: &Path, topic: &str, shape: ImageShape) -> Result<Self, ShmError> {
        let path = topic_path(dir, topic)?;
        shape.check(&path)?;
        let map = shape.header(topic).open_or_create(&path)?;
        if !try_lock(map.file()) {
            return Err(ShmError::new(&path, format!("{topic} has a writer already; a topic has one")));
        }
        Ok(Self { map, ring: shape.ring(), shape })
    }

    /// Writes one picture; `word(i)` gives its i-th eight bytes, little-endian, zero beyond the end.
    pub fn write(&self, capture_ns: i64, word: impl Fn(usize) -> u64) -> u64 {
        let number = self.ring.head(self.map.words()).wrapping_add(1).max(1);
        self.ring.write_with(self.map.words(), |payload| {
            let prefix = [u64::from_ne_bytes(capture_ns.to_ne_bytes()), number];
            for (to, from) in payload.iter().zip(prefix) {
                to.store(from, Ordering::Relaxed);
            }
            for (i, to) in payload.iter().skip(IMAGE_PREFIX_WORDS).enumerate() {
                to.store(word(i), Ordering::Relaxed);
            }
        })
    }

    #[must_use]
    pub fn shape(&self) -> &ImageShape {
        &self.shape
    }
}

pub struct ImageReader {
    topic: String,
    path: PathBuf,
    open: Option<(Map, ImageShape)>,
}

/// Capture time and number of the picture that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub capture_ns: i64,
    pub sequence: u64,
}

impl ImageReader {
    /// # Errors
    /// When the topic's name is not sound.
    pub fn new(dir: &Path, topic: &str) -> Result<Self, ShmError> {
        Ok(Self { topic: topic.to_owned(), path: topic_path(dir, topic)?, open: None })
    }

    /// The pictures' shape, once their writer has made the file.
    ///
    /// # Errors
    /// When the file exists and is no image of this topic.
    pub fn shape(&mut self) -> Result<Option<ImageShape>, ShmError> {
        if self.open.as_ref().is_none_or(|(map, _)| is_retired(map)) {
            self.open = match Map::open(&self.path, false) {
                Ok(map) => {
                    if map.words().get(WORD_MAGIC).is_none() {
                        return Err(ShmError::new(&self.path, "is too short".to_owned()));
                    }
                    let shape = ImageShape::of(&map, &self.path)?;
                    shape.header(&self.topic).check(&map, &self.path)?;
                    Some((map, shape))
                }
                Err(e) if e.missing => None,
                Err(e) => return Err(e),
            };
        }
        Ok(self.open.as_ref().map(|(_, shape)| shape.clone()))
    }

    /// Copies the newest picture into `out` word by word through `put(i, word)`.
    pub fn latest(&self, mut put: impl FnMut(usize, u64)) -> Option<Taken> {
        let (map, shape) = self.open.as_ref()?;
        let mut taken = Taken { capture_ns: 0, sequence: 0 };
        let read = shape.ring().read_latest_with(map.words(), |payload| {
            let get = |i: usize| payload.get(i).map_or(0, |w: &AtomicU64| w.load(Ordering::Relaxed));
            taken = Taken { capture_ns: i64::from_ne_bytes(get(0).to_ne_bytes()), sequence: get(1) };
            for (i, word) in payload.iter().skip(IMAGE_PREFIX_WORDS).enumerate() {
                put(i, word.load(Ordering::Relaxed));
            }
        });
        matches!(read, Read::Whole(_)).then_some(taken)
    }

    /// Number of the newest picture, without copying it.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.open.as_ref().map_or(0, |(map, shape)| shape.ring().head(map.words()))
    }
}
