"""Which profile and models a slot runs instead of its own, and what of that is still on trial.

`active.json` names a selection for each slot, and the image it was made for: a slot that was
written anew since runs its own. `trial.json` lies beside it from before a switch until its commit;
found by a later boot, it means that the switch was never committed, and what was before counts.
Only light imports: the first unit of a boot reads this.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

VERSION: Final = 1
SLOTS: Final = ("a", "b")
SHA256: Final = re.compile(r"[0-9a-f]{64}")
NETWORK: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")
FILE_MAX: Final = 1 << 16
MODELS_MAX: Final = 64


class ActiveError(ValueError):
    """Not a file of this kind; nothing is guessed from it."""


@dataclass(frozen=True)
class Selection:
    """`profile` None: the slot's own. `models`: network → digest of the folder that replaces it."""

    profile: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_own(self) -> bool:
        return self.profile is None and not self.models


OWN: Final = Selection()


@dataclass(frozen=True)
class Slot:
    """What one slot runs, and the image that this was chosen for."""

    image: str
    selection: Selection


@dataclass(frozen=True)
class Trial:
    """A switch that is not committed. `started_s` is on the clock that starts with the kernel."""

    token: str  # of this one switch
    kind: str
    slot: str
    boot_id: str
    started_s: float
    previous: Slot
    wanted: Slot


def selection_table(selection: Selection) -> dict[str, Any]:
    return {"profile": selection.profile, "models": dict(sorted(selection.models.items()))}


def slot_table(slot: Slot) -> dict[str, Any]:
    return {"image": slot.image, **selection_table(slot.selection)}


def active_bytes(slots: Mapping[str, Slot]) -> bytes:
    """A slot that nothing was chosen for is written as its own."""
    table = {
        name: slot_table(slots[name]) if name in slots else selection_table(OWN) for name in SLOTS
    }
    return orjson.dumps({"version": VERSION, "slots": table}, option=orjson.OPT_SORT_KEYS) + b"\n"


def parse_active(raw: bytes) -> dict[str, Slot]:
    """Only slots that something was chosen for."""
    table = _object(raw, {"version", "slots"})
    slots = table["slots"]
    if table["version"] != VERSION or not isinstance(slots, dict) or not set(slots) <= set(SLOTS):
        raise ActiveError("not version 1 with slots a and b")
    return {name: _slot(row) for name, row in slots.items() if _is_chosen(row)}


def _is_chosen(row: object) -> bool:
    return not (isinstance(row, dict) and "image" not in row and _selection(row).is_own)


def trial_bytes(trial: Trial) -> bytes:
    table = {
        "version": VERSION,
        "token": trial.token,
        "kind": trial.kind,
        "slot": trial.slot,
        "boot_id": trial.boot_id,
        "started_s": trial.started_s,
        "previous": slot_table(trial.previous),
        "wanted": slot_table(trial.wanted),
    }
    return orjson.dumps(table, option=orjson.OPT_SORT_KEYS) + b"\n"


def parse_trial(raw: bytes) -> Trial:
    keys = {"version", "token", "kind", "slot", "boot_id", "started_s", "previous", "wanted"}
    table = _object(raw, keys)
    words = {key: table[key] for key in ("token", "kind", "slot", "boot_id")}
    if table["version"] != VERSION or not all(isinstance(word, str) for word in words.values()):
        raise ActiveError("not version 1 of a trial")
    started_s = table["started_s"]
    if isinstance(started_s, bool) or not isinstance(started_s, int | float):
        raise ActiveError("no time at which it began")
    if table["slot"] not in SLOTS:
        raise ActiveError("no such slot")
    return Trial(
        **words,
        started_s=float(started_s),
        previous=_slot(table["previous"]),
        wanted=_slot(table["wanted"]),
    )


def _object(raw: bytes, keys: set[str]) -> dict[str, Any]:
    if len(raw) > FILE_MAX:
        raise ActiveError(f"more than {FILE_MAX} bytes")
    try:
        table = orjson.loads(raw)
    except ValueError as error:
        raise ActiveError(f"no JSON ({error})") from error
    if not isinstance(table, dict) or set(table) != keys:
        raise ActiveError(f"must have {', '.join(sorted(keys))} and nothing else")
    return table


def _slot(row: object) -> Slot:
    if not isinstance(row, dict) or not isinstance(row.get("image"), str):
        raise ActiveError("a slot without the image that it was chosen for")
    rest = {key: value for key, value in row.items() if key != "image"}
    return Slot(row["image"], _selection(rest))


def _selection(row: Mapping[str, Any]) -> Selection:
    profile, models = row.get("profile"), row.get("models")
    if set(row) != {"profile", "models"} or not isinstance(models, dict):
        raise ActiveError("a slot must have profile and models")
    if profile is not None and not _is(SHA256, profile):
        raise ActiveError("profile must be a sha256 or null")
    sound = all(_is(NETWORK, name) and _is(SHA256, digest) for name, digest in models.items())
    if not sound or len(models) > MODELS_MAX:
        raise ActiveError("models must be names with a sha256 each")
    return Selection(profile, models)


def _is(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


@dataclass(frozen=True)
class Chosen:
    """`remark`: worth saying. `note`: something is not as it should be."""

    selection: Selection
    remark: str | None = None
    note: str | None = None


def choose(
    active: Mapping[str, Slot] | None, trial: Trial | None, slot: str, image: str, boot_id: str
) -> Chosen:
    """What a slot runs in this boot; `active` None: it could not be read."""
    if active is None:
        return Chosen(
            OWN, note="active.json cannot be read: runs the slot's own profile and models"
        )
    if trial is not None and trial.slot == slot and trial.boot_id != boot_id:
        remark = f"a {trial.kind} was switched to and not committed before this boot: taken back"
        return _for_image(trial.previous, image, remark)
    return _for_image(active.get(slot), image, None)


def _for_image(chosen: Slot | None, image: str, remark: str | None) -> Chosen:
    if chosen is None or chosen.selection.is_own:
        return Chosen(OWN, remark)
    if chosen.image != image:
        return Chosen(OWN, remark or "this slot was written anew: it runs what it brought")
    return Chosen(chosen.selection, remark)


def read_active(path: Path) -> dict[str, Slot] | None:
    """Nothing chosen where there is no file; None where it says nothing sound."""
    try:
        return parse_active(_bounded(path))
    except FileNotFoundError:
        return {}
    except (OSError, ActiveError):
        return None


def read_trial(path: Path) -> Trial | None:
    """None where no trial is on; ActiveError or OSError where that cannot be told."""
    try:
        return parse_trial(_bounded(path))
    except FileNotFoundError:
        return None


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_MAX + 1)


def folder_digest(folder: Path) -> str:
    """Names and contents of a flat folder; OSError where it cannot be read or is not flat."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.iterdir())
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
