"""Maintenance: it ends by itself, it is one person's, and alerts are silent as long as it lasts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sql
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from fleet.people.roles import Principal, Role, Via
from fleet.store.rows import Transaction, open_rows
from fleet.upkeep import MAINTENANCE, HeldError, Upkeep
from tests.fleet.people.conftest import Clock

HOUR_S = 3600


def person(name: str, role: Role = Role.OPERATOR) -> Principal:
    return Principal(name, role, Via.SESSION, "1")


ANNA, BERT, EVE = person("anna"), person("bert"), person("eve", Role.ENGINEER)


@dataclass
class Told:
    """Which silences hold now, by what Upkeep said; Alertmanager itself is in test_silences."""

    held: dict[str, str] = field(default_factory=dict)
    number: int = 0

    def begin(self, robot_id: str, hours: float, who: str, reason: str) -> str:
        self.number += 1
        self.held[str(self.number)] = robot_id
        return str(self.number)

    def end(self, silence: str) -> None:
        del self.held[silence]


@pytest.fixture
def rows(rows_url: str) -> Iterator[Engine]:
    engine = open_rows(rows_url)
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_window_ends_by_itself_and_can_be_prolonged(rows: Engine, clock: Clock) -> None:
    upkeep = Upkeep(rows, clock)
    first = upkeep.begin("r1", ANNA, "new gripper", 1)
    clock.go(0.5 * HOUR_S)
    again = upkeep.begin("r1", ANNA, "and its hose", 1)
    assert (again.since_s, again.until_s) == (first.since_s, first.until_s + HOUR_S // 2)
    assert upkeep.all() == {"r1": again}
    clock.go(HOUR_S)
    assert upkeep.all() == {}
    assert upkeep.begin("r1", BERT, "paint", 1).since_s == clock.wall_ns() // 10**9


def test_what_somebody_holds_only_they_or_an_engineer_take_or_end(
    rows: Engine, clock: Clock
) -> None:
    told = Told()
    upkeep = Upkeep(rows, clock, told)
    kept = upkeep.begin("r1", ANNA, "new gripper", 1)
    for act in (lambda: upkeep.begin("r1", BERT, "mine", 1), lambda: upkeep.end("r1", BERT)):
        with pytest.raises(HeldError, match=r"anna.*new gripper"):
            act()
    assert upkeep.all() == {"r1": kept}
    assert list(told.held) == [kept.silence]
    assert upkeep.end("r1", EVE)
    assert (upkeep.all(), told.held) == ({}, {})
    assert not upkeep.end("r1", BERT)


PEOPLE = st.sampled_from([ANNA, BERT, EVE])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), PEOPLE, st.integers(1, 5)),
        st.tuples(st.just("end"), PEOPLE, st.just(0)),
        st.tuples(st.just("wait"), PEOPLE, st.integers(1, 4)),
    ),
    max_size=10,
)


@example_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS)
def test_it_never_changes_hands_without_an_engineer_and_no_silence_is_left(
    tmp_path: Path, steps: list[tuple[str, Principal, int]]
) -> None:
    rows, clock, told = open_rows(f"sqlite:///{tmp_path / 'rows.sqlite'}"), Clock(), Told()
    with Transaction(rows) as connection:
        connection.execute(sql.delete(MAINTENANCE))
    upkeep = Upkeep(rows, clock, told)
    for deed, who, number in steps:
        before = upkeep.all().get("r1")
        try:
            if deed == "begin":
                upkeep.begin("r1", who, "why", number)
            elif deed == "end":
                upkeep.end("r1", who)
            else:
                clock.go(number * HOUR_S)
        except HeldError:
            assert before is not None
            assert before.who != who.name
            assert upkeep.all().get("r1") == before
        else:
            after = upkeep.all().get("r1")
            if deed != "wait" and before is not None and after != before:
                assert before.is_free_for(who)
    for kept in upkeep.all().values():
        assert told.held[kept.silence] == "r1"
        upkeep.end("r1", EVE)
    rows.dispose()
