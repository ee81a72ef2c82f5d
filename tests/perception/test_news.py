"""What a person is told of a camera: blind at once, and seeing when that lasts."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import Config
from runtime.hal.clock import NS_PER_S, VirtualClock
from runtime.perception.devices import Networks, card_paths, read_cards
from runtime.perception.inference.port import Ledger
from runtime.perception.news import SEES_AGAIN_NS, News
from runtime.shm.enums import GpuState, Trigger, Workspace
from runtime.telemetry.client import MemorySink, TelemetryClient

BLIND, SEEING = "perception.camera_blind", "perception.camera_seeing"
STEP_NS = NS_PER_S // 10


@pytest.fixture(scope="module")
def networks(config: Config) -> Networks:
    return read_cards(config, card_paths(config, Path("nothing-else-chosen")))


def told(networks: Networks, looks: Sequence[bool]) -> list[tuple[int, str]]:
    """At which look which event was told, of a camera looked at ten times a second."""
    sink = MemorySink()
    client = TelemetryClient(sink, "visiond", VirtualClock())
    news = News(client, Ledger(), networks)
    found: list[tuple[int, str]] = []
    for at, is_blind in enumerate(looks):
        blind = {"cell": is_blind}
        news.tell(at * STEP_NS, 1, Trigger(0), GpuState.OK, blind, Workspace.CLEAR)
        found += [(at, one.name) for one in sink.drain() if one.name in (BLIND, SEEING)]
    return found


def test_a_camera_that_goes_blind_is_told_at_once_and_its_sight_when_it_lasts(
    networks: Networks,
) -> None:
    steady = SEES_AGAIN_NS // STEP_NS
    looks = [False] * 5 + [True] * 3 + [False] * (steady + 5)
    assert told(networks, looks) == [(5, BLIND), (8 + steady, SEEING)]


def test_a_camera_that_flickers_is_told_of_once(networks: Networks) -> None:
    looks = [False, *[True, False, False] * 50]
    assert told(networks, looks) == [(1, BLIND)]


@given(looks=st.lists(st.booleans(), max_size=120))
def test_it_never_says_seeing_of_a_camera_that_was_just_blind(
    networks: Networks, looks: list[bool]
) -> None:
    steady = SEES_AGAIN_NS // STEP_NS
    events = told(networks, looks)
    names = [name for _, name in events]
    assert all(one != other for one, other in pairwise(names))
    for at, name in events:
        if name == SEEING:
            assert not any(looks[max(0, at - steady + 1) : at + 1])
        else:
            assert looks[at]
