"""What waits for an ingester: live goes first, nothing starves, nothing is lost."""

import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.inbox import BATCH_MESSAGES, LATE_BYTES, FullError, Inbox, is_late
from records import Priority, TelemetryFrame
from runtime.telemetry.frame import encode_frame


@dataclass(frozen=True)
class Item:
    number: int
    is_late: bool
    size: int = 10


def test_what_is_live_goes_before_the_backlog_and_the_backlog_still_moves() -> None:
    inbox: Inbox[Item] = Inbox()
    for number in range(100):
        inbox.put([Item(number, True, LATE_BYTES // 4)])
    for number in range(3):
        inbox.put([Item(number, False)])
    batch = inbox.take(1)
    assert [item.number for item in batch if not item.is_late] == [0, 1, 2]
    assert [item.is_late for item in batch] == [False] * 3 + [True] * 4
    for number in range(2 * BATCH_MESSAGES):
        inbox.put([Item(number, False)])
    assert [item.is_late for item in inbox.take(1)] == [False] * BATCH_MESSAGES + [True]


def test_a_message_of_any_size_is_taken_some_time() -> None:
    inbox: Inbox[Item] = Inbox()
    inbox.put([Item(1, True, 10 * LATE_BYTES)])
    assert [item.number for item in inbox.take(1)] == [1]
    assert inbox.take(0) == []


@given(
    items=st.lists(st.tuples(st.booleans(), st.integers(1, 2**21)), min_size=1, max_size=60),
    together=st.lists(st.integers(0, 20), max_size=10),
)
def test_everything_comes_out_once_and_each_kind_in_its_order(
    items: list[tuple[bool, int]], together: list[int]
) -> None:
    inbox: Inbox[Item] = Inbox(gather_s=0, held_bytes=2**40)
    put = [Item(number, late, size) for number, (late, size) in enumerate(items)]
    at = 0
    for size in (*together, len(put)):
        inbox.put(put[at : at + size])
        at += size
    out: list[Item] = []
    while batch := inbox.take(0):
        out += batch
    for late in (False, True):
        assert [i for i in out if i.is_late == late] == [i for i in put if i.is_late == late]
    assert len(inbox) == 0


def test_a_full_one_makes_the_broker_wait_and_says_so_when_nobody_takes() -> None:
    inbox: Inbox[Item] = Inbox(held_bytes=15, full_s=0.02)
    inbox.put([Item(1, False)])
    inbox.put([Item(2, False)])
    with pytest.raises(FullError, match="20 bytes wait"):
        inbox.put([Item(3, False)])
    patient: Inbox[Item] = Inbox(held_bytes=15, full_s=30)
    for number in range(2):
        patient.put([Item(number, False)])
    taker = threading.Thread(target=patient.take, args=(1,))
    taker.start()
    patient.put([Item(3, False)])
    taker.join()
    assert [item.number for item in patient.take(1)] == [3]


@pytest.mark.parametrize("replayed", [False, True])
def test_a_frame_shows_whether_it_is_late(replayed: bool) -> None:
    frame = TelemetryFrame(
        robot_id="r-1",
        site="osaka",
        hardware="x",
        artifact_name="dev",
        config_hash="a" * 64,
        epoch=5,
        priority=Priority.METRIC,
        replayed=replayed,
        ranges=((1, 1),),
        thinned=(),
        lines=(b'm,a=b t="\\"replayed\\":true" 1',),
    )
    assert is_late(encode_frame(frame)[:1024]) is replayed
    assert not is_late(b"")
    assert not is_late(b'{"v":1,"replayed":true}'[:7])


def test_who_gathers_sleeps_until_it_is_time_or_enough() -> None:
    inbox: Inbox[Item] = Inbox(gather_s=30)
    taken: list[Item] = []
    taker = threading.Thread(target=lambda: taken.extend(inbox.take(30)))
    taker.start()
    for number in range(BATCH_MESSAGES):  # the first wakes it, the last ends its gathering
        inbox.put([Item(number, False)])
    taker.join(20)
    assert not taker.is_alive()
    assert [item.number for item in taken] == list(range(BATCH_MESSAGES))
