"""What a database of rows promises, asked of SQLite and of a real PostgreSQL alike."""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Engine

from fleet.store.books import METADATA, POISON_KEPT, Books, Outcome, Settlement
from fleet.store.rows import Transaction, hold, open_rows, read, reading, scripts
from fleet.store.series import StoreUnavailableError
from runtime.telemetry.ranges import SeqSet
from tests.fleet.conftest import Postgres

ROBOT, EPOCH = "r-1", 5
NAMES = ("settled", "provenance", "account", "refused_point", "poison")


@pytest.fixture
def books(rows_url: str) -> Iterator[Books]:
    books = Books(rows_url)
    yield books
    books.close()


def settlement(stored: SeqSet, robot: str = ROBOT, **more: Any) -> Settlement:
    return Settlement(robot, EPOCH, "a" * 64, "v1", stored, **more)


def account(head: int, pending: list[list[int]], **counters: int) -> bytes:
    return orjson.dumps(
        {"v": 1, "epoch": EPOCH, "head": head, "pending": pending, "counters": counters}
    )


def test_books_add_up_and_a_resend_changes_nothing(books: Books) -> None:
    item = settlement(
        SeqSet([(1, 4), (8, 9)]), refused={5: ("why", b"line")}, thinned=SeqSet([(6, 6)])
    )
    for _ in range(2):
        books.settle([item])
        books.note_account(ROBOT, account(12, [[10, 11]], dropped=3), 7)
    (found,) = books.accounts(ROBOT)
    assert (found.head, found.stored, found.refused, found.thinned) == (12, 6, 1, 1)
    assert (found.pending, found.missing, found.missing_ranges) == (2, 2, ((7, 7), (12, 12)))
    assert found.counters == {"dropped": 3}
    (row,) = books.refused(ROBOT)
    assert (row["seq"], row["reason"], row["line"]) == (5, "why", "line")


def test_what_a_database_cannot_hold_in_a_text_is_shown_instead(books: Books) -> None:
    line = b"a\x00b\xff"
    books.settle([settlement(SeqSet(), refused={1: ("no \x00 here \ud800", line)})])
    books.set_aside("t\x00t", "why \x00", b"\x00\x01", 1)
    assert books.refused(ROBOT)[0]["line"] == "a\ufffdb\ufffd"
    assert books.poison()[0]["payload"] == b"\x00\x01"


def test_poison_keeps_the_newest(books: Books) -> None:
    for number in range(POISON_KEPT // 100):
        books.set_aside("t", f"why {number}", b"x", number)
    assert [row["at_ns"] for row in books.poison(3)] == [9, 8, 7]


def test_several_ingesters_settle_one_robot_at_once(rows_url: str) -> None:
    """Odd and even numbers, in pieces that touch: ranges must join, none may be lost or double."""
    openers = [Books(rows_url) for _ in range(3)]
    failures: list[StoreUnavailableError] = []

    def work(number: int, books: Books) -> None:
        try:
            for start in range(1 + number, 61, len(openers)):
                mine = [settlement(SeqSet([(start, start)]), robot) for robot in ("r-2", "r-1")]
                books.settle(mine[:: 1 if number % 2 else -1])
        except StoreUnavailableError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=item) for item in enumerate(openers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for robot in ("r-1", "r-2"):
        assert openers[0].settled(robot, EPOCH, Outcome.STORED) == SeqSet([(1, 60)])
        query = sql.text("SELECT count(*) FROM settled WHERE robot = :robot")
        assert openers[0].read(query.bindparams(robot=robot))[0][0] == 1
    for books in openers:
        books.close()


def test_migrations_make_exactly_the_tables_that_are_declared(rows_url: str) -> None:
    engine = open_rows(rows_url)
    with reading(engine).connect() as connection:
        tables = {name for name in NAMES if name in METADATA.tables}
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or name in NAMES},
        )
        changes = compare_metadata(context, METADATA)
    assert tables == set(NAMES)
    mine = [change for change in changes if getattr(change[1], "name", None) in NAMES]
    assert mine == []
    engine.dispose()


