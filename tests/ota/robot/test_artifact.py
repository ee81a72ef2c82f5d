"""Artifacts: the same bytes from the same inputs, sound names, and what others make of them."""

import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ota.artifact import Artifact, write_artifact
from ota.artifact_reader import read_artifact
from ota.keys import is_signed_by, make_keys, read_private, read_public, sign
from ota.payloads import SCRIPTS, model, profile, rootfs
from ota.refusal import OtaRefusedError
from ota.schema_version import schema_version
from tests.ota.robot.bench import ROOT, own_config, tighter_config

STATED = {
    "bedplate.config_hash": "a" * 64,
    "bedplate.config_schema": "5c" * 8,  # of an older checkout than the one that packs it
    "bedplate.data_version": "4",
}
PERCEPTION = ROOT / "models/perception"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("keys")
    make_keys(folder / "private.pem", folder / "public.pem")
    return folder / "private.pem", folder / "public.pem"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_image(tmp_path_factory.mktemp("image"), STATED)


def make_image(folder: Path, stated: object) -> Path:
    """As small a slot as there can be, with its word of itself where an image has it."""
    library = folder / "root/usr/lib/bedplate"
    library.mkdir(parents=True)
    (library / "provides.json").write_bytes(orjson.dumps(stated))
    slot = folder / "slot.img"
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    words = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(folder / "root"), str(slot), "1M"]
    done = subprocess.run(words, check=False, capture_output=True, env={"PATH": path})
    assert done.returncode == 0, done.stderr
    with slot.open("ab") as out:
        out.write(bytes(range(256)) * 64)  # the tree of hashes lies behind the file system
    manifest = {"artifact_name": "1.2.3", "config_hash": "a" * 64, "hardware": "qemu_arm64"}
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    return folder


def artifacts(image: Path) -> dict[str, Artifact]:
    return {
        "rootfs": rootfs(image),
        "profile": profile(own_config(), "careful-1"),
        "model": model(PERCEPTION, "level1", "level1-2", ("qemu_arm64", "sim_x86")),
    }


