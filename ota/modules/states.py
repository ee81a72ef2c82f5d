"""The states in which the client calls an update module, and what one must answer. No imports of
weight: half of the calls only ask.

`python -m ota.modules.profile STATE FOLDER`; the folder is the client's, with what the artifact's
header says in `header/` and the payload's streams behind `stream-next` (update modules v3).
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,98}")
BLOCK: Final = 1 << 16


class State(StrEnum):
    DOWNLOAD = "Download"
    INSTALL = "ArtifactInstall"
    NEEDS_REBOOT = "NeedsArtifactReboot"
    SUPPORTS_ROLLBACK = "SupportsRollback"
    REBOOT = "ArtifactReboot"
    VERIFY_REBOOT = "ArtifactVerifyReboot"
    COMMIT = "ArtifactCommit"
    ROLLBACK = "ArtifactRollback"
    ROLLBACK_REBOOT = "ArtifactRollbackReboot"
    VERIFY_ROLLBACK_REBOOT = "ArtifactVerifyRollbackReboot"
    FAILURE = "ArtifactFailure"
    CLEANUP = "Cleanup"


class ModuleRefusedError(RuntimeError):
    """The client rolls back; the text goes to its log."""


def download(folder: Path, limits: Mapping[str, int]) -> None:
    """Every stream into `files/`, none longer than allowed and none of another name.

    The client checks hashes only after the last stream, so nothing is looked into before that.
    """
    files = folder / "files"
    files.mkdir(mode=0o700, exist_ok=True)
    seen: set[str] = set()
    while (name := _next_stream(folder)) is not None:
        if name in seen or name not in limits:
            raise ModuleRefusedError(
                f"payload file {name!r}: must be one of {', '.join(sorted(limits))}, each once;"
                " nothing was changed"
            )
        seen.add(name)
        _take(folder / "streams" / name, files / name, limits[name])
    if seen != set(limits):
        missing = ", ".join(sorted(set(limits) - seen))
        raise ModuleRefusedError(f"the payload lacks {missing}; nothing was changed")


def _next_stream(folder: Path) -> str | None:
    """None at the end. A name that is a path never becomes one here."""
    line = (folder / "stream-next").read_text(encoding="utf-8", errors="replace").strip()
    if not line:
        return None
    place, _, name = line.rpartition("/")
    if place != "streams" or FILE_NAME.fullmatch(name) is None:
        raise ModuleRefusedError(
            f"payload file {line[:200]!r} is no plain name; nothing was changed"
        )
    return name


def _take(stream: Path, target: Path, limit: int) -> None:
    taken = 0
    with stream.open("rb") as source, target.open("wb") as out:
        while block := source.read(BLOCK):
            taken += len(block)
            if taken > limit:
                raise ModuleRefusedError(
                    f"payload file {target.name} has more than {limit} bytes; nothing was changed"
                )
            out.write(block)


def read_files(folder: Path, limits: Mapping[str, int]) -> dict[str, bytes]:
    """What was downloaded, whole and no more: the client has checked the hashes of it by now."""
    files: dict[str, bytes] = {}
    for name, limit in limits.items():
        with (folder / "files" / name).open("rb") as file:
            files[name] = file.read(limit + 1)
        if len(files[name]) > limit:
            raise ModuleRefusedError(f"payload file {name} has more than {limit} bytes")
    return files
