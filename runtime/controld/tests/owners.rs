//! On a robot every process has a user of its own, and a message belongs to its writer's: a reader needs no right to write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use controld::shm::{SlotReader, SlotWriter};
use layout::Sensors;

/// Some ordinary user.
const NOBODY: u32 = 65_534;

#[test]
fn reader_of_anothers_message_needs_no_right_to_write() {
    // SAFETY: no memory is involved.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can become another user for a while");
        return;
    }
    let dir = std::env::temp_dir().join(format!("bedplate-owners-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    drop(SlotWriter::<Sensors>::open(&dir, "hal.sensors").unwrap());
    fs::set_permissions(dir.join("hal.sensors"), fs::Permissions::from_mode(0o644)).unwrap();
    // SAFETY: changes whose files this thread may open, until it is root's again below.
    unsafe { libc::setfsuid(NOBODY) };
    let reader = SlotReader::<Sensors>::open(&dir, "hal.sensors").map(drop);
    let writer = SlotWriter::<Sensors>::open(&dir, "hal.sensors").map(drop);
    // SAFETY: as above.
    unsafe { libc::setfsuid(0) };
    fs::remove_dir_all(&dir).unwrap();
    reader.expect("reading needs no more than the right to read");
    assert!(writer.is_err(), "whoever does not own a message cannot write it");
}
