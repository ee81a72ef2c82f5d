"""The API against its own description, question by question, and what a description cannot say."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
import requests
import schemathesis
import uvicorn
from hypothesis import settings as example_settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from conf.load import compose
from fleet.api.app import describe
from fleet.people import door
from fleet.people.limits import Rate
from fleet.people.roles import Role
from fleet.prepare import LocalRobot, make_settings
from fleet.settings import FleetSettings
from fleet.store.rows import open_rows
from tests.fleet.fleet_of import hear
from tests.fleet.page_bench import Bench, bench
from tests.fleet.people.conftest import PASSWORD, People

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def made_settings(folder: Path) -> FleetSettings:
    local = LocalRobot(folder / "pki", folder / "agent.sock", folder / "faults.sock")
    made = make_settings(compose().config, folder / "fleet", local)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return made.model_copy(update={"page_port": probe.getsockname()[1]})


@contextlib.contextmanager
def made_bench(folder: Path) -> Iterator[Bench]:
    rows = open_rows(f"sqlite:///{folder / 'rows.sqlite'}")
    people = People(rows)
    (folder / "fleet").mkdir()
    with bench(made_settings(folder), people) as made:
        hear(made.watch, 12, people.clock)
        people.accounts.add("owner", Role.ADMIN, PASSWORD)
        yield made
    rows.dispose()


@dataclass
class Served:
    url: str
    token: str
    session: requests.Session


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (
        pytest.MonkeyPatch.context() as patch,
        made_bench(tmp_path_factory.mktemp("api")) as made,
        requests.Session() as session,
    ):
        patch.setattr(door, "KNOWN", Rate(burst=10**9, per_s=1.0))
        made.people.door.__init__(
            made.people.accounts, made.people.keys, made.people.audit, made.people.clock
        )
        port = made.settings.page_port
        server = uvicorn.Server(
            uvicorn.Config(made.site.app, host="127.0.0.1", port=port, log_level="error")
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        _, token = made.people.keys.make_token("owner", "schemathesis", Role.ADMIN, 1)
        session.headers["authorization"] = f"Bearer {token}"
        yield Served(made.url, token, session)
        server.should_exit = True
        thread.join()


def description() -> dict:
    """As it is served; made without a server, so that the questions are known before there is
    one."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, made_bench(Path(folder)) as made:
        return orjson.loads(orjson.dumps(describe(made.site.fast)))


schema = schemathesis.openapi.from_dict(description())
EXISTING = {"robot_id": "robot-0003", "name": "owner"}


@schema.parametrize()
@example_settings(max_examples=12, deadline=None)
def test_answers_are_those_of_the_description(case: schemathesis.Case, served: Served) -> None:
    if case.method in ("PATCH",) and case.path_parameters == {"name": "owner"}:
        return  # who asks must be able to go on asking
    if case.path_parameters and len(str(case.body)) % 2:
        case.path_parameters.update(
            {key: word for key, word in EXISTING.items() if key in case.path_parameters}
        )
        if case.method == "PATCH":
            return
    reply = case.call(base_url=served.url, session=served.session)
    case.validate_response(reply, checks=CHECKS)


def test_a_wrong_answer_is_found(served: Served) -> None:
    """Planted: the description promises a word where a truth value comes."""
    right = schema["/api/v1/robots"]["GET"].Case()
    right.validate_response(right.call(base_url=served.url, session=served.session), checks=CHECKS)
    told = description()
    told["components"]["schemas"]["RobotReply"]["properties"]["healthy"] = {"type": "string"}
    wrong = schemathesis.openapi.from_dict(told)["/api/v1/robots"]["GET"].Case()
    reply = wrong.call(base_url=served.url, session=served.session)
    with pytest.raises(FailureGroup):
        wrong.validate_response(reply, checks=CHECKS)


def test_description_is_served_and_says_how_to_log_in(served: Served) -> None:
    told = httpx.get(
        f"{served.url}/api/v1/openapi.json", headers={"authorization": f"Bearer {served.token}"}
    ).json()
    assert told["openapi"].startswith("3.1")
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert all(path.startswith("/api/v1/") for path in told["paths"])
    assert httpx.get(f"{served.url}/api/v1/openapi.json").status_code == 401
