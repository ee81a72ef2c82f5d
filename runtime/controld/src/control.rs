//! The control file: the one thing this process reads before it starts, and refuses if anything about it is wrong.
//!
//! Line 1 is the sha256 of line 2's bytes, line 2 the control section of the canonical profile as compact JSON.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use decide::params::Control;
use sha2::{Digest, Sha256};

/// Far above any real profile; a wrong path must not fill the memory.
const MAX_BYTES: usize = 1 << 20;
const HASH_HEX: usize = 64;

/// Why the control file cannot be used: each problem, what follows, what to do.
#[derive(Debug)]
pub struct ControlError {
    pub path: String,
    pub problems: Vec<String>,
    pub try_this: &'static str,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control file {}", self.path)?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        write!(f, "\n  the robot does not start on a file it cannot trust\n  try  {}", self.try_this)
    }
}

impl std::error::Error for ControlError {}

const COMPOSE_AGAIN: &str = "compose the profile again (bedplate config export), or restore the file from the last good one";
const MEND_PROFILE: &str = "mend the values in the profile, and compose it again";

/// Reads and checks a control file.
///
/// # Errors
/// Everything that is wrong with it, at once where it can be parsed at all.
pub fn load(path: &Path) -> Result<Control, ControlError> {
    let fail =
        |problem: String| ControlError { path: path.display().to_string(), problems: vec![problem], try_this: COMPOSE_AGAIN };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| fail(format!("cannot be opened: {e}")))?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| fail(format!("cannot be read: {e}")))?;
    parse(&bytes).map_err(|mut e| {
        e.path = path.display().to_string();
        e
    })
}

/// As `load`, from the file's bytes.
///
/// # Errors
/// As `load`.
pub fn parse(bytes: &[u8]) -> Result<Control, ControlError> {
    let json = checked_json(bytes).map_err(|problem| error(vec![problem], COMPOSE_AGAIN))?;
    let control: Control =
        serde_json::from_slice(json).map_err(|e| error(vec![format!("line 2 is no control section: {e}")], COMPOSE_AGAIN))?;
    let problems = control.validate();
    if problems.is_empty() {
        return Ok(control);
    }
    Err(error(problems.iter().map(ToString::to_string).collect(), MEND_PROFILE))
}

fn error(problems: Vec<String>, try_this: &'static str) -> ControlError {
    ControlError { path: String::new(), problems, try_this }
}

/// Line 2, once its hash is the one on line 1.
fn checked_json(bytes: &[u8]) -> Result<&[u8], String> {
    if bytes.len() > MAX_BYTES {
        return Err(format!("has more than {MAX_BYTES} bytes, which no control file has"));
    }
    let truncated = || format!("is cut short: {} bytes, no complete line of hash and line of JSON", bytes.len());
    let (hash, rest) = bytes.split_at_checked(HASH_HEX).ok_or_else(truncated)?;
    if !hash.iter().all(u8::is_ascii_hexdigit) {
        return Err("line 1 is not a sha256 in 64 hexadecimal digits".to_owned());
    }
    let rest = rest.strip_prefix(b"\n").ok_or_else(|| "line 1 goes on after the 64 digits of its hash".to_owned())?;
    let json = rest.strip_suffix(b"\n").ok_or_else(truncated)?;
    if json.contains(&b'\n') {
        return Err("has more than two lines".to_owned());
    }
    let got: String = Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect();
    if !got.as_bytes().eq_ignore_ascii_case(hash) {
        let want = String::from_utf8_lossy(hash);
        return Err(format!("line 2 has sha256 {got}, line 1 says {want}: one of them was changed"));
    }
    Ok(json)
}

/// A control file's bytes around a JSON text: what the composer writes, for tests and tools.
#[must_use]
pub fn enclose(json: &str) -> Vec<u8> {
    let hash: String = Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}\n{json}\n").into_bytes()
}
