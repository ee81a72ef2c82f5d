"""The page and what it is made of: figures come from a run; one that is not whole says so."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ota.boot_env.decision import Choice, Started
from ota.power_cut.boots import Boot, Place, Point, read_boots
from ota.power_cut.cases import Outcome, read_outcomes
from ota.power_cut.firmware import read_console
from ota.power_cut.judge import Slot
from ota.power_cut.page import BEGINS, ENDS, Found, as_json, put_into
from ota.power_cut.prove import Mark
from ota.power_cut.reads import Stretch
from ota.power_cut.recording import Installed, Recording, load
from ota.power_cut.rows import append_row
from ota.power_cut.verdict import Kept, Kind, Verdict, fault_of, read_verdicts

VERDICT = Verdict(
    "7: none", Kind.SUBSET, "install 1", "slot a committed", "committed a", "first", ""
)
WHOLE = Slot("aa", 4096)
POINTS = [Point(at, Place.BOUNDARY) for at in (7, 9)] + [Point(at, Place.SLOT) for at in (4, 5, 6)]


def recording(folder: Path) -> Recording:
    marks = (Mark(0, "first start"), Mark(7, "install 1"))
    installed = (Installed("first", "aa"),)
    return Recording(
        folder, "2026-11-21T23:00:00+00:00", "QEMU", "3.4.0", "x", 60.0, installed, marks
    )


def found(folder: Path) -> Found:
    boot = Boot(
        entry=7,
        place=Place.BOUNDARY,
        phase="install 1",
        situation="slot a committed",
        outcome="committed a",
        artifact="first",
        faults=(),
        took_s=60.0,
        same=Stretch(5, 7),
    )
    return Found(
        recording(folder), [VERDICT], [], [], [boot], POINTS, [], {"record": 60.0}, ("damage",)
    )


def test_recording_is_read_as_it_was_saved(tmp_path: Path):
    made = recording(tmp_path)
    assert load(tmp_path) is None
    made.save()
    assert load(tmp_path) == made


def test_phase_is_the_last_one_that_had_begun(tmp_path: Path):
    told = recording(tmp_path).told()
    assert [told.phase(at) for at in (0, 6, 7, 99)] == [
        "first start", "first start", "install 1", "install 1",
    ]  # fmt: skip


def test_line_that_a_killed_run_was_writing_is_left_out(tmp_path: Path):
    file = tmp_path / "judged.jsonl"
    Kept(file, print).add(VERDICT)
    with file.open("a") as out:
        out.write(json.dumps(asdict(VERDICT))[:30])
    kept = Kept(file, print)
    assert kept.done == {VERDICT.key: VERDICT}
    kept.add(replace(VERDICT, key="8: none"))
    assert set(read_verdicts(file)) == {"7: none", "8: none"}
    for read in (read_boots, read_outcomes):
        (tmp_path / "x").write_text("{")
        assert read(tmp_path / "x") == []
        assert read(tmp_path / "y") == []


def test_case_that_was_tried_again_counts_as_it_came_out_at_last(tmp_path: Path):
    file = tmp_path / "cases.jsonl"
    bad = Outcome("kernel missing", "rolled-back a", "halt", "wanted rolled-back a", 9.0)
    good = replace(bad, found="rolled-back a", fault="")
    gone = replace(bad, name="a case that there was once")
    file.write_text("".join(json.dumps(asdict(one)) + "\n" for one in (bad, gone, good)))
    assert read_outcomes(file) == [good]


def test_page_takes_its_figures_and_keeps_its_words(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(f"words\n{BEGINS}\nold\n{ENDS}\nmore\n")
    put_into(page, found(tmp_path))
    text = page.read_text()
    assert text.startswith("words\n")
    assert text.endswith("more\n")
    assert "old" not in text
    assert "1 states of the disk judged" in text
    put_into(page, found(tmp_path))
    assert page.read_text() == text


def test_page_without_a_place_is_refused(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("words\n")
    with pytest.raises(ValueError, match="no place for the table"):
        put_into(page, found(tmp_path))


def test_what_was_not_run_is_said(tmp_path: Path):
    missing = json.loads(as_json(found(tmp_path)))["missing"]
    assert missing[0] == "whole starts for 2 of 5 points"
    assert missing[-1] == "the rest of the step damage"
    assert len(missing) == 3


def test_every_fault_is_told_whatever_step_found_it(tmp_path: Path):
    one = found(tmp_path)
    bad = replace(
        one,
        judged=[replace(VERDICT, fault="nothing starts")],
        boots=[replace(one.boots[0], faults=("no SSH",))],
        cases=[Outcome("kernel missing", "rolled-back a", "halt", "wanted rolled-back a", 9.0)],
    )
    assert len(bad.faults) == 3
    assert one.faults == []


def test_page_says_what_was_missed_and_not_all_that_the_console_said(tmp_path: Path):
    page, one = tmp_path / "page.md", found(tmp_path)
    page.write_text(f"{BEGINS}\n{ENDS}\n")
    said = "not within 900 s: SSH\r\n\x1b[2J\x1b[01;01Hslot a | committed"
    put_into(page, replace(one, boots=[replace(one.boots[0], faults=(said,))]))
    text = page.read_text()
    assert "- FAULT: start after write 7: not within 900 s: SSH\n" in text
    assert "| 1 | 1 | not within 900 s: SSH |" in text
    assert "\x1b" not in text


def test_start_counts_for_every_cut_that_leaves_it_the_same_disk(tmp_path: Path):
    one = found(tmp_path)
    assert one.stood_for == 3
    page = tmp_path / "page.md"
    page.write_text(f"{BEGINS}\n{ENDS}\n")
    put_into(page, one)
    text = page.read_text()
    assert "1 starts to the end stand for 3 of\n5 points" in text
    assert "| install 1 | boundary | committed a = first | 1 | 1 | works |" in text
    assert "| first start | slot | committed a = first | 0 | 2 | works |" in text


def test_start_with_a_fault_counts_for_its_own_disk_alone(tmp_path: Path):
    one = found(tmp_path)
    bad = replace(one, boots=[replace(one.boots[0], faults=("no SSH",))])
    assert bad.stood_for == 1


def test_what_a_start_came_to_is_read_as_it_was_kept(tmp_path: Path):
    (boot,) = found(tmp_path).boots
    append_row(tmp_path / "boots", asdict(boot))
    assert read_boots(tmp_path / "boots") == [boot]


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (Started(Choice.TRIAL, 3), Started(Choice.ROLLED_BACK, 2), ""),
        (Started(Choice.TRIAL, 3), Started(Choice.TRIAL, 3), "the trial slot is started twice"),
        (Started(Choice.HALT, None), None, "nothing starts"),
        (Started(Choice.RESTORED, 2), None, "both copies of the environment were lost"),
    ],
)
def test_what_must_not_be_is_a_fault(first: Started, second: Started | None, fault: str):
    assert fault_of(first, second, lambda _: WHOLE, {"aa": "first"}) == fault
    assert "not whole" in fault_of(Started(Choice.TRIAL, 3), None, lambda _: None, {})
    other = fault_of(Started(Choice.TRIAL, 3), None, lambda _: WHOLE, {"bb": "first"})
    assert other == "slot b starts and is no artifact that was installed"


def test_console_says_what_was_started_last():
    trial = "bedplate: slot b (trial)\n"
    back = "bedplate: slot b cannot be loaded\nbedplate: slot a (rolled-back)\n"
    over = "EFI stub: Exiting boot services...\nbedplate: slot b (committed)\n"
    assert read_console(trial) is None
    assert read_console(trial + back + over) == Started(Choice.ROLLED_BACK, 2)
    assert read_console(trial + over) == Started(Choice.TRIAL, 3)
    halted = "bedplate: HALT: no slot of this robot can be started.\n"
    assert read_console(trial + halted) == Started(Choice.HALT, None)
