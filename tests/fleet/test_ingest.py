"""Ingest without a network: identity, idempotence, refused points, poison, and exact books."""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.events import Wanted
from fleet.events.search import every
from fleet.ingest import Incoming, Ingest
from fleet.metrics import Span, tally
from fleet.store.books import POISON_KEPT, Books, Outcome, parse_account
from fleet.store.embedded import EmbeddedStore
from fleet.store.series import Query, StoreUnavailableError
from records import Priority, TelemetryFrame
from runtime.telemetry.frame import decode_ack, encode_frame
from runtime.telemetry.line import encode_line, encode_tags
from runtime.telemetry.ranges import SeqSet, expand, fold

NOW_NS = 1_700_000_000_000_000_000


class StoppedClock:
    def now_ns(self) -> int:
        return 1

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000


class Side:
    """Store, books and ingest in a folder."""

    def __init__(self, folder: Path) -> None:
        self.store = EmbeddedStore(folder / "series.sqlite")
        self.books = Books(f"sqlite:///{folder / 'books.sqlite'}")
        self.ingest = Ingest(self.store, self.books, StoppedClock())

    def stored(self, measurement: str = "joint", robot: str = "r-1") -> list[int]:
        points = self.store.points(Query(measurement, robot, limit=10**6, newest_first=False))
        return sorted(int(point.fields["seq"]) for point in points)

    def close(self) -> None:
        self.store.close()
        self.books.close()


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    side = Side(tmp_path)
    yield side
    side.close()


def frame(
    sequences: Sequence[int], robot: str = "r-1", epoch: int = 5, bad: Sequence[int] = (), **more
) -> TelemetryFrame:
    tags = {"robot": robot, "site": "osaka", "hardware": "x", "version": "dev"}
    lines = tuple(
        encode_line(
            "joint",
            encode_tags(tags),
            {"q": "not a number" if seq in bad else seq / 3},
            seq=seq,
            epoch=epoch,
            time_ns=1_700_000_000_000_000_000 + seq * 1000,
        )
        for seq in sequences
    )
    base = {
        "config_hash": "a" * 64,
        "artifact_name": "dev",
        "robot_id": robot,
        "site": "osaka",
        "hardware": "x",
        "epoch": epoch,
        "priority": Priority.METRIC,
        "replayed": False,
        "ranges": fold(sequences),
        "thinned": (),
        "lines": lines,
    }
    return TelemetryFrame(**{**base, **more})


def message(made: TelemetryFrame, robot: str | None = None) -> Incoming:
    topic = f"bedplate/v1/{made.site}/{robot or made.robot_id}/frames"
    return Incoming(topic, encode_frame(made))


def account(head: int, pending: Sequence[tuple[int, int]] = (), epoch: int = 5) -> Incoming:
    payload = {"v": 1, "epoch": epoch, "head": head, "pending": pending, "counters": {"a": 1}}
    return Incoming("bedplate/v1/osaka/r-1/account", orjson.dumps(payload))


def test_ack_names_what_is_stored_on_the_robots_own_topic(side: Side) -> None:
    (answer,) = side.ingest.process([message(frame([1, 2, 3, 7]))])
    assert answer.topic == "bedplate/v1/osaka/r-1/ack"
    ack = decode_ack(answer.payload)
    assert (ack.epoch, ack.stored, ack.refused) == (5, ((1, 3), (7, 7)), ())
    assert side.stored() == [1, 2, 3, 7]


