"""A slot: the root file system, and the tree of hashes by which the kernel checks every block."""

import hashlib
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from image.disk_layout import BLOCK_BYTES, SlotSize, derived, slot_size, start_script
from image.needed import Libraries
from image.refusal import refused
from image.steps.tools import Tools
from ota.boot_env import trailer

# Left out: what the robot's firmware and boot loader may not read, and what read-only needs not.
FEATURES = (
    "none,filetype,ext_attr,dir_index,extent,flex_bg,sparse_super,large_file,huge_file,"
    "dir_nlink,extra_isize"
)
ELF = b"\x7fELF"
ROOT_HASH = re.compile(r"^Root hash:\s+([0-9a-f]{64})$", re.M)


@dataclass(frozen=True)
class Slot:
    image: Path
    size: SlotSize
    root_hash: str
    salt: str


def measure(tree: Path) -> tuple[int, int]:
    """Bytes and files of a tar file, each file in whole blocks."""
    total = count = 0
    with tarfile.open(tree) as archive:
        for member in archive:
            count += 1
            total += -(-member.size // BLOCK_BYTES) * BLOCK_BYTES
    return total, count


def check_libraries(tree: Path) -> None:
    """Everything that a program of the root is linked with must be in the root."""
    found = Libraries()
    with tarfile.open(tree) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isreg() else None
            head = stream.read(4) if stream else b""
            found.add(member.name, head + stream.read() if stream and head == ELF else None)
    found.check()


def make_slot(
    tree: Path, seed: str, tools: Tools, target: Path, epoch: int, extra: tuple[str, ...]
) -> Slot:
    """The file that a slot's partition and an update hold; `extra` are arguments of the kernel."""
    content, files = measure(tree)
    size = slot_size(content, files)
    identity = derived(seed, "root")
    with target.open("wb") as out:
        out.truncate(size.trailer_at_bytes)
    tools.run(
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-O",
        FEATURES,
        "-b",
        str(BLOCK_BYTES),
        "-g",
        "32768",
        "-m",
        "0",
        "-N",
        str(files + files // 8 + 64),
        "-L",
        trailer.label(size.trailer_at_bytes),
        "-U",
        str(identity),
        "-E",
        f"hash_seed={derived(seed, 'hash')},nodiscard,lazy_itable_init=0,root_owner=0:0",
        "-d",
        tree,
        target,
        str(size.root_blocks),
        why="make the root file system",
        environment={"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)},
    )
    made = _with_hashes(target, size, seed, tools)
    _add_trailer(made, extra)
    return made


def _with_hashes(target: Path, size: SlotSize, seed: str, tools: Tools) -> Slot:
    salt = derived(seed, "salt").hex + derived(seed, "more salt").hex
    printed = tools.run(
        "veritysetup",
        "format",
        target,
        target,
        f"--hash-offset={size.root_bytes}",
        f"--data-blocks={size.root_blocks}",
        f"--data-block-size={BLOCK_BYTES}",
        f"--hash-block-size={BLOCK_BYTES}",
        "--hash=sha256",
        f"--salt={salt}",
        f"--uuid={derived(seed, 'verity')}",
        why="make the tree of hashes",
    )
    match = ROOT_HASH.search(printed)
    if match is None or target.stat().st_size != size.trailer_at_bytes:
        raise refused(
            "veritysetup format",
            printed[-300:],
            "without the root of the tree the kernel cannot check a block",
            "report it",
        )
    return Slot(target, size, match[1], salt)


def _add_trailer(slot: Slot, extra: tuple[str, ...]) -> None:
    """How it is started, and the hash of all of it: GRUB can tell a whole slot from a torn one."""
    lines = start_script(slot.size, slot.root_hash, slot.salt, extra)
    with slot.image.open("r+b") as stream:
        stream.seek(slot.size.trailer_at_bytes)
        stream.write(trailer.script(lines))
        stream.seek(0)
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.write(trailer.check(digest, slot.size.trailer_at_bytes))
