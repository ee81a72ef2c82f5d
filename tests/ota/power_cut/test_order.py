"""The order that was recorded in the guest, lived again on a small disk and cut everywhere."""

import json
from pathlib import Path

import pytest

from ota.boot_env.decision import Content
from ota.boot_env.states import SLOT_A, SLOT_B
from ota.power_cut.emulated import SLOT_AT, missing_programs, small_slot
from ota.power_cut.order import FLUSH, OrderError, on_small_disk, reduced
from ota.power_cut.prove import Mark, Told
from ota.power_cut.recording import Installed, Recording
from ota.power_cut.story import protocol_hash
from ota.power_cut.write_log import Wrote
from tests.ota.power_cut.recorder import (
    COMMIT,
    INSTALL,
    Recorder,
    digest,
    flashed,
    judged,
    new_recorder,
    write_file,
)

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=f"{missing_programs()} missing")
RECORDED = Path(__file__).with_name("recorded_order.json")


def saved(recorder: Recorder, marks: tuple[Mark, ...]) -> Recording:
    write_file(recorder.folder / "writes", recorder.found)
    installed = (Installed("first", "aa"),)
    return Recording(recorder.folder, "", "", "", "", 0.0, installed, marks)


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    return new_recorder(tmp_path, monkeypatch)


def test_reduced_order_is_the_same_life(recorder):
    content = recorder.fill_slot(SLOT_B)
    recorder.tool("a", "committed", *INSTALL)
    trial = len(recorder.found)
    recorder.grub()
    recorder.tool("b", "trial", *COMMIT)
    marks = (Mark(0, "install"), Mark(trial, "trial"))
    rows = reduced(saved(recorder, marks))
    assert [row[1] for row in rows if row[0] == "phase"] == ["install", "trial"]
    copies = recorder.disk.copies
    again, marks_again = on_small_disk(rows, copies, SLOT_AT, {"install": content})
    assert [mark.phase for mark in marks_again] == ["install", "trial"]
    flat = [one for one in recorder.found if one is not None and one.at_bytes < SLOT_AT[SLOT_A]]
    assert [one for one in again if one is not None and one.at_bytes < SLOT_AT[SLOT_A]] == flat
    slot = [one for one in again if one is not None and one.at_bytes >= SLOT_AT[SLOT_A]]
    assert b"".join(one.content for one in slot) == content
    assert rows.count([FLUSH]) >= 5


def test_write_to_the_esp_beside_the_copies_is_no_part_of_the_protocol(recorder):
    at = recorder.disk.copies[0] + 512
    recorder.found.append(Wrote(at, bytes(512)))
    with pytest.raises(OrderError, match="no copy's value"):
        reduced(saved(recorder, ()))


@pytest.mark.skipif(not RECORDED.exists(), reason="nothing was recorded in a guest yet")
def test_order_that_was_recorded_in_the_guest_can_be_cut_anywhere(recorder):
    table = json.loads(RECORDED.read_text())
    if table["protocol"] != protocol_hash():
        print("recorded with another protocol than this tree's; `make power-cut` records anew")
    second = small_slot(recorder.folder, Content(), b"number two")
    third = small_slot(recorder.folder, Content(), b"number three")
    contents = {"install 1": second, "install 2": third}
    found, marks = on_small_disk(table["rows"], recorder.disk.copies, SLOT_AT, contents)
    recorder.found = found
    known = {digest(flashed(recorder)): "first", digest(second): "second", digest(third): "third"}
    verdicts = judged(recorder, Told(tuple(marks), known))
    assert [one for one in verdicts if one.fault] == []
    starts = {(one.outcome.split(",")[0], one.holds) for one in verdicts}
    assert starts >= {("trial b", "second"), ("committed b", "second"), ("rolled-back b", "second")}
    print(f"{len(verdicts)} states, recorded {table['made_at']} in {table['emulator']}")
