"""Units and supervisor files rendered from the table."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conf.load import compose, options_of
from runtime.processes import PROCESSES, find_process
from runtime.shm import DTYPES
from runtime.supervisor import render_supervisor
from runtime.units import (
    Place,
    command_line,
    image_path,
    render_unit,
    render_units,
    robot_place,
)
from sim.processes import FLEET_PROCESSES, SIM_PROCESSES

DOCS = Path(__file__).resolve().parent.parent / "docs" / "units.md"
# What an image can hold; of these each profile has its own.
EVERYTHING = (*PROCESSES, *(s for s in SIM_PROCESSES if s.name in ("dynamics", "replayd")))
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not here; try  apt-get install systemd",
)


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
        assert service["PrivateUsers"] == "yes"
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
    assert "LimitRTPRIO" not in agent


OF_ROOT = {
    "bedplate-boot.service": "CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE",
    "bedplate-accept.service": "CAP_SYS_NICE CAP_IPC_LOCK",
    "bedplate-can.service": "CAP_NET_ADMIN",
}


@pytest.mark.parametrize("hardware", options_of("hardware"))
def test_nobody_has_a_capability_but_those_few_that_need_root(hardware):
    config = compose(hardware=hardware).config
    for name, text in render_units(EVERYTHING, config, robot_place("x")).items():
        if not name.endswith(".service"):
            continue
        service = sections(text)["Service"]
        assert service["CapabilityBoundingSet"] == OF_ROOT.get(name, ""), name
        assert service["AmbientCapabilities"] == "", name
        assert ("User" in service) is (name not in OF_ROOT), name


@pytest.mark.parametrize("hardware", options_of("hardware"))
def test_every_message_is_made_for_the_one_process_that_writes_it(hardware):
    config = compose(hardware=hardware).config
    command = sections(render_units(EVERYTHING, config, robot_place("x"))["bedplate-boot.service"])
    owned = re.findall(r"--own (\S+)=(\S+)", command["Service"]["ExecStart"])
    topics = [topic for topic, _ in owned]
    assert len(topics) == len(set(topics)), "two processes would write one message"
    needed = {"hal.sensors"} if hardware.startswith("qemu") else {"people", "scene"}
    by_themselves = {"state", "state.miss"}
    assert set(topics) | {"hal.sensors", "hal.actuators", "hal.gpu"} == set(DTYPES) - by_themselves
    assert needed <= set(topics)


def test_only_who_keeps_something_may_write_to_the_data_partition(orin):
    place = robot_place(orin.robot_id)
    writers = {
        spec.name
        for spec in PROCESSES
        if str(place.data) in sections(render_unit(spec, orin, place))["Service"]["ReadWritePaths"]
    }
    assert writers == {"agentd", "telemetryd", "visiond"}


def test_devices_are_given_only_where_the_board_has_them():
    orin, guest = compose(hardware="jetson_agx_orin").config, compose(hardware="qemu_arm64").config
    place = robot_place("x")
    seeing = render_unit(find_process("visiond"), orin, place)
    assert "DeviceAllow=char-nvidia* rw" in seeing
    assert "SupplementaryGroups=video render" in seeing
    policy = render_unit(find_process("policyd"), guest, place)
    assert "DeviceAllow" not in policy
    assert "PrivateDevices=yes" in policy
    assert "SupplementaryGroups" not in policy


def test_control_that_cannot_be_kept_alive_resets_the_robot(orin):
    text = sections(render_unit(find_process("controld"), orin, robot_place("x")))
    assert text["Unit"]["StartLimitAction"] == "reboot-force"
    assert text["Unit"]["FailureAction"] == "reboot-force"
    assert text["Service"]["RestartMode"] == "direct", "else the first crash is already a failure"
    other = sections(render_unit(find_process("visiond"), orin, robot_place("x")))["Unit"]
    assert "FailureAction" not in other


def test_a_slowed_guest_has_longer_before_anything_gives_it_up(orin):
    """Its host may keep it from its turn for longer than a board ever would."""
    guest = compose(hardware="qemu_arm64").config

    def manager(config) -> configparser.SectionProxy:
        files = render_units(PROCESSES, config, robot_place("x"))
        return sections(files["system.conf.d/bedplate.conf"])["Manager"]

    assert manager(guest)["RuntimeWatchdogSec"] == "120s"
    assert manager(guest)["DefaultDeviceTimeoutSec"] == "900s"
    assert "DefaultDeviceTimeoutSec" not in manager(orin)


def test_hardware_watchdog_outlasts_what_the_units_try_first(orin):
    files = render_units(PROCESSES, orin, robot_place("x"))
    manager = sections(files["system.conf.d/bedplate.conf"])["Manager"]
    assert manager["RuntimeWatchdogSec"] == "20s"
    assert image_path("system.conf.d/bedplate.conf") == (
        "usr/lib/systemd/system.conf.d/bedplate.conf"
    )
    assert image_path("bedplate.target") == "usr/lib/systemd/system/bedplate.target"
    assert image_path("tmpfiles.d/bedplate.conf") == "usr/lib/tmpfiles.d/bedplate.conf"


def test_control_may_use_the_cpu_of_its_watchdog_too():
    guest = compose(hardware="qemu_arm64").config
    service = sections(render_unit(find_process("controld"), guest, robot_place("x")))["Service"]
    assert service["CPUAffinity"] == "0 1"
    assert service["WatchdogSec"] == "20000ms", "long enough for a guest that starts Python"


def test_the_guests_arm_is_scheduled_by_its_unit():
    guest = compose(hardware="qemu_arm64").config
    spec = find_process("dynamics", SIM_PROCESSES)
    service = sections(render_unit(spec, guest, robot_place("x")))["Service"]
    assert service["CPUSchedulingPolicy"] == "fifo"
    assert service["CPUSchedulingPriority"] == "60"
    assert service["CPUAffinity"] == "1"
    assert service["ExecStart"].startswith("/opt/bedplate/bin/dynamics --control /run/bedplate/")


FIRST = ("boot", "can", "enrol")


def test_nothing_runs_before_the_profile_is_checked(orin):
    for name, text in render_units(PROCESSES, orin, robot_place("x")).items():
        if name.endswith(".service") and name.split(".")[0].split("-")[1] not in FIRST:
            assert sections(text)["Unit"]["Requires"] == "bedplate-boot.service", name


@pytest.mark.parametrize(
    ("hardware", "before", "after"),
    [("qemu_arm64", "1", "0"), ("qemu_arm64_icount", None, None), ("sim_x86", None, None)],
)
def test_boot_uses_the_cpus_of_control_while_they_are_idle(hardware, before, after):
    config = compose(hardware=hardware).config
    unit = sections(render_units(PROCESSES, config, robot_place("x"))["bedplate-boot.service"])[
        "Service"
    ]
    assert unit.get("CPUAffinity") == before
    then = re.search(r"--then-cpus (\S+)", unit["ExecStart"])
    assert (then and then[1]) == after


def test_control_waits_for_its_bus_with_the_profiles_rates(orin):
    files = render_units(PROCESSES, orin, robot_place("x"))
    can = sections(files["bedplate-can.service"])
    assert can["Service"]["ExecStart"].startswith(
        "/usr/sbin/ip link set can0 up type can bitrate 1000000 dbitrate 5000000 fd on"
    )
    assert can["Unit"]["BindsTo"] == "sys-subsystem-net-devices-can0.device"
    assert "bedplate-controld.service" in can["Unit"]["Before"]
    assert "bedplate-can.service" in sections(files["bedplate.target"])["Unit"]["Wants"]
    assert "bedplate-can.service" not in render_units(
        EVERYTHING, compose(hardware="qemu_arm64").config, robot_place("x")
    )


def test_simulated_arm_and_its_control_wait_for_no_folder_or_device_of_the_system(orin):
    guest = render_units(EVERYTHING, compose(hardware="qemu_arm64").config, robot_place("x"))
    for name in ("boot", "accept", "dynamics", "controld"):
        text = guest[f"bedplate-{name}.service"]
        assert "DefaultDependencies=no" in text, name
        assert "PrivateTmp" not in text, name  # it waits for the system's folders by itself
    drives = render_units(PROCESSES, orin, robot_place("x"))
    assert "DefaultDependencies" not in drives["bedplate-controld.service"]


def written(folder, processes, config) -> list[str]:
    """The units as files, with programs that exist here in the place of the robot's."""
    real = Path("/bin/true").resolve()
    place = Place(folder, real, real, folder, folder, folder, dynamics=real, keep_irqs=real)
    units = []
    for name, text in render_units(processes, config, place).items():
        if name.endswith((".service", ".target")):
            (folder / name).write_text(text)
            units.append(str(folder / name))
    return units


