"""What a long run has come to, a line of JSON each: one that was killed goes on after the last."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def append_row(file: Path, row: Mapping[str, Any]) -> None:
    """By one write to the end, so that rows of several processes do not mix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(handle).st_size
        cut_short = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, b"\n" * cut_short + json.dumps(row).encode() + b"\n")
    finally:
        os.close(handle)


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Without the line that a killed run was writing; none where there is no file."""
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
