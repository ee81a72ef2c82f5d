"""A small update recorded as QEMU records it, cut everywhere, judged by the real GRUB."""

import itertools
import os
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.boot_env.states import SLOT_B
from ota.power_cut.cuts import cuts, pieces
from ota.power_cut.emulated import missing_programs
from ota.power_cut.write_log import LogError, Wrote, entries, windows
from tests.ota.power_cut.recorder import INSTALL, judged, new_recorder, write_file

needs_grub = pytest.mark.skipif(
    bool(missing_programs()),
    reason=f"{', '.join(missing_programs())} missing; try  ./bootstrap.sh test",
)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    return new_recorder(tmp_path, monkeypatch)


@needs_grub
def test_update_can_be_cut_anywhere(recorded):
    """Install, trial boot, commit: every subset of every window, torn sectors too."""
    recorded.fill_slot(SLOT_B)
    recorded.tool("a", "committed", *INSTALL)
    recorded.grub()
    recorded.tool("b", "trial", "upgrade_available=0")
    verdicts = judged(recorded)
    assert [one for one in verdicts if one.fault] == []
    assert {one.outcome.split(",")[0] for one in verdicts} >= {"committed a", "trial b"}
    assert len(verdicts) > 20


@needs_grub
def test_slot_announced_before_it_is_written_is_found(recorded):
    """The planted fault: two steps of the install in the wrong order."""
    recorded.tool("a", "committed", *INSTALL)
    recorded.fill_slot(SLOT_B)
    faults = {one.fault for one in judged(recorded) if one.fault}
    assert faults & {"slot b starts and is not whole"}


@needs_grub
def test_two_copies_without_a_flush_between_are_found(recorded):
    recorded.fill_slot(SLOT_B)
    start = len(recorded.found)
    recorded.tool("a", "committed", *INSTALL)
    tail = [one for one in recorded.found[start:] if one is not None]
    recorded.found[start:] = [*tail, None]
    faults = {one.fault for one in judged(recorded) if one.fault}
    assert faults == {"both copies of the environment were lost"}


@needs_grub
def test_run_that_was_stopped_goes_on(recorded):
    recorded.tool("a", "committed", *INSTALL)
    first = judged(recorded)
    progress = recorded.folder / "judge/judged.jsonl"
    lines = progress.read_text().splitlines()
    progress.write_text("\n".join(lines[:-2]) + "\n")
    assert {one.key: one for one in judged(recorded)} == {one.key: one for one in first}
    assert len(progress.read_text().splitlines()) == len(lines)


@given(st.lists(st.one_of(st.none(), st.binary(min_size=512, max_size=512)), max_size=9))
def test_log_is_read_as_it_was_written(tmp_path_factory, contents):
    found = [
        None if one is None else Wrote(at * 512, one, at % 2 == 0)
        for at, one in enumerate(contents)
    ]
    path = tmp_path_factory.mktemp("log") / "log"
    write_file(path, found)
    assert list(entries(path)) == found


@given(st.binary(max_size=2000))
def test_anything_else_is_refused(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_bytes(noise)
    with pytest.raises(LogError):
        list(entries(path))


def test_log_that_was_cut_short_is_refused(tmp_path):
    write_file(tmp_path / "log", [Wrote(0, bytes(512)), None])
    whole = (tmp_path / "log").read_bytes()
    for size in (600, 1100):
        (tmp_path / "log").write_bytes(whole[:size])
        with pytest.raises(LogError, match="cut short"):
            list(entries(tmp_path / "log"))


@pytest.mark.skipif(shutil.which("qemu-io") is None, reason="qemu-io is not installed")
def test_log_of_the_real_qemu_is_read(tmp_path):
    disk, log = tmp_path / "disk", tmp_path / "log"
    for file in (disk, log):
        file.touch()
    os.truncate(disk, 1 << 20)
    node = f"driver=blklogwrites,file.driver=file,file.filename={disk},log.driver=file,"
    node += f"log.filename={log},log-super-update-interval=1"
    calls = ["open -o " + node, "write -P 17 512 512", "write -P 34 1024 1024", "flush"]
    calls += ["write -P 51 4096 512", "discard 8192 4096"]
    words = [word for call in calls for word in ("-c", call)]
    subprocess.run(["qemu-io", *words], check=True, capture_output=True)
    found = list(windows(entries(log)))
    assert found[0] == (Wrote(512, b"\x11" * 512), Wrote(1024, b"\x22" * 1024))
    assert found[1][0] == Wrote(4096, b"\x33" * 512)


def test_every_subset_of_a_window_comes_and_each_write_torn():
    window = tuple(Wrote(at * 512, bytes([at]) * 512) for at in range(3))
    found = list(cuts(window, 1))
    whole = {cut.present for cut in found if not cut.torn}
    assert len(whole) == 8
    assert {at for cut in found for at, _ in cut.torn} == {0, 1, 2}
    assert len(found) == len(set(found))


def test_what_was_forced_to_the_disk_is_there_before_anything_later():
    window = (Wrote(0, b"a" * 512), Wrote(512, b"b" * 512, True), Wrote(1024, b"c" * 512))
    for cut in cuts(window, 1):
        assert 2 not in cut.present or 1 in cut.present


def test_large_window_is_sampled_with_few_missing_and_few_extra():
    window = tuple(Wrote(at * 512, b"x" * 512) for at in range(30))
    whole = {cut.present for cut in cuts(window, 1) if not cut.torn}
    for pair in itertools.combinations(range(30), 2):
        assert frozenset(pair) in whole
        assert frozenset(range(30)) - set(pair) in whole
    assert len(whole) > 900


def test_torn_sector_is_half_new_and_half_stale():
    window = (Wrote(0, b"n" * 1024),)
    halves = {
        b"".join(one.content for one in pieces(window, cut, {0: b"o" * 512}))
        for cut in cuts(window, 1)
        if cut.torn
    }
    new, old = b"n" * 256, b"o" * 256
    assert halves == {b"n" * 512 + new + old, b"n" * 512 + old + new}
