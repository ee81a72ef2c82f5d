"""The first unit of a boot: what it hands out, and what it says of the machine."""

import getpass
import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conf.control import control_bytes, write_control
from conf.load import compose
from conf.profile import parse_profile, profile_bytes, read_profile, write_profile
from conf.schema import Config
from records import BootFinding, BootReport, Certainty
from runtime.boot import event_fields
from runtime.boot_report import BootFacts, argument, health, judge, kernel_findings
from runtime.handout import HandedOut, HandoutRefusedError, control_as, hand_out, is_name
from runtime.paths import Paths
from runtime.shm import Shm
from runtime.telemetry.client import finite

COMMAND_LINE = "root=/dev/dm-0 ro bedplate.slot=a quiet"
GUEST = parse_profile(  # as it comes out of a profile
    profile_bytes(compose(hardware="qemu_arm64", facility="osaka").config), where=Path("GUEST")
)
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(scope="module")
def config() -> Config:
    return GUEST


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = Paths(tmp_path / "run", tmp_path / "data")
    paths.data.mkdir()
    return paths


@pytest.fixture
def library(config: Config, tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    write_profile(config, folder / "profile.json")
    write_control(config, folder / "control.json")
    manifest = {
        "config_hash": config.config_hash,
        "artifact_name": config.artifact_name,
        "kernel_release": "6.12.1-bedplate",
    }
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    return folder


def facts(**changes: object) -> BootFacts:
    values = {
        "boot_id": "b",
        "kernel_release": "6.12.1-bedplate",
        "kernel_arguments": COMMAND_LINE,
        "slot_expected": "a",
        "kernel_findings": (),
        "realtime": {"fifo": True, "pinned": True, "memory_locked": True, "missing": []},
        "data_volatile": None,
        "first_boot": (),
        "stages": (),
        "control_runs": True,
        "booted_at": datetime(2026, 1, 2, tzinfo=UTC),
    }
    return BootFacts(**{**values, **changes})  # type: ignore[arg-type]


def handed(config: Config, *notes: str) -> HandedOut:
    manifest = {"kernel_release": "6.12.1-bedplate"}
    return HandedOut(config.robot_id, config.config_hash, config.artifact_name, manifest, notes)


def test_profile_and_control_file_reach_the_boot_unchanged(config, library, paths):
    out = hand_out(library, paths)
    assert read_profile(paths.profile) == config
    assert paths.control.read_bytes() == control_bytes(config)
    assert (out.robot_id, out.config_hash) == (config.robot_id, config.config_hash)
    assert out.notes == ()


def test_a_flashed_name_is_the_robots_name_everywhere(config, library, paths):
    paths.enrolment.write_text('{"robot_id": "osaka-17", "token": "x"}')
    assert hand_out(library, paths).robot_id == "osaka-17"
    named = read_profile(paths.profile)
    assert named.robot_id == "osaka-17"
    assert named.config_hash == config.config_hash, "a name is no change of configuration"
    head, line = paths.control.read_bytes().split(b"\n")[:2]
    assert json.loads(line)["robot_id"] == "osaka-17"
    assert control_as(json.loads(line), "osaka-17").startswith(head)


@SHARED
@given(
    raw=st.binary(max_size=200)
    | st.text(max_size=60).map(lambda t: json.dumps({"robot_id": t}).encode())
)
def test_whatever_lies_there_as_enrolment_the_robot_gets_a_sound_name(config, library, paths, raw):
    paths.enrolment.write_bytes(raw)
    out = hand_out(library, paths)
    assert is_name(out.robot_id)
    assert read_profile(paths.profile).robot_id == out.robot_id
    if out.robot_id == config.robot_id and not raw.count(config.robot_id.encode()):
        assert out.notes, "an odd file is told of"


@SHARED
@given(name=st.sampled_from(["profile.json", "control.json", "manifest.json"]), data=st.data())
def test_a_damaged_file_is_never_handed_out(config, library, paths, name, data):
    """Whatever byte changes: either it is refused, or what is handed out is still the profile."""
    whole = (library / name).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip"]))
    flipped = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    (library / name).write_bytes(
        whole[:at] if kind == "cut" else whole[:at] + flipped + whole[at + 1 :]
    )
    paths.profile.unlink(missing_ok=True)
    try:
        assert _is_handed_out_whole(library, paths, config)
    finally:
        (library / name).write_bytes(whole)


def _is_handed_out_whole(library: Path, paths: Paths, config: Config) -> bool:
    """Refused outright, or found out by the reader's own check of hashes, or untouched."""
    try:
        hand_out(library, paths)
        return read_profile(paths.profile) == config and (
            paths.control.read_bytes() == control_bytes(config)
        )
    except HandoutRefusedError as refusal:
        return str(library) in str(refusal) and not paths.profile.exists()
    except ValueError:
        return True


def test_parts_of_two_builds_are_refused(config, library, paths):
    other = compose(hardware="qemu_arm64", facility="gdansk").config
    write_control(other, library / "control.json")
    with pytest.raises(HandoutRefusedError, match="parts of two builds"):
        hand_out(library, paths)


def test_a_sound_boot_is_healthy(config):
    report = judge(config, handed(config), facts())
    assert report.problems == ()
    assert report.healthy is True
    assert (report.slot_booted, report.slot_expected) == ("a", "a")
    assert report.scheduling[0].priority_obtained == 99
    assert BootReport.model_validate_json(report.model_dump_json()) == report


@pytest.mark.parametrize(
    ("change", "health_of_it", "said"),
    [
        ({"slot_expected": "b"}, False, "boot.slot is a, wanted b"),
        ({"kernel_arguments": "quiet"}, False, "boot.slot"),
        ({"kernel_release": "6.12.1-other"}, False, "boot.kernel_release is 6.12.1-other"),
        ({"realtime": {"missing": ["FIFO priority 99"]}}, False, "FIFO priority 99"),
        ({"realtime": {}}, False, "not stated"),
        ({"realtime": None}, None, "controld did not say"),
        ({"data_volatile": "no partition"}, False, "in memory: no partition"),
        ({"control_runs": False}, False, "no cycle"),
        ({"kernel_findings": None}, None, "nothing compared it"),
    ],
)
def test_each_thing_that_is_wrong_is_said(config, change, health_of_it, said):
    report = judge(config, handed(config), facts(**change))
    if change == {"kernel_arguments": "quiet"}:
        health_of_it = None if report.healthy is None else False
    assert report.healthy is health_of_it
    assert any(said in problem for problem in report.problems), report.problems


verdicts = st.lists(st.sampled_from(list(Certainty)), min_size=1, max_size=8)


@given(verdicts)
def test_unknown_never_counts_as_healthy_and_wrong_always_as_not(row):
    findings = tuple(BootFinding(item="x", wanted="", found="", verdict=one) for one in row)
    verdict = health(findings, ())
    assert (verdict is True) == (set(row) == {Certainty.OK})
    assert (verdict is False) == (Certainty.WRONG in row)
    assert health(findings, ("odd",)) is False


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
rows = st.fixed_dictionaries(
    {"item": st.text(min_size=1, max_size=8)},
    optional={"verdict": json_values, "wanted": json_values, "found": json_values},
)


@given(json_values | st.lists(rows, max_size=4), json_values, st.text(max_size=80))
def test_no_file_of_others_can_upset_the_report(document, realtime, line):
    config = GUEST
    found = kernel_findings(document)
    rights = realtime if isinstance(realtime, dict) else None
    report = judge(
        config, handed(config), facts(kernel_findings=found, realtime=rights, kernel_arguments=line)
    )
    assert BootReport.model_validate_json(report.model_dump_json()) == report
    assert finite(event_fields(report))
    if found is not None and any(row.verdict is not Certainty.OK for row in found):
        assert report.healthy is not True


def test_the_last_of_two_arguments_counts():
    assert argument("bedplate.slot=a x bedplate.slot=b", "bedplate.slot") == "b"
    assert argument("xbedplate.slot=a", "bedplate.slot") is None


def boot(library: Path, paths: Paths, shm: Path, *more: str) -> subprocess.CompletedProcess[str]:
    folders = ["--run-dir", paths.run, "--data-dir", paths.data, "--shm", shm]
    command = [sys.executable, "-m", "runtime.boot", *folders, "--library", library]
    return subprocess.run(
        [*command, "--wait-s", "0", *more], capture_output=True, text=True, check=False
    )


def test_the_unit_makes_messages_and_reports_what_did_not_come(library, paths, tmp_path):
    paths.first_boot.parent.mkdir()
    paths.first_boot.write_text("data partition grown by 512 MiB\n")
    user = getpass.getuser()
    done = boot(library, paths, tmp_path / "shm", "--own", f"hal.sensors={user}")
    assert done.returncode == 0, done.stderr
    made = tmp_path / "shm" / "hal.sensors"
    assert made.stat().st_uid == os.getuid()
    assert made.stat().st_mode & 0o777 == 0o644
    Shm(tmp_path / "shm").writer("hal.sensors").write(created_ns=1)  # its owner may write it
    report = BootReport.model_validate_json(paths.boot_report.read_text())
    assert report.healthy is False
    assert report.first_boot == ("data partition grown by 512 MiB",)
    assert {"boot_unit", "profile"} <= {stage.name for stage in report.stages}
    assert any("no cycle in the time given" in problem for problem in report.problems)


def test_it_is_off_the_cpus_of_control_before_control_starts(library, paths, tmp_path, monkeypatch):
    """READY=1 is what the others wait for; where this process runs is read when it says so."""
    allowed = sorted(os.sched_getaffinity(0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        folders = ["--run-dir", paths.run, "--data-dir", paths.data, "--shm", tmp_path / "shm"]
        words = [sys.executable, "-m", "runtime.boot", *folders, "--library", library]
        more = ["--wait-s", "60", "--then-cpus", str(allowed[0])]
        process = subprocess.Popen([*words, *more], stderr=subprocess.DEVNULL)
        try:
            assert manager.recv(100) == b"READY=1"
            assert os.sched_getaffinity(process.pid) == {allowed[0]}
        finally:
            process.kill()
            process.wait()


def test_cpus_that_are_not_there_are_said_and_do_not_stop_the_robot(library, paths, tmp_path):
    done = boot(library, paths, tmp_path / "shm", "--then-cpus", "4000")
    assert done.returncode == 0
    assert "still on the CPUs of control" in done.stderr


def test_the_unit_fails_where_the_profile_is_not_the_builds(library, paths, tmp_path):
    (library / "control.json").write_text("nonsense")
    done = boot(library, paths, tmp_path / "shm")
    assert done.returncode == 3
    assert "the robot stands still" in done.stderr
    assert not paths.profile.exists()
