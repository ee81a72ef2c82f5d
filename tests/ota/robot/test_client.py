"""Debian's own client with the update modules: what it installs, what it refuses, how it ends."""

import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ota.artifact import Artifact, write_artifact
from ota.client import COMMAND
from ota.keys import make_keys, read_private
from ota.payloads import model, profile, seed, slot_provides
from ota.provides import tell, wanted
from runtime.active import ActiveError, read_trial
from tests.ota.client_program import ERROR, LATER, PROGRAM, TERMS, WRONG_BOARD, WRONG_KEY
from tests.ota.robot.bench import (
    ROOT,
    Client,
    Robot,
    make_client,
    make_robot,
    need_client,
    own_config,
    tighter_config,
)

pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder / "private.pem", folder / "public.pem")
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    need_client()
    return make_robot(tmp_path)


@pytest.fixture
def client(robot: Robot, keys: tuple[Path, Path]) -> Client:
    """A client that has been told what its slot provides, as a robot's first boot does."""
    made = make_client(robot, keys[1])
    artifact = seed("flashed", "qemu_arm64", slot_provides("flashed", "a" * 64, "b" * 64))
    file = write_artifact(artifact, read_private(keys[0]), robot.home / "seed.mender").path
    done = made("install", str(file))
    assert done.returncode == 0, done.stderr
    return made


def packed(artifact: Artifact, keys: tuple[Path, Path], home: Path) -> Path:
    return write_artifact(artifact, read_private(keys[0]), home / "a.mender").path


