"""Rows: where engines are made, databases brought up to date, and changes made one at a time.

SQLite and PostgreSQL stand behind it. Each area declares its tables in its own package and makes
them by a branch of its own under `migrations/versions`; `open_rows` brings all branches to their
heads. A database that an earlier version made without them is adopted: what is there stays.
"""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fleet.store.series import StoreUnavailableError

MIGRATIONS = Path(__file__).parent / "migrations"
WAIT_S = 30  # for somebody else's transaction, and for a server to answer
STATEMENT_S = 60
_UPGRADE = "bedplate/upgrade"
_HOLD = sql.text("SELECT pg_advisory_xact_lock(key) FROM unnest(CAST(:keys AS bigint[])) AS key")

logging.getLogger("alembic").setLevel(logging.WARNING)  # it reports each step of each opening


def open_rows(url: str, *, kept: bool = True) -> Engine:
    """An engine on a database whose tables are those of this version; StoreUnavailableError.

    Its transactions write. `reading(engine)` gives one on the same pool that never waits for them.
    Not `kept`, as for a command that asks once: no connection outlives its use.
    """
    try:
        engine = _make_engine(url, {} if kept else {"poolclass": NullPool})
    except SQLAlchemyError as error:
        raise StoreUnavailableError(f"{_shown(url)}: no such database ({error})") from error
    try:
        _upgrade(engine)
    except (SQLAlchemyError, CommandError) as error:
        engine.dispose()
        raise StoreUnavailableError(_why_not_opened(url, error)) from error
    return engine


def reading(engine: Engine) -> Engine:
    """The same database and pool, for questions."""
    return engine.execution_options(rows_read_only=True, postgresql_readonly=True)


def read(engine: Engine, query: Any) -> Sequence[Any]:
    """All rows of one query; StoreUnavailableError."""
    try:
        with reading(engine).connect() as connection:
            return connection.execute(query).all()
    except SQLAlchemyError as error:
        raise StoreUnavailableError(f"the books cannot be read ({error})") from error


class Transaction:
    """A begun transaction whose database errors say that nothing was decided."""

    def __init__(self, engine: Engine) -> None:
        self._context = engine.begin()

    def __enter__(self) -> Connection:
        try:
            return self._context.__enter__()
        except SQLAlchemyError as error:
            raise StoreUnavailableError(f"the books cannot be opened ({error})") from error

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._context.__exit__(kind, error, trace)
        except SQLAlchemyError as failure:
            raise StoreUnavailableError(f"the books took nothing ({failure})") from failure
        if isinstance(error, SQLAlchemyError):
            raise StoreUnavailableError(f"the books took nothing ({error})") from error


def hold(connection: Connection, names: Iterable[str]) -> None:
    """Nobody else holds any of these names until the transaction ends.

    What is read and then written on the strength of it needs this on PostgreSQL. In SQLite a
    transaction that writes is alone anyway.
    """
    if connection.dialect.name != "postgresql":
        return
    keys = sorted({_lock_number(name) for name in names})  # one order: no two wait in a ring
    if keys:
        connection.execute(_HOLD, {"keys": keys})


def insert(dialect: str, table: sql.Table) -> "sqlite.Insert | postgresql.Insert":
    """Both know ON CONFLICT, and SQLAlchemy has it for each apart."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def storable(text: str) -> str:
    """PostgreSQL has no zero byte in a text, nor halves of a character."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def _make_engine(url: str, pool: dict[str, Any]) -> Engine:
    parsed = sql.make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            engine = sql.create_engine(
                parsed, connect_args={"timeout": WAIT_S, "check_same_thread": False}, **pool
            )
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        case "postgresql":
            options = f"-c statement_timeout={STATEMENT_S}s -c lock_timeout={WAIT_S}s"
            return sql.create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                pool_pre_ping=True,  # a server that was started anew is met at once
                connect_args={"connect_timeout": WAIT_S, "options": options},
                **pool,
            )
        case other:
            raise StoreUnavailableError(
                f"rows cannot be kept in {other}: the fleet speaks to sqlite and postgresql;"
                " set telemetry.rows to one of them"
            )


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    """Two who read and then write would each make the other fail: one of them waits instead."""
    reads = connection.get_execution_options().get("rows_read_only", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _upgrade(engine: Engine) -> None:
    directory = scripts()
    wanted = set(directory.get_heads())
    with reading(engine).connect() as connection:
        if set(MigrationContext.configure(connection).get_current_heads()) == wanted:
            return
    with engine.begin() as connection:  # all of it or nothing, whoever opens at the same time
        hold(connection, [_UPGRADE])
        _run(directory, connection)


def _run(directory: ScriptDirectory, connection: Connection) -> None:
    def steps(revision: Any, _context: Any) -> Any:
        return directory._upgrade_revs("heads", revision)

    with EnvironmentContext(Config(), directory, fn=steps, destination_rev="heads") as context:
        context.configure(connection=connection, transactional_ddl=True)
        context.run_migrations()


def _why_not_opened(url: str, error: Exception) -> str:
    if isinstance(error, CommandError):
        return (
            f"{_shown(url)}: the books cannot be opened: a later version has changed them"
            f" ({error}); run that version, or restore the copy made before it"
        )
    return f"{_shown(url)}: the books cannot be opened ({error})"


def _shown(url: str) -> str:
    """Without its password."""
    try:
        return sql.make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "the database of rows"


def _lock_number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
