"""The loss window of a power cut, on a disk that keeps any subset of what was not flushed.

A small C library writes down what the spool does to its files. From that record the disk is
rebuilt as a cut at any moment could have left it: all that was flushed, and of the rest any writes,
in whole or by 512-byte sectors. A spool that opens there must hold every confirmed record.
"""

import os
import random
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from records import Priority
from runtime.telemetry.line import decode_line
from runtime.telemetry.ranges import expand
from runtime.telemetry.spool_file import SpoolError
from tests.telemetry.spools import MIB, at, metric, open_spool

HERE = Path(__file__).parent
SECTOR = 512
CUTS = 150


@dataclass(frozen=True)
class Operation:
    kind: str
    name: str
    offset: int
    data: bytes


@dataclass
class File:
    """What is certainly on the disk, and what may be."""

    flushed: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list)

    def flush(self) -> None:
        for operation in self.pending:
            apply(self.flushed, operation)
        self.pending.clear()

    def after_cut(self, draw: random.Random) -> bytes:
        content = bytearray(self.flushed)
        share = draw.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        for operation in self.pending:
            if draw.random() >= share:
                continue
            if operation.kind == "w" and draw.random() < 0.3:
                operation = torn(operation, draw)
            apply(content, operation)
        return bytes(content)


def apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "t":
        del content[operation.offset :]
        content.extend(bytes(operation.offset - len(content)))
        return
    content.extend(bytes(max(0, operation.offset - len(content))))
    content[operation.offset : operation.offset + len(operation.data)] = operation.data


def torn(operation: Operation, draw: random.Random) -> Operation:
    """Only the first or only the last sectors of a write."""
    edge = draw.randrange(0, len(operation.data) + 1, SECTOR)
    if draw.random() < 0.5:
        return Operation("w", operation.name, operation.offset, operation.data[:edge])
    return Operation("w", operation.name, operation.offset + edge, operation.data[edge:])


def read_log(path: Path) -> list[Operation]:
    raw, at_byte, operations = path.read_bytes(), 0, []
    while at_byte < len(raw):
        kind, length = chr(raw[at_byte]), raw[at_byte + 1]
        at_byte += 2
        name = raw[at_byte : at_byte + length].decode()
        at_byte += length
        offset, size = struct.unpack_from("<qI", raw, at_byte)
        at_byte += 12
        operations.append(Operation(kind, name, offset, raw[at_byte : at_byte + size]))
        at_byte += size
    return operations


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> list[Operation]:
    folder = tmp_path_factory.mktemp("powercut")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the recorder of disk writes needs a C compiler (cc)")
    library, disk = folder / "record.so", folder / "disk"
    disk.mkdir()
    source = str(HERE / "powercut" / "record.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), source, "-ldl"], check=True
    )
    subprocess.run(
        [sys.executable, "-m", "tests.telemetry.powercut.writer", str(disk)],
        check=True,
        env={
            **os.environ,
            "LD_PRELOAD": str(library),
            "RECORD_PREFIX": str(disk),
            "RECORD_LOG": str(folder / "log"),
            "PYTHONPATH": str(HERE.parents[1]),
        },
    )
    return read_log(folder / "log")


def test_recorder_saw_flushes_log_and_checkpoints(operations: list[Operation]) -> None:
    """Without these the proof below would prove nothing."""
    flushed = [operation.name for operation in operations if operation.kind == "s"]
    assert flushed.count("spool.sqlite-wal") > 300
    assert flushed.count("spool.sqlite") > 5


def play(operations: list[Operation], until: int) -> tuple[dict[str, File], int, int]:
    """Files just before the cut, the last number confirmed, and the last that may be settled."""
    files: dict[str, File] = {}
    head = settled = 0
    for operation in operations[:until]:
        if operation.name == "mark":
            words = operation.data.decode().split()
            head, settled = int(words[0]), int(words[1])
        elif operation.kind == "s":
            files.setdefault(operation.name, File()).flush()
        elif operation.kind == "u":
            files.pop(operation.name, None)
        else:
            files.setdefault(operation.name, File()).pending.append(operation)
    return files, head, settled


def created(operations: list[Operation]) -> int:
    """The spool exists from its first confirmed commit on; before that there is nothing to lose."""
    return next(index for index, item in enumerate(operations) if item.name == "mark")


@pytest.mark.parametrize("seed", range(3))
def test_power_cut_at_any_moment_loses_no_confirmed_record(
    operations: list[Operation], memory_folder: Path, seed: int
) -> None:
    draw = random.Random(seed)
    first = created(operations)
    for number in range(CUTS // 3):
        until = draw.randrange(first, len(operations) + 1)
        files, head, settled = play(operations, until)
        disk = memory_folder / str(number)
        disk.mkdir()
        for name, file in files.items():
            if not name.endswith("ballast"):
                (disk / name).write_bytes(file.after_cut(draw))
        check_spool(disk, head, settled)
        shutil.rmtree(disk)


def check_spool(disk: Path, head: int, settled: int) -> None:
    spool = open_spool(disk / "spool.sqlite", max_bytes=MIB)
    found = set(expand(spool.thinned(10**6)))
    for priority in Priority:
        for seq, line in spool.take(priority, 1, 2**60, rows=10**6, size=2**40):
            assert decode_line(line).fields["seq"] == seq
            found.add(seq)
    assert found >= set(range(settled + 1, head + 1))
    assert "damaged" not in spool.counters
    given = spool.commit([metric(1)], at(10_000)).ranges[Priority.METRIC]
    assert given[0] > head
    spool.close()


def test_power_cut_on_a_spool_without_flushes_would_be_noticed(
    operations: list[Operation], memory_folder: Path
) -> None:
    """The same check on a disk that ignores flushes must fail: the proof has teeth."""
    deaf = [operation for operation in operations if operation.kind != "s"]
    draw, failures = random.Random(1), 0
    for number in range(20):
        until = draw.randrange(created(deaf), len(deaf) + 1)
        files, head, settled = play(deaf, until)
        disk = memory_folder / f"deaf-{number}"
        disk.mkdir()
        for name, file in files.items():
            (disk / name).write_bytes(file.after_cut(draw))
        try:
            check_spool(disk, head, settled)
        except (AssertionError, SpoolError):
            failures += 1
    assert failures > 5
