//! The page in front of every shared file, and how a file comes to be: whole, or not at all.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use layout::file::{
    FORMAT, FileKind, MAGIC, TOPIC_WORDS, WORD_DEPTH, WORD_EPOCH, WORD_FILE_BYTES, WORD_FORMAT, WORD_HASH, WORD_KIND, WORD_MAGIC,
    WORD_RECORD_BYTES, WORD_RETIRED, WORD_TOPIC,
};

use super::{Map, ShmError};

/// What a file claims to be, and what an opener expects of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: FileKind,
    pub topic: String,
    pub record_bytes: usize,
    pub depth: usize,
    pub file_bytes: usize,
    /// Further header words, by index: an image's shape.
    pub extra: Vec<(usize, u64)>,
}

impl Header {
    fn fill(&self, words: &[AtomicU64]) {
        let put = |index: usize, value: u64| {
            if let Some(word) = words.get(index) {
                word.store(value, Ordering::Relaxed);
            }
        };
        put(WORD_FORMAT, FORMAT);
        put(WORD_KIND, self.kind as u64);
        put(WORD_RECORD_BYTES, self.record_bytes as u64);
        put(WORD_DEPTH, self.depth as u64);
        put(WORD_FILE_BYTES, self.file_bytes as u64);
        for (i, word) in words_of(&layout::layout_hash()).into_iter().enumerate() {
            put(WORD_HASH + i, word);
        }
        for (i, word) in topic_words(&self.topic).into_iter().enumerate() {
            put(WORD_TOPIC + i, word);
        }
        for (index, value) in &self.extra {
            put(*index, *value);
        }
        put(WORD_MAGIC, MAGIC);
    }

    /// Whether a mapped file is what this header says.
    ///
    /// # Errors
    /// Names the first thing that differs.
    pub fn check(&self, map: &Map, path: &Path) -> Result<(), ShmError> {
        let get = |index: usize| map.words().get(index).map_or(0, |w| w.load(Ordering::Relaxed));
        let wrong = |what: &str, got: u64, want: u64| Err(ShmError::new(path, format!("{what} is {got:#x}, not {want:#x}")));
        if get(WORD_MAGIC) != MAGIC {
            return wrong("its first word", get(WORD_MAGIC), MAGIC);
        }
        let hash: Vec<u64> = (0..4).map(|i| get(WORD_HASH + i)).collect();
        if get(WORD_FORMAT) != FORMAT || hash != words_of(&layout::layout_hash()) {
            let problem = "was made by a program with another message layout; restart the robot's processes together";
            return Err(ShmError::new(path, problem.to_owned()));
        }
        let topic: Vec<u64> = (0..TOPIC_WORDS).map(|i| get(WORD_TOPIC + i)).collect();
        if topic != topic_words(&self.topic) {
            return Err(ShmError::new(path, format!("does not carry the topic {}", self.topic)));
        }
        let wants = [
            ("kind", WORD_KIND, self.kind as u64),
            ("record size", WORD_RECORD_BYTES, self.record_bytes as u64),
            ("depth", WORD_DEPTH, self.depth as u64),
            ("size", WORD_FILE_BYTES, self.file_bytes as u64),
        ];
        for (what, index, want) in wants.into_iter().chain(self.extra.iter().map(|(i, w)| ("shape", *i, *w))) {
            if get(index) != want {
                return wrong(what, get(index), want);
            }
        }
        if map.bytes() != self.file_bytes {
            return wrong("its length", map.bytes() as u64, self.file_bytes as u64);
        }
        Ok(())
    }

    /// Opens the file for writing, or makes it; a file that is something else is replaced and its readers told.
    ///
    /// # Errors
    /// When the folder or file cannot be written.
    pub fn open_or_create(&self, path: &Path) -> Result<Map, ShmError> {
        for _ in 0..3 {
            match Map::open(path, true) {
                Ok(map) if self.check(&map, path).is_ok() => return Ok(map),
                Ok(map) => return retire_and_replace(&map, self, path),
                Err(e) if e.missing => {
                    let temporary = self.create_beside(path)?;
                    let linked = fs::hard_link(&temporary, path);
                    fs::remove_file(&temporary).map_err(|e| ShmError::io(&temporary, "remove", &e))?;
                    match linked {
                        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                            return Err(ShmError::io(path, "create", &e));
                        }
                        _ => {}
                    }
                }
                Err(e) if e.problem.contains("bytes, which") => self.replace(path)?,
                Err(e) => return Err(e),
            }
        }
        Err(ShmError::new(path, "keeps being replaced by another program".to_owned()))
    }

    fn create_beside(&self, path: &Path) -> Result<std::path::PathBuf, ShmError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|e| ShmError::io(parent, "create", &e))?;
        }
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!(".{name}.{}.{}", std::process::id(), unique()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o644)
            .custom_flags(libc::O_CLOEXEC)
            .open(&temporary)
            .map_err(|e| ShmError::io(&temporary, "create", &e))?;
        file.set_len(self.file_bytes as u64).map_err(|e| ShmError::io(&temporary, "size", &e))?;
        self.fill(Map::of(file, &temporary, true)?.words());
        Ok(temporary)
    }

    fn replace(&self, path: &Path) -> Result<(), ShmError> {
        let temporary = self.create_beside(path)?;
        fs::rename(&temporary, path).map_err(|e| ShmError::io(path, "replace", &e))
    }
}

/// Puts a new file in the place of one with another layout, keeps its epoch rising, and tells those who still map it.
///
/// # Errors
/// When the folder cannot be written.
pub fn retire_and_replace(old: &Map, header: &Header, path: &Path) -> Result<Map, ShmError> {
    let mut header = header.clone();
    let has_words = |index: usize| old.words().get(index).map_or(0, |w| w.load(Ordering::Relaxed));
    if has_words(WORD_MAGIC) == MAGIC {
        header.extra.push((WORD_EPOCH, has_words(WORD_EPOCH)));
    }
    header.replace(path)?;
    if let Some(word) = old.words().get(WORD_RETIRED) {
        word.store(1, Ordering::Release);
    }
    Map::open(path, true)
}

/// Whether another file has taken this one's place.
pub(super) fn is_retired(map: &Map) -> bool {
    map.words().get(WORD_RETIRED).is_none_or(|w| w.load(Ordering::Acquire) != 0)
}

fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes
        .chunks(8)
        .map(|chunk| {
            let mut word = [0u8; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            u64::from_le_bytes(word)
        })
        .collect()
}

fn topic_words(topic: &str) -> Vec<u64> {
    let mut words = words_of(topic.as_bytes());
    words.resize(TOPIC_WORDS, 0);
    words
}
