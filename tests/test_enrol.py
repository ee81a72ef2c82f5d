"""The robot's side of enrolment: its key, the file it was flashed with, answers of any kind."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from runtime.enrol import InvitationError, RefusedError, ensure_key, read_invitation, reply_of
from runtime.fleet_address import Address, broker_of
from runtime.paths import Paths

GOOD = {
    "version": 1,
    "robot_id": "osaka-02",
    "site": "osaka",
    "fleet_url": "https://10.0.2.2:8443",
    "broker": {"host": "10.0.2.2", "port": 8883},
    "token": "secret" * 6,
    "ca_pem": "-----BEGIN CERTIFICATE-----",
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(tmp_path / "run", tmp_path / "data")


def test_a_key_that_was_cut_short_is_made_anew(paths: Paths) -> None:
    whole = ensure_key(paths.pki)
    assert ensure_key(paths.pki).public_key() == whole.public_key()
    pem = (paths.pki / "robot.key").read_bytes()
    (paths.pki / "robot.key").write_bytes(pem[: len(pem) // 2])
    assert ensure_key(paths.pki).public_key() != whole.public_key()


# The file a robot was flashed with


@pytest.fixture
def flashed(tmp_path: Path) -> Path:
    path = tmp_path / "enrolment.json"
    path.write_text(json.dumps(GOOD))
    return path


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_one_clear_message(tmp_path_factory, cut: float) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.json"
    whole = json.dumps(GOOD)
    path.write_text(whole)
    assert read_invitation(path).robot_id == "osaka-02"
    path.write_text(whole[: int(len(whole) * cut)])
    with pytest.raises(InvitationError, match="flash it again") as caught:
        read_invitation(path)
    assert "secretsecret" not in str(caught.value), "a token is no text for logs"


@pytest.mark.parametrize(
    "change",
    [
        {"fleet_url": "http://10.0.2.2:8080"},
        {"robot_id": "a/b"},
        {"site": "../x"},
        {"broker": {"host": "h", "port": 0}},
        {"token": "short"},
        {"surprise": 1},
        {"version": 2},
    ],
)
def test_a_file_that_would_lead_elsewhere_is_refused(flashed: Path, change: dict) -> None:
    flashed.write_text(json.dumps({**json.loads(flashed.read_text()), **change}))
    with pytest.raises(InvitationError):
        read_invitation(flashed)


@given(
    st.sampled_from([200, 201, 302, 400, 403, 404, 409, 422, 429, 500, 503]), st.binary(max_size=80)
)
def test_no_answer_of_a_fleet_can_upset_a_robot(status: int, content: bytes) -> None:
    try:
        reply = reply_of(status, content)
    except RefusedError:
        assert status in (400, 403, 409, 422)
    else:
        assert reply is None or status == 200


def test_an_enrolled_robot_speaks_to_its_own_broker(paths: Paths) -> None:
    config = compose(hardware="jetson_agx_orin", facility="osaka").config
    broker = config.telemetry.broker
    assert broker_of(config, paths.pki) == Address(broker.host, broker.port)
    paths.pki.mkdir(parents=True)
    for sound, raw in ((True, b'{"host": "h", "port": 5}'), (False, b'{"host": 1, "port": 5}')):
        (paths.pki / "fleet.json").write_bytes(raw)
        assert (broker_of(config, paths.pki) == Address("h", 5)) is sound