def test_opening_again_changes_nothing(rows_url: str) -> None:
    for _ in range(2):
        engine = open_rows(rows_url)
        versions = {row[0] for row in read(engine, sql.text("SELECT * FROM alembic_version"))}
        assert versions == set(scripts().get_heads())
        engine.dispose()


def test_many_may_open_a_new_database_at_once(rows_url: str) -> None:
    opened: list[Engine | StoreUnavailableError] = []

    def work() -> None:
        try:
            opened.append(open_rows(rows_url))
        except StoreUnavailableError as error:
            opened.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [item for item in opened if not isinstance(item, Engine)] == []
    for item in opened:
        if isinstance(item, Engine):
            item.dispose()


def test_books_made_before_there_were_migrations_are_adopted(rows_url: str) -> None:
    old = sql.create_engine(sql.make_url(rows_url))
    METADATA.create_all(old, tables=[METADATA.tables[name] for name in NAMES])
    with old.begin() as connection:
        row = {"robot": ROBOT, "epoch": EPOCH, "outcome": "stored", "first": 1, "last": 42}
        connection.execute(sql.insert(METADATA.tables["settled"]).values(**row))
    old.dispose()
    books = Books(rows_url)
    books.settle([settlement(SeqSet([(43, 50)]))])
    assert books.settled(ROBOT, EPOCH, Outcome.STORED) == SeqSet([(1, 50)])
    books.close()


def test_database_of_a_later_version_is_left_alone(rows_url: str) -> None:
    engine = open_rows(rows_url)
    with Transaction(engine) as connection:
        connection.execute(sql.text("INSERT INTO alembic_version VALUES ('from_2031')"))
    engine.dispose()
    with pytest.raises(StoreUnavailableError, match="later version") as caught:
        open_rows(rows_url)
    assert "password" not in str(caught.value)


def test_a_transaction_that_fails_leaves_nothing(books: Books) -> None:
    def fail() -> None:
        with books.transaction() as connection:
            books_row = {"at_ns": 1, "topic": "t", "reason": "r", "size": 1, "payload": b"x"}
            connection.execute(sql.insert(METADATA.tables["poison"]).values(**books_row))
            connection.execute(sql.text("SELECT * FROM nowhere"))

    with pytest.raises(StoreUnavailableError, match="took nothing"):
        fail()
    assert books.poison() == []


def test_questions_do_not_wait_for_a_transaction_and_cannot_write(books: Books) -> None:
    with books.transaction() as connection:
        hold(connection, ["x"])
        books_row = {"at_ns": 1, "topic": "t", "reason": "r", "size": 1, "payload": b"x"}
        connection.execute(sql.insert(METADATA.tables["poison"]).values(**books_row))
        assert books.poison() == []
    assert len(books.poison()) == 1


def test_sqlite_that_somebody_else_holds_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.store.rows.WAIT_S", 0.05)
    books = Books(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    other = sqlite3.connect(tmp_path / "rows.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError):
        books.settle([settlement(SeqSet([(1, 1)]))])
    other.execute("ROLLBACK")
    other.close()
    books.settle([settlement(SeqSet([(1, 1)]))])
    books.close()


def test_postgresql_killed_and_started_again_has_all_that_was_settled(postgres: Postgres) -> None:
    books = Books(postgres.new_database())
    books.settle([settlement(SeqSet([(1, 10)]))])
    postgres.kill(signal.SIGKILL)
    with pytest.raises(StoreUnavailableError):
        books.settle([settlement(SeqSet([(11, 20)]))])
    with pytest.raises(StoreUnavailableError):
        books.accounts()
    postgres.start()
    books.settle([settlement(SeqSet([(11, 20)]))])
    assert books.settled(ROBOT, EPOCH, Outcome.STORED) == SeqSet([(1, 20)])
    books.close()


def test_another_kind_of_database_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="mysql"):
        open_rows("mysql://u:secret@h/d")
    with pytest.raises(StoreUnavailableError, match="cannot be opened") as caught:
        open_rows(f"sqlite:///{tmp_path}")
    assert "secret" not in str(caught.value)
