"""A small update recorded as QEMU records it, cut everywhere, judged by the real GRUB."""

import itertools
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.boot_env import tool
from ota.boot_env.decision import Content, Disk, boot
from ota.boot_env.states import SLOT_A, SLOT_B, State, decode, encode
from ota.power_cut import write_log
from ota.power_cut.cuts import cuts, pieces
from ota.power_cut.emulated import ESP_AT, SLOT_AT, Bench, bench, missing_programs, small_slot
from ota.power_cut.prove import Told, prove
from ota.power_cut.verdict import Verdict
from ota.power_cut.write_log import LogError, Wrote, entries, windows

needs_grub = pytest.mark.skipif(
    bool(missing_programs()),
    reason=f"{', '.join(missing_programs())} missing; try  ./bootstrap.sh test",
)


def write_file(path: Path, found: list[Wrote | None]) -> None:
    """As QEMU writes it."""
    out = bytearray(struct.pack("<QQQI", write_log.MAGIC, 1, len(found), 512).ljust(512, b"\0"))
    for one in found:
        if one is None:
            out += struct.pack("<QQQQ", 0, 0, write_log.FLUSH, 0).ljust(512, b"\0")
        else:
            sectors, flags = len(one.content) // 512, write_log.FUA if one.lasting else 0
            head = struct.pack("<QQQQ", one.at_bytes // 512, sectors, flags, len(one.content))
            out += head.ljust(512, b"\0") + one.content
    path.write_bytes(out)


class Recorder:
    """What the tool, the client and GRUB write on a small disk, in order."""

    def __init__(self, disk: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.disk = disk
        self.folder = folder
        self.found: list[Wrote | None] = []
        real_write, real_flush = os.pwritev, os.fsync

        def write(file: int, buffers: list[bytes], at: int) -> int:
            self.found.append(Wrote(at, b"".join(bytes(b) for b in buffers)))
            return real_write(file, buffers, at)

        def flush(file: int) -> None:
            self.found.append(None)
            real_flush(file)

        monkeypatch.setattr(os, "pwritev", write)
        monkeypatch.setattr(os, "fsync", flush)

    def tool(self, slot: str, choice: str, *lines: str) -> None:
        (self.folder / "cmdline").write_text(f"bedplate.slot={slot} bedplate.choice={choice}\n")
        (self.folder / "id").write_text("boot\n")
        said = f'{{"boot_id": "boot", "slot": "{slot}", "verdict": "pass"}}'
        (self.folder / "gate").write_text(said)
        (self.folder / "lines").write_text("\n".join(lines))
        words = ["set", "--esp", str(self.disk.disk), "--offset", str(ESP_AT)]
        words += ["--cmdline", str(self.folder / "cmdline"), "--gate", str(self.folder / "gate")]
        words += ["--boot-id", str(self.folder / "id"), "-s", str(self.folder / "lines")]
        assert tool.main(words) == 0

    def fill_slot(self, number: int) -> None:
        """A new content in pieces, then a flush."""
        content = small_slot(self.folder, Content(), b"the new one")
        with self.disk.disk.open("r+b") as out:
            for at in range(0, len(content), 65536):
                piece = content[at : at + 65536]
                self.found.append(Wrote(SLOT_AT[number] + at, piece))
                out.seek(SLOT_AT[number] + at)
                out.write(piece)
        self.found.append(None)

    def grub(self) -> None:
        """Its writes by the function that it is compared with; it cannot flush."""
        sectors = self.disk.take()
        seen = Disk(*map(decode, sectors), {SLOT_A: Content(), SLOT_B: Content()})
        boot(seen)
        for one in seen.writes:
            self.found.append(Wrote(self.disk.copies[one.copy - 1], encode(one.state)))
        self.disk.boot()
        left = tuple(decode(sector) for sector in self.disk.take())
        assert left == (seen.first, seen.second)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    made = bench(tmp_path / "disk")
    made.put(encode(State(canary=1)), encode(State(canary=1)))
    shutil.copyfile(made.disk, tmp_path / "before.img")
    return Recorder(made, tmp_path, monkeypatch)


INSTALL = ("upgrade_available=1", "mender_boot_part=3", "mender_boot_part_hex=3", "bootcount=0")


def judged(recorded: Recorder, told: Told | None = None) -> list[Verdict]:
    write_file(recorded.folder / "log", recorded.found)
    disk = recorded.folder / "before.img"
    return prove(disk, recorded.folder / "log", recorded.folder / "judge", lambda _: None, told)


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
