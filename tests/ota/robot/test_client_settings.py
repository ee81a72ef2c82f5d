"""What the client is told at each boot, the units around it, and what a flashed robot provides."""

import configparser
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.load import compose
from conf.profile import dump
from conf.schema import Config
from ota.mender_conf import (
    Facts,
    MenderConfError,
    files,
    mender_conf,
    partitions,
    running_partition,
    slot_of,
)
from ota.payloads import provides_bytes, slot_provides
from ota.provides import SLOT_KEYS, parse, wanted
from ota.units import ENABLED, ota_units
from runtime.units import robot_place
from tests.ota.robot.bench import ROOT, own_config

MANIFEST = {"artifact_name": "1.2.3"}


def with_server(config: Config) -> Config:
    mender = config.ota.mender.model_copy(update={"server_url": "https://mender.example"})
    return config.model_copy(update={"ota": config.ota.model_copy(update={"mender": mender})})


@pytest.mark.parametrize(
    ("slot", "partition", "found"),
    [
        ("a", "vda2", ("/dev/dm-2", "/dev/vda3")),
        ("b", "vda3", ("/dev/vda2", "/dev/dm-3")),
        ("a", "nvme0n1p2", ("/dev/dm-2", "/dev/nvme0n1p3")),
        ("b", "mmcblk0p3", ("/dev/mmcblk0p2", "/dev/dm-3")),
    ],
)
def test_the_running_slot_is_its_verified_device_and_the_other_its_partition(
    slot: str, partition: str, found: tuple[str, str]
) -> None:
    assert partitions(Facts(slot, partition, site_ca=False)) == found


@pytest.mark.parametrize(
    ("slot", "partition"), [("a", "vda3"), ("b", "vda2"), ("c", "vda2"), ("a", "dm-2"), ("a", "")]
)
def test_a_slot_on_a_partition_that_is_not_its_own_starts_no_client(
    slot: str, partition: str
) -> None:
    with pytest.raises(MenderConfError, match="the client is not started"):
        partitions(Facts(slot, partition, site_ca=False))


@given(st.sampled_from("ab"), st.text(max_size=20))
def test_no_partition_name_ever_leads_to_the_running_slot_being_written(
    slot: str, partition: str
) -> None:
    try:
        found = partitions(Facts(slot, partition, site_ca=False))
    except MenderConfError:
        return
    numbers = [path[-1] for path in found]
    assert numbers == ["2", "3"]
    assert found["ab".index(slot)] == f"/dev/dm-{numbers['ab'.index(slot)]}"


def test_the_key_is_named_whatever_the_profile_says() -> None:
    settings = mender_conf(dump(own_config()), Facts("a", "vda2", site_ca=True))
    assert settings["ArtifactVerifyKey"] == "/usr/lib/bedplate/artifact-verify-key.pem"
    assert "ServerURL" not in settings


def test_with_a_server_the_client_is_managed_and_trusts_the_site() -> None:
    profile = dump(with_server(own_config()))
    settings = mender_conf(profile, Facts("a", "vda2", site_ca=True))
    assert settings["ServerURL"] == "https://mender.example"
    assert settings["ServerCertificate"] == "/data/bedplate/pki/ca.crt"
    assert "mender-managed" in files(profile, MANIFEST, Facts("a", "vda2", site_ca=True))


def test_the_gate_ends_before_the_client_stops_asking_it() -> None:
    config = own_config()
    settings = mender_conf(dump(config), Facts("a", "vda2", site_ca=False))
    assert settings["StateScriptRetryTimeoutSeconds"] > config.ota.gate.timeout_s
    slow = 10
    assert settings["ModuleTimeoutSeconds"] > config.ota.gate.switch_timeout_s * slow


def test_the_client_knows_every_setting_it_is_given() -> None:
    """Names as the client's own source spells them."""
    known = {
        "ArtifactVerifyKey", "RootfsPartA", "RootfsPartB", "DeviceTypeFile", "ServerURL",
        "ServerCertificate", "UpdatePollIntervalSeconds", "InventoryPollIntervalSeconds",
        "RetryPollIntervalSeconds", "StateScriptTimeoutSeconds", "ModuleTimeoutSeconds",
        "StateScriptRetryIntervalSeconds", "StateScriptRetryTimeoutSeconds",
    }  # fmt: skip
    settings = mender_conf(dump(with_server(own_config())), Facts("a", "vda2", site_ca=True))
    assert set(settings) == known


def test_board_and_artifact_are_written_beside_it() -> None:
    found = files(dump(own_config()), MANIFEST, Facts("b", "vda3", site_ca=False))
    assert found["device_type"] == "device_type=qemu_arm64\n"
    assert found["artifact_info"] == "artifact_name=1.2.3\n"
    assert json.loads(found["mender.conf"])["RootfsPartB"] == "/dev/dm-3"
    assert "mender-managed" not in found


