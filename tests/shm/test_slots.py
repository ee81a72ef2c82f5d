"""A slot gives every reader the newest whole record, whatever its writer does."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runtime.shm import DTYPES, Shm, Source, Verdict

HEADER_BYTES = 4096
TOPICS = sorted(set(DTYPES) - {"state", "state.miss"})


def scribble(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("topic", TOPICS)
def test_slot_before_its_first_record_gives_none_and_then_what_was_written(
    shm: Shm, topic: str
) -> None:
    reader = shm.reader(topic)
    assert reader.latest() is None
    writer = shm.writer(topic)
    assert reader.latest() is None
    record = writer.new()
    record["created_ns"] = 77
    assert writer.write(record) == 1
    latest = reader.latest()
    assert latest is not None
    assert (latest["seq"], latest["created_ns"]) == (1, 77)


def test_writing_by_fields_keeps_every_value(shm: Shm) -> None:
    writer, reader = shm.writer("command.policy"), shm.reader("command.policy")
    writer.write(q=np.arange(8.0), gripper=0.5, source=Source.POLICY, task_id=2**63)
    latest = reader.latest()
    assert latest is not None
    assert latest["q"].tolist() == list(range(8))
    assert (latest["gripper"], latest["source"], latest["task_id"]) == (0.5, Source.POLICY, 2**63)


def test_a_record_that_was_read_can_be_written_again_with_other_fields(shm: Shm) -> None:
    writer, reader = shm.writer("verdict"), shm.reader("verdict")
    writer.write(speed_scale=0.5, surprise=2.0)
    latest = reader.latest()
    assert latest is not None
    writer.write(latest, seq=0, surprise=3.0)
    latest = reader.latest()
    assert latest is not None
    assert (latest["seq"], latest["speed_scale"], latest["surprise"]) == (2, 0.5, 3.0)


def test_records_read_cannot_be_written_to(shm: Shm) -> None:
    shm.writer("verdict").write(speed_scale=0.5)
    latest = shm.reader("verdict").latest()
    assert latest is not None
    with pytest.raises(ValueError, match=r"read-only|assignment destination"):
        latest["speed_scale"] = 1.0


@given(data=st.data())
def test_any_record_survives_the_way_through(data: st.DataObject) -> None:
    dtype = DTYPES["people"]
    record = data.draw(hnp.arrays(dtype, ()))
    record["workspace"] = data.draw(st.integers(0, 2))
    shm = Shm(Path(f"/dev/shm/bedplate-test-way-{os.getpid()}"))
    writer, reader = shm.writer("people"), shm.reader("people")
    record["seq"] = max(1, int(record["seq"]))
    writer.write(record)
    latest = reader.latest()
    assert latest is not None
    for name in dtype.names or ():
        assert latest[name].tobytes() == record[name].tobytes()
    shm.directory.joinpath("people").unlink()
    shm.directory.rmdir()


def test_a_topic_has_one_writer_until_that_one_is_gone(shm: Shm) -> None:
    first = shm.writer("goal")
    with pytest.raises(OSError, match=r"goal: goal has a writer already"):
        shm.writer("goal")
    del first
    shm.writer("goal")


def test_a_restarted_writer_counts_on(shm: Shm) -> None:
    writer = shm.writer("directive")
    assert [writer.write(), writer.write()] == [1, 2]
    del writer
    assert shm.writer("directive").write() == 3


def test_an_undeclared_topic_is_refused(shm: Shm) -> None:
    with pytest.raises(KeyError, match=r"command\.pollicy"):
        shm.writer("command.pollicy")


def test_a_record_of_another_topic_is_refused(shm: Shm) -> None:
    with pytest.raises(TypeError, match="the topic's is"):
        shm.writer("goal").write(shm.writer("plan").new())


def test_an_enum_value_that_does_not_exist_reads_as_nothing(shm: Shm) -> None:
    writer, reader = shm.writer("verdict"), shm.reader("verdict")
    writer.write(verdict=Verdict.VETO)
    assert reader.latest() is not None
    writer.write(verdict=200)
    assert reader.latest() is None


@given(seed=st.integers(0, 2**32))
def test_garbage_anywhere_behind_the_header_never_hurts_a_reader(seed: int) -> None:
    rng = random.Random(seed)
    shm = Shm(Path(f"/dev/shm/bedplate-test-garbage-{os.getpid()}"))
    writer, reader = shm.writer("scene"), shm.reader("scene")
    writer.write()
    path = shm.directory / "scene"
    size = path.stat().st_size
    for _ in range(20):
        start = rng.randrange(1024, size)
        scribble(path, start, rng.randbytes(rng.randrange(1, min(512, size - start + 1))))
        latest = reader.latest()
        assert latest is None or latest["backend"] <= 3
    writer.write(frames=5)
    latest = reader.latest()
    assert latest is not None
    assert latest["frames"] == 5
    path.unlink()
    shm.directory.rmdir()


@pytest.mark.parametrize(
    ("offset", "data", "reason"),
    [
        (0, b"\xff" * 8, "first word"),
        (64, b"\xff", "another message layout"),
        (96, b"x", "does not carry the topic"),
        (24, b"\x07", "record size"),
    ],
)
def test_a_file_that_is_something_else_is_refused_by_readers(
    shm: Shm, offset: int, data: bytes, reason: str
) -> None:
    shm.writer("plan")
    scribble(shm.directory / "plan", offset, data)
    with pytest.raises(OSError, match=reason):
        shm.reader("plan").latest()


def test_a_file_of_an_older_layout_is_replaced_by_its_writer_and_readers_follow(shm: Shm) -> None:
    old = shm.writer("plan")
    reader = shm.reader("plan")
    old.write(clearance_m=1.0)
    assert reader.latest() is not None
    del old
    scribble(shm.directory / "plan", 64, b"\xff")
    shm.writer("plan").write(clearance_m=2.0)
    latest = reader.latest()
    assert latest is not None
    assert latest["clearance_m"] == 2.0


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 4096])
def test_a_file_that_is_no_shared_file_is_replaced_by_its_writer(shm: Shm, content: bytes) -> None:
    (shm.directory / "plan").write_bytes(content)
    shm.writer("plan").write(clearance_m=3.0)
    latest = shm.reader("plan").latest()
    assert latest is not None
    assert latest["clearance_m"] == 3.0


FLOOD = """
import sys
from pathlib import Path
import numpy as np
from runtime.shm import Shm
writer = Shm(Path(sys.argv[1])).writer("command.fallback")
record, count = writer.new(), 0
print("ready", flush=True)
while True:
    count += 1
    record["seq"] = record["task_id"] = count
    record["q"][:] = record["qd"][:] = record["gripper"] = count
    writer.write(record)
"""


def test_a_flooding_writer_in_another_process_is_read_without_a_single_torn_record(
    shm: Shm,
) -> None:
    flood = subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(shm.directory)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert flood.stdout is not None
        assert flood.stdout.readline() == "ready\n"
        reader, whole, last = shm.reader("command.fallback"), 0, 0
        deadline = time.monotonic() + 30
        while whole < 20_000 and time.monotonic() < deadline:
            latest = reader.latest()
            if latest is None:
                continue
            count = int(latest["seq"])
            values = {*latest["q"].tolist(), *latest["qd"].tolist(), latest["gripper"].item()}
            assert values == {float(count)}, latest
            assert count >= last
            last, whole = count, whole + 1
        assert whole == 20_000
        flood.send_signal(signal.SIGKILL)
        flood.wait()
        shm.writer("command.fallback").write(gripper=1.0)
        latest = reader.latest()
        assert latest is not None
        assert latest["gripper"] == 1.0
    finally:
        flood.kill()
        flood.wait()
        if flood.stdout is not None:
            flood.stdout.close()
