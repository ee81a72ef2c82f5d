"""The sample of the proof: everything a robot goes through, on a small disk, cut everywhere.

The tool and the GRUB script are the real ones, the order of the client's calls is the client's (see
tests/ota/boot_env/test_client.py), GRUB is `grub-emu`, and a slot is a quarter of a MiB. What only
the real image in its guest can show is `make power-cut`'s.
"""

from collections import Counter

import pytest

from ota.boot_env.states import SLOT_A, SLOT_B
from ota.power_cut.emulated import missing_programs
from ota.power_cut.prove import Mark, Told
from ota.power_cut.verdict import Kind, Verdict
from tests.ota.power_cut.recorder import (
    COMMIT,
    INSTALL,
    Recorder,
    digest,
    flashed,
    judged,
    new_recorder,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing_programs()), reason=f"{missing_programs()} missing"),
]
INSTALL_A = ("upgrade_available=1", "mender_boot_part=2", "mender_boot_part_hex=2", "bootcount=0")


def live(recorder: Recorder) -> Told:
    """Two updates: one is committed, the other's trial is reset."""
    known = {digest(flashed(recorder)): "first"}
    marks: list[Mark] = []

    def now(phase: str) -> None:
        marks.append(Mark(len(recorder.found), phase))

    now("install 1")
    known[digest(recorder.fill_slot(SLOT_B, b"number two"))] = "second"
    recorder.tool("a", "committed", *INSTALL)
    now("trial 1")
    recorder.grub()
    recorder.tool("b", "trial")
    now("commit 1")
    recorder.tool("b", "trial", *COMMIT)
    now("another start")
    recorder.grub()
    recorder.tool("b", "committed")
    now("install 2")
    known[digest(recorder.fill_slot(SLOT_A, b"number three"))] = "third"
    recorder.tool("b", "committed", *INSTALL_A)
    now("trial 2, reset")
    recorder.grub()
    recorder.grub()
    recorder.tool("b", "rolled-back")
    return Told(tuple(marks), known, damage=True)


def shown(verdicts: list[Verdict]) -> str:
    counted = Counter((one.phase, one.kind, one.outcome, one.holds) for one in verdicts)
    return "\n".join(f"{count:5}  {', '.join(row)}" for row, count in sorted(counted.items()))


def test_robot_can_be_cut_and_damaged_anywhere_in_its_life(tmp_path, monkeypatch):
    recorder = new_recorder(tmp_path, monkeypatch)
    told = live(recorder)
    verdicts = judged(recorder, told)
    print(f"\n{shown(verdicts)}\n{len(verdicts)} states")
    assert [one for one in verdicts if one.fault] == []
    starts = {(one.outcome.split(",")[0], one.holds) for one in verdicts}
    assert starts >= {
        ("committed a", "first"),
        ("trial b", "second"),
        ("rolled-back a", "first"),
        ("committed b", "second"),
        ("trial a", "third"),
        ("rolled-back b", "second"),
    }
    # A small disk has no data partition to lose.
    assert {one.kind for one in verdicts} == set(Kind) - {Kind.DATA}
    assert len({one.situation for one in verdicts}) >= 5


def test_slot_of_other_bytes_than_any_artifact_is_found(tmp_path, monkeypatch):
    """The planted fault: what was installed is whole, and nobody signed it."""
    recorder = new_recorder(tmp_path, monkeypatch)
    told = live(recorder)
    without = {digest: name for digest, name in told.known.items() if name != "second"}
    verdicts = judged(recorder, Told(told.marks, without))
    assert {one.fault for one in verdicts if one.fault} == {
        "slot b starts and is no artifact that was installed"
    }
