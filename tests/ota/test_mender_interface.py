"""The double against the description that the server's makers publish, question by question.

Where what was seen of a real server contradicts that text, what was seen holds: each such place is
a row of DEVIATIONS with its number. The description is not part of this project: without
MENDER_OPENAPI=…/openapi.yaml there is nothing to compare with.
"""

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.ota.mender_api.rig import Console, Device, connect
from tests.ota.mender_double import interface
from tests.ota.mender_double.serve import Served, serve

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True)
class Deviation:
    """Where the double answers otherwise than the text says, and which observation says so."""

    number: int | None  # of the observed behaviour; None: seen of no server, said in `why`
    operations: str  # as METHOD path, a regular expression
    status: int
    waived: tuple[CheckFunction, ...]
    why: str


STATUS, SHAPE = (status_code_conformance,), (content_type_conformance, response_schema_conformance)
DEVIATIONS = (
    Deviation(2, "GET .*/devauth/devices(/{id})?", 200, SHAPE[1:], "identity_data may be null"),
    Deviation(3, "POST .*/auth_requests", 200, SHAPE, "a raw JWT, not JSON"),
    Deviation(5, ".* /api/devices/.*", 401, (*STATUS, *SHAPE), "no body, and on every path"),
    Deviation(8, "GET .*", 400, STATUS, "pages and filters out of bounds, on every list"),
    Deviation(
        10, "PATCH .*/groups/{name}/devices", 200, SHAPE[1:], "counts of nothing are left out"
    ),
    Deviation(12, "POST .*/artifacts", 415, STATUS, "an upload that is no form"),
    Deviation(17, "POST .*", 413, STATUS, "bodies of more than a mebibyte"),
    Deviation(27, "PUT .*/deployments/{id}/(status|log)", 415, STATUS, "reports that are not JSON"),
    Deviation(27, "PUT .*/{id}/status", 500, (not_a_server_error,), "a report of {}"),
    Deviation(
        None, ".* /api/management/.*", 401, STATUS, "one gateway asks for the token everywhere"
    ),
)
if "MENDER_OPENAPI" not in os.environ:
    pytest.skip("MENDER_OPENAPI names no openapi.yaml of the server", allow_module_level=True)
schema = schemathesis.openapi.from_dict(interface.load(Path(os.environ["MENDER_OPENAPI"])))


@dataclass
class Bench:
    """The double, and in it one of everything, made again when a question has taken it away."""

    served: Served
    console: Console
    session: requests.Session
    turn: Iterator[bool]
    device: Device
    artifact_name: str
    deployment: str = ""

    def restore(self) -> None:
        mender = self.served.mender
        if mender.device_of_token(self.device.token) is None:
            self.device = self.console.device()
        if not any(a.name == self.artifact_name for a in mender.artifacts.values()):
            self.artifact_name = self.console.artifact()
        known = mender.deployments.get(self.deployment)
        if known is None or known.finished or self.device.id not in known.devices:
            self.deployment = self.console.deploy(self.artifact_name, self.device)
            self.device.poll()
            self.device.send_log(self.deployment)
        mender.devices[self.device.id].group = "robots"

    def known(self, path: str) -> dict[str, str]:
        mender = self.served.mender
        of_device = any(part in path for part in ("/devauth/", "/inventory/", "s/devices/{id}"))
        artifact = next(a.id for a in mender.artifacts.values() if a.name == self.artifact_name)
        artifact = artifact if "/artifacts/" in path else self.deployment
        return {
            "aid": mender.devices[self.device.id].auth_sets[0].id,
            "deployment_id": self.deployment,
            "device_id": self.device.id,
            "name": "robots",
            "id": self.device.id if of_device else artifact,
        }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with serve(tmp_path_factory.mktemp("mender")) as served, requests.Session() as session:
        console = connect(served.url, served.trust(), served.user, served.password)
        turns = itertools.cycle([True, True, False])
        yield Bench(served, console, session, turns, console.device(), console.artifact())
        console.http.close()


@schema.parametrize()
@settings(max_examples=5)
def test_answers_are_those_of_the_description(case: schemathesis.Case, bench: Bench):
    token = token_for(case, bench)
    reply = case.call(
        base_url=bench.served.url,
        session=bench.session,
        headers={"Authorization": f"Bearer {token}"},
        verify=str(bench.served.certificate),
    )
    case.validate_response(reply, checks=allowed(case, reply.status_code))


def allowed(case: schemathesis.Case, status: int) -> list[CheckFunction]:
    """The checks that are left where what was seen contradicts the text."""
    waived = {
        check
        for deviation in DEVIATIONS
        if deviation.status == status and re.fullmatch(deviation.operations, case.operation.label)
        for check in deviation.waived
    }
    return [check for check in CHECKS if check not in waived]


def token_for(case: schemathesis.Case, bench: Bench) -> str:
    """Two of three questions are about things that exist: else every answer were 404."""
    bench.restore()
    if case.path_parameters and next(bench.turn):
        known = bench.known(case.path)
        case.path_parameters.update({key: known[key] for key in case.path_parameters})
    return bench.device.token if "/devices/v1/" in case.path else bench.console.token


def test_every_deviation_is_one_that_was_seen():
    assert {d.number for d in DEVIATIONS} <= {*range(1, 36), None}


def test_a_wrong_answer_is_found(bench: Bench):
    """Planted: a device whose status is a word that the description does not know."""
    operation = schema["/api/management/v2/devauth/devices/{id}"]["GET"]
    bench.restore()
    bench.served.mender.devices[bench.device.id].auth_sets[0].pubkey = 7  # type: ignore[assignment]
    case = operation.Case(path_parameters={"id": bench.device.id})
    headers = {"Authorization": f"Bearer {bench.console.token}"}
    reply = case.call(
        base_url=bench.served.url, headers=headers, verify=str(bench.served.certificate)
    )
    bench.served.mender.devices.clear()
    with pytest.raises(FailureGroup):
        case.validate_response(reply, checks=CHECKS)
