"""How the robot stands with its updates, for the live message: from the commit gate's own files.

None on a machine without a gate. What is not known is null, and lists are cut: the message goes out
several times a second. Findings are told while something is in question, and left out when it is
settled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from runtime.paths import Paths

FILE_MAX: Final = 1 << 16
TEXT_MAX: Final = 160
REASONS_MAX: Final = 5
FINDINGS_MAX: Final = 12
SETTLED: Final = "pass"
Table = Mapping[str, Any]


def read_update(paths: Paths) -> dict[str, Any] | None:
    gate = _table(paths.gate)
    if gate is None:
        return None
    switch = _table(paths.trial)
    judged = _table(paths.switch_gate)
    if switch is None or judged is None or judged.get("token") != switch.get("token"):
        judged = None
    failure = _table(paths.ota / "last-failure.json")
    return {
        "slot": _text(gate.get("slot")),
        "artifact_name": _text(gate.get("artifact_name")),
        "on_trial": _bool(gate.get("on_trial")),
        "attempts": _count(gate.get("attempts")),
        **_judgement(gate),
        "switch": None if switch is None else _switch(switch, judged),
        "last_failure": None if failure is None else _failure(failure),
    }


def _judgement(gate: Table) -> dict[str, Any]:
    settled = gate.get("verdict") == SETTLED and gate.get("on_trial") is not True
    return {
        "verdict": _text(gate.get("verdict")),
        "reasons": _texts(gate.get("reasons"), REASONS_MAX),
        "elapsed_s": _count(gate.get("elapsed_s")),
        "timeout_s": _count(gate.get("timeout_s")),
        "findings": [] if settled else _findings(gate.get("readings")),
    }


def _switch(switch: Table, judged: Table | None) -> dict[str, Any]:
    nothing = {"verdict": None, "reasons": [], "elapsed_s": None, "timeout_s": None, "findings": []}
    name = None if judged is None else _text(judged.get("artifact_name"))
    about = {"kind": _text(switch.get("kind")), "artifact_name": name}
    return about | (nothing if judged is None else _judgement({**judged, "on_trial": True}))


def _failure(failure: Table) -> dict[str, Any]:
    return {
        "slot": _text(failure.get("slot")),
        "artifact_name": _text(failure.get("artifact_name")),
        "decided_at": _text(failure.get("decided_at")),
        "reasons": _texts(failure.get("reasons"), REASONS_MAX),
    }


def _findings(rows: object) -> list[dict[str, str | None]]:
    if not isinstance(rows, list):
        return []
    tables = [row for row in rows if isinstance(row, dict)][:FINDINGS_MAX]
    return [{key: _text(row.get(key)) for key in ("item", "certainty", "found")} for row in tables]


def _table(path: Path) -> dict[str, Any] | None:
    """None where there is none, or it says nothing sound."""
    try:
        with path.open("rb") as file:
            found = orjson.loads(file.read(FILE_MAX))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str | None:
    return value[:TEXT_MAX] if isinstance(value, str) and value else None


def _texts(value: object, most: int) -> list[str]:
    rows = value if isinstance(value, list) else []
    return [row[:TEXT_MAX] for row in rows if isinstance(row, str)][:most]


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _count(value: object) -> int | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return int(value) if known and 0 <= value < 2**31 else None  # pyright: ignore[reportOperatorIssue,reportArgumentType]
