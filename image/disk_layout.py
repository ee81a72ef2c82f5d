"""Where things lie on the disk. Pure: from a profile and the size of a slot to numbers.

All identities are derived from what the image is made of, so that the same inputs give the same
bytes, and so that no two different images claim the same partition.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Final

from conf.schema.hardware import Storage
from image.refusal import refused
from ota.boot_env.trailer import TRAILER_BYTES

MIB: Final = 1 << 20
SECTOR_BYTES: Final = 512
BLOCK_BYTES: Final = 4096
HASH_BYTES: Final = 32
FIRST_MIB: Final = 1
LAST_MIB: Final = 1  # the second partition table
GROUP_BYTES: Final = 128 * MIB  # of 32,768 blocks: the only size that Jetson's firmware reads
DATA_IN_IMAGE_MIB: Final = 512  # grown to the rest of the disk on first boot
ESP_TYPE: Final = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
ROOT_TYPE: Final = "B921B045-1DF0-41C3-AF44-4C6F280D3FAE"  # root file system, arm64
LINUX_TYPE: Final = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


@dataclass(frozen=True)
class Partition:
    number: int
    name: str
    type_id: str
    start_mib: int
    size_mib: int
    identity: uuid.UUID

    @property
    def start_bytes(self) -> int:
        return self.start_mib * MIB

    @property
    def size_bytes(self) -> int:
        return self.size_mib * MIB


@dataclass(frozen=True)
class Layout:
    identity: uuid.UUID
    partitions: tuple[Partition, ...]
    size_mib: int

    def partition(self, name: str) -> Partition:
        return next(one for one in self.partitions if one.name == name)

    def table(self) -> str:
        """The partition table as sfdisk reads it."""
        head = [
            "label: gpt",
            f"label-id: {str(self.identity).upper()}",
            "unit: sectors",
            f"first-lba: {FIRST_MIB * MIB // SECTOR_BYTES}",
            "",
        ]
        rows = [
            f"start={one.start_bytes // SECTOR_BYTES}, size={one.size_bytes // SECTOR_BYTES}, "
            f"type={one.type_id}, uuid={str(one.identity).upper()}, name={one.name}"
            for one in self.partitions
        ]
        return "\n".join([*head, *rows]) + "\n"


def derived(seed: str, name: str) -> uuid.UUID:
    """A random-looking identity that the same inputs give again."""
    digest = bytearray(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(digest))


def layout(storage: Storage, seed: str, board: str) -> Layout:
    """Partitions as the profile wants them; data is the last and starts small."""
    sizes = (
        ("esp", ESP_TYPE, storage.esp_mib),
        ("slot-a", ROOT_TYPE, storage.slot_mib),
        ("slot-b", ROOT_TYPE, storage.slot_mib),
        ("data", LINUX_TYPE, DATA_IN_IMAGE_MIB),
    )
    needed = FIRST_MIB + storage.esp_mib + 2 * storage.slot_mib + storage.data_mib + LAST_MIB
    if needed > storage.disk_mib:
        raise refused(
            f"conf/hardware/{board}.yaml  storage",
            f"{needed} MiB of partitions on a disk of {storage.disk_mib} MiB",
            "data would be smaller than the profile says, or the disk would not take the image",
            "a smaller storage.slot_mib or storage.data_mib",
        )
    start = FIRST_MIB
    partitions: list[Partition] = []
    for number, (name, kind, size) in enumerate(sizes, start=1):
        partitions.append(Partition(number, name, kind, start, size, derived(seed, name)))
        start += size
    return Layout(derived(seed, "disk"), tuple(partitions), start + LAST_MIB)


@dataclass(frozen=True)
class SlotSize:
    """A root file system, behind it the tree of hashes over it, and last how it is started."""

    root_bytes: int
    hash_bytes: int

    @property
    def trailer_at_bytes(self) -> int:
        return self.root_bytes + self.hash_bytes

    @property
    def total_bytes(self) -> int:
        return self.trailer_at_bytes + TRAILER_BYTES

    @property
    def root_blocks(self) -> int:
        return self.root_bytes // BLOCK_BYTES

    @property
    def hash_start_block(self) -> int:
        return self.root_blocks + 1  # one block says what tree it is


def slot_size(content_bytes: int, files: int) -> SlotSize:
    """Room for the content, rounded up to whole block groups."""
    wanted = int(content_bytes * 1.03) + files * 512 + 24 * MIB
    groups = -(-wanted // GROUP_BYTES)
    root = groups * GROUP_BYTES
    return SlotSize(root, hash_tree_bytes(root // BLOCK_BYTES))


def hash_tree_bytes(blocks: int) -> int:
    """The tree over so many blocks: its header, and every level up to one block."""
    total = 1
    level = blocks
    while level > 1:
        level = -(-level * HASH_BYTES // BLOCK_BYTES)
        total += level
    return total * BLOCK_BYTES


def check_fits(size: SlotSize, storage: Storage, board: str) -> None:
    if size.total_bytes > storage.slot_mib * MIB:
        raise refused(
            f"conf/hardware/{board}.yaml  storage.slot_mib",
            f"{storage.slot_mib} MiB for a root of {-(-size.total_bytes // MIB)} MiB",
            "the slot would be cut off, and would not boot",
            f"storage.slot_mib: {2 * -(-size.total_bytes // MIB)}",
        )


def start_script(
    size: SlotSize, root_hash: str, salt: str, extra: tuple[str, ...]
) -> tuple[str, ...]:
    """What GRUB reads of a slot: how the root is verified, and where data is.

    The same for both slots and every disk: GRUB fills in which partitions it has found. It puts an
    argument with spaces into double quotes by itself; quotes of ours would reach the kernel.
    """
    device = "PARTUUID=$slot_uuid"
    sectors = size.root_bytes // SECTOR_BYTES
    table = (
        f"0 {sectors} verity 1 {device} {device} {BLOCK_BYTES} {BLOCK_BYTES} "
        f"{size.root_blocks} {size.hash_start_block} sha256 {root_hash} {salt} "
        "1 panic_on_corruption"
    )
    words = (
        "root=/dev/dm-$number",  # 2 or 3, as its partition: the update client looks for that
        "ro",
        "rootfstype=ext4",
        f"dm-mod.waitfor={device}",
        "init=/usr/lib/bedplate/preinit",
        "bedplate.slot=$slot",
        "bedplate.data=PARTUUID=$data_uuid",
        "bedplate.esp=PARTUUID=$esp_uuid",
        *extra,
    )
    bad = [word for word in words if not set(word).isdisjoint(" \"'\\\n")]
    if bad:
        raise refused(
            "the kernel's arguments",
            ", ".join(bad),
            "GRUB would take a quote or a space for its own, and the kernel get something else",
            "an argument without them",
        )
    return (
        f'set arguments="{" ".join(words)}"',
        f'set verity="dm-mod.create=slot-$slot,,$number,ro,{table}"',
    )
