"""Switching to another profile or other models without a reboot, and back.

In this order, each step durable before the next: `trial.json` says what was and what is wanted;
`active.json` names what is wanted; the profile is handed out and what it touches restarts. The
commit removes `trial.json`; going back names what was, hands it out, and removes it. So whatever
step the power goes at, `active.json` names the old or the new, never neither; and a boot that finds
`trial.json` runs what was before.
"""

import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ota.looking import Run, read_table, run_program
from runtime.active import (
    OWN,
    SLOTS,
    Selection,
    Slot,
    Trial,
    active_bytes,
    read_active,
    read_trial,
    trial_bytes,
)
from runtime.handout import LIBRARY, Boot, hand_out, image_of, this_boot
from runtime.paths import Paths
from runtime.skills.durable import fsync_folder, replace_file

COMMITTED: Final = "committed.json"


class SwitchRefusedError(RuntimeError):
    """Nothing was changed; the text says why."""


@dataclass(frozen=True)
class Surroundings:
    """Where a switch happens; handed in, so that a test hands in its own."""

    paths: Paths
    library: Path
    boot: Boot
    run: Run = run_program


def surroundings_of(paths: Paths, shm: Path | None = None, library: Path = LIBRARY) -> Surroundings:
    boot = this_boot()
    if boot is None or boot.slot not in SLOTS:
        raise SwitchRefusedError(
            "/proc/cmdline: no bedplate.slot; profiles and models are chosen for a slot, and this"
            " machine has none; nothing was changed"
        )
    return Surroundings(paths, library, boot)


def own_image(around: Surroundings) -> str:
    return image_of(read_table(around.library / "manifest.json"))


def present(around: Surroundings) -> Slot:
    """What this slot runs now, as far as it was chosen for the image in it."""
    slots = read_active(around.paths.active) or {}
    image = own_image(around)
    slot = slots.get(around.boot.slot)
    return slot if slot is not None and slot.image == image else Slot(image, OWN)


def trial_on(around: Surroundings) -> Trial | None:
    """Of this boot; one that an earlier boot left was taken back by the hand-out already."""
    trial = read_trial(around.paths.trial)
    return trial if trial is not None and trial.boot_id == around.boot.boot_id else None


def begin(around: Surroundings, kind: str, selection: Selection) -> Trial:
    """From here on the switch is on trial. Refuses while another one is."""
    if trial_on(around) is not None:
        raise SwitchRefusedError(
            f"{around.paths.trial}: a switch is on trial already; two at once could not be told"
            " apart when one must go back; commit it or roll it back first"
        )
    before = present(around)
    trial = Trial(
        token=secrets.token_hex(8),
        kind=kind,
        slot=around.boot.slot,
        boot_id=around.boot.boot_id,
        started_s=time.clock_gettime(time.CLOCK_MONOTONIC),
        previous=before,
        wanted=Slot(before.image, selection),
    )
    replace_file(around.paths.trial, trial_bytes(trial))
    point(around.paths, trial.slot, trial.wanted)
    return trial


def point(paths: Paths, slot: str, wanted: Slot) -> None:
    """Names what a slot runs; a file that says nothing sound is written anew."""
    slots = {**(read_active(paths.active) or {}), slot: wanted}
    replace_file(paths.active, active_bytes(slots))


def take_back(paths: Paths, trial: Trial) -> None:
    """What was before counts again, for this boot and the next."""
    point(paths, trial.slot, trial.previous)
    forget(paths)


def forget(paths: Paths) -> None:
    paths.trial.unlink(missing_ok=True)
    fsync_folder(paths.trial.parent)


def take_back_and_apply(around: Surroundings, trial: Trial) -> tuple[str, ...]:
    """The pointer first; the trial is forgotten last, so that a cut in between is seen."""
    point(around.paths, trial.slot, trial.previous)
    restarted = apply(around)
    forget(around.paths)
    return restarted


def commit(around: Surroundings, trial: Trial) -> None:
    """What was is kept until the client has finished: it may still want to go back."""
    around.paths.ota.mkdir(parents=True, exist_ok=True)
    replace_file(around.paths.ota / COMMITTED, trial_bytes(trial))
    forget(around.paths)


def committed(around: Surroundings) -> Trial | None:
    return read_trial(around.paths.ota / COMMITTED)


def finish(around: Surroundings) -> None:
    (around.paths.ota / COMMITTED).unlink(missing_ok=True)


def apply(around: Surroundings) -> tuple[str, ...]:
    """Hands out what is named now, and restarts what the difference touches."""
    from ota.restarts import touched  # brings the table of processes, and all of the schema

    before = _handed(around.paths)
    hand_out(around.library, around.paths, around.boot)
    after = _handed(around.paths)
    names = touched(
        before.profile,
        after.profile,
        (before.control, after.control),
        (before.models, after.models),
    )
    if names:
        units = [f"bedplate-{name}.service" for name in names]
        around.run(["systemctl", "--no-block", "restart", *units])
    return names


@dataclass(frozen=True)
class Handed:
    profile: Mapping[str, Any]
    control: Mapping[str, Any]
    models: Mapping[str, str]


def _handed(paths: Paths) -> Handed:
    return Handed(
        read_table(paths.profile) or {},
        _control_table(paths.control),
        read_table(paths.chosen_models) or {},
    )


def _control_table(path: Path) -> dict[str, Any]:
    """The second line; the first is its hash."""
    try:
        table = json.loads(path.read_text(encoding="utf-8").partition("\n")[2])
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}


def store_folder(parent: Path, digest: str, files: Mapping[str, bytes]) -> Path:
    """A folder that appears with all its files or not at all; one that is there is left alone."""
    target = parent / digest
    if target.is_dir():
        return target
    parent.mkdir(parents=True, exist_ok=True)
    incoming = parent / f".incoming-{os.getpid()}-{digest[:16]}"
    _remove(incoming)
    incoming.mkdir(mode=0o755)
    for name in sorted(files):
        handle = os.open(incoming / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(files[name])
            file.flush()
            os.fsync(file.fileno())
    fsync_folder(incoming)
    incoming.rename(target)
    fsync_folder(parent)
    return target


def sweep(paths: Paths) -> tuple[str, ...]:
    """Removes what no slot, no trial and no commit that may still go back names."""
    trials = [read_trial(paths.trial), read_trial(paths.ota / COMMITTED)]
    slots = [*(read_active(paths.active) or {}).values()]
    slots += [slot for trial in trials if trial for slot in (trial.previous, trial.wanted)]
    named = {slot.selection.profile for slot in slots if slot.selection.profile}
    named |= {digest for slot in slots for digest in slot.selection.models.values()}
    gone: list[str] = []
    for parent in (paths.profiles, paths.models):
        for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
            if folder.name not in named:
                _remove(folder)
                gone.append(folder.name)
    return tuple(gone)


def _remove(folder: Path) -> None:
    """Flat folders only: nothing else is ever made there."""
    if not folder.is_dir():
        return
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