@given(data=st.data())
def test_frames_in_any_order_and_number_give_the_same_store_and_books(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    frames = [frame(range(first, first + 5)) for first in range(1, 41, 5)]
    arrivals = data.draw(st.lists(st.sampled_from(frames), min_size=1, max_size=30))
    side = Side(tmp_path_factory.mktemp("side"))
    at = 0
    while at < len(arrivals):
        size = data.draw(st.integers(1, 5))
        side.ingest.process([message(item) for item in arrivals[at : at + size]])
        at += size
    expected = sorted({seq for item in arrivals for seq in expand(item.ranges)})
    assert side.stored() == expected
    booked = side.books.settled("r-1", 5, Outcome.STORED)
    assert list(expand(booked)) == expected
    side.close()


def ended(seq: int, *, is_bad: bool) -> bytes:
    """The end of a task; a bad one has a word where the database knows a number."""
    tags = encode_tags({"robot": "r-1", "site": "osaka", "hardware": "x", "version": "dev"})
    fields = {"name.text": "task.done", "skill.text": "pick", "x": "bad" if is_bad else 1.0}
    return encode_line("event", tags, fields, seq=seq, epoch=5, time_ns=NOW_NS + seq * 1000)


drawn_frames = st.lists(
    st.builds(
        lambda numbers, config, late: frame(
            sorted(numbers),
            lines=tuple(ended(seq, is_bad=seq % 5 == 0) for seq in sorted(numbers)),
            config_hash=config * 64,
            replayed=late,
            thinned=((100 + min(numbers), 100 + min(numbers)),),
        ),
        st.sets(st.integers(2, 30), min_size=1, max_size=12),
        st.sampled_from("ab"),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=20)
@given(frames=drawn_frames, size=st.integers(1, 8))
def test_frames_that_share_numbers_count_each_of_them_once_together_or_apart(
    frames: list[TelemetryFrame], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    side = Side(tmp_path_factory.mktemp("side"))
    side.ingest.process([message(frame([1], lines=(ended(1, is_bad=False),)))])
    stored, refused = SeqSet(((1, 1),)), SeqSet()
    for at in range(0, len(frames), size):
        for answer in side.ingest.process([message(item) for item in frames[at : at + size]]):
            ack = decode_ack(answer.payload)
            stored.update(SeqSet(ack.stored))
            refused.update(SeqSet(ack.refused))
    sent = {1, *(seq for item in frames for seq in expand(item.ranges))}
    good = sorted(seq for seq in sent if seq % 5)
    assert list(expand(stored)) == good
    assert list(expand(refused)) == sorted(sent.difference(good))
    settled = {outcome: side.books.settled("r-1", 5, outcome) for outcome in Outcome}
    assert settled[Outcome.STORED] == stored
    assert settled[Outcome.REFUSED] == refused
    first_is_late: dict[int, bool] = {}
    for item in frames:
        for seq in expand(item.ranges):
            first_is_late.setdefault(seq, item.replayed)
    late = settled[Outcome.REPLAYED]
    assert [seq for seq in good if seq in late] == [s for s in good if first_is_late.get(s)]
    assert {100 + min(expand(item.ranges)) for item in frames} == set(
        expand(settled[Outcome.THINNED])
    )
    now_s = NOW_NS // 10**9
    assert tally(side.books.engine, Span(now_s - 600, now_s + 600)).done == len(good)
    assert sum(1 for _ in every(side.books.engine, Wanted())) == len(good)
    side.close()


def test_refused_points_are_acknowledged_as_refused_counted_and_kept_for_a_look(
    side: Side,
) -> None:
    side.ingest.process([message(frame([1]))])
    answers = side.ingest.process([message(frame([2, 3, 4, 5], bad=[3, 5]))])
    ack = decode_ack(answers[0].payload)
    assert ack.stored == ((2, 2), (4, 4))
    assert ack.refused == ((3, 3), (5, 5))
    assert [row["seq"] for row in side.books.refused("r-1")] == [3, 5]
    assert "float" in side.books.refused("r-1")[0]["reason"]
    assert side.stored() == [1, 2, 4]
    side.ingest.process([account(head=5)])
    (books,) = side.books.accounts("r-1")
    assert (books.stored, books.refused, books.missing) == (3, 2, 0)


def test_frame_on_another_robots_branch_is_set_aside_and_not_stored(side: Side) -> None:
    assert side.ingest.process([message(frame([1], robot="r-2"), robot="r-1")]) == []
    assert side.stored(robot="r-2") == []
    (row,) = side.books.poison()
    assert "frame of osaka/r-2 on the branch of osaka/r-1" in row["reason"]


def test_poison_does_not_stop_the_good_message_beside_it(side: Side) -> None:
    good = message(frame([1, 2]))
    batch = [Incoming(good.topic, b"\x00garbage"), good, Incoming("elsewhere", b"{}")]
    answers = side.ingest.process(batch)
    assert len(answers) == 1
    assert side.stored() == [1, 2]
    assert side.ingest.counts.poison == 2


@given(payload=st.binary(max_size=400), name=st.sampled_from(["frames", "account", "live", "ack"]))
def test_any_payload_is_set_aside_with_a_reason_and_never_answered(
    payload: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    side = Side(tmp_path_factory.mktemp("poison"))
    assert side.ingest.process([Incoming(f"bedplate/v1/osaka/r-1/{name}", payload)]) == []
    (row,) = side.books.poison()
    assert row["reason"]
    assert row["size"] == len(payload)
    side.close()


@given(at=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_damaged_frame_stores_nothing_or_is_the_frame_itself(
    at: int, value: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    side = Side(tmp_path_factory.mktemp("damaged"))
    whole = message(frame([1, 2, 3]))
    damaged = bytearray(whole.payload)
    damaged[at % len(damaged)] = value
    payload = bytes(damaged[: len(damaged) - cut])
    answers = side.ingest.process([Incoming(whole.topic, payload)])
    assert bool(answers) == (payload == whole.payload)
    assert side.stored() == ([1, 2, 3] if payload == whole.payload else [])
    side.close()


def test_poison_is_kept_up_to_a_number_and_cut_to_a_size(side: Side) -> None:
    for index in range(POISON_KEPT + 20):
        side.books.set_aside("t", f"reason {index}", b"x" * 10_000, 1)
    rows = side.books.poison(limit=5000)
    assert len(rows) == POISON_KEPT
    assert rows[0]["reason"] == f"reason {POISON_KEPT + 19}"
    assert len(rows[0]["payload"]) == 4096
    assert rows[0]["size"] == 10_000


class FailingStore:
    """Fails as often as it is told, before or after the lines are written."""

    def __init__(self, inner: EmbeddedStore, draw: random.Random) -> None:
        self._inner = inner
        self._draw = draw

    def write(self, lines: Sequence[bytes]) -> Mapping[int, str]:
        chance = self._draw.random()
        if chance < 0.2:
            raise StoreUnavailableError("before")
        refused = self._inner.write(lines)
        if chance < 0.4:
            raise StoreUnavailableError("after")
        return refused

    def points(self, query: Query) -> list:
        return self._inner.points(query)

    def close(self) -> None:
        self._inner.close()


@pytest.mark.parametrize("seed", range(5))
def test_crash_at_any_place_then_resend_loses_and_doubles_nothing(
    tmp_path: Path, seed: int
) -> None:
    """The robot sends what was not named until it is; the store and the books fail at will."""
    draw = random.Random(seed)
    side = Side(tmp_path)
    ingest = Ingest(FailingStore(side.store, draw), side.books, StoppedClock())
    waiting = set(range(1, 201))
    for _ in range(200):
        if not waiting:
            break
        some = sorted(draw.sample(sorted(waiting), min(len(waiting), 17)))
        try:
            answers = ingest.process([message(frame(some))])
        except StoreUnavailableError:
            continue
        if draw.random() < 0.3:
            continue  # the acknowledgement is lost on its way
        for answer in answers:
            waiting -= set(expand(decode_ack(answer.payload).stored))
    assert not waiting
    assert side.stored() == list(range(1, 201))
    ingest.process([account(head=200)])
    (books,) = side.books.accounts("r-1")
    assert (books.stored, books.pending, books.missing) == (200, 0, 0)
    side.close()


def test_books_tell_pending_thinned_and_missing_apart(side: Side) -> None:
    side.ingest.process([message(frame(range(1, 51), thinned=((60, 69),)))])
    side.ingest.process([account(head=100, pending=[(71, 100)])])
    (books,) = side.books.accounts("r-1")
    assert (books.stored, books.thinned, books.pending) == (50, 10, 30)
    assert books.missing == 10
    assert books.missing_ranges == ((51, 59), (70, 70))


def test_books_count_what_was_stored_after_the_report_as_stored(side: Side) -> None:
    side.ingest.process([account(head=10, pending=[(1, 10)])])
    side.ingest.process([message(frame(range(1, 21)))])
    (books,) = side.books.accounts("r-1")
    assert (books.head, books.stored, books.pending, books.missing) == (10, 10, 0, 0)


def test_books_keep_each_spool_apart_and_ignore_an_older_report(side: Side) -> None:
    side.ingest.process([message(frame([1, 2])), message(frame([1], epoch=6))])
    side.ingest.process([account(head=2), account(head=1, epoch=6), account(head=1)])
    accounts = {item.epoch: item for item in side.books.accounts("r-1")}
    assert accounts[5].head == 2
    assert (accounts[5].stored, accounts[6].stored) == (2, 1)


def test_books_mark_as_replayed_what_came_late_and_not_what_was_only_resent(side: Side) -> None:
    side.ingest.process([message(frame(range(1, 11)))])
    side.ingest.process([message(frame(range(6, 16), replayed=True))])
    assert side.books.settled("r-1", 5, Outcome.REPLAYED).ranges() == ((11, 15),)


def test_books_lead_back_to_the_configuration(side: Side) -> None:
    side.ingest.process([message(frame([1, 2])), message(frame([3], config_hash="b" * 64))])
    rows = {
        row["config_hash"][0]: (row["first"], row["last"]) for row in side.books.provenance("r-1")
    }
    assert rows == {"a": (1, 2), "b": (3, 3)}


INT64 = st.integers(-(2**63), 2**63 - 1)


@given(st.recursive(st.none() | INT64 | st.text(), st.lists, max_leaves=5))
def test_account_of_any_json_is_read_or_refused(value: object) -> None:
    for field in ("epoch", "head", "pending", "counters"):
        raw = {"v": 1, "epoch": 1, "head": 1, "pending": [], "counters": {}, field: value}
        try:
            epoch, head, pending, counters = parse_account(orjson.dumps(raw))
        except ValueError:
            continue
        assert (epoch, head, counters) == (raw["epoch"], raw["head"], raw["counters"])
        assert [list(one) for one in pending] == raw["pending"]
        assert min(epoch, head) >= 0