@contextmanager
def gate(robot: Robot, verdict: str, *reasons: str) -> Iterator[None]:
    """In place of the gate's service: says the same of every switch it sees."""
    ended = threading.Event()

    def judge() -> None:
        while not ended.wait(0.1):
            try:
                trial = read_trial(robot.paths.trial)
            except (OSError, ActiveError):
                continue
            if trial is not None:
                robot.say(verdict, trial.token, *reasons)

    thread = threading.Thread(target=judge)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_signed_profile_is_installed_and_committed(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    file = packed(profile(tighter_config(), "careful-1"), keys, robot.home)
    installed = client("install", str(file))
    assert installed.returncode == 0, installed.stderr
    assert robot.running() == tighter_config().config_hash
    with gate(robot, "pass"):
        done = client("commit")
    assert done.returncode == 0, done.stderr
    provides = client.provides()
    assert provides["artifact_name"] == "careful-1"
    assert provides["bedplate-profile.config_hash"] == tighter_config().config_hash
    assert provides["bedplate.data_version"] == "1"
    restarted = (client.home / "restarted").read_text()
    assert "bedplate-plannerd.service" in restarted
    assert "controld" not in restarted


@pytest.mark.slow
def test_a_profile_without_any_script_is_gated_all_the_same(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    artifact = profile(tighter_config(), "careful-1")
    assert artifact.scripts == {}
    client("install", str(packed(artifact, keys, robot.home)))
    with gate(robot, "fail", "controld wakes late"):
        done = client("commit")
    assert done.returncode != 0
    assert "controld wakes late" in done.stderr
    assert robot.running() == own_config().config_hash
    assert client.provides()["artifact_name"] == "flashed"


@pytest.mark.slow
def test_an_operator_can_roll_back(robot: Robot, client: Client, keys: tuple[Path, Path]) -> None:
    client("install", str(packed(profile(tighter_config(), "careful-1"), keys, robot.home)))
    assert client("rollback").returncode == 0
    assert robot.running() == own_config().config_hash


@pytest.mark.slow
def test_a_signed_model_is_installed_and_committed(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    made = model(ROOT / "models/perception", "level1", "level1-2", ("qemu_arm64",))
    installed = client("install", str(packed(made, keys, robot.home)))
    assert installed.returncode == 0, installed.stderr
    with gate(robot, "pass"):
        assert client("commit").returncode == 0
    assert list(json.loads(robot.paths.chosen_models.read_text())) == ["level1"]
    assert "bedplate-visiond.service" in (client.home / "restarted").read_text()


def refused(client: Client, robot: Robot, file: Path, *, say: str) -> None:
    before = sorted(path.name for path in robot.paths.data.rglob("*"))
    done = client("install", str(file))
    assert done.returncode != 0
    assert say in done.stderr
    assert sorted(path.name for path in robot.paths.data.rglob("*")) == before
    assert robot.running() == own_config().config_hash
    assert client.provides()["artifact_name"] == "flashed"


def test_an_unsigned_artifact_is_refused(robot: Robot, client: Client) -> None:
    file = write_artifact(profile(tighter_config(), "x"), None, robot.home / "a.mender").path
    refused(client, robot, file, say="expecting signed artifact")


def test_an_artifact_of_another_key_is_refused(robot: Robot, client: Client) -> None:
    make_keys(robot.home / "other.pem", robot.home / "other.pub")
    key = read_private(robot.home / "other.pem")
    file = write_artifact(profile(tighter_config(), "x"), key, robot.home / "a.mender").path
    refused(client, robot, file, say=WRONG_KEY)


@pytest.mark.parametrize(
    "member", ["manifest", "manifest.sig", "header.tar.gz", "data/0000.tar.gz"]
)
def test_an_altered_artifact_is_refused(
    robot: Robot, client: Client, keys: tuple[Path, Path], member: str
) -> None:
    file = packed(profile(tighter_config(), "x"), keys, robot.home)
    with tarfile.open(file) as tar:
        found = tar.getmember(member)
    raw = bytearray(file.read_bytes())
    raw[found.offset_data + found.size // 2] ^= 1
    file.write_bytes(raw)
    refused(client, robot, file, say=ERROR)


@pytest.mark.slow
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_artifact_is_refused(
    robot: Robot, client: Client, keys: tuple[Path, Path], part: float
) -> None:
    file = packed(profile(tighter_config(), "x"), keys, robot.home)
    with tarfile.open(file) as tar:
        data = tar.getmember("data/0000.tar.gz")
    file.write_bytes(file.read_bytes()[: data.offset_data + int(data.size * part)])
    refused(client, robot, file, say=ERROR)


def test_an_artifact_for_another_board_is_refused(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    artifact = replace(profile(tighter_config(), "x"), device_types=("jetson_agx_orin",))
    refused(client, robot, packed(artifact, keys, robot.home), say=WRONG_BOARD)


def test_a_profile_of_another_schema_is_refused_by_its_terms(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    artifact = profile(tighter_config(), "x")
    depends = {"bedplate.config_schema": "0" * 16}
    artifact = replace(artifact, payload=replace(artifact.payload, depends=depends))
    refused(client, robot, packed(artifact, keys, robot.home), say="bedplate.config_schema")


def test_a_downgrade_that_could_not_read_the_data_is_refused_by_its_terms(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    artifact = profile(tighter_config(), "x")
    depends = {"bedplate.data_version": TERMS}
    artifact = replace(artifact, payload=replace(artifact.payload, depends=depends))
    refused(client, robot, packed(artifact, keys, robot.home), say="bedplate.data_version")


@pytest.mark.slow
def test_a_profile_that_loosens_safety_is_refused_on_the_robot(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    from conf.load import compose

    loose = compose(hardware="qemu_arm64", facility="gdansk").config
    file = packed(profile(loose, "x"), keys, robot.home)
    done = client("install", str(file))
    assert done.returncode != 0
    assert "the profile is refused" in done.stderr
    assert robot.running() == own_config().config_hash


def test_a_flashed_robot_tells_its_client_what_its_slot_provides(
    robot: Robot, keys: tuple[Path, Path]
) -> None:
    """Without it the client would refuse every artifact with terms, as it does first here."""
    flashed = make_client(robot, keys[1])
    file = packed(profile(tighter_config(), "careful-1"), keys, robot.home)
    done = flashed("install", str(file))
    assert done.returncode != 0
    assert "bedplate.config_schema" in done.stderr

    def run(command: Sequence[str]) -> str | None:
        assert command[0] == COMMAND
        told = flashed.raw(PROGRAM[0], "--data", str(flashed.home / "state"), *command[1:])
        return told.stdout if told.returncode == 0 else None

    provides = slot_provides("flashed", "a" * 64, "b" * 64)
    assert wanted(flashed.provides(), provides) is not None
    assert tell("flashed", "qemu_arm64", provides, run)
    assert wanted(flashed.provides(), provides) is None
    assert flashed("install", str(file)).returncode == 0


def test_without_its_key_this_client_takes_anything_which_is_why_it_is_not_started(
    robot: Robot, keys: tuple[Path, Path]
) -> None:
    """The peer's own behaviour: a key file that cannot be read makes 3.4 accept what is unsigned.
    Later ones refuse it."""
    lax = make_client(robot, robot.home / "no-such-key.pem")
    artifact = seed("unsigned", "qemu_arm64", {"bedplate.data_version": "1"})
    file = write_artifact(artifact, None, robot.home / "a.mender").path
    assert (lax("install", str(file)).returncode == 0) is not bool(LATER)


@pytest.mark.slow
def test_a_plain_artifact_of_the_same_type_meets_the_same_checks(
    robot: Robot, client: Client, keys: tuple[Path, Path]
) -> None:
    """Made by `mender-artifact` itself, signed, without a word of ours in its header."""
    (robot.home / "profile.json").write_text("{}")
    file = robot.home / "plain.mender"
    made = subprocess.run(
        ["mender-artifact", "write", "module-image", "-t", "qemu_arm64", "-n", "plain",
         "-T", "bedplate-profile", "-f", str(robot.home / "profile.json"),
         "-k", str(keys[0]), "-o", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    refused(client, robot, file, say="nothing was changed")
