"""Units and supervisor files rendered from the table."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conf.load import compose
from runtime.processes import PROCESSES, find_process
from runtime.units import (
    Place,
    command_line,
    render_supervisor,
    render_unit,
    render_units,
    robot_place,
)
from sim.processes import FLEET_PROCESSES, SIM_PROCESSES


@pytest.fixture(scope="module")
def orin():
    return compose(hardware="jetson_agx_orin").config


def sections(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read_string(text)
    return parser


def test_every_process_has_a_sandboxed_unit_and_a_user_of_its_own(orin):
    files = render_units(PROCESSES, orin, robot_place(orin.robot_id))
    users = set()
    for spec in PROCESSES:
        service = sections(files[f"bedplate-{spec.name}.service"])["Service"]
        users.add(service["User"])
        assert service["NoNewPrivileges"] == "yes"
        assert service["ProtectSystem"] == "strict"
        assert service["DevicePolicy"] == "closed"
        assert service["WatchdogSec"] == f"{spec.watchdog_ms}ms"
    assert len(users) == len(PROCESSES)
    for user in users:
        assert f"u {user} " in files["sysusers.d/bedplate.conf"]


def test_only_telemetry_may_use_the_network(orin):
    place = robot_place(orin.robot_id)
    open_ones = [
        spec.name
        for spec in PROCESSES
        if "AF_INET"
        in sections(render_unit(spec, orin, place))["Service"]["RestrictAddressFamilies"]
    ]
    assert open_ones == ["telemetryd"]


def test_real_time_rights_are_granted_only_where_the_board_asks(orin):
    place = robot_place(orin.robot_id)
    control = sections(render_unit(find_process("controld"), orin, place))["Service"]
    assert control["LimitRTPRIO"] == "99"
    assert control["LimitMEMLOCK"] == "infinity"
    agent = sections(render_unit(find_process("agentd"), orin, place))["Service"]
    assert agent["RestrictRealtime"] == "yes"
    assert agent["CapabilityBoundingSet"] == ""


def test_control_that_cannot_be_kept_alive_resets_the_robot(orin):
    unit = sections(render_unit(find_process("controld"), orin, robot_place("x")))["Unit"]
    assert unit["StartLimitAction"] == "reboot-force"
    assert unit["FailureAction"] == "reboot-force"
    other = sections(render_unit(find_process("visiond"), orin, robot_place("x")))["Unit"]
    assert "FailureAction" not in other


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_accepts_every_unit(orin, tmp_path):
    real = Path("/bin/true").resolve()
    place = Place(tmp_path, real, real, tmp_path, tmp_path, tmp_path)
    files = render_units(PROCESSES, orin, place)
    units = []
    for name, text in files.items():
        if name.endswith((".service", ".target")):
            (tmp_path / name).write_text(text)
            units.append(str(tmp_path / name))
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [
        line for line in found.stderr.splitlines() if str(tmp_path) in line or "bedplate" in line
    ]
    if "Failed to" in found.stderr and not said:
        pytest.skip(f"systemd-analyze does not work here: {found.stderr.strip()[:200]}")
    assert said == []


def test_supervisor_reads_what_is_rendered(tmp_path):
    config = compose().config
    place = Place(
        tmp_path, Path(sys.executable), tmp_path / "100%/controld", tmp_path, tmp_path, tmp_path
    )
    rows = (*SIM_PROCESSES, *FLEET_PROCESSES, *PROCESSES)
    from supervisor.options import ServerOptions

    path = tmp_path / "supervisord.conf"
    (tmp_path / "log").mkdir()
    path.write_text(render_supervisor(rows, config, place))
    options = ServerOptions()
    options.realize(["-c", str(path)])
    groups = {group.name: group.process_configs[0] for group in options.process_group_configs}
    assert set(groups) == {spec.name for spec in rows if spec.runs(config)}
    assert groups["controld"].command.startswith(f"{tmp_path}/100%/controld --control")
    assert groups["visiond"].autorestart is not False


def test_command_lines_name_the_robots_folders():
    place = robot_place("osaka-01")
    assert command_line(find_process("agentd"), place) == [
        "/opt/bedplate/venv/bin/python",
        "-m",
        "runtime.agent.agentd",
        "--run-dir",
        "/run/bedplate",
        "--data-dir",
        "/data/bedplate",
    ]
