"""Handing the image's profile to this boot: compared with the manifest, named as this robot.

Only light imports here: everything else on the robot waits for this, on the slowest of boards.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from runtime.active import (
    OWN,
    ActiveError,
    Chosen,
    Selection,
    choose,
    folder_digest,
    read_active,
    read_trial,
)
from runtime.paths import Paths

LIBRARY = Path("/usr/lib/bedplate")
ROBOT_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ROBOT_ID_MAX = 48
FILE_MAX = 4 << 20
HASH_HEX = 64
# Of a profile's keys those that its config hash does not cover.
NOT_HASHED = frozenset({"unit", "artifact_name", "config_hash", "unit_hash"})


class HandoutRefusedError(RuntimeError):
    """The robot must not run on what lies there; the text says what and why."""


@dataclass(frozen=True)
class HandedOut:
    robot_id: str
    config_hash: str
    artifact_name: str
    manifest: dict[str, Any] | None
    notes: tuple[str, ...]  # what was odd without being a reason to stand still
    remarks: tuple[str, ...] = ()  # what is worth saying, and as it should be


@dataclass(frozen=True)
class Boot:
    """Which slot runs, in which boot; a machine without slots runs what its library holds."""

    slot: str
    boot_id: str


def this_boot(proc: Path = Path("/proc")) -> Boot | None:
    """None on a machine without slots."""
    try:
        line = (proc / "cmdline").read_text(encoding="utf-8", errors="replace")
        boot_id = (proc / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    words = [word.partition("=") for word in line.split()]
    slots = [value for key, _, value in words if key == "bedplate.slot"]
    return Boot(slots[-1], boot_id) if slots and boot_id else None


def hand_out(library: Path, paths: Paths, boot: Boot | None = None) -> HandedOut:
    """Copies profile and control file to `run`; refuses what is not the manifest's.

    An update may have chosen another profile or other models than the slot brought; what of that
    cannot be used is noted, and the slot's own stands in.
    """
    profile = _table(library / "profile.json")
    control = _control(library / "control.json")
    manifest = _manifest(library / "manifest.json")
    robot_id, notes = name_of(paths.enrolment, str(profile["unit"]["robot_id"]))
    for where, stated in (("control.json", control), ("manifest.json", manifest)):
        for field in ("config_hash", "artifact_name"):
            if stated is not None and stated.get(field) != profile.get(field):
                raise _refused(
                    library / where,
                    f"{field} {stated.get(field)!r}",
                    f"{profile.get(field)!r}, as profile.json",
                    "parts of two builds lie beside each other",
                )
    if manifest is None:
        notes = (*notes, f"{library / 'manifest.json'} is missing: nothing says what was built")
    chosen = _chosen(paths, manifest, boot)
    profile, control, odd = _instead(paths, chosen.selection, profile, control)
    models, missing = _models(paths, chosen.selection)
    notes = (*notes, *odd, *missing, *([chosen.note] if chosen.note else []))
    paths.run.mkdir(parents=True, exist_ok=True)
    _write(paths.chosen_models, _canonical(models) + b"\n")
    _write(paths.profile, profile_as(profile, robot_id))
    _write(paths.control, control_as(control, robot_id))
    return HandedOut(
        robot_id,
        str(profile["config_hash"]),
        str(profile["artifact_name"]),
        manifest,
        notes,
        (chosen.remark,) if chosen.remark else (),
    )


def image_of(manifest: dict[str, Any] | None) -> str:
    """What tells one image from another, whichever slot it lies in."""
    return str((manifest or {}).get("contents_sha256", ""))


def _chosen(paths: Paths, manifest: dict[str, Any] | None, boot: Boot | None) -> Chosen:
    if boot is None:
        return Chosen(OWN)
    try:
        trial = read_trial(paths.trial)
    except (OSError, ActiveError) as error:
        return Chosen(OWN, note=f"{paths.trial}: {error}; the slot runs what it brought")
    active = read_active(paths.active)
    return choose(active, trial, boot.slot, image_of(manifest), boot.boot_id)


def _instead(
    paths: Paths, selection: Selection, profile: dict[str, Any], control: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """The chosen profile, if it is what it is named after and of this board; else the own one."""
    if selection.profile is None:
        return profile, control, ()
    folder = paths.profiles / selection.profile
    try:
        other, rules = _table(folder / "profile.json"), _control(folder / "control.json")
        _check_chosen(folder, selection.profile, other, rules, profile)
    except (HandoutRefusedError, ValueError) as error:
        return profile, control, (f"{error}; the slot's own profile stands in",)
    return other, rules, ()


def _check_chosen(
    folder: Path, digest: str, other: dict[str, Any], rules: dict[str, Any], own: dict[str, Any]
) -> None:
    sections = {key: value for key, value in other.items() if key not in NOT_HASHED}
    got = hashlib.sha256(_canonical(sections)).hexdigest()
    if got != digest or other.get("config_hash") != digest:
        raise _refused(folder / "profile.json", f"contents of hash {got[:12]}", digest[:12], "")
    if rules.get("config_hash") != digest:
        raise _refused(folder / "control.json", "another profile's", f"{digest[:12]}'s", "")
    boards = [str(table.get("hardware", {}).get("name")) for table in (other, own)]
    if boards[0] != boards[1]:
        raise _refused(folder / "profile.json", f"board {boards[0]}", boards[1], "")


def _models(paths: Paths, selection: Selection) -> tuple[dict[str, str], tuple[str, ...]]:
    """Network → card, of those whose folder is still what it is named after."""
    cards: dict[str, str] = {}
    notes: list[str] = []
    for name, digest in sorted(selection.models.items()):
        folder = paths.models / digest
        try:
            found = folder_digest(folder)
        except OSError as error:
            found = error.strerror or str(error)
        if found == digest:
            cards[name] = str(folder / f"{name}.yaml")
        else:
            notes.append(f"{folder}: got {found[:40]}; the slot's own network {name} stands in")
    return cards, tuple(notes)


def name_of(enrolment: Path, usual: str) -> tuple[str, tuple[str, ...]]:
    """The name this robot was flashed with, else the profile's own."""
    try:
        stated = orjson.loads(enrolment.read_bytes())["robot_id"]
    except FileNotFoundError:
        return usual, ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        return usual, (f"{enrolment}: no name can be read from it ({error}); runs as {usual}",)
    if not is_name(stated):
        return usual, (f"{enrolment}: {str(stated)[:80]!r} is no robot's name; runs as {usual}",)
    return stated, ()