def analyze(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *command], capture_output=True, text=True, check=False
    )


# Settings that an older systemd on the machine at hand does not know; the image's is 257.
NEWER = {"RestartMode": 254}


def is_news(line: str, version: int) -> bool:
    return any(f"'{key}'" in line and version < since for key, since in NEWER.items())


@needs_systemd
@pytest.mark.parametrize("hardware", ["jetson_agx_orin", "qemu_arm64"])
def test_systemd_accepts_every_unit(hardware, tmp_path):
    config = compose(hardware=hardware).config
    found = analyze("verify", "--man=no", *written(tmp_path, EVERYTHING, config))
    version = int(analyze("--version").stdout.split()[1])
    said = [
        line
        for line in found.stderr.splitlines()
        if (str(tmp_path) in line or "bedplate" in line) and not is_news(line, version)
    ]
    if "Failed to" in found.stderr and not said:
        pytest.skip(f"systemd-analyze does not work here: {found.stderr.strip()[:200]}")
    assert said == []


@needs_systemd
def test_systemd_refuses_a_unit_with_a_mistake(orin, tmp_path):
    """So that silence means something."""
    unit = Path(written(tmp_path, PROCESSES, orin)[0])
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
    assert "ProtectHouse" in analyze("verify", "--man=no", str(unit)).stderr


@needs_systemd
@pytest.mark.parametrize("hardware", ["jetson_agx_orin", "qemu_arm64"])
def test_no_unit_is_more_exposed_than_the_docs_say(hardware, tmp_path):
    config = compose(hardware=hardware).config
    stated = dict(re.findall(r"^\| `(bedplate-\w+)` \|.*\| ([0-9.]+) \|$", DOCS.read_text(), re.M))
    for unit in written(tmp_path, EVERYTHING, config):
        name = Path(unit).stem
        if not unit.endswith(".service"):
            continue
        found = analyze("security", "--offline=true", unit).stdout
        level = re.search(r"Overall exposure level for .*: ([0-9.]+)", found)
        assert level is not None, found[-500:]
        assert float(level[1]) <= float(stated[name]), name


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
