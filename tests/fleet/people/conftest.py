"""Rows of people in a database of their own, a clock that stands, Argon2 that costs little."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy.engine import Engine

from fleet.people.accounts import Accounts
from fleet.people.audit import Audit
from fleet.people.door import Door
from fleet.people.keys import Keys
from fleet.store.rows import open_rows

NS_PER_S = 1_000_000_000
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "seven green bolts"


@dataclass
class Clock:
    mono_ns: int = 10**15
    since_1970_ns: int = 1_800_000_000 * NS_PER_S

    def now_ns(self) -> int:
        return self.mono_ns

    def wall_ns(self) -> int:
        return self.since_1970_ns

    def go(self, seconds: float) -> None:
        self.mono_ns += round(seconds * NS_PER_S)
        self.since_1970_ns += round(seconds * NS_PER_S)


@dataclass
class People:
    rows: Engine
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.rows, self.clock, CHEAP)
        self.keys = Keys(self.rows, self.clock)
        self.audit = Audit(self.rows, self.clock)
        self.door = Door(self.accounts, self.keys, self.audit, self.clock)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Engine]:
    engine = open_rows(f"sqlite:///{tmp_path / 'rows.sqlite'}")
    yield engine
    engine.dispose()


@pytest.fixture
def people(rows: Engine) -> People:
    return People(rows)
