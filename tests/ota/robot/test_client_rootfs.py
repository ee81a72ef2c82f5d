"""Root filesystems at the real client: what is refused before a byte of a slot is written."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ota.artifact import Artifact, Payload, write_artifact
from ota.keys import make_keys, read_private
from ota.payloads import ROOTFS, seed, slot_provides, state_scripts
from tests.ota.client_program import LATER, TERMS, WRONG_BOARD, WRONG_KEY
from tests.ota.robot.bench import Client, Robot, make_client, make_robot, need_client

SLOT = b"\xaa" * (1 << 20)


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    need_client()
    return make_robot(tmp_path)


@pytest.fixture
def client(robot: Robot) -> Client:
    """Its slots are files: a write into one would be seen."""
    make_keys(robot.home / "s.pem", robot.home / "v.pem")
    made = make_client(robot, robot.home / "v.pem")
    for number in (2, 3):
        (robot.home / f"part{number}").write_bytes(SLOT)
    settings = json.loads((made.home / "mender.conf").read_text())
    settings["RootfsPartA"] = str(robot.home / "part2")
    settings["RootfsPartB"] = str(robot.home / "part3")
    (made.home / "mender.conf").write_text(json.dumps(settings))
    provides = slot_provides("flashed", "a" * 64, "b" * 64)
    told = seed("flashed", "qemu_arm64", provides)
    file = write_artifact(told, read_private(robot.home / "s.pem"), robot.home / "s.mender").path
    assert made("install", str(file)).returncode == 0
    return made


def slot_artifact() -> Artifact:
    payload = Payload(
        ROOTFS,
        {"slot.img": b"\x55" * (1 << 20)},
        slot_provides("osaka-2", "c" * 64, "d" * 64),
        ("bedplate.*",),
        {"bedplate.data_version": ("1",)},
    )
    return Artifact("osaka-2", ("qemu_arm64",), payload, state_scripts())


def install(client: Client, artifact: Artifact, key: Path | None) -> str:
    home = client.robot.home
    private = None if key is None else read_private(key)
    done = client("install", str(write_artifact(artifact, private, home / "a.mender").path))
    assert done.returncode != 0
    assert (home / "part2").read_bytes() == SLOT
    assert (home / "part3").read_bytes() == SLOT
    return done.stderr


def test_a_sound_one_gets_as_far_as_the_slots(client: Client) -> None:
    """The control: with these files for slots the client stops only where it would write."""
    said = install(client, slot_artifact(), client.robot.home / "s.pem")
    assert LATER or "authenticated digital signature" in said
    assert ("Update Module output" if LATER else "artition") in said


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("unsigned", "expecting signed artifact"),
        ("wrongly signed", WRONG_KEY),
        ("wrong board", WRONG_BOARD),
        ("forbidden downgrade", "bedplate.data_version"),
        ("wrong config schema", "bedplate.config_schema"),
    ],
)
def test_what_may_not_be_installed_is_refused_before_a_byte_is_written(
    client: Client, what: str, said: str
) -> None:
    home, artifact = client.robot.home, slot_artifact()
    key: Path | None = home / "s.pem"
    depends = artifact.payload.depends
    match what:
        case "unsigned":
            key = None
        case "wrongly signed":
            make_keys(home / "other.pem", home / "other.pub")
            key = home / "other.pem"
        case "wrong board":
            artifact = replace(artifact, device_types=("jetson_thor",))
        case "forbidden downgrade":
            depends = {"bedplate.data_version": TERMS}
        case _:
            depends = {"bedplate.config_schema": "0" * 16}
    artifact = replace(artifact, payload=replace(artifact.payload, depends=depends))
    assert said in install(client, artifact, key)
