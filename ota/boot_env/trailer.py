"""What lies behind a slot's hashes: how GRUB starts it, and by what GRUB knows that it is whole.

It is the same for both slots and for every disk, so an update is complete in itself: GRUB finds it
by the file system's label, `slot@` and its sector, and fills in which partition it was found on.
"""

from typing import Final

from ota.boot_env.states import SECTOR_BYTES

TRAILER_BYTES: Final = 4096
SCRIPT_BYTES: Final = TRAILER_BYTES - SECTOR_BYTES
LABEL_MAX: Final = 16


def label(trailer_at_bytes: int) -> str:
    """The label of the root file system: where its trailer begins."""
    text = f"slot@{trailer_at_bytes // SECTOR_BYTES}"
    if trailer_at_bytes % SECTOR_BYTES or len(text) > LABEL_MAX:
        raise ValueError(f"a trailer at byte {trailer_at_bytes} cannot be named in a label")
    return text


def script(lines: tuple[str, ...]) -> bytes:
    """GRUB's part, filled with empty lines."""
    text = ("\n".join(lines) + "\n").encode()
    if len(text) > SCRIPT_BYTES:
        raise ValueError(f"{len(text)} bytes of start script, {SCRIPT_BYTES} fit")
    return text + b"\n" * (SCRIPT_BYTES - len(text))


def check(sha256_hex: str, trailer_at_bytes: int) -> bytes:
    """One line for GRUB's hashsum: the hash of all before it, in one sector."""
    sectors = (trailer_at_bytes + SCRIPT_BYTES) // SECTOR_BYTES
    line = f"{sha256_hex}  0+{sectors}\n".encode()
    return b" " * (SECTOR_BYTES - len(line)) + line
