"""The page that shows what the proof came to; its figures are written by the run alone."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from ota.power_cut.boots import Boot, Place, Point, all_stood_for
from ota.power_cut.cases import CASES, Outcome
from ota.power_cut.recording import Recording
from ota.power_cut.verdict import Kind, Verdict

BEGINS: Final = "<!-- written by `make power-cut`; do not edit -->"
ENDS: Final = "<!-- end of what is written -->"
BAR: Final = "|"
Row = tuple[str, Place, str, str]
UP_TO_THE_BOOT: Final = (Kind.SUBSET, Kind.TORN, Kind.SLOT, Kind.DAMAGE)


@dataclass(frozen=True)
class Found:
    """Everything that the steps of a run left behind."""

    recording: Recording
    judged: Sequence[Verdict]
    under_firmware: Sequence[Verdict]
    data: Sequence[Verdict]
    boots: Sequence[Boot]
    points: Sequence[Point]  # where a start is wanted
    cases: Sequence[Outcome]
    took_s: Mapping[str, float]  # step → seconds, over all runs that worked on it
    unfinished: Sequence[str] = ()  # steps that have not come to their end

    @property
    def faults(self) -> list[str]:
        verdicts = (*self.judged, *self.under_firmware, *self.data)
        found = [f"{one.key}: {one.fault}" for one in verdicts if one.fault]
        found += [f"start after write {one.entry}: {x}" for one in self.boots for x in one.faults]
        found += [f"{one.name}: {one.fault}" for one in self.cases if one.fault]
        return [brief(text) for text in found]

    @property
    def stood_for(self) -> int:
        """Points that a start which was made stands for."""
        return len(all_stood_for(self.boots, self.points))

    @property
    def missing(self) -> list[str]:
        """What this run has not come to; a table with a line of these is not the whole proof."""
        found = []
        if not self.recording.complete:
            found.append(f"the recording, which ends in: {self.recording.marks[-1].phase}")
        left = len(self.points) - self.stood_for
        if left:
            found.append(f"whole starts for {left} of {len(self.points)} points")
        if len(self.cases) < len(CASES):
            found.append(f"{len(CASES) - len(self.cases)} of {len(CASES)} cases")
        found += [f"the rest of the step {step}" for step in self.unfinished]
        return found


def brief(text: str) -> str:
    """Without what the guest's console said, which follows in lines of its own."""
    return text.partition("\n")[0].rstrip()


def as_json(found: Found) -> str:
    table: dict[str, Any] = {
        "recorded": found.recording.made_at,
        "states": len(found.judged),
        "under_firmware": len(found.under_firmware),
        "data_states": len(found.data),
        "boots": len(found.boots),
        "points": len(found.points),
        "points_stood_for": found.stood_for,
        "cases": [asdict(one) for one in found.cases],
        "faults": found.faults,
        "missing": found.missing,
        "took_s": dict(found.took_s),
    }
    return json.dumps(table, indent=1)


def put_into(page: Path, found: Found) -> None:
    """Between its two marks; the words around them are a person's."""
    text = page.read_text()
    before, _, rest = text.partition(BEGINS)
    _, _, after = rest.partition(ENDS)
    if not rest or ENDS not in rest:
        raise ValueError(f"{page} has no place for the table: {BEGINS} … {ENDS}")
    page.write_text(f"{before}{BEGINS}\n\n{_written(found)}\n{ENDS}{after}")


def _written(found: Found) -> str:
    parts = [
        _head(found),
        "### States judged up to the boot decision\n",
        _states(found.judged),
        "### The same under the robot's own firmware\n",
        _firmware(found.under_firmware),
        "### The data partition\n",
        _data(found.data),
        "### Started to the end\n",
        _boots(found),
        "### Faults beside power\n",
        _rows(("case", "came to", ""), ((x.name, x.found, _ok(x.fault)) for x in found.cases)),
    ]
    return "\n".join(parts)


def _head(found: Found) -> str:
    recording = found.recording
    slots = ", ".join(one.name for one in recording.installed)
    sorts = len(found.under_firmware)
    lines = [
        f"Recorded {recording.made_at} in {recording.took_s / 60:.0f} minutes",
        f"({recording.emulator}; client {recording.client}; slots: {slots}).",
        f"{len(found.judged)} states of the disk judged, {sorts} sorts of them under the firmware,",
        f"{len(found.data)} states of its data partition checked,",
        f"{len(found.boots)} starts to the end stand for {found.stood_for} of",
        f"{len(found.points)} points, {len(found.cases)} cases.",
        f"**{len(found.faults)} with a fault.**",
        "Time: " + ", ".join(f"{k} {v / 60:.0f} min" for k, v in found.took_s.items()) + ".",
    ]
    if found.missing:
        lines.append(f"**Not the whole proof**, still to be run: {', '.join(found.missing)}.")
    lines += [f"- FAULT: {text}" for text in found.faults[:40]]
    return "\n".join(lines) + "\n"


def _states(judged: Sequence[Verdict]) -> str:
    """By what the robot was doing."""
    rows: list[tuple[str, ...]] = []
    by_phase: dict[str, list[Verdict]] = {}
    for one in judged:
        by_phase.setdefault(one.phase, []).append(one)
    for phase, group in by_phase.items():
        kinds = Counter(one.kind for one in group)
        starts = Counter(
            f"{one.outcome} = {one.holds}" if one.holds else one.outcome for one in group
        )
        shown = "; ".join(f"{name} ({count})" for name, count in sorted(starts.items()))
        faults = Counter(one.fault for one in group if one.fault)
        said = "; ".join(f"{name} ({count})" for name, count in faults.items())
        rows.append((phase, *(str(kinds[kind]) for kind in UP_TO_THE_BOOT), shown, said or "whole"))
    heads = ("during", "subsets", "torn", "slot in part", "damage", "GRUB starts = artifact", "")
    return _rows(heads, rows)


def _firmware(judged: Sequence[Verdict]) -> str:
    counted = Counter((one.situation, f"{one.outcome} = {one.holds}", one.fault) for one in judged)
    rows = ((s, o, str(n), _ok(f)) for (s, o, f), n in sorted(counted.items()))
    return _rows(("the environment said", "GRUB starts", "sorts", ""), rows)


def _data(judged: Sequence[Verdict]) -> str:
    counted = Counter((one.phase, one.fault) for one in judged)
    rows = ((phase, str(n), fault or "whole") for (phase, fault), n in counted.items())
    return _rows(("cut during", "states", ""), rows)


def _boots(found: Found) -> str:
    """By what was under way, and what was being written."""
    made, points, told = Counter[Row](), Counter[Row](), found.recording.told()
    for start in found.boots:
        made[_row(start.phase, start.place, start)] += 1
    for point, start in all_stood_for(found.boots, found.points):
        points[_row(told.phase(point.entry), point.place, start)] += 1
    rows = (
        (*row[:3], str(made[row]), str(points[row]), row[3] or "works")
        for row in sorted(made | points)
    )
    return _rows(("cut during", "place", "comes up as", "starts", "for points", ""), rows)


def _row(phase: str, place: Place, start: Boot) -> Row:
    return phase, place, f"{start.outcome} = {start.artifact}", "; ".join(start.faults)


def _ok(fault: str) -> str:
    return fault or "as wanted"


def _rows(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(heads), ["---"] * len(heads), *(list(row) for row in rows)]
    table = [f"| {' | '.join(brief(cell).replace(BAR, '/') for cell in line)} |" for line in lines]
    flat = [" ".join(line.split()) for line in table]
    return "\n".join(flat) + "\n"
