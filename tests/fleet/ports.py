"""Ports of a test's own servers: whoever tests beside us, in this run or another, has others."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import TextIO

from fleet.broker import BrokerError, free_port

BLOCK = 4  # a server may take the next ones too: InfluxDB does
BLOCKS = 100
_mine: dict[int, tuple[str, TextIO]] = {}  # by first port: wanted by whom, and the lock


def own_port(wanted: int, folder: Path | None = None) -> int:
    """The first free one at or above it that no other process tests with, until we end.

    Asked again for the same, it may be the same: a server that has ended left it.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"bedplate-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for port in range(wanted, wanted + BLOCK * BLOCKS, BLOCK):
        if _is_ours(port, str(wanted), folder):
            try:
                return free_port(port, tries=1)
            except BrokerError:
                continue
    raise BrokerError(f"no port of {BLOCKS} from {wanted} on is free for a test")


def _is_ours(port: int, whose: str, folder: Path) -> bool:
    first = port - port % BLOCK
    if first in _mine:
        return _mine[first][0] == whose
    lock = (folder / str(first)).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return False
    _mine[first] = (whose, lock)
    return True
