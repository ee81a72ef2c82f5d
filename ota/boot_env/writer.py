"""Which client writes a slot: one at a time. Two at once would leave a mixture of two systems.

Client 3.4 has no lock of its own. It asks `ready` before each download, and is written down here;
whoever asks next is refused while the first has just asked, or it or a child of it has a disk
open. A client that was killed is no process any more, and a daemon that has finished has none open:
neither bars anybody.
Standard library only, and little of it.
"""

import fcntl
import os
import stat
import time
from typing import Final

from ota.boot_env.request import Refused

CLIENT: Final = "mender"  # and mender-update, of later ones
BEGINS_S: Final = 60.0  # between the question and the first byte a header is read and checked


def claim(note: str, asker: int, proc: str = "/proc") -> None:
    """`asker` is the process that asks. A person may ask too, and claims nothing."""
    try:
        handle = os.open(note, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return  # no place for notes: as it was without this
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        holder, at_s = _parse(os.read(handle, 100))
        now_s = time.clock_gettime(time.CLOCK_MONOTONIC)
        other = holder not in ("", _identity(asker, proc))
        if other and _lives(holder, proc) and (now_s - at_s < BEGINS_S or _writes(holder, proc)):
            raise Refused(
                f"no slot may be written now: another client, process {holder.split('/')[0]}, is at"
                " it; wait until it has ended"
            )
        if _name(asker, proc).startswith(CLIENT):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{_identity(asker, proc)} {now_s!r}\n".encode(), 0)
    finally:
        os.close(handle)


def _parse(raw: bytes) -> tuple[str, float]:
    words = raw.decode(errors="replace").split()
    try:
        return words[0], float(words[1])
    except (IndexError, ValueError):
        return "", 0.0


def _identity(process: int, proc: str) -> str:
    """Its number and when it began, for numbers come again; only its number where that is gone."""
    return f"{process}/{_began(process, proc)}"


def _lives(holder: str, proc: str) -> bool:
    number = holder.split("/")[0]
    return number.isdigit() and _identity(int(number), proc) == holder and "/?" not in holder


def _began(process: int, proc: str) -> str:
    return _stat(str(process), proc, 22)


def _name(process: int, proc: str) -> str:
    return _line(f"{proc}/{process}/comm").strip()


def _line(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123  pathlib is slow to import
            return stream.read()
    except OSError:
        return ""


def _writes(holder: str, proc: str) -> bool:
    """It, or what it started: a later client leaves the writing to a module."""
    return any(_has_disk_open(process, proc) for process in _family(holder.split("/")[0], proc))


def _family(head: str, proc: str) -> list[str]:
    """`head` and all who descend from it."""
    parents = {name: _stat(name, proc, 4) for name in os.listdir(proc) if name.isdigit()}  # noqa: PTH208  pathlib is slow to import
    family = [head]
    for member in family:
        family += [
            name for name, parent in parents.items() if parent == member and name not in family
        ]
    return family


def _stat(process: str, proc: str, word: int) -> str:
    """A word of its line, counted as proc(5) does; the second is a name and may have spaces."""
    words = _line(f"{proc}/{process}/stat").rpartition(")")[2].split()
    return words[word - 3] if len(words) > word - 3 else "?"


def _has_disk_open(process: str, proc: str) -> bool:
    folder = f"{proc}/{process}/fd"
    try:
        names = os.listdir(folder)  # noqa: PTH208  pathlib is slow to import
    except OSError:
        return False
    return any(_is_disk(f"{folder}/{name}") for name in names)


def _is_disk(path: str) -> bool:
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)  # noqa: PTH116  pathlib is slow to import
    except OSError:
        return False
