"""`bedplate ota` on a desk and on a robot: what is typed, and what is told back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from conf.profile import write_profile
from ota.artifact import write_artifact
from ota.artifact_reader import UnreadableError, read_artifact
from ota.cli import app
from ota.cli_robot import _room_mib
from ota.install import REBOOT_NEEDED, install_file
from ota.payloads import profile
from ota.refusal import OtaRefusedError
from ota.status import as_lines, read_status
from runtime.paths import Paths
from tests.ota.robot.bench import ROOT, Robot, make_robot, own_config, tighter_config


def bedplate(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output + str(result.exception)
    return result


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    bedplate("keys", "make", "--out", tmp_path / "keys")
    return tmp_path / "keys"


def test_from_keys_to_an_artifact_that_is_shown_and_trusted(keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "level1.mender"
    bedplate("artifact", "model", ROOT / "models/perception", "--network", "level1", "--name",
             "level1-2", "--hardware", "qemu_arm64", "--key", keys / "artifact-sign-key.pem",
             "--out", file)  # fmt: skip
    shown = bedplate("show", file, "--key", keys / "artifact-verify-key.pem").stdout
    assert "level1-2  bedplate-model  for qemu_arm64  signed by that key" in shown
    assert "level1.onnx" in shown


def test_a_profile_artifact_is_made_of_yaml(keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.mender"
    bedplate("artifact", "profile", "--hardware", "qemu_arm64", "--facility", "osaka", "--name",
             "p-1", "--key", keys / "artifact-sign-key.pem", "--out", file)  # fmt: skip
    contents = json.loads(bedplate("show", file, "--json").stdout)
    assert contents["provides"]["bedplate-profile.config_hash"] == own_config().config_hash


def test_an_unsigned_artifact_is_shown_as_one(tmp_path: Path, keys: Path) -> None:
    file = write_artifact(profile(own_config(), "x"), None, tmp_path / "a.mender").path
    assert "NOT SIGNED: every robot refuses it" in bedplate("show", file).stdout
    bedplate("show", file, "--key", keys / "artifact-verify-key.pem", code=1)


def test_a_key_that_is_no_key_is_refused_with_what_to_try(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_text("nonsense")
    result = CliRunner().invoke(
        app, ["artifact", "profile", "--name", "x", "--hardware", "qemu_arm64", "--key",
              str(tmp_path / "k.pem")],
    )  # fmt: skip
    assert result.exit_code == 2
    assert "bedplate ota keys make" in result.stderr


@given(st.integers(0, 10_000_000), st.integers(1, 255))
def test_an_artifact_with_any_byte_altered_is_never_shown_as_whole_and_trusted(
    place: int, flip: int
) -> None:
    raw = bytearray(SIGNED.read_bytes())
    place %= len(raw)
    raw[place] ^= flip
    altered = SIGNED.with_name("altered.mender")
    altered.write_bytes(raw)
    before = read_artifact(SIGNED, KEY)
    try:
        after = read_artifact(altered, KEY)
    except UnreadableError:
        return
    assert after.trusted is False or after.problems or after == before


@given(st.integers(0, 10_000_000))
def test_an_artifact_cut_short_is_never_shown_as_whole(length: int) -> None:
    raw = SIGNED.read_bytes()
    short = SIGNED.with_name("short.mender")
    short.write_bytes(raw[: length % len(raw)])
    before = read_artifact(SIGNED, KEY)
    try:
        after = read_artifact(short, KEY)
    except UnreadableError:
        return
    assert after == before, "only padding at the end may be missing"


@given(st.binary(max_size=2000))
def test_noise_is_no_artifact(noise: bytes) -> None:
    file = SIGNED.with_name("noise.mender")
    file.write_bytes(noise)
    with pytest.raises(UnreadableError):
        read_artifact(file)


def _signed() -> tuple[Path, object]:
    import tempfile

    from ota.keys import make_keys, read_private, read_public

    folder = Path(tempfile.mkdtemp(prefix="bedplate-test-"))
    make_keys(folder / "s.pem", folder / "v.pem")
    file = write_artifact(
        profile(tighter_config(), "x"), read_private(folder / "s.pem"), folder / "a.mender"
    ).path
    return file, read_public(folder / "v.pem")


SIGNED: Path
KEY: object


@pytest.fixture(scope="module", autouse=True)
def signed() -> object:
    """Made once: hypothesis alters copies of it."""
    import shutil

    global SIGNED, KEY
    SIGNED, KEY = _signed()
    yield
    shutil.rmtree(SIGNED.parent)


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return make_robot(tmp_path)


def test_the_mark_of_a_file_is_there_while_the_client_works_and_gone_if_it_refuses(
    tmp_path: Path,
) -> None:
    file, folder = tmp_path / "a.mender", tmp_path / "ota"
    file.write_bytes(b"x")
    key = tmp_path / "key.pem"
    with pytest.raises(OtaRefusedError, match="takes what nobody signed"):
        install_file(file, folder, reboot=False, run=lambda _: 0, key=key)
    assert not folder.exists()
    key.touch()
    seen: list[bool] = []

    def client(code: int):
        def call(command: object) -> int:
            seen.append((folder / "install.json").exists())
            return code

        return call

    assert install_file(file, folder, reboot=False, run=client(1), key=key) == 1
    assert not (folder / "install.json").exists()
    assert install_file(file, folder, reboot=False, run=client(REBOOT_NEEDED), key=key) == 0
    assert (folder / "install.json").exists()
    assert seen == [True, True]


def test_two_installations_at_once_are_one_and_a_refusal(tmp_path: Path) -> None:
    file, folder, key = tmp_path / "a.mender", tmp_path / "ota", tmp_path / "key.pem"
    file.write_bytes(b"x")
    key.touch()
    refusals: list[str] = []

    def client(command: object) -> int:
        with pytest.raises(OtaRefusedError) as second:
            install_file(file, folder, reboot=False, run=lambda _: 0, key=key)
        refusals.append(str(second.value))
        assert (folder / "install.json").exists()
        return 0

    assert install_file(file, folder, reboot=False, run=client, key=key) == 0
    assert "another `bedplate ota install` at work" in refusals[0]
    assert install_file(file, folder, reboot=False, run=lambda _: 0, key=key) == 0


def test_an_installation_that_data_has_no_room_to_note_is_refused(tmp_path: Path) -> None:
    file, folder, key = tmp_path / "a.mender", tmp_path / "ota", tmp_path / "key.pem"
    file.write_bytes(b"x")
    key.touch()
    (folder / "install.json").mkdir(parents=True)  # as root, no other write fails in a test

    def client(command: object) -> int:
        raise AssertionError("the client was started")

    with pytest.raises(OtaRefusedError, match="make room on the data partition"):
        install_file(file, folder, reboot=False, run=client, key=key)


def test_an_update_that_the_gate_would_take_back_for_want_of_room_is_not_begun(
    tmp_path: Path,
) -> None:
    file, folder, key = tmp_path / "a.mender", tmp_path / "ota", tmp_path / "key.pem"
    file.write_bytes(b"x")
    key.touch()
    begun: list[object] = []

    def client(command: object) -> int:
        begun.append(command)
        return 0

    with pytest.raises(OtaRefusedError, match=r"MiB free[\s\S]*wants 1099511627776 MiB"):
        install_file(file, folder, reboot=False, room_mib=2**40, run=client, key=key)
    assert not begun
    assert not (folder / "install.json").exists()
    assert install_file(file, folder, reboot=False, room_mib=1, run=client, key=key) == 0
    assert len(begun) == 1


def test_the_room_is_the_one_that_the_robots_own_profile_wants(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "run", tmp_path / "data")
    assert _room_mib(paths) == 0, "nobody says: the gate judges"
    paths.profile.parent.mkdir(parents=True)
    write_profile(own_config(), paths.profile)
    assert _room_mib(paths) == own_config().ota.gate.disk_free_min_mib > 0


def test_a_file_that_is_not_there_leaves_no_mark(tmp_path: Path) -> None:
    with pytest.raises(OtaRefusedError, match="nothing to install"):
        install_file(tmp_path / "none", tmp_path / "ota", reboot=False, run=lambda _: 0)
    assert not (tmp_path / "ota").exists()


def test_status_tells_what_the_gate_found(robot: Robot) -> None:
    proc = robot.home / "proc"
    proc.mkdir()
    (proc / "cmdline").write_text("bedplate.slot=b")
    rows = [{"item": "gate.latency", "certainty": "wrong", "found": "80.0 µs"}]
    table = {"verdict": "fail", "reasons": ["too late"], "readings": rows}
    robot.paths.gate.write_text(json.dumps(table))
    said = "upgrade_available=1\nmender_boot_part=3\nbootcount=1\n"
    lines = as_lines(read_status(robot.paths, lambda _: said, proc))
    assert lines[0].startswith("slot b, on trial; Artifact")
    assert "commit gate: fail" in lines
    assert any("gate.latency: 80.0 µs" in line for line in lines)


@pytest.mark.parametrize(
    ("verdict", "line"),
    [("waiting", "commit gate: waiting, 80 of 600 s"), ("pass", "commit gate: pass")],
)
def test_status_tells_how_far_the_gate_is(robot: Robot, verdict: str, line: str) -> None:
    table = {"verdict": verdict, "readings": [], "elapsed_s": 80, "timeout_s": 600.0}
    robot.paths.gate.write_text(json.dumps(table))
    assert line in as_lines(read_status(robot.paths, lambda _: None, robot.home))


def test_status_is_asked_without_loading_what_only_a_desk_needs(tmp_path: Path) -> None:
    """On a robot in emulation all of it takes minutes."""
    code = (
        "import sys\n"
        "from bedplate import main\n"
        "try:\n    main()\n"
        "except SystemExit as ended:\n    assert not ended.code, ended\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    place = ("--run-dir", str(tmp_path), "--data-dir", str(tmp_path))
    words = [sys.executable, "-c", code, "ota", "status", *place]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("slot ")
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "ota" in loaded
    assert loaded.isdisjoint({"conf", "cryptography", "fleet", "httpx", "numpy", "rich"})


def test_status_of_a_machine_that_tells_nothing_guesses_nothing(tmp_path: Path) -> None:
    from runtime.paths import Paths

    found = read_status(Paths(tmp_path, tmp_path), lambda _: None, tmp_path)
    assert (found.slot, found.on_trial, found.gate) == (None, None, None)
    assert "its trial cannot be told" in as_lines(found)[0]
