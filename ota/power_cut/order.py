"""The order of a recorded robot's writes, small enough to be kept beside the code.

    python -m ota.power_cut.order FOLDER FILE

Of the recording in FOLDER it keeps which copy of the environment got which value, when a slot was
written, and every flush that lies between. On a small disk it is the same life: the sample proves
on it what the real tool, client and kernel did in the guest, without a guest.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from ota.boot_env.states import STATES, State, decode, encode
from ota.power_cut.prove import Mark
from ota.power_cut.recording import Recording, load
from ota.power_cut.replay import DATA, ESP, SLOT_NAME, Disk
from ota.power_cut.write_log import Wrote, numbered

PIECES: Final = 16  # of a slot's content
FLUSH: Final = "flush"
Row = list[Any]  # [phase, name] | [env, copy, state] | [slot, number, piece] | [flush]


class OrderError(Exception):
    """The recording holds a write that this form has no word for."""


def reduced(recording: Recording) -> list[Row]:
    """What happened, in words; the partition table's writes are left to the whole proof."""
    with closing(Disk(recording.disk)) as disk:
        totals = _totals(recording, disk)
        rows = list(_rows(recording, disk, totals))
    return [one for at, one in enumerate(rows) if one != [FLUSH] or rows[at - 1 : at] != [[FLUSH]]]


def _events(recording: Recording) -> Iterator[tuple[str, Wrote | None]]:
    marks = list(recording.marks)
    for entry, one in numbered(recording.log):
        while marks and marks[0].entry <= entry:
            yield marks.pop(0).phase, None
        yield "", one


def _totals(recording: Recording, disk: Disk) -> dict[tuple[str, int], int]:
    """Bytes that a slot got in each phase."""
    phase, found = "", {}
    for name, one in _events(recording):
        phase = name or phase
        if one is not None and disk.owner(one) in SLOT_NAME:
            key = phase, disk.owner(one)
            found[key] = found.get(key, 0) + len(one.content)
    return found


def _rows(recording: Recording, disk: Disk, totals: Mapping[tuple[str, int], int]) -> Iterator[Row]:
    phase = ""
    came: dict[tuple[str, int], int] = {}
    for name, one in _events(recording):
        if name:
            phase = name
            yield ["phase", name]
        elif one is None:
            yield [FLUSH]
        elif (owner := disk.owner(one)) == ESP:
            yield _environment_row(disk, one)
        elif owner in SLOT_NAME:
            key = phase, owner
            before = came.get(key, 0)
            came[key] = before + len(one.content)
            for piece in range(PIECES):  # a piece is there with its last byte
                if before < (piece + 1) * totals[key] / PIECES <= came[key]:
                    yield ["slot", owner, piece]
        elif owner > DATA:
            raise OrderError(f"a write at byte {one.at_bytes}, behind the data partition")


def _environment_row(disk: Disk, one: Wrote) -> Row:
    state = decode(one.content)
    if one.at_bytes not in disk.copies or not isinstance(state, State):
        raise OrderError(f"a write to the ESP at byte {one.at_bytes} that is no copy's value")
    return ["env", disk.copies.index(one.at_bytes) + 1, state.name]


def on_small_disk(
    rows: Sequence[Row],
    copies: tuple[int, int],
    slots: Mapping[int, int],
    contents: Mapping[str, bytes],
) -> tuple[list[Wrote | None], list[Mark]]:
    """The same life elsewhere; `contents`: what each phase that writes a slot writes."""
    states = {state.name: state for state in STATES}
    found: list[Wrote | None] = []
    marks: list[Mark] = []
    for row in rows:
        match row:
            case ["phase", str(name)]:
                marks.append(Mark(len(found), name))
            case ["env", int(copy), str(name)]:
                found.append(Wrote(copies[copy - 1], encode(states[name])))
            case ["slot", int(number), int(piece)]:
                found.append(_piece(contents[marks[-1].phase], slots[number], piece))
            case ["flush"]:
                found.append(None)
            case _:
                raise OrderError(f"{row} is no row of an order")
    return found, marks


def _piece(content: bytes, at: int, piece: int) -> Wrote:
    each = -(-len(content) // PIECES // 512) * 512
    return Wrote(at + piece * each, content[piece * each : (piece + 1) * each])


def main() -> int:
    folder, file = Path(sys.argv[1]), Path(sys.argv[2])
    recording = load(folder)
    if recording is None:
        sys.stderr.write(f"{folder}: nothing is recorded there\n")
        return 2
    table = {
        "made_at": recording.made_at,
        "emulator": recording.emulator,
        "client": recording.client,
        "protocol": recording.protocol,
        "rows": reduced(recording),
    }
    rows = ",\n".join(json.dumps(row) for row in table.pop("rows"))
    head = json.dumps(table, indent=1)[:-2]
    file.write_text(f'{head},\n "rows": [\n{rows}\n]\n}}\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
