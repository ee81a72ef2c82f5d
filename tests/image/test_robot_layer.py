"""The robot's own layer: accounts, units, settings, profile."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from conf.load import compose
from conf.profile import profile_bytes
from image.persistence import EXEMPT
from image.refusal import BuildRefused
from image.steps import robot
from image.steps.accounts import OPERATOR, account_entries, robot_accounts
from image.steps.code import wanted
from runtime.processes import PROCESSES
from runtime.units import user_of

ROOT = Path(__file__).resolve().parents[2]

BASE = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\nsshd:x:990:65534::/run/sshd:/usr/sbin/nologin\n",
    "group": "root:x:0:\nshadow:x:42:\nvideo:x:44:\n",
    "shadow": "root:*:20000:0:99999:7:::\nsshd:!*:20000::::::\n",
    "gshadow": "root:*::\nshadow:*::\n",
}


@pytest.fixture(scope="module")
def guest():
    return compose(hardware="qemu_arm64").config


@pytest.fixture(scope="module")
def orin():
    return compose(hardware="jetson_agx_orin").config


def layer(config):
    return {entry.path: entry for entry in robot.entries(config, BASE, frozenset())}


def text(entry) -> str:
    assert entry.data is not None
    return entry.data.decode()


def test_every_user_of_a_unit_exists_with_a_number_of_its_own(guest):
    rows = layer(guest)
    users = {
        line.split(":")[0]: line.split(":")[2] for line in text(rows["etc/passwd"]).splitlines()
    }
    for path, entry in rows.items():
        if path.endswith(".service") and entry.data and "\nUser=" in text(entry):
            assert text(entry).split("\nUser=")[1].split("\n")[0] in users
    assert len(set(users.values())) == len(users)


def test_numbers_are_the_same_on_every_board(guest, orin):
    assert text(layer(guest)["etc/passwd"]) == text(layer(orin)["etc/passwd"])


def test_nobody_has_a_password():
    rows = {entry.path: entry for entry in account_entries(BASE, PROCESSES)}
    fields = [line.split(":") for line in text(rows["etc/shadow"]).splitlines()]
    assert {field[1] for field in fields} == {"*"}
    assert rows["etc/shadow"].mode == 0o640
    logins = [a.name for a in robot_accounts(PROCESSES) if not a.shell.endswith("nologin")]
    assert logins == [OPERATOR]


def test_password_that_a_package_sets_is_refused():
    base = {**BASE, "shadow": "root:$y$j9T$abc:20000::::::\n"}
    with pytest.raises(BuildRefused, match=r"shadow: root"):
        account_entries(base, PROCESSES)


def test_number_that_debian_gave_away_is_refused():
    taken = robot_accounts(PROCESSES)[0].number
    base = {**BASE, "passwd": f"{BASE['passwd']}other:x:{taken}:1::/:/bin/false\n"}
    with pytest.raises(BuildRefused, match="belongs to other"):
        account_entries(base, PROCESSES)


def test_process_added_to_the_table_moves_nobodys_number():
    more = (*PROCESSES, dataclasses.replace(PROCESSES[0], name="newcomerd"))
    before = {a.name: a.number for a in robot_accounts(PROCESSES)}
    after = {a.name: a.number for a in robot_accounts(more)}
    assert {name: after[name] for name in before} == before
    assert user_of(more[-1]) in after


def test_profile_in_the_image_is_the_composed_one(guest):
    assert layer(guest)["usr/lib/bedplate/profile.json"].data == profile_bytes(guest)


def test_only_a_guest_plays_its_arm(guest, orin):
    assert "usr/lib/systemd/system/bedplate-dynamics.service" in layer(guest)
    assert "usr/lib/systemd/system/bedplate-dynamics.service" not in layer(orin)
    names = ["sim/replay/replayd.py", "sim/plant.py", "runtime/daemon.py", "models/safety/train.py"]
    assert wanted(names, guest) == ["sim/replay/replayd.py", "runtime/daemon.py"]
    assert wanted(names, orin) == ["runtime/daemon.py"]


def test_image_of_a_development_machine_is_refused():
    with pytest.raises(BuildRefused, match="arch: x86_64"):
        robot.check_board(compose(hardware="sim_x86").config)


def test_nothing_in_the_layer_is_written_where_it_would_be_lost(guest, orin):
    for config in (guest, orin):
        robot.check_written({}, list(layer(config).values()))


def test_unit_that_writes_to_the_slot_is_found(guest):
    planted = {"usr/lib/systemd/system/x.service": "[Service]\nReadWritePaths=/opt/bedplate\n"}
    with pytest.raises(BuildRefused, match=r"x\.service"):
        robot.check_written(planted, list(layer(guest).values()))
    assert all(not row.path.startswith("/opt") for row in EXEMPT)


def test_masked_unit_may_say_what_it_likes(guest):
    masked = f"usr/lib/systemd/system/{robot.MASKED_UNITS[0]}"
    robot.check_written({masked: "[Service]\nReadWritePaths=/etc\n"}, [])


def test_sshd_takes_keys_only_and_its_own_key_is_on_data():
    settings = (robot.FILES / "sshd.conf").read_text()
    for line in ("PasswordAuthentication no", "PermitRootLogin no", "HostKey /data/"):
        assert line in settings


def test_front_door_opens_from_any_folder_and_means_files_of_that_one(tmp_path):
    text = (ROOT / "image/files/bedplate").read_text()
    text = text.replace("/opt/bedplate/venv/bin/python", sys.executable)
    (tmp_path / "bedplate").write_text(text.replace("/opt/bedplate", str(ROOT)))
    words = ["sh", str(tmp_path / "bedplate"), "ota", "show", "nothing-here.mender"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nothing-here.mender" in done.stdout + done.stderr
    (tmp_path / "nothing-here.mender").write_bytes(b"no artifact")
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.stdout + found.stderr != done.stdout + done.stderr


def test_nothing_waits_for_the_network_so_a_robot_without_one_has_no_failed_unit(guest, orin):
    for config in (guest, orin):
        for path, entry in layer(config).items():
            assert "network-online" not in path
            assert b"network-online" not in (entry.data or b""), path
