"""The proof, from an image to the table: python -m ota.power_cut [--folder …] [--json] [STEP …]

Each step keeps what it has done in the folder, so a run that was ended goes on where it was:
  record     three images, one guest, two updates; every write of its disk
  judge      every state that a cut can leave, to the boot decision
  firmware   one state of each sort under the robot's own firmware
  damage     each copy of the environment ruined, in each situation
  data       the data partition, cut at random places; checked as a start checks it, file by file
  cases      slots that cannot start, clocks, a full disk
  boots      the disk at every boundary and at 240 random points, to a robot at work; one start
             counts for all that leave it the same disk: hours
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ota.power_cut.boots import BOOTS, points, read_boots, start_each
from ota.power_cut.cases import OUTCOMES, go_through, read_outcomes
from ota.power_cut.data import judge_data
from ota.power_cut.firmware import try_all_sorts
from ota.power_cut.images import make_images
from ota.power_cut.page import Found, as_json, put_into
from ota.power_cut.prove import prove
from ota.power_cut.recording import Recording, load
from ota.power_cut.story import protocol_hash, record_story
from ota.power_cut.verdict import JUDGED, read_verdicts

STEPS: Final = ("record", "judge", "firmware", "damage", "data", "cases", "boots")
TIMES: Final = "times.json"
CORES_A_GUEST: Final = 2
DONE: Final = "done"  # a step that came to its end; one that was ended has no such file
JUDGING: Final = ("judge", "firmware", "damage", "data")


def say(text: str) -> None:
    sys.stderr.write(f"power-cut: {text}\n")
    sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="power-cut", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; else all")
    parser.add_argument("--folder", type=Path, default=Path("var/power-cut"))
    parser.add_argument(
        "--starts", type=int, help="whole starts in this run; else all that are left"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=max(1, (os.cpu_count() or 1) // CORES_A_GUEST),
        help="guests at once in cases and boots; each keeps two cores busy (default: %(default)s)",
    )
    parser.add_argument("--page", type=Path, help="write the table into this page")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    unknown = [step for step in given.steps if step not in STEPS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: no such step; there are {', '.join(STEPS)}")
    chosen = given.steps or STEPS
    # Programs run in folders of their own, and a disk's overlay names its disk from where it lies.
    given.folder = given.folder.resolve()
    recording = _recording(given.folder, make="record" in chosen)
    if recording is None:
        parser.error(f"nothing is recorded in {given.folder}; run the step  record  first")
    try:
        for step in STEPS[1:]:
            if step in chosen:
                with _timed(given.folder, step):
                    _do(step, recording, given)
    except KeyboardInterrupt:
        say("ended; the next run goes on from here")
    found = _found(recording, given.folder)
    if given.page:
        put_into(given.page, found)
    sys.stdout.write(as_json(found) + "\n" if given.json else _lines(found))
    return 1 if found.faults else 0


def _recording(folder: Path, *, make: bool) -> Recording | None:
    found = load(folder / "recording")
    if found is not None and found.protocol != protocol_hash():
        say("the recording is of another protocol than this tree's; remove its folder to make one")
    if make and (found is None or not found.complete):
        for left in (*STEPS[1:], TIMES):  # of another recording
            if (folder / left).is_dir():
                shutil.rmtree(folder / left)
            (folder / left).unlink(missing_ok=True)
        with _timed(folder, "record"):
            found = record_story(folder, make_images(folder / "images", say), say)
    return found


def _do(step: str, recording: Recording, given: argparse.Namespace) -> None:
    work = given.folder / step
    work.mkdir(parents=True, exist_ok=True)
    match step:
        case "judge" | "damage":
            told = recording.told(damage=step == "damage")
            prove(recording.disk, recording.log, work, say, told)
        case "firmware":
            try_all_sorts(recording.disk, recording.log, work, say, recording.told())
        case "data":
            judge_data(recording, work, say)
        case "cases":
            go_through(recording, work, say, given.jobs)
        case "boots":
            start_each(recording, work, say, given.starts, given.jobs)
        case _:
            raise ValueError(step)
    (work / DONE).touch()
    for left in ("disk.img", "data.img"):
        (work / left).unlink(missing_ok=True)


def _found(recording: Recording, folder: Path) -> Found:
    cuts, damage = (read_verdicts(folder / step / JUDGED) for step in ("judge", "damage"))
    return Found(
        recording=recording,
        judged=[*cuts.values(), *damage.values()],
        under_firmware=list(read_verdicts(folder / "firmware" / JUDGED).values()),
        data=list(read_verdicts(folder / "data" / JUDGED).values()),
        boots=read_boots(folder / "boots" / BOOTS),
        points=points(recording),
        cases=read_outcomes(folder / "cases" / OUTCOMES),
        took_s=_times(folder),
        unfinished=tuple(step for step in JUDGING if not (folder / step / DONE).exists()),
    )


def _times(folder: Path) -> dict[str, float]:
    file = folder / TIMES
    return json.loads(file.read_text()) if file.exists() else {}


@contextmanager
def _timed(folder: Path, step: str) -> Iterator[None]:
    """Over all runs; what was done in vain is in it too."""
    began_s = time.monotonic()
    try:
        yield
    finally:
        times = _times(folder)
        times[step] = round(times.get(step, 0) + time.monotonic() - began_s, 1)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TIMES).write_text(json.dumps(times) + "\n")


def _lines(found: Found) -> str:
    head = (
        f"{len(found.judged)} states judged, {len(found.under_firmware)} sorts under the firmware"
    )
    head += f", {len(found.boots)} starts for {found.stood_for} of {len(found.points)} points"
    head += f", {len(found.cases)} cases"
    rows = [head, *(f"FAULT {text}" for text in found.faults)]
    rows += [f"still to be run: {text}" for text in found.missing]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
