//! Every message of the robot's shared memory, declared once.
//!
//! A message is a `repr(C)` record of little-endian numbers without hidden padding. The macro in [`declare`] makes of each
//! declaration the Rust struct, its copy to and from 64-bit words (the unit in which shared memory is read and written), and
//! the field table from which Python builds its NumPy types. The hash of all tables is in every file's header, so that two
//! programs built from different declarations refuse each other instead of misreading.
#![forbid(unsafe_code)]

mod declare;
pub mod enums;
pub mod file;
pub mod histogram;
pub mod messages;
pub mod python;

pub use declare::{Field, Kind, Message, MessageInfo};
pub use enums::*;
pub use messages::*;

use sha2::{Digest, Sha256};

/// The text whose sha256 is the layout hash: whatever two programs must agree on to share a file.
#[must_use]
pub fn layout_text() -> String {
    let mut text = file::describe();
    for info in MESSAGES {
        text.push_str(&info.describe());
    }
    for table in ENUMS {
        text.push_str(&table.describe());
    }
    text
}

#[must_use]
pub fn layout_hash() -> [u8; 32] {
    Sha256::digest(layout_text().as_bytes()).into()
}

#[must_use]
pub fn layout_hash_hex() -> String {
    layout_hash().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The record that a topic carries.
#[must_use]
pub fn message_of(topic: &str) -> Option<&'static MessageInfo> {
    MESSAGES.iter().copied().find(|info| info.topics.contains(&topic))
}