@pytest.mark.parametrize("kind", ["rootfs", "profile", "model"])
def test_the_same_inputs_give_the_same_bytes(
    kind: str, keys: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    key = read_private(keys[0])
    first = write_artifact(artifacts(image)[kind], key, tmp_path / "one/a.mender")
    (image / "slot.img").touch()
    second = write_artifact(artifacts(image)[kind], key, tmp_path / "two/b.mender")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("kind", ["rootfs", "profile", "model"])
def test_debians_mender_artifact_validates_and_reads_it(
    kind: str, keys: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    if shutil.which("mender-artifact") is None:
        pytest.skip("mender-artifact is not installed")
    artifact = artifacts(image)[kind]
    made = write_artifact(artifact, read_private(keys[0]), tmp_path / "a.mender").path
    checked = run("mender-artifact", "validate", "-k", str(keys[1]), str(made))
    assert checked.returncode == 0, checked.stderr + checked.stdout
    read = run("mender-artifact", "read", "-k", str(keys[1]), str(made))
    assert read.returncode == 0, read.stderr
    assert f"Name: {artifact.name}" in read.stdout
    assert "signed and verified correctly" in read.stdout
    for key in artifact.payload.provides:
        assert key in read.stdout


def test_debians_mender_artifact_sees_another_key_and_an_altered_file(
    keys: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    if shutil.which("mender-artifact") is None:
        pytest.skip("mender-artifact is not installed")
    made = write_artifact(rootfs(image), read_private(keys[0]), tmp_path / "a.mender").path
    make_keys(tmp_path / "other.pem", tmp_path / "other.pub")
    assert run(
        "mender-artifact", "validate", "-k", str(tmp_path / "other.pub"), str(made)
    ).returncode
    with tarfile.open(made) as tar:
        data = tar.getmember("data/0000.tar.gz")
    raw = bytearray(made.read_bytes())
    raw[data.offset_data + data.size // 2] ^= 1
    made.write_bytes(raw)
    assert run("mender-artifact", "validate", "-k", str(keys[1]), str(made)).returncode


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_order_inside_is_the_formats(
    keys: tuple[Path, Path], image: Path, tmp_path: Path
) -> None:
    made = write_artifact(rootfs(image), read_private(keys[0]), tmp_path / "a.mender").path
    with tarfile.open(made) as tar:
        names = tar.getnames()
        times = {member.mtime for member in tar}
    assert names == ["version", "manifest", "manifest.sig", "header.tar.gz", "data/0000.tar.gz"]
    assert times == {0}


@pytest.mark.parametrize(
    "name", ["../etc/passwd", "a/b", "/etc/x", ".hidden", "", "a\nb", "x" * 200]
)
@pytest.mark.parametrize("where", ["file", "script", "artifact", "device"])
def test_no_name_leaves_its_folder(where: str, name: str, image: Path, tmp_path: Path) -> None:
    base = rootfs(image)
    changed = {
        "file": replace(base, payload=replace(base.payload, files={name: b"x"})),
        "script": replace(base, scripts={name: b"x"}),
        "artifact": replace(base, name=name),
        "device": replace(base, device_types=(name,)),
    }[where]
    with pytest.raises(OtaRefusedError, match="names as they come"):
        write_artifact(changed, None, tmp_path / "a.mender")
    assert list(tmp_path.iterdir()) == []


def test_a_root_filesystem_names_its_board_its_data_and_brings_the_script(image: Path) -> None:
    made = rootfs(image, "2.0")
    assert made.device_types == ("qemu_arm64",)
    assert made.payload.depends == {"bedplate.data_version": ("3", "4")}
    assert made.payload.provides["rootfs-image.version"] == "2.0"
    assert list(made.scripts) == ["ArtifactCommit_Enter_50_bedplate-gate"]


def test_a_root_filesystem_provides_what_its_image_says_whoever_packs_it(image: Path) -> None:
    """Its schema is its own; on the one that runs now nothing of it depends."""
    made = rootfs(image)
    assert {key: made.payload.provides[key] for key in STATED} == STATED
    assert STATED["bedplate.config_schema"] != schema_version()
    assert "bedplate.config_schema" not in made.payload.depends


@pytest.mark.parametrize(
    ("stated", "say"),
    [
        ({}, "no word of what it provides"),
        ([], "no word of what it provides"),
        (STATED | {"bedplate.data_version": "new"}, "no word of what it provides"),
        (STATED | {"bedplate.config_hash": "b" * 64}, "an image of profile bbbb"),
    ],
)
def test_an_image_that_does_not_say_what_it_is_is_not_packed(
    tmp_path: Path, stated: object, say: str
) -> None:
    with pytest.raises(OtaRefusedError, match=say):
        rootfs(make_image(tmp_path / "image", stated))


@pytest.mark.parametrize(
    ("readable", "written"), [(("4",), "4"), (("3", "4"), ["3", "4"]), ("4", "4")]
)
def test_one_value_of_a_term_is_written_as_a_word_which_every_client_reads(
    tmp_path: Path, readable: str | tuple[str, ...], written: str | list[str]
) -> None:
    made = profile(own_config(), "1.2.3")
    payload = replace(made.payload, depends={"bedplate.data_version": readable})
    file = write_artifact(replace(made, payload=payload), None, tmp_path / "a.mender").path
    assert read_artifact(file).depends == {"bedplate.data_version": written}


def test_a_profile_depends_on_the_schema_it_was_made_with() -> None:
    made = profile(tighter_config(), "careful")
    assert made.payload.depends == {"bedplate.config_schema": schema_version()}
    assert made.payload.meta["config_hash"] == tighter_config().config_hash


def test_an_image_that_is_not_there_is_refused_with_what_to_try(tmp_path: Path) -> None:
    with pytest.raises(OtaRefusedError, match="make image"):
        rootfs(tmp_path)


def test_signatures_are_the_same_each_time_and_known_again(keys: tuple[Path, Path]) -> None:
    private, public = read_private(keys[0]), read_public(keys[1])
    once, twice = sign(b"text", private), sign(b"text", private)
    assert once == twice
    assert is_signed_by(b"text", once, public)
    assert not is_signed_by(b"texT", once, public)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert not is_signed_by(b"text", once, other)


@given(st.binary(max_size=100))
def test_no_bytes_but_a_signature_are_taken_for_one(noise: bytes) -> None:
    key = ec.derive_private_key(12345, ec.SECP256R1()).public_key()
    assert not is_signed_by(b"text", noise, key)


def test_a_key_that_is_there_is_never_written_over(keys: tuple[Path, Path], tmp_path: Path) -> None:
    before = keys[0].read_bytes()
    with pytest.raises(OtaRefusedError, match="there already"):
        make_keys(keys[0], tmp_path / "new.pem")
    assert keys[0].read_bytes() == before
    assert keys[0].stat().st_mode & 0o777 == 0o600


def test_state_scripts_are_short() -> None:
    for script in SCRIPTS.iterdir():
        assert len(script.read_text().splitlines()) <= 10
        assert script.stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("gate", "code", "said"),
    [
        ('{"verdict": "pass", "reasons": [], "config_hash": "x"}', 0, ""),
        ('{"verdict": "fail", "reasons": ["too slow"], "config_hash": "x"}', 1, "too slow"),
        ('{"verdict": "waiting", "reasons": ["y"], "config_hash": "x"}', 21, ""),
        ('{"verdict": "unknown", "reasons": ["y"], "config_hash": "x"}', 21, ""),
        ("garbage", 21, ""),
        (None, 21, ""),
    ],
)
def test_the_script_waits_for_the_gate_and_reports_it(
    gate: str | None, code: int, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "gate.json"
    if gate is not None:
        file.write_text(gate)
    done = subprocess.run(
        [SCRIPTS / "ArtifactCommit_Enter_50_bedplate-gate"],
        env={"PATH": "/usr/bin:/bin", "BEDPLATE_GATE": str(file)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert said in done.stderr
