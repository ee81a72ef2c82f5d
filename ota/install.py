"""Installing from a file: the robot's client does it; what is noted here is where it came from."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ota.mender_conf import KEY
from ota.refusal import refused
from runtime.skills.durable import replace_file

MARK: Final = "install.json"
REBOOT_NEEDED: Final = 4
Call = Callable[[Sequence[str]], int]


def call(command: Sequence[str]) -> int:
    """With this terminal, so that the client's own words are seen."""
    return subprocess.run(command, check=False).returncode


def install_file(
    file: Path, folder: Path, *, reboot: bool, run: Call = call, key: Path = Path(KEY)
) -> int:
    """The mark is there before the client starts, and gone if it refuses: a mark left behind would
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
    mark = folder / MARK
    table = {"version": 1, "source": "file", "file": str(file)}
    replace_file(mark, json.dumps(table).encode() + b"\n")
    code = run(["mender", "install", "--reboot-exit-code", str(file)])
    if code not in (0, REBOOT_NEEDED):
        mark.unlink(missing_ok=True)
        return code
    if code == REBOOT_NEEDED and reboot:
        return run(["systemctl", "reboot"])
    return 0
