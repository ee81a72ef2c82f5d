"""The local API over its Unix socket, against a stepping agent."""

import threading
import time

import httpx
import pytest

from runtime.agent.agentd import build_served
from runtime.skills.refusal import Refusal, RefusalReason, SkillRefusedError


@pytest.fixture
def client(world, monkeypatch):
    monkeypatch.setattr("runtime.agent.skills.SkillShelf.hash_of", lambda _self, _name: 5)

    def obtain(_self, name, *, online):
        if name == "pick_place":
            return 5
        reason = RefusalReason.NOT_FOUND if online else RefusalReason.NOT_CACHED_OFFLINE
        raise SkillRefusedError(Refusal(reason, name, "nothing", "a cached skill", "another"))

    monkeypatch.setattr("runtime.agent.skills.SkillShelf.obtain", obtain)
    agent = build_served(world.context)
    stop = threading.Event()
    world.run(agent, 7000)

    def loop() -> None:
        while not stop.is_set():
            world.run(agent, 50)
            time.sleep(0.002)

    thread = threading.Thread(target=loop)
    thread.start()
    transport = httpx.HTTPTransport(uds=str(world.context.paths.agent_socket))
    with httpx.Client(transport=transport, base_url="http://robot", timeout=10) as http:
        yield http
    stop.set()
    thread.join()
    agent.close()


def test_state_shows_the_robot_at_a_glance(client, world):
    state = client.get("/v1/state").json()
    assert state["robot_id"] == world.context.config.robot_id
    assert state["config_hash"] == world.context.config.config_hash
    assert state["mode"]["modes"] == ["nominal"]
    assert state["control"]["stop_level"] == "none"


def test_every_promised_path_answers_and_is_in_the_openapi_document(client):
    for path in ("state", "mode", "tasks", "skills", "health"):
        assert client.get(f"/v1/{path}").status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    posts = {path for path, item in paths.items() if "post" in item}
    assert posts == {"/v1/tasks", "/v1/stop", "/v1/rearm", "/v1/drills"}


def test_a_posted_task_is_on_disk_and_in_the_list(client):
    reply = client.post("/v1/tasks", json={"skill": "pick_place", "high_value": True})
    assert reply.status_code == 201, reply.text
    task_id = reply.json()["task_id"]
    tasks = client.get("/v1/tasks").json()
    known = [tasks["running"], *tasks["queue"], *tasks["recent"]]
    assert task_id in [task["task_id"] for task in known if task]


def test_a_new_skill_is_refused_offline_with_the_reason(client, world):
    world.online = False
    deadline = time.monotonic() + 10
    while "network_offline" not in client.get("/v1/mode").json()["modes"]:
        assert time.monotonic() < deadline
    reply = client.post("/v1/tasks", json={"skill": "fold_towel"})
    assert reply.status_code == 409
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["reason"] == "not_cached_offline"


def test_stop_and_rearm_over_the_api(client):
    assert client.post("/v1/stop", json={"level": "hold"}).json() == {"level": "hold"}
    mode = client.get("/v1/mode").json()
    assert "safe_stop" in mode["modes"]
    assert mode["causes"] == ["operator"]
    assert client.post("/v1/rearm", json={}).json() == {"cleared": ["operator"], "remaining": []}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v1/tasks", {"skil": "pick_place"}, "skil"),
        ("/v1/tasks", {"skill": "../../etc/passwd"}, "skill"),
        ("/v1/tasks", {"object_id": -1}, "object_id"),
        ("/v1/stop", {"level": "gently"}, "level"),
    ],
)
def test_a_body_that_does_not_fit_is_a_problem_that_names_the_field(client, path, body, named):
    reply = client.post(path, json=body)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert named in reply.json()["detail"]


def test_bytes_that_are_no_json_are_a_problem_too(client):
    reply = client.post(
        "/v1/stop", content=b"\xff\x00{", headers={"content-type": "application/json"}
    )
    assert reply.status_code == 400
    assert reply.headers["content-type"] == "application/problem+json"


def test_an_unknown_path_is_a_problem(client):
    reply = client.get("/v2/state")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_a_stopped_agent_is_said_instead_of_old_state(world):
    agent = build_served(world.context)
    world.run(agent, 100)
    transport = httpx.HTTPTransport(uds=str(world.context.paths.agent_socket))
    with httpx.Client(transport=transport, base_url="http://robot", timeout=10) as http:
        assert http.get("/v1/state").status_code == 200
        world.clock.advance(3_000_000_000)
        reply = http.get("/v1/state")
    agent.close()
    assert reply.status_code == 503
    assert reply.json()["type"].endswith("agent_not_stepping")
