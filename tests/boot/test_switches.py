"""Profiles and models in the guest, as an operator types it: no restart, judged, kept or not."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.boot.conftest import Keys
from tests.boot.fleet_side import FleetSide
from tests.boot.guest import Robot
from tests.boot.updates import ASKED_S, ROOT, bedplate, boot_id, let_in, status, wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(5400)]
CAREFUL = "policy.fallback.people_distance_m"
# So that a bad one is taken back after twenty of the robot's seconds: two hundred of the guest's.
SOON = "ota.gate.switch_timeout_s=20"
# A name as a person misspells it: safetyd runs on, and has no opinion for ever. (What would end a
# process at once the schema refuses; test_update.py has a slot in which one does.)
NO_SUCH_MODEL = "policy.safety.model=next_stade"
UNITS = "systemctl show --property=ActiveEnterTimestampMonotonic --value bedplate-{}.service"
GATE_SAID = "sudo journalctl -b -o short-monotonic -u 'bedplate-*gate*' -u mender* -n 30"
Make = Callable[..., str]


@pytest.fixture(scope="module")
def switched(robot: Robot, fleet_side: FleetSide) -> Robot:
    return let_in(robot, fleet_side)


@pytest.fixture(scope="module")
def make(switched: Robot, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes an artifact on the desk and copies it to the robot."""
    folder = tmp_path_factory.mktemp("artifacts")

    def made(name: str, *words: str) -> str:
        file = folder / f"{name}.mender"
        place = ("--name", name, "--key", str(keys.sign), "--out", str(file))
        bedplate("ota", "artifact", *words, *place)
        return switched.put(file, file.name)

    return made


def profile(make: Make, name: str, *settings: str, facility: str = "osaka") -> str:
    words = ["--hardware", "qemu_arm64", "--facility", facility]
    for setting in settings:
        words += ["--set", setting]
    return make(name, "profile", *words)


def install(robot: Robot, file: str) -> None:
    robot.ssh(f"sudo bedplate ota install {file}", timeout_s=900)


def is_settled(robot: Robot) -> bool:
    """Whether nothing is on trial any more: looked at without taking the robot's processor."""
    return robot.try_ssh("sudo test -e /data/bedplate/trial.json").returncode == 1


def active_since(robot: Robot, process: str) -> str:
    return robot.ssh(UNITS.format(process)).strip()


def test_a_profile_that_loosens_safety_is_refused_before_anything_changes(
    switched: Robot, make: Make
):
    before = status(switched)
    file = profile(make, "loose-1", facility="gdansk")
    done = switched.try_ssh(f"sudo bedplate ota install {file}", timeout_s=900)
    assert done.returncode != 0
    assert "it loosens" in done.stdout + done.stderr
    after = status(switched)
    for key in ("config_hash", "profile", "switch", "artifact_name"):
        assert after[key] == before[key]


def test_a_profile_is_installed_and_committed_by_itself_without_a_restart(
    switched: Robot, make: Make
):
    boot, control = boot_id(switched), active_since(switched, "controld")
    before, planner = status(switched), active_since(switched, "plannerd")
    file = profile(make, "careful-1", f"{CAREFUL}=2.0")
    began_s = time.monotonic()
    install(switched, file)
    took_s = wait_until("the commit", lambda: is_settled(switched), switched)
    print(f"committed {took_s:.0f} s after the client had installed it,")
    print(f"{time.monotonic() - began_s:.0f} s after it was asked for")
    print(switched.ssh(GATE_SAID))
    after = status(switched)
    assert after["config_hash"] == after["profile"] != before["config_hash"]
    assert boot_id(switched) == boot
    assert active_since(switched, "controld") == control
    assert active_since(switched, "plannerd") != planner
    assert "careful-1" in switched.ssh("sudo mender show-artifact", timeout_s=300)


def test_a_model_is_installed_and_committed_by_itself(switched: Robot, make: Make):
    words = ("model", str(ROOT / "models/perception"), "--network", "level1")
    file = make("level1-2", *words, "--hardware", "qemu_arm64")
    began_s = time.monotonic()
    install(switched, file)
    wait_until("the commit", lambda: is_settled(switched), switched)
    print(f"committed {time.monotonic() - began_s:.0f} s after it was asked for")
    after = status(switched)
    assert list(after["models"]) == ["level1"]
    assert after["profile"] is not None  # the profile that was chosen before stays
    assert "level1-2" in switched.ssh("sudo mender show-artifact", timeout_s=300)


def test_a_bad_profile_is_taken_back_and_status_says_why(switched: Robot, make: Make):
    before = status(switched)
    file = profile(make, "bad-model", f"{CAREFUL}=2.0", SOON, NO_SUCH_MODEL)
    began_s = time.monotonic()
    install(switched, file)
    wait_until("it is taken back", lambda: is_settled(switched), switched)
    print(f"taken back {time.monotonic() - began_s:.0f} s after it was asked for")
    print(switched.ssh(GATE_SAID))
    after = status(switched)
    assert after["config_hash"] == before["config_hash"]
    assert after["profile"] == before["profile"]
    assert after["last_failure"]["artifact_name"] == "bad-model"
    told = switched.ssh("sudo bedplate ota status", timeout_s=ASKED_S)
    print(told)
    assert "last not kept: bad-model" in told
    reasons = after["last_failure"]["reasons"]
    assert any("the safety model has no opinion" in reason for reason in reasons)


@pytest.fixture
def clock(switched: Robot) -> Iterator[Robot]:
    """Its date comes back, as far as seconds matter to nobody."""
    now_s, up_s = switched.ssh("date +%s; cut -d. -f1 /proc/uptime").split()
    yield switched
    up_later_s = switched.ssh("cut -d. -f1 /proc/uptime").strip()
    switched.ssh(f"sudo date --set=@{int(now_s) + int(up_later_s) - int(up_s)}")


@pytest.mark.parametrize(("year", "network"), [(1970, "level2"), (2100, "level3")])
def test_a_model_is_kept_whatever_the_date_is(clock: Robot, make: Make, year: int, network: str):
    """Signature and deadlines know no date. A profile would be taken back: telemetry starts anew
    with it, and no certificate is valid then, so that the fleet is not reached."""
    words = ("model", str(ROOT / "models/perception"), "--network", network)
    file = make(f"in-{year}", *words, "--hardware", "qemu_arm64")
    clock.ssh(f"sudo date --set='{year}-06-01 12:00 UTC'")
    install(clock, file)
    wait_until("the commit", lambda: is_settled(clock), clock)
    assert clock.ssh("date +%Y").strip() == str(year)
    assert network in status(clock)["models"]
    assert f"in-{year}" in clock.ssh("sudo mender show-artifact", timeout_s=300)


def test_what_is_no_longer_named_is_swept(switched: Robot):
    """The next installation could not fill the disk with what others left behind."""
    kept = switched.ssh("sudo ls /data/bedplate/profiles").split()
    assert kept == [status(switched)["profile"]]
