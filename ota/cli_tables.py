"""How the server's answers look on a terminal, and as JSON."""

import base64
import binascii
import hashlib
import json as jsonlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer
from pydantic import BaseModel

from ota.mender import AuthSet, Outcome, Statistics


def fingerprint(auth: AuthSet) -> str:
    """SHA-256 of the key itself, shortened: however its text is wrapped."""
    body = "".join(line.strip() for line in auth.pubkey.splitlines() if "-----" not in line)
    try:
        raw = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raw = auth.pubkey.encode()
    return hashlib.sha256(raw).hexdigest()[:16]


def key_text(auth: AuthSet) -> str:
    return f"{fingerprint(auth)}:{auth.status}"


def print_table(
    rows: Sequence[BaseModel],
    heads: Sequence[str],
    cells: Sequence[Sequence[object]],
    *,
    json: bool,
) -> None:
    if json:
        print_value([row.model_dump(mode="json") for row in rows], "", json=True)
        return
    lines = [heads, *([str(cell) for cell in line] for line in cells)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(heads))]
    for line in lines:
        typer.echo("  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip())


def print_value(value: Any, text: str, *, json: bool) -> None:
    typer.echo(jsonlib.dumps(value, indent=2, ensure_ascii=False) if json else text)


def sums(statistics: Statistics) -> tuple[int, int, int]:
    good, bad, waiting = (
        statistics.of(outcome) for outcome in (Outcome.GOOD, Outcome.BAD, Outcome.WAITING)
    )
    return good, bad, waiting


def mib_text(size: int | None) -> str:
    return "?" if size is None else f"{size / 2**20:.1f} MiB"


def signed_text(signed: bool | None) -> str:
    return {True: "yes", False: "NO", None: "?"}[signed]


def when_text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")
