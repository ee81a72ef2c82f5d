"""The task list on disk: what was asked for is not forgotten by kill -9 or a power cut.

Memory is what the agent works on; every change is handed to one writer thread, because a commit may
take as long as a disk likes and the agent must answer Tier 1 all the while. A disk that refuses is
counted and said; the robot goes on with the list it has.
"""

import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from runtime.agent.task import FailReason, Task, TaskSource, TaskState

log = logging.getLogger(__name__)

HISTORY_MAX = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS task (
  task_id INTEGER PRIMARY KEY,
  skill TEXT NOT NULL,
  source TEXT NOT NULL,
  created_wall_ns INTEGER NOT NULL,
  object_id INTEGER,
  high_value INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  reason TEXT NOT NULL,
  detail TEXT NOT NULL,
  finished_wall_ns INTEGER
)
"""
_COLUMNS = (
    "task_id",
    "skill",
    "source",
    "created_wall_ns",
    "object_id",
    "high_value",
    "state",
    "attempts",
    "reason",
    "detail",
    "finished_wall_ns",
)


class TaskStore:
    """One connection, used by one thread only."""

    def __init__(self, path: Path) -> None:
        self.refused_writes = 0
        self._path = path
        self._unwritten: dict[int, Task] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="task-store")
        self._connection: sqlite3.Connection | None = None

    def load(self) -> list[Task]:
        """Every task on disk, oldest first; an unreadable file is set aside, never deleted."""
        try:
            return self._run(self._load).result()
        except sqlite3.DatabaseError as error:
            aside = self._path.with_suffix(".damaged")
            log.error("%s: %s; set aside as %s, starting empty", self._path, error, aside)
            self._run(self._set_aside, aside).result()
            return []

    def save(self, task: Task) -> "Future[bool]":
        """Hands the row to the writer; the result says whether it is on disk."""
        return self._run(self._save, task)

    def close(self) -> None:
        self._run(self._close).result()
        self._worker.shutdown()

    def _run(self, work: Callable[..., Any], *args: object) -> "Future[Any]":
        return self._worker.submit(work, *args)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            opened = sqlite3.connect(self._path, isolation_level=None)
            opened.execute("PRAGMA journal_mode=WAL")
            opened.execute("PRAGMA synchronous=FULL")
            opened.execute(_SCHEMA)
            self._connection = opened
        return self._connection

    def _load(self) -> list[Task]:
        rows = self._open().execute(f"SELECT {', '.join(_COLUMNS)} FROM task ORDER BY task_id")
        return [_task(row) for row in rows]

    def _set_aside(self, aside: Path) -> None:
        self._close()
        if self._path.exists():
            self._path.replace(aside)
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _save(self, task: Task) -> bool:
        """Also writes what an earlier refusal left over."""
        self._unwritten[task.task_id] = task
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" for _ in _COLUMNS)
            connection.executemany(
                f"INSERT OR REPLACE INTO task ({', '.join(_COLUMNS)}) VALUES ({marks})",
                [_row(waiting) for waiting in self._unwritten.values()],
            )
            connection.execute(
                "DELETE FROM task WHERE finished_wall_ns IS NOT NULL AND task_id <= ?",
                (task.task_id - HISTORY_MAX,),
            )
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self.refused_writes += 1
            log.error("%s: task %d is not on disk: %s", self._path, task.task_id, error)
            self._close()
            return False
        self._unwritten.clear()
        return True

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _row(task: Task) -> tuple[object, ...]:
    return (
        task.task_id,
        task.skill,
        task.source.value,
        task.created_wall_ns,
        task.object_id,
        int(task.high_value),
        task.state.value,
        task.attempts,
        task.reason.value,
        task.detail,
        task.finished_wall_ns,
    )


def _task(row: tuple[Any, ...]) -> Task:
    return Task(
        task_id=row[0],
        skill=row[1],
        source=TaskSource(row[2]),
        created_wall_ns=row[3],
        object_id=row[4],
        high_value=bool(row[5]),
        state=TaskState(row[6]),
        attempts=row[7],
        reason=FailReason(row[8]),
        detail=row[9],
        finished_wall_ns=row[10],
    )
