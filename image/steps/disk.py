"""The disk: partitions in their places, in a file that is as sparse as they are."""

import os
from pathlib import Path
from typing import IO

from image.disk_layout import Layout, Partition
from image.layers import Entry, write_layer
from image.steps.tools import Tools

CHUNK_BYTES = 1 << 20
ZEROS = bytes(CHUNK_BYTES)
FOLDERS = {"bedplate": 0o755, "home": 0o755, "ssh": 0o755, "system": 0o755, "var": 0o755}


def make_data(
    partition: Partition, tools: Tools, target: Path, epoch: int, extra: list[Entry], work: Path
) -> None:
    """The data partition as a new robot gets it; grown by itself on its first boot."""
    named = {entry.path for entry in extra}
    folders = [Entry(path=name, mode=mode) for name, mode in FOLDERS.items() if name not in named]
    layer = write_layer("data", work / "data.tar", [*folders, *extra], epoch)
    with target.open("wb") as out:
        out.truncate(partition.size_bytes)
    tools.run(
        "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-g", "32768", "-m", "1",
        "-O", "^orphan_file", "-L", "bedplate-data", "-U", str(partition.identity),
        "-E", f"hash_seed={partition.identity},nodiscard,lazy_itable_init=0,lazy_journal_init=0",
        "-d", layer.tar, target,
        why="make the data partition",
        environment={"SOURCE_DATE_EPOCH": str(epoch), "E2FSPROGS_FAKE_TIME": str(epoch)},
    )  # fmt: skip


def assemble(layout: Layout, parts: dict[str, Path], tools: Tools, target: Path) -> None:
    with target.open("wb") as out:
        out.truncate(layout.size_mib << 20)
    tools.run(
        "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", target,
        why="write the partition table",
        stdin=layout.table(),
    )  # fmt: skip
    with target.open("r+b") as out:
        for name, source in parts.items():
            copy_sparse(source, out, layout.partition(name).start_bytes)
        out.flush()
        os.fsync(out.fileno())


def copy_sparse(source: Path, out: IO[bytes], offset: int) -> None:
    """Blocks of zeros stay holes."""
    with source.open("rb") as stream:
        position = offset
        while chunk := stream.read(CHUNK_BYTES):
            if chunk != ZEROS[: len(chunk)]:
                out.seek(position)
                out.write(chunk)
            position += len(chunk)
