"""Reading small files and asking programs. Light: most calls of an update module need no more."""

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from runtime.paths import space_at

PRINT_TOOL: Final = "/usr/bin/grub-mender-grubenv-print"
SLOT_OF_PART: Final[Mapping[str, str]] = {"2": "a", "3": "b"}

Run = Callable[[Sequence[str]], str | None]
"""What a program printed; None where it failed or is not there."""


def run_program(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def read_text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def read_table(path: Path) -> dict[str, Any] | None:
    """None where there is no JSON object."""
    text = read_text(path)
    try:
        table = None if text is None else json.loads(text)
    except ValueError:
        return None
    return table if isinstance(table, dict) else None


def free_mib(folder: Path) -> float | None:
    """What may still be written there, in MiB; None where nobody can say."""
    try:
        return space_at(folder).free_mib
    except OSError:
        return None