def test_the_partition_is_the_one_below_the_verified_device(tmp_path: Path) -> None:
    (tmp_path / "block/dm-3/slaves/vda3").mkdir(parents=True)
    assert running_partition("b", tmp_path) == "vda3"
    with pytest.raises(MenderConfError, match="got nothing"):
        running_partition("a", tmp_path)
    (tmp_path / "block/dm-3/slaves/vdb3").mkdir()
    with pytest.raises(MenderConfError, match="vda3, vdb3"):
        running_partition("b", tmp_path)


def test_of_two_words_for_the_slot_the_last_counts() -> None:
    assert slot_of("ro bedplate.slot=a x bedplate.slot=b") == "b"
    assert slot_of("ro quiet") == ""


UNITS = ota_units(own_config(), robot_place("osaka-01"))


def test_the_client_never_starts_without_its_key_or_a_server() -> None:
    text = UNITS["mender-client.service.d/bedplate.conf"]
    assert "ConditionPathExists=/usr/lib/bedplate/artifact-verify-key.pem" in text
    assert "ConditionPathExists=/run/bedplate/mender-managed" in text


def test_the_deadline_of_the_robot_comes_after_the_gates_own_and_the_clients() -> None:
    unit = configparser.ConfigParser()
    unit.read_string(UNITS["bedplate-gate-deadline.timer"])
    after_s = int(unit["Timer"]["OnBootSec"].removesuffix("s"))
    assert after_s > own_config().ota.gate.timeout_s + 120


def test_every_enabled_unit_is_rendered_and_says_who_wants_it() -> None:
    for name in ENABLED:
        if name != "mender-client.service":
            assert "WantedBy=" in UNITS[name]


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    plain = {name: text for name, text in UNITS.items() if "/" not in name}
    for name, text in plain.items():
        lines = [
            "ExecStart=/bin/true" if line.startswith("ExecStart=") else line
            for line in text.splitlines()
            if not line.startswith(("Group=", "WorkingDirectory=", "Requires=bedplate-boot"))
        ]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
         *(str(tmp_path / name) for name in plain)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "bedplate-" in line]
    assert said == []


DEADLINE = ROOT / "ota/mender_files/gate-deadline"


@pytest.mark.parametrize(
    ("trial", "verdict", "restarts"),
    [("1", "fail", True), ("1", None, True), ("1", "waiting", True), ("1", "pass", False),
     ("0", "fail", False), ("0", None, False)],
)  # fmt: skip
def test_a_slot_on_trial_without_a_pass_is_left_at_the_deadline(
    tmp_path: Path, trial: str, verdict: str | None, restarts: bool
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    says = {"grub-mender-grubenv-print": f"echo upgrade_available={trial}", "systemctl": "echo $*"}
    for name, text in says.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    if verdict is not None:
        (tmp_path / "gate.json").write_text(json.dumps({"verdict": verdict}))
    done = subprocess.run(
        [DEADLINE, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tools}:/usr/bin:/bin"},
    )
    assert (done.stdout.strip() == "--force reboot") is restarts, done.stderr


def test_a_system_manager_that_does_not_answer_does_not_keep_the_slot(tmp_path: Path) -> None:
    """As seen in a guest whose processors others had: one request, refused, and the trial went on.
    Twice forced it is the kernel that is asked."""
    tools = {
        "grub-mender-grubenv-print": "echo upgrade_available=1",
        "systemctl": 'echo $*; [ "$2" = --force ]',
        "timeout": "exit 124",
    }
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [DEADLINE, tmp_path], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout.splitlines() == ["--force reboot", "--force --force reboot"]


def test_a_flashed_robot_is_told_and_one_that_knows_is_left_alone() -> None:
    provides = slot_provides("1.0", "a" * 64, "b" * 64)
    assert wanted({}, provides) == provides
    assert wanted(provides, provides) is None


def test_the_image_says_what_its_slot_provides_all_but_its_own_checksum() -> None:
    config = own_config()
    stated = json.loads(provides_bytes(config))
    whole = slot_provides(config.artifact_name, config.config_hash, "x")
    assert stated == {k: v for k, v in whole.items() if k != "rootfs-image.checksum"}
    assert set(SLOT_KEYS) <= set(stated)


def test_a_boot_that_has_nothing_to_tell_loads_nothing_of_weight() -> None:
    heavy = "{'pydantic', 'numpy', 'httpx', 'cryptography'} & set(sys.modules)"
    code = f"import sys, ota.provides, ota.mender_conf; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_checksum_of_an_installed_slot_is_kept() -> None:
    provides = slot_provides("1.0", "a" * 64, "b" * 64)
    known = {"rootfs-image.checksum": "c" * 64, "rootfs-image.version": "2.0"}
    told = wanted(known, provides)
    assert told is not None
    assert told["rootfs-image.checksum"] == "c" * 64


def test_what_the_client_prints_is_understood() -> None:
    assert parse("a=1\nb.c=x=y\nnoise\n") == {"a": "1", "b.c": "x=y"}


def test_the_gate_must_have_time_to_look() -> None:
    from conf.mistake import ConfigError

    with pytest.raises(ConfigError, match="nothing could ever be committed"):
        compose(overrides=("ota.gate.observe_s=600",))
