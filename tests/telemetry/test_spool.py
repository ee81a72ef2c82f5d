"""The spool: what it was given is there, in order, below its cap, whatever happens to the disk."""

import random
import sqlite3
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from records import Priority
from runtime.telemetry.client import Record, priority_of
from runtime.telemetry.line import decode_line
from runtime.telemetry.ranges import SeqSet, expand
from runtime.telemetry.spool import Spool
from runtime.telemetry.spool_file import SpoolCorruptError, SpoolUnavailableError, set_aside
from tests.telemetry.spools import MIB, alert, at, event, folder_bytes, metric, open_spool

ALL = 2**62
numbers = count(1)


def held(spool: Spool, priority: Priority) -> list[int]:
    return [seq for seq, _ in spool.take(priority, 1, ALL, rows=10**6, size=2**40)]


def all_held(spool: Spool) -> set[int]:
    return {seq for priority in Priority for seq in held(spool, priority)}


def test_spool_commit_gives_sequence_numbers_in_order_of_creation(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.sqlite")
    done = spool.commit([metric(3), alert(1), event(2)], at(4))
    assert done.ranges == {Priority.ALERT: [1], Priority.EVENT: [2], Priority.METRIC: [3]}
    assert spool.head == 3


def test_spool_lines_carry_their_sequence_epoch_tags_and_unique_time(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.sqlite")
    spool.commit([metric(1) for _ in range(50)], at(1))
    points = [
        decode_line(line) for _, line in spool.take(Priority.METRIC, 1, ALL, rows=99, size=ALL)
    ]
    assert [point.fields["seq"] for point in points] == list(range(1, 51))
    assert {point.fields["epoch"] for point in points} == {77}
    assert len({point.time_ns for point in points}) == 50
    assert points[0].tags["robot"] == "osaka-01"


def test_spool_reopened_continues_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    spool = open_spool(path)
    spool.commit([metric(1), alert(1)], at(1))
    lines = spool.take(Priority.METRIC, 1, ALL, rows=9, size=ALL)
    spool.add_counts({"refused_datagrams": 2})
    spool.commit([event(2)], at(2))
    spool.close()
    again = open_spool(path, epoch=99)
    assert again.epoch == 77
    assert again.take(Priority.METRIC, 1, ALL, rows=9, size=ALL) == lines
    assert again.counters["refused_datagrams"] == 2
    assert again.commit([event(3)], at(3)).ranges[Priority.EVENT] == [4]


def test_spool_take_keeps_to_rows_and_bytes_but_gives_one_at_least(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.sqlite")
    spool.commit([metric(1, size=500) for _ in range(10)], at(1))
    assert len(spool.take(Priority.METRIC, 1, ALL, rows=4, size=ALL)) == 4
    assert len(spool.take(Priority.METRIC, 1, ALL, rows=10, size=2000)) < 4
    assert len(spool.take(Priority.METRIC, 1, ALL, rows=10, size=1)) == 1


def test_spool_settle_forgets_exactly_what_is_named(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.sqlite")
    spool.commit([metric(1) for _ in range(10)], at(1))
    gone = spool.settle(stored=[(1, 3), (8, 20)], refused=[(5, 5)], thinned=[])
    assert gone == 7
    assert held(spool, Priority.METRIC) == [4, 6, 7]
    assert spool.counters == {"settled_stored": 6, "settled_refused": 1}
    assert spool.settle(stored=[(1, 3)], refused=[], thinned=[]) == 0


def test_spool_counts_are_saved_with_the_deletion_they_count(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    spool = open_spool(path)
    spool.commit([metric(1)], at(1))
    spool.settle(stored=[(1, 1)], refused=[], thinned=[])
    spool.close()
    assert open_spool(path).counters["settled_stored"] == 1


def fill(spool: Spool, folder: Path, records: list[Record], batch: int = 50) -> int:
    """Commits in batches; returns the most bytes the folder ever held."""
    most = 0
    for start in range(0, len(records), batch):
        spool.commit(records[start : start + batch], at(start / batch))
        most = max(most, folder_bytes(folder))
    return most


def test_spool_never_grows_above_its_cap_and_thins_metrics_only(memory_folder: Path) -> None:
    spool = open_spool(memory_folder / "spool.sqlite", max_bytes=2 * MIB)
    records: list[Record] = []
    for index in range(12_000):
        records.append(metric(index, size=150))
        if index % 40 == 0:
            records.append(alert(index) if index % 80 else event(index))
    most = fill(spool, memory_folder, records)
    depth = spool.depth()
    assert most <= 2 * MIB
    assert depth.records[Priority.ALERT] + depth.records[Priority.EVENT] == 300
    assert depth.counters["thinned_metric"] > 5_000
    assert "thinned_event" not in depth.counters
    assert depth.counters["thinned_metric"] + len(all_held(spool)) == spool.head


def test_spool_thins_old_metrics_to_a_coarser_grain_and_keeps_the_newest_whole(
    memory_folder: Path,
) -> None:
    spool = open_spool(memory_folder / "spool.sqlite", max_bytes=2 * MIB)
    fill(spool, memory_folder, [metric(index, size=150) for index in range(12_000)])
    kept = SeqSet()
    for seq in held(spool, Priority.METRIC):
        kept.add(seq, seq)
    oldest, newest = len(kept.within(1, 6_000)), len(kept.within(11_001, 12_000))
    assert newest == 1000
    assert 0 < oldest < 3_000


def test_spool_books_every_number_it_gave_up(memory_folder: Path) -> None:
    spool = open_spool(memory_folder / "spool.sqlite", max_bytes=2 * MIB)
    fill(spool, memory_folder, [metric(index, size=150) for index in range(12_000)])
    thinned = set(expand(spool.thinned(10**6)))
    assert thinned | all_held(spool) == set(range(1, spool.head + 1))
    assert not thinned & all_held(spool)


def test_spool_full_of_events_gives_up_the_oldest_events_and_no_alert(memory_folder: Path) -> None:
    spool = open_spool(memory_folder / "spool.sqlite", max_bytes=MIB)
    fill(spool, memory_folder, [alert(0) for _ in range(100)])
    fill(spool, memory_folder, [event(index, size=300) for index in range(4_000)])
    counters = spool.depth().counters
    assert counters["thinned_event"] > 1000
    assert "thinned_alert" not in counters
    assert len(held(spool, Priority.ALERT)) == 100
    assert held(spool, Priority.EVENT)[-1] == spool.head


def test_spool_booked_numbers_can_be_settled_although_their_range_grew(memory_folder: Path) -> None:
    spool = open_spool(memory_folder / "spool.sqlite", max_bytes=MIB)
    fill(spool, memory_folder, [metric(index, size=300) for index in range(3_000)])
    booked = spool.thinned(3)
    fill(spool, memory_folder, [metric(index, size=300) for index in range(3_000)])
    before = set(expand(spool.thinned(10**6)))
    spool.settle(stored=[], refused=[], thinned=booked)
    assert set(expand(spool.thinned(10**6))) == before - set(expand(booked))


def test_spool_damaged_record_is_given_up_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    spool = open_spool(path)
    spool.commit([metric(1) for _ in range(5)], at(1))
    spool.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE metric SET line = x'00ff' WHERE seq = 3")
    raw.close()
    spool = open_spool(path)
    assert held(spool, Priority.METRIC) == [1, 2, 4, 5]
    assert spool.thinned(9) == ((3, 3),)
    assert spool.counters["damaged"] == 1


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 300, b"SQLite format 3\x00" + b"\xff" * 9000]
)
def test_spool_file_that_is_none_is_named_and_can_be_set_aside(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "spool.sqlite"
    path.write_bytes(content)
    with pytest.raises(SpoolCorruptError, match="is set aside"):
        open_spool(path)
    aside = set_aside(path)
    assert aside.read_bytes() == content
    assert open_spool(path).head == 0


def test_spool_of_a_later_schema_is_set_aside_not_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "spool.sqlite"
    open_spool(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 9")
    raw.close()
    with pytest.raises(SpoolCorruptError, match="schema version 9"):
        open_spool(path)


def test_spool_second_owner_is_refused(tmp_path: Path) -> None:
    first = open_spool(tmp_path / "spool.sqlite")
    with pytest.raises(SpoolUnavailableError, match="locked"):
        open_spool(tmp_path / "spool.sqlite")
    first.close()


def test_spool_used_after_its_end_says_unavailable(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.sqlite")
    spool.close()
    with pytest.raises(SpoolUnavailableError):
        spool.commit([metric(1)], at(1))


def test_spool_in_memory_keeps_records_and_says_it_is_not_durable() -> None:
    spool = open_spool(None)
    spool.commit([alert(1)], at(1))
    assert held(spool, Priority.ALERT) == [1]
    assert not spool.depth().durable


def test_spool_clock_set_back_is_counted_and_breaks_no_uniqueness(tmp_path: Path) -> None:
    spool = open_spool(tmp_path / "spool.sqlite")
    for step in range(40):
        spool.commit([metric(step) for _ in range(3)], at(step, jump_ns=-(step % 5) * 10**13))
    lines = spool.take(Priority.METRIC, 1, ALL, rows=999, size=ALL)
    assert len({decode_line(line).time_ns for _, line in lines}) == 120
    assert spool.counters["clock_set_back"] > 5


actions = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.lists(st.sampled_from("aem"), max_size=6)),
        st.tuples(st.just("settle"), st.tuples(st.integers(1, 60), st.integers(0, 20))),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(history=actions)
def test_spool_below_its_cap_holds_exactly_what_was_committed_and_not_settled(
    history: list, memory_folder: Path
) -> None:
    path = memory_folder / f"{next(numbers)}.sqlite"
    spool, model, seq = open_spool(path), {}, 0
    for step, (action, detail) in enumerate(history):
        if action == "commit":
            make = {"a": alert, "e": event, "m": metric}
            batch = [make[kind](step) for kind in detail]
            spool.commit(batch, at(step))
            for record in batch:
                seq += 1
                model[seq] = priority_of(record)
        elif action == "settle":
            first, last = detail[0], detail[0] + detail[1]
            spool.settle(stored=[(first, last)], refused=[], thinned=[])
            model = {s: p for s, p in model.items() if not first <= s <= last}
        else:
            spool.close()
            spool = open_spool(path)
        assert dict(spool.depth().records) == {
            p: sum(1 for kept in model.values() if kept is p) for p in Priority
        }
        assert set(model) <= set(expand(spool.pending(1000)))
    for priority in Priority:
        assert held(spool, priority) == [s for s, p in model.items() if p is priority]
    assert spool.head == seq
    spool.close()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_spool_never_loses_an_alert_while_metrics_flood_it(seed: int, memory_folder: Path) -> None:
    folder = memory_folder / str(next(numbers))
    folder.mkdir()
    spool = open_spool(folder / "spool.sqlite", max_bytes=MIB)
    draw, alerts = random.Random(seed), []
    for step in range(60):
        batch = [metric(step, size=draw.randrange(400)) for _ in range(draw.randrange(150))]
        if draw.random() < 0.5:
            batch.append(alert(step))
        alerts += spool.commit(batch, at(step)).ranges[Priority.ALERT]
        assert folder_bytes(folder) <= MIB
    assert held(spool, Priority.ALERT) == alerts
    spool.close()
