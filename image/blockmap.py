"""Which blocks of a disk image hold something, and their hashes, in the form that bmaptool reads.

Flashing writes these ranges and no other; reading them back proves the whole disk.
"""

import hashlib
import os
import xml.etree.ElementTree as ET  # read from our own build's output, size capped
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from image.refusal import refused

BLOCK_BYTES = 4096
CHUNK_BYTES = 1 << 20
MAX_BYTES = 16 << 20
VERSION = "2.0"


@dataclass(frozen=True)
class Range:
    first: int
    last: int
    sha256: str

    @property
    def start_bytes(self) -> int:
        return self.first * BLOCK_BYTES

    @property
    def size_bytes(self) -> int:
        return (self.last - self.first + 1) * BLOCK_BYTES


@dataclass(frozen=True)
class BlockMap:
    size_bytes: int
    ranges: tuple[Range, ...]

    @property
    def mapped_bytes(self) -> int:
        return sum(one.size_bytes for one in self.ranges)

    @property
    def sha256(self) -> str:
        """Names the whole image: every range with its hash, and the size."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        blocks = self.mapped_bytes // BLOCK_BYTES
        lines = [
            '<?xml version="1.0" ?>',
            f'<bmap version="{VERSION}">',
            f"  <ImageSize>{self.size_bytes}</ImageSize>",
            f"  <BlockSize>{BLOCK_BYTES}</BlockSize>",
            f"  <BlocksCount>{self.size_bytes // BLOCK_BYTES}</BlocksCount>",
            f"  <MappedBlocksCount>{blocks}</MappedBlocksCount>",
            "  <ChecksumType>sha256</ChecksumType>",
            f"  <BmapFileChecksum>{'0' * 64}</BmapFileChecksum>",
            "  <BlockMap>",
            *(
                f'    <Range chksum="{one.sha256}">{one.first}-{one.last}</Range>'
                for one in self.ranges
            ),
            "  </BlockMap>",
            "</bmap>",
            "",
        ]
        text = "\n".join(lines)
        # bmaptool's rule: the sum of this file, with zeros in the sum's place.
        return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest(), 1)


def make_map(image: Path) -> BlockMap:
    """Ranges of blocks that are not all zero, in steps of a mebibyte."""
    ranges = [Range(first, last, hash_of(image, first, last)) for first, last in _filled(image)]
    return BlockMap(image.stat().st_size, tuple(ranges))


def _filled(image: Path) -> Iterator[tuple[int, int]]:
    begun: int | None = None
    end = 0
    for start, chunk in _chunks(image):
        if begun is not None and start != end:
            yield begun // BLOCK_BYTES, end // BLOCK_BYTES - 1
            begun = None
        if chunk.strip(b"\0"):
            begun = start if begun is None else begun
        elif begun is not None:
            yield begun // BLOCK_BYTES, start // BLOCK_BYTES - 1
            begun = None
        end = start + len(chunk)
    if begun is not None:
        yield begun // BLOCK_BYTES, -(-end // BLOCK_BYTES) - 1


def _chunks(image: Path) -> Iterator[tuple[int, bytes]]:
    """All of the file but its holes."""
    size = image.stat().st_size
    with image.open("rb") as stream:
        position = 0
        while position < size:
            try:
                data = os.lseek(stream.fileno(), position, os.SEEK_DATA)
            except OSError:  # nothing but a hole from here on
                return
            position = data // CHUNK_BYTES * CHUNK_BYTES
            stream.seek(position)
            chunk = stream.read(CHUNK_BYTES)
            yield position, chunk
            position += len(chunk)


def hash_of(image: Path, first: int, last: int) -> str:
    digest = hashlib.sha256()
    with image.open("rb") as stream:
        stream.seek(first * BLOCK_BYTES)
        left = (last - first + 1) * BLOCK_BYTES
        while left:
            chunk = stream.read(min(left, CHUNK_BYTES))
            if not chunk:
                break
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def read_map(path: Path) -> BlockMap:
    try:
        raw = path.read_bytes()
        if len(raw) > MAX_BYTES or b"<!" in raw:
            raise ValueError("not a block map of ours")
        return parse_map(raw.decode())
    except (OSError, ValueError, ET.ParseError) as error:
        raise refused(
            str(path),
            str(error),
            "without it nobody knows which blocks to write, nor what they should be",
            "make image  makes it again",
        ) from error


def parse_map(text: str) -> BlockMap:
    root = ET.fromstring(text)  # entities are refused by read_map
    size = int(root.findtext("ImageSize") or "")
    ranges: list[Range] = []
    for element in root.iterfind("BlockMap/Range"):
        first, _, last = (element.text or "").strip().partition("-")
        one = Range(int(first), int(last or first), element.get("chksum", ""))
        follows = not ranges or one.first > ranges[-1].last
        if not 0 <= one.first <= one.last or not follows or len(one.sha256) != 64:
            raise ValueError(f"range {element.text}")
        ranges.append(one)
    made = BlockMap(size, tuple(ranges))
    if ranges and ranges[-1].start_bytes + ranges[-1].size_bytes > -(-size // 4096) * 4096:
        raise ValueError("a range beyond the end")
    if made.text() != text:
        raise ValueError("its own sum is another")
    return made
