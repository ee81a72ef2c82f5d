"""What a start reads of the disk that it found, and which other cuts leave it the same disk.

QEMU notes each request to the disk. A sector that is read before it is written was left by the cut;
no other sector can make a difference to that start. So a cut elsewhere in the log comes to the same
start, if no write between the two falls on a sector that was read.

-trace enable=virtio_blk_handle_read -trace enable=virtio_blk_handle_write,file=TRACE
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ota.boot_env.states import SECTOR_BYTES
from ota.power_cut.write_log import Wrote

READ: Final = "virtio_blk_handle_read"
WRITE: Final = "virtio_blk_handle_write"

Sectors = NDArray[np.bool_]  # of the whole disk, one for each sector


class Stretch(NamedTuple):
    """Power that goes after any of these entries of the log leaves one start the same disk."""

    first: int
    last: int


def traced(trace: Path) -> tuple[str, ...]:
    """Words for QEMU; an older trace of that name is overwritten."""
    return ("-trace", f"enable={READ}", "-trace", f"enable={WRITE},file={trace}")


def found_by(trace: Iterable[str], size_bytes: int) -> Sectors:
    """Sectors that were read as the cut left them."""
    found, written = (np.zeros(size_bytes // SECTOR_BYTES, dtype=np.bool_) for _ in range(2))
    for name, first, count in _requests(trace):
        span = slice(first, first + count)
        if name == WRITE:
            written[span] = True
        else:
            found[span] |= ~written[span]
    return found


def _requests(trace: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """`virtio_blk_handle_read vdev 0x… req 0x… sector 2048 nsectors 8`, and lines of others.

    The last line may be half, where power went while it was written.
    """
    for line in trace:
        words = line.split()
        if line.endswith("\n") and words and words[0] in (READ, WRITE):
            table = dict(zip(words[1::2], words[2::2], strict=True))
            yield words[0], int(table["sector"]), int(table["nsectors"])


def same_for(found: Sectors, entry: int, log: Iterable[tuple[int, Wrote | None]]) -> Stretch:
    """Around `entry`, as far as no write falls on one of these sectors. Nothing found, nothing
    known: then the stretch is this entry alone."""
    if not found.any():
        return Stretch(entry, entry)
    first = last = -1  # as before the first entry
    for number, one in log:
        if one is not None and found[_span(one)].any():
            if number > entry:
                return Stretch(first, max(number - 1, entry))
            first = number
        last = number
    return Stretch(first, max(last, entry))


def _span(one: Wrote) -> slice:
    return slice(one.at_bytes // SECTOR_BYTES, -(-one.end_bytes // SECTOR_BYTES))