def is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= ROBOT_ID_MAX
        and ROBOT_ID.fullmatch(value) is not None
    )


def profile_as(profile: dict[str, Any], robot_id: str) -> bytes:
    """The profile of this one robot: its name is in no config hash, but in the unit's."""
    unit = {**profile["unit"], "robot_id": robot_id}
    named = {**profile, "unit": unit, "unit_hash": hashlib.sha256(_canonical(unit)).hexdigest()}
    return _canonical(named) + b"\n"


def control_as(control: dict[str, Any], robot_id: str) -> bytes:
    line = _canonical({**control, "robot_id": robot_id})
    return hashlib.sha256(line).hexdigest().encode() + b"\n" + line + b"\n"


def _canonical(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX + 1)
    except OSError as error:
        raise _refused(path, error.strerror or str(error), "a readable file", "") from error
    if len(raw) > FILE_MAX:
        raise _refused(path, "more", f"at most {FILE_MAX} bytes", "no profile is so large")
    return raw


def _table(path: Path) -> dict[str, Any]:
    try:
        table = orjson.loads(_read(path))
    except ValueError as error:
        raise _refused(path, f"no JSON ({error})", "a profile", "") from error
    if not isinstance(table, dict) or not isinstance(table.get("unit"), dict):
        raise _refused(path, "something else", "a profile with a unit", "")
    if not is_name(table["unit"].get("robot_id")):
        raise _refused(path, "no name of a robot", "unit.robot_id", "")
    return table


def _control(path: Path) -> dict[str, Any]:
    head, _, line = _read(path).partition(b"\n")
    line = line.removesuffix(b"\n")
    if len(head) != HASH_HEX or hashlib.sha256(line).hexdigest().encode() != head:
        raise _refused(path, "another hash than its first line", "an unchanged control file", "")
    table = orjson.loads(line)
    if not isinstance(table, dict):
        raise _refused(path, "something else", "a control section", "")
    return table


def _manifest(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        table = orjson.loads(_read(path))
    except ValueError as error:
        raise _refused(path, f"no JSON ({error})", "a build's manifest", "") from error
    return table if isinstance(table, dict) else {}


def _write(path: Path, data: bytes) -> None:
    """A reader finds the whole file or none; everyone may read it, only root may change it."""
    partial = path.with_name(f"{path.name}.part")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    partial.replace(path)


def _refused(path: Path, got: str, wanted: str, why: str) -> HandoutRefusedError:
    reason = f"; {why}" if why else ""
    return HandoutRefusedError(
        f"{path}: {got}, must be {wanted}{reason}; the robot stands still rather than run on limits"
        " that nobody checked; flash or update it again"
    )
