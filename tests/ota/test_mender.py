"""Our client of the Mender server: against the double, and against servers that misbehave."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.mender import (
    Address,
    AnswerError,
    AuthStatus,
    ConflictError,
    DeploymentState,
    DeviceStatus,
    Login,
    MenderError,
    MenderServer,
    NotAllowedError,
    NotFoundError,
    Outcome,
    Patience,
    RefusedError,
    Session,
    UnclearError,
    UnreachableError,
    WishError,
)
from ota.mender.session import end_of
from tests.ota.mender_api.rig import UNKNOWN, Console, pem_of, unique
from tests.ota.mender_double.artifact_file import make_artifact
from tests.ota.mender_double.serve import Served

S = DeviceStatus


@pytest.fixture
def mender(served: Served) -> Iterator[MenderServer]:
    session = Session(
        Address(served.url, served.certificate),
        login=Login(served.user, served.password),
        now=served.clock.now,
        sleep=lambda _s: None,
    )
    with MenderServer(session) as server:
        yield server


def test_an_artifact_is_uploaded_listed_and_deleted(mender: MenderServer, tmp_path: Path):
    name, seen = unique("release"), []
    path = tmp_path / "a.mender"
    path.write_bytes(make_artifact(name, "qemu_arm64", files={"p": b"x" * 300_000}))
    artifact_id = mender.upload(path, "nightly", lambda sent, size: seen.append((sent, size)))
    (artifact,) = mender.artifacts(name)
    assert (artifact.id, artifact.device_types, artifact.description) == (
        artifact_id, ("qemu_arm64",), "nightly",
    )  # fmt: skip
    size = path.stat().st_size
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)
    with pytest.raises(ConflictError, match="409"):
        mender.upload(path)
    mender.delete_artifact(artifact_id)
    assert mender.artifacts(name) == []


def test_a_deployment_from_its_making_to_its_end(mender: MenderServer, console: Console):
    good, bad, silent = (console.device() for _ in range(3))
    name = console.artifact()
    ids = [good.id, bad.id, silent.id]
    deployment_id = mender.create_deployment(unique("canary"), name, ids)
    made = mender.deployment(deployment_id)
    assert (made.state, made.max_devices, made.device_ids) == (
        DeploymentState.PENDING, 3, tuple(ids),
    )  # fmt: skip
    for device in (good, bad):
        assert device.poll().status_code == 200
    good.report(deployment_id, "success")
    bad.report(deployment_id, "failure")
    bad.send_log(deployment_id, "the gate said no")
    counts = mender.statistics(deployment_id)
    assert [counts.of(o) for o in (Outcome.GOOD, Outcome.BAD, Outcome.WAITING)] == [1, 1, 1]
    assert {row.id: row.status for row in mender.progress(deployment_id)} == {
        good.id: S.SUCCESS, bad.id: S.FAILURE,
    }  # fmt: skip
    assert "the gate said no" in (mender.device_log(deployment_id, bad.id) or "")
    assert mender.device_log(deployment_id, good.id) is None
    assert mender.abort(deployment_id)
    assert not mender.abort(deployment_id)
    over = mender.deployment(deployment_id)
    assert over.is_over
    assert over.uncounted == 1  # the silent one, in no count any more


def test_a_group_gets_a_deployment(mender: MenderServer, console: Console):
    device, group = console.device(), unique("group")
    assert mender.group(group) == []
    mender.join_group(group, [device.id])
    assert group in mender.groups()
    assert mender.group(group) == [device.id]
    deployment_id = mender.create_group_deployment(unique("d"), console.artifact(), group)
    assert mender.deployment(deployment_id).device_ids == (device.id,)
    mender.leave_group(group, [device.id])
    with pytest.raises(RefusedError, match="no devices in the group"):
        mender.create_group_deployment(unique("d"), console.artifact(), group)


def test_a_group_of_unknown_devices_is_an_error_though_the_server_says_nothing(
    mender: MenderServer,
):
    with pytest.raises(NotFoundError, match="1 of 1 devices unknown"):
        mender.join_group(unique("group"), [UNKNOWN])


def test_devices_are_accepted_and_rejected(mender: MenderServer, console: Console):
    device = console.device(accepted=False)
    waiting = next(d for d in mender.devices(AuthStatus.PENDING) if d.id == device.id)
    mender.accept(device.id, waiting.auth_sets[0])
    assert device.ask().status_code == 200
    mender.reject(device.id, waiting.auth_sets[0])
    assert device.poll().status_code == 401
    assert mender.device(device.id).status is AuthStatus.REJECTED


def test_a_preauthorized_robot_is_in_at_its_first_word(mender: MenderServer, console: Console):
    device = console.device(accepted=False)
    mender.decommission(device.id)
    device.identity = {"robot_id": unique("osaka")}
    assert mender.preauthorize(device.identity, pem_of(device.key))
    assert not mender.preauthorize(device.identity, pem_of(device.key))
    assert device.ask().status_code == 200
    assert not mender.preauthorize(device.identity, pem_of(device.key))


def test_a_robot_that_asked_first_or_has_a_new_key_is_let_in_too(
    mender: MenderServer, console: Console
):
    device = console.device(accepted=False)
    assert mender.preauthorize(device.identity, pem_of(device.key))
    assert device.ask().status_code == 200
    device.key = type(device)(console.http, {}).key
    assert mender.preauthorize(device.identity, pem_of(device.key))
    assert device.ask().status_code == 200


def test_inventory_and_names(mender: MenderServer, console: Console):
    device = console.device()
    device.tell("PUT", {"name": "bedplate.mode", "value": "nominal"})
    (found,) = mender.inventory([device.id])
    assert found.scope("inventory") == {"bedplate.mode": "nominal"}
    assert found.scope("identity")["status"] == "accepted"


def test_lists_longer_than_a_page_are_whole(
    mender: MenderServer, console: Console, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(3):
        console.device(accepted=False)
    whole = {d.id for d in mender.devices()}
    monkeypatch.setattr("ota.mender.server.PER_PAGE", 1)
    rows = mender.devices()
    assert {d.id for d in rows} == whole
    assert len(rows) == len(whole)
    assert len(mender.inventory()) == len(whole)


def test_a_token_that_ended_is_renewed_once(mender: MenderServer, served: Served):
    mender.groups()
    first = mender.session.token
    del served.mender.management_tokens[first]
    mender.groups()
    assert mender.session.token != first
    mender.session.token = "x.y.z"
    mender.session.login = None
    with pytest.raises(NotAllowedError, match="bedplate ota login"):
        mender.groups()


def test_a_token_near_its_end_is_not_used(mender: MenderServer, served: Served):
    mender.groups()
    first, end_s = mender.session.token, end_of(mender.session.token)
    assert end_s is not None
    served.clock.ahead_s += end_s - served.clock.now() - 30
    try:
        mender.groups()
    finally:
        served.clock.ahead_s = 0.0
    assert mender.session.token != first


def test_a_wrong_password_is_not_tried_again_and_not_told(served: Served):
    session = Session(
        Address(served.url, served.certificate), login=Login(served.user, "not the word")
    )
    with MenderServer(session) as server, pytest.raises(NotAllowedError) as caught:
        server.groups()
    assert "not the word" not in str(caught.value) + repr(session)


def test_a_server_of_another_authority_sees_no_token(served: Served):
    session = Session(Address(served.url), token="a.b.c", sleep=lambda _s: None)
    with MenderServer(session) as server, pytest.raises(UnreachableError, match="certificate"):
        server.groups()


def test_an_address_without_tls_is_refused():
    with pytest.raises(MenderError, match="without TLS"):
        Session(Address("http://mender.example.org"), token="a.b.c")


# What is not sent because of what the server would do with it.


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([], "no robots"),
        (["a", "b", "a"], "named more than once: a"),
        ([str(n) for n in range(20_001)], "20001 robots"),
    ],
)
def test_a_deployment_the_server_could_not_end_or_take_is_refused_here(
    mender: MenderServer, ids: list[str], words: str
):
    with pytest.raises(WishError, match=words):
        mender.create_deployment("x", "y", ids)
    with pytest.raises(WishError, match="257 characters"):
        mender.create_deployment("n" * 257, "y", ["a"])


def test_a_silent_robot_that_is_waited_for_is_not_decommissioned(
    mender: MenderServer, console: Console
):
    device = console.device()
    deployment_id = mender.create_deployment(unique("d"), console.artifact(), [device.id])
    with pytest.raises(WishError, match=deployment_id):
        mender.decommission(device.id)
    mender.abort(deployment_id)
    mender.decommission(device.id)
    with pytest.raises(NotFoundError):
        mender.device(device.id)


def test_an_unknown_artifact_says_where_to_look(mender: MenderServer):
    with pytest.raises(RefusedError, match="bedplate ota artifacts"):
        mender.create_deployment("x", unique("nothing"), [UNKNOWN])
    with pytest.raises(NotFoundError):
        mender.abort(UNKNOWN)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_cannot_leave_its_place_in_a_path(mender: MenderServer, name: str):
    with pytest.raises(WishError):
        mender.deployment(name)
    with pytest.raises(NotFoundError):
        mender.deployment("../artifacts/list")


# Servers and networks that misbehave, without a socket.

Answer = Callable[[httpx.Request], httpx.Response]


def scripted(*answers: httpx.Response | Exception | Answer, attempts: int = 5) -> MenderServer:
    """Each request takes the next answer; the pauses are kept in `session.pauses`."""
    left, pauses = list(answers), []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    session = Session(
        Address("https://mender.example.org"),
        token="a.b.c",
        patience=Patience(attempts=attempts),
        sleep=pauses.append,
        draw=lambda: 0.5,
        transport=httpx.MockTransport(handle),
    )
    server = MenderServer(session)
    server.left, server.pauses = left, pauses  # type: ignore[attr-defined]
    return server


def ok(value: object) -> httpx.Response:
    return httpx.Response(200, json=value)


def test_what_is_safe_is_tried_again_with_growing_pauses():
    server = scripted(
        httpx.ConnectError("no"), httpx.Response(503), httpx.ReadTimeout("slow"), ok(["a"])
    )
    assert server.groups() == ["a"]
    assert server.pauses == [0.375, 0.75, 1.5]  # type: ignore[attr-defined]


def test_patience_ends():
    server = scripted(*[httpx.Response(502)] * 3, attempts=3)
    with pytest.raises(UnreachableError, match="502"):
        server.groups()
    assert len(server.pauses) == 2  # type: ignore[attr-defined]


def test_a_server_may_ask_for_a_longer_pause_but_not_for_any():
    server = scripted(
        httpx.Response(429, headers={"Retry-After": "5"}),
        httpx.Response(429, headers={"Retry-After": "99999"}),
        ok([]),
    )
    server.groups()
    assert server.pauses == [5.0, 8.0]  # type: ignore[attr-defined]


def row(name: str, ids: list[str], deployment_id: str = "d1") -> dict:
    terms = [{"scope": "identity", "attribute": "id", "type": "$in", "value": ids}]
    return {
        "id": deployment_id, "name": name, "artifact_name": "r", "status": "pending",
        "created": "2026-08-22T10:00:00Z", "device_count": 0, "filter": {"terms": terms},
    }  # fmt: skip


def test_a_deployment_is_not_made_twice_when_the_answer_is_lost():
    lost = httpx.ReadTimeout("no answer")
    server = scripted(
        ok([row("n", ["a"], "old")]), lost, ok([row("n", ["a"]), row("n", ["a"], "old")])
    )
    assert server.create_deployment("n", "r", ["a"]) == "d1"
    server = scripted(ok([]), lost, ok([row("n", ["other"])]))
    with pytest.raises(UnclearError, match="may have happened"):
        server.create_deployment("n", "r", ["a"])
    assert server.left == []  # type: ignore[attr-defined]


def test_a_deployment_that_never_left_is_sent_again():
    made = httpx.Response(201, headers={"Location": "./deployments/d7"})
    server = scripted(ok([]), httpx.ConnectError("no"), made)
    assert server.create_deployment("n", "r", ["a"]) == "d7"


def test_the_only_word_ever_sent_to_a_deployment_is_aborted():
    bodies = []

    def keep(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(204)

    assert scripted(keep).abort("d1")
    assert bodies == [{"status": "aborted"}]


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"{}", b"[{}]", b'[{"id": 7}]', b"\xff", b"[" * 9000]
)
def test_an_answer_that_is_none_of_a_mender_server_is_said_to_be(content: bytes):
    server = scripted(httpx.Response(200, content=content))
    with pytest.raises(AnswerError, match=r"docs/mender\.md"):
        server.devices()


@given(st.binary(max_size=200), st.sampled_from([200, 204, 301, 400, 401, 404, 409, 418, 422, 500]))
def test_no_answer_whatever_breaks_the_client(content: bytes, status: int):
    server = scripted(*[httpx.Response(status, content=content)] * 5)
    with suppress(MenderError):
        server.deployments()


@given(st.text(max_size=60) | st.builds(lambda v: f"a.{base64.urlsafe_b64encode(json.dumps(v).encode()).decode()}.c", st.dictionaries(st.just("exp"), st.none() | st.integers() | st.floats() | st.text())))  # fmt: skip  # noqa: E501
def test_any_token_has_an_end_or_none(token: str):
    end_s = end_of(token)
    assert end_s is None or abs(end_s) < 1e15
