"""Stop, re-arm and tasks by the API, asked of a real agent; who may, and what the audit keeps."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conf.load import compose
from fleet.people.roles import Role
from fleet.prepare import LocalRobot, make_settings
from runtime.agent.agentd import build_served
from runtime.hal.clock import VirtualClock
from runtime.skills.refusal import Refusal, RefusalReason, SkillRefusedError
from runtime.telemetry.client import MemorySink
from tests.agent.conftest import World, make_context
from tests.fleet.fleet_of import hear, name_of
from tests.fleet.page_bench import Bench, Visitor, bench
from tests.fleet.people.conftest import People

ROBOT = "osaka-01"
AT = f"/api/v1/robots/{ROBOT}"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A real agent, armed, stepping on a clock that runs ahead; its shelf holds one skill."""
    for patience in ("fleet.local.TIMEOUT_S", "runtime.agent.api.REPLY_TIMEOUT_S"):
        monkeypatch.setattr(patience, 60.0)  # a busy machine fails no test
    monkeypatch.setattr("runtime.agent.skills.SkillShelf.hash_of", lambda _self, _name: 5)

    def obtain(_self: object, name: str, *, online: bool) -> int:
        if name == "pick_place":
            return 5
        reason = RefusalReason.NOT_FOUND if online else RefusalReason.NOT_CACHED_OFFLINE
        raise SkillRefusedError(Refusal(reason, name, "nothing", "a cached skill", "another"))

    monkeypatch.setattr("runtime.agent.skills.SkillShelf.obtain", obtain)
    clock, sink = VirtualClock(10**9), MemorySink()
    made = World(make_context(compose().config, tmp_path / "robot", clock, sink), sink, clock)
    agent, stop = build_served(made.context), threading.Event()
    made.run(agent, 7000)

    def loop() -> None:
        while not stop.is_set():
            made.run(agent, 50)
            time.sleep(0.002)

    thread = threading.Thread(target=loop)
    thread.start()
    yield made
    stop.set()
    thread.join()
    agent.close()


@pytest.fixture
def site(world: World, people: People, tmp_path: Path) -> Iterator[Bench]:
    socket = world.context.paths.agent_socket
    local = LocalRobot(tmp_path / "pki", socket, tmp_path / "faults.sock")
    (tmp_path / "fleet").mkdir()
    with bench(make_settings(compose().config, tmp_path / "fleet", local), people) as made:
        hear(made.watch, 2, people.clock)
        yield made


@pytest.fixture
def operator(site: Bench) -> Iterator[Visitor]:
    with site.logged_in(Role.OPERATOR) as client:
        yield client


def deeds(site: Bench) -> list[tuple[str, str, str]]:
    return [(one.who, one.target, one.outcome) for one in site.people.audit.entries(20)]


def test_robot_stops_stays_and_goes_on_by_an_operators_word(
    site: Bench, world: World, operator: Visitor
) -> None:
    stopped = operator.post(f"{AT}/stop", json={"level": "hold"})
    assert (stopped.status_code, stopped.json()) == (200, {"level": "hold"})
    deadline = time.monotonic() + 20
    while world.state["stop_level"] < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    rearmed = operator.post(f"{AT}/rearm", json={})
    assert rearmed.status_code == 200, rearmed.text
    assert rearmed.json()["cleared"] == ["operator"]
    assert ("the-operator", f"{AT}/stop hold", "200") in deeds(site)
    assert ("the-operator", f"{AT}/rearm", "200") in deeds(site)


def test_task_is_given_with_its_number_and_a_refusal_says_why(
    site: Bench, operator: Visitor
) -> None:
    given = operator.post(f"{AT}/tasks", json={"skill": "pick_place", "high_value": True})
    assert given.status_code == 201, given.text
    assert given.json()["task_id"] > 0
    refused = operator.post(f"{AT}/tasks", json={"skill": "juggle"})
    assert (refused.status_code, refused.json()["title"]) == (409, "robot refused")
    assert "juggle" in refused.json()["detail"]
    assert ("the-operator", f"{AT}/tasks juggle", "409") in deeds(site)


def test_viewer_may_do_none_of_it_and_that_is_noted(site: Bench, world: World) -> None:
    with site.logged_in(Role.VIEWER) as client:
        for deed in ("stop", "rearm", "tasks"):
            assert client.post(f"{AT}/{deed}", json={}).status_code == 403
    assert world.state["stop_level"] == 0
    assert ("the-viewer", f"{AT}/stop", "forbidden") in deeds(site)


def test_nobody_moves_a_robot_that_somebody_else_works_on(site: Bench, operator: Visitor) -> None:
    with site.logged_in(Role.ENGINEER) as engineer:
        begun = engineer.request("PUT", f"{AT}/maintenance", json={"reason": "new gripper"})
        assert begun.status_code == 200
    for deed in ("rearm", "tasks"):
        told = operator.post(f"{AT}/{deed}", json={})
        assert (told.status_code, told.json()["title"]) == (409, "in maintenance")
        assert "the-engineer" in told.json()["detail"]
    assert operator.request("DELETE", f"{AT}/maintenance").status_code == 409
    assert operator.post(f"{AT}/stop", json={}).status_code == 200  # stopping is always free
    with site.logged_in(Role.ENGINEER) as engineer:
        assert engineer.post(f"{AT}/tasks", json={}).status_code == 201


def test_robot_elsewhere_and_robot_nobody_knows_are_told_apart(operator: Visitor) -> None:
    away = operator.post(f"/api/v1/robots/{name_of(1)}/stop", json={})
    assert (away.status_code, away.json()["title"]) == (409, "not here")
    assert operator.post("/api/v1/robots/nobody/stop", json={}).status_code == 404


def test_agent_that_is_gone_is_no_success(site: Bench, world: World, operator: Visitor) -> None:
    world.context.paths.agent_socket.unlink()
    told = operator.post(f"{AT}/stop", json={})
    assert (told.status_code, told.json()["title"]) == (503, "no answer")
