"""Installing from a file: the robot's client does it; what is noted here is where it came from."""

import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ota.client import COMMAND
from ota.looking import free_mib, read_table, read_text
from ota.mender_conf import KEY
from ota.refusal import refused
from runtime.skills.durable import replace_file

MARK: Final = "install.json"
LOCK: Final = "install.lock"
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
REBOOT_NEEDED: Final = 4
Call = Callable[[Sequence[str]], int]


def call(command: Sequence[str]) -> int:
    """With this terminal, so that the client's own words are seen."""
    return subprocess.run(command, check=False).returncode


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Two clients at once would write into one slot. The lock ends with the process, however."""
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refused(
                folder / LOCK,
                "another `bedplate ota install` at work",
                "two at once would write into the same slot",
                "wait until it has ended; `bedplate ota status` says how it stands",
            ) from None
        yield
    finally:
        os.close(handle)


def install_file(
    file: Path,
    folder: Path,
    *,
    reboot: bool,
    room_mib: int = 0,
    run: Call = call,
    key: Path = Path(KEY),
) -> int:
    """`room_mib` is what the commit gate will want to be free where `folder` is.

    The mark is there before the client starts, and gone if it refuses: a mark left behind would
    excuse the server's absence for an update that the server sent."""
    if not file.is_file():
        raise refused(file, "nothing", "there is nothing to install", "the path of a .mender file")
    if not key.is_file():
        raise refused(
            key,
            "no key",
            "a client without it takes what nobody signed",
            "an image that was built with a verify key",
        )
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        _check_room(folder, room_mib)
        try:
            write_mark(folder, file)
        except OSError as error:
            raise refused(
                folder,
                str(error.strerror),
                "an update that cannot be noted could not be told from one of the server's",
                "make room on the data partition; `df` says what is left",
            ) from error
        code = run([COMMAND, "install", "--reboot-exit-code", str(file)])
        if code not in (0, REBOOT_NEEDED):
            forget_mark(folder, None)
            return code
    if code == REBOOT_NEEDED and reboot:
        return run(["systemctl", "reboot"])
    return 0


def _check_room(folder: Path, room_mib: int) -> None:
    """Where nobody can say how much is free, the gate judges."""
    free = free_mib(folder)
    if free is not None and free < room_mib:
        raise refused(
            folder,
            f"{free:.0f} MiB free",
            f"the commit gate wants {room_mib} MiB and would take the update back",
            "make room on the data partition; `df` says what is left",
        )


def write_mark(folder: Path, file: Path) -> None:
    """With this boot's name: the gate of this boot must not take it for one that is over."""
    table = {"version": 1, "source": "file", "file": str(file), "boot_id": read_text(BOOT_ID)}
    replace_file(folder / MARK, json.dumps(table).encode() + b"\n")


def forget_mark(folder: Path, boot_id: str | None) -> None:
    """`boot_id`: but not one of this boot, whose installation may be under way."""
    table = read_table(folder / MARK)
    if boot_id is not None and table is not None and table.get("boot_id") == boot_id:
        return
    (folder / MARK).unlink(missing_ok=True)
