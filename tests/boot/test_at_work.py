"""A newly flashed robot in its guest: it asks to be known, works, and the fleet hears of it."""

import json
import shlex
import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.boot.conftest import NAME
from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot
from tests.boot.updates import let_in

pytestmark = [pytest.mark.image, pytest.mark.timeout(3600)]
WORK_S = 1500  # ends a hang: an emulated robot starts slowly on a busy machine
LOGIN_RATIO_MAX = 1.5
LOOK_S = 15
STOPS = ("agent.stop_requested", "agent.rearmed")
# As the button on the page does. An emulated arm whose host stands still for a moment brakes, which
# the safety model has every reason to be surprised by; a person looks, and lets it go on.
REARM = """
import http.client, json, socket
line = http.client.HTTPConnection("robot")
line.sock = socket.socket(socket.AF_UNIX)
line.sock.connect("/run/bedplate/agent.sock")
line.request("GET", "/v1/mode")
modes = json.loads(line.getresponse().read())
if "safe_stop" in modes["modes"]:
    line.request("POST", "/v1/rearm", "{}", {"Content-Type": "application/json"})
    print("re-armed", line.getresponse().status)
"""


def wait_until(what: str, holds: Callable[[], bool], robot: Robot, timeout_s: float = WORK_S):
    until = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > until:
            said = robot.try_ssh("sudo journalctl -b --no-pager -u 'bedplate-*' | tail -60").stdout
            raise AssertionError(f"not within {timeout_s:.0f} s: {what}\n{said}")
        time.sleep(LOOK_S)


def rearm(robot: Robot) -> str:
    words = f"sudo /opt/bedplate/venv/bin/python -I -c {shlex.quote(REARM)}"
    return robot.try_ssh(words).stdout


@pytest.fixture(scope="module")
def known(robot: Robot, fleet_side: FleetSide) -> Robot:
    """It has asked, an operator has approved, and its certificate is there."""
    return let_in(robot, fleet_side)


def test_robot_asks_and_an_operator_approves(known: Robot):
    text = known.ssh("sudo cat /data/bedplate/pki/robot.crt")
    (name,) = x509.load_pem_x509_certificate(text.encode()).subject.get_attributes_for_oid(
        NameOID.COMMON_NAME
    )
    assert str(name.value).endswith(f"/{NAME}")


def test_it_does_a_task_and_the_fleet_knows(known: Robot, fleet_side: FleetSide):
    rearmed: list[str] = []

    def done() -> bool:
        said = {name: fleet_side.events(NAME, name) for name in ("task.done", *STOPS)}
        stopped, again = (said[name][:1] for name in STOPS)
        if stopped and (not again or stopped[0]["time_ns"] > again[0]["time_ns"]):
            rearmed.extend(rearm(known).splitlines())
        return bool(said["task.done"])

    wait_until("a task is done", done, known)
    print(f"re-armed {len(rearmed)} times")
    failed = fleet_side.events(NAME, "task.failed")
    assert failed == []


def test_its_boot_report_arrives_and_finds_nothing_wrong(known: Robot, fleet_side: FleetSide):
    wait_until("the report", lambda: bool(fleet_side.events(NAME, "boot.reported")), known)
    report = json.loads(known.ssh("sudo cat /run/bedplate/boot.json"))
    assert report["problems"] == []
    assert report["healthy"] is True
    stages = {stage["name"]: stage["at_s"] for stage in report["stages"]}
    print("stages", json.dumps(stages), "login", known.seen_s)
    assert {"control_cycle", "kernel_compared", "telemetry"} <= set(stages)
    (event, *_) = fleet_side.events(NAME, "boot.reported")
    assert event["boot"] == report["boot_id"]


def test_first_cycle_comes_not_long_after_the_login_prompt(robot: Robot):
    """A ratio: both are wall time of one emulated machine, from power-on."""
    report = json.loads(robot.ssh("sudo cat /run/bedplate/boot.json"))
    stages = {stage["name"]: stage["at_s"] for stage in report["stages"]}
    first_cycle_s = robot.kernel_started_s() + stages["control_cycle"]
    print(f"first cycle {first_cycle_s:.1f} s after power-on, login {robot.seen_s['login:']:.1f} s")
    assert first_cycle_s <= LOGIN_RATIO_MAX * robot.seen_s["login:"]


def test_nothing_is_lost_on_the_way(known: Robot, fleet_side: FleetSide):
    def accounted() -> bool:
        rows = json.loads(fleet_side.try_ask("accounting", "--json").stdout or "[]")
        own = [row for row in rows if row["robot_id"] == NAME]
        return bool(own) and own[0]["stored"] > 0 and own[0]["missing"] == 0

    wait_until("stored and nothing missing", accounted, known)
