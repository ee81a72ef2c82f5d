"""The update modules: what they refuse before anything changes, and how a switch ends."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.control import control_bytes
from conf.load import compose
from conf.profile import profile_bytes
from ota import switch
from ota.artifact import Artifact
from ota.modules.flow import GATE, SLACK_S, Call, answer
from ota.modules.model import Model
from ota.modules.profile import Profile
from ota.modules.profile_check import check
from ota.modules.states import ModuleRefusedError, State, download
from ota.payloads import files_digest, model, model_files, profile
from ota.switch import SwitchRefusedError
from runtime.active import folder_digest, read_active, read_trial
from runtime.boot import uptime_s
from tests.ota.robot.bench import ROOT, Robot, make_robot, own_config, tighter_config

PERCEPTION = ROOT / "models/perception"


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return make_robot(tmp_path)


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = uptime_s()

    def pause(self, seconds: float) -> None:
        self.now += seconds


@cache
def careful() -> Artifact:
    return profile(tighter_config(), "careful-1")


def profile_call(robot: Robot, *, clock: Clock | None = None) -> Call:
    made = careful()
    return call_of(robot, Profile(), made.payload.files, made.payload.meta, clock)  # type: ignore[arg-type]


def model_call(robot: Robot, *, network: str = "level1") -> Call:
    made = model(PERCEPTION, network, "level1-2", ("qemu_arm64",))
    return call_of(robot, Model(), made.payload.files, made.payload.meta, None)  # type: ignore[arg-type]


def call_of(
    robot: Robot, kind: Any, files: dict[str, bytes], meta: dict[str, Any], clock: Clock | None
) -> Call:
    """A folder as the client leaves it after the download."""
    folder = robot.home / "tree"
    for part in ("header", "files"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "header/meta-data").write_text(json.dumps(meta))
    for name, content in files.items():
        (folder / "files" / name).write_bytes(content)
    clock = clock or Clock()
    return Call(
        robot.around, folder, kind, lambda: 60.0, now_s=lambda: clock.now, pause=clock.pause,
        print_tool="print",
    )  # fmt: skip


def token(robot: Robot) -> str:
    trial = read_trial(robot.paths.trial)
    assert trial is not None
    return trial.token


def test_a_profile_is_switched_judged_and_committed_without_a_reboot(robot: Robot) -> None:
    call = profile_call(robot)
    assert answer(call, State.SUPPORTS_ROLLBACK) == "Yes"
    assert answer(call, State.NEEDS_REBOOT) == "No"
    answer(call, State.INSTALL)
    assert robot.running() == tighter_config().config_hash
    robot.say("pass", token(robot))
    answer(call, State.COMMIT)
    answer(call, State.CLEANUP)
    assert read_trial(robot.paths.trial) is None
    robot.boot("another-boot")
    assert robot.running() == tighter_config().config_hash


def test_only_what_the_difference_touches_is_restarted(robot: Robot) -> None:
    answer(profile_call(robot), State.INSTALL)
    assert robot.told.pop() == GATE, "last, the gate is asked to judge"
    restarts = [line for line in robot.told if "restart" in line]
    units = {"bedplate-policyd", "bedplate-plannerd", "bedplate-safetyd", "bedplate-agentd",
             "bedplate-telemetryd"}  # fmt: skip
    assert [set(line[3:]) for line in restarts] == [{f"{unit}.service" for unit in units}]


@pytest.mark.parametrize("verdict", ["fail", "waiting", "unknown", ""])
def test_a_commit_without_a_pass_is_refused_and_goes_back(robot: Robot, verdict: str) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    robot.say(verdict, token(robot), "control is late")
    with pytest.raises(ModuleRefusedError, match="control is late"):
        answer(call, State.COMMIT)
    answer(call, State.ROLLBACK)
    assert robot.running() == own_config().config_hash
    assert read_trial(robot.paths.trial) is None


def test_a_pass_on_another_switch_or_of_another_boot_counts_for_nothing(robot: Robot) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    robot.say("pass", "someone-elses")
    with pytest.raises(ModuleRefusedError, match="did not decide in time"):
        answer(call, State.COMMIT)
    robot.boot_id = "an-earlier-boot"
    robot.say("pass", token(robot))
    robot.boot_id = switch.trial_on(call.around).boot_id  # type: ignore[union-attr]
    with pytest.raises(ModuleRefusedError, match="did not decide in time"):
        answer(call, State.COMMIT)


def test_a_gate_that_never_speaks_ends_in_a_refusal_by_the_deadline(robot: Robot) -> None:
    clock = Clock()
    call = profile_call(robot, clock=clock)
    answer(call, State.INSTALL)
    clock.now = read_trial(robot.paths.trial).started_s  # type: ignore[union-attr]
    began = clock.now
    with pytest.raises(ModuleRefusedError, match="it said nothing"):
        answer(call, State.COMMIT)
    assert clock.now - began <= 60.0 + SLACK_S + 1


def test_a_second_switch_waits_for_the_first(robot: Robot) -> None:
    answer(profile_call(robot), State.INSTALL)
    with pytest.raises(SwitchRefusedError, match="on trial already"):
        answer(model_call(robot), State.INSTALL)


@pytest.mark.parametrize("said", ["upgrade_available=1\n", "", "upgrade_available=\n"])
@pytest.mark.parametrize("state", [State.DOWNLOAD, State.INSTALL])
def test_nothing_is_chosen_for_a_slot_on_trial(robot: Robot, said: str, state: State) -> None:
    robot.on_trial = said
    with pytest.raises(ModuleRefusedError, match="on trial"):
        answer(profile_call(robot), state)


def test_going_back_twice_is_going_back_once(robot: Robot) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    answer(call, State.ROLLBACK)
    answer(call, State.ROLLBACK)
    answer(call, State.FAILURE)
    assert robot.running() == own_config().config_hash


def test_a_commit_that_is_asked_for_twice_has_been_done(robot: Robot) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    robot.say("pass", token(robot))
    answer(call, State.COMMIT)
    answer(call, State.COMMIT)


def test_a_client_cut_off_after_the_commit_can_still_go_back(robot: Robot) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    robot.say("pass", token(robot))
    answer(call, State.COMMIT)
    robot.boot("another-boot")
    later = replace(call, around=robot.around)
    answer(later, State.ROLLBACK)
    assert robot.running() == own_config().config_hash
    robot.boot("a-third-boot")
    assert robot.running() == own_config().config_hash


def test_there_is_nothing_to_commit_where_nothing_was_switched(robot: Robot) -> None:
    with pytest.raises(ModuleRefusedError, match="nothing to commit"):
        answer(profile_call(robot), State.COMMIT)


def test_a_boot_before_the_commit_runs_what_was_before(robot: Robot) -> None:
    answer(profile_call(robot), State.INSTALL)
    robot.boot("another-boot")
    assert robot.running() == own_config().config_hash


def test_a_slot_that_was_written_anew_runs_what_it_brought(robot: Robot) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    robot.say("pass", token(robot))
    answer(call, State.COMMIT)
    manifest = json.loads((robot.library / "manifest.json").read_text())
    (robot.library / "manifest.json").write_text(
        json.dumps({**manifest, "contents_sha256": "d" * 64})
    )
    robot.boot("another-boot")
    assert robot.running() == own_config().config_hash


def test_a_profile_that_loosens_safety_is_refused() -> None:
    made = profile(own_config(), "loose")
    with pytest.raises(ModuleRefusedError, match="loosens 1 safety settings"):
        check(dict(made.payload.files), dict(made.payload.meta), tighter_config())  # type: ignore[arg-type]


def test_a_profile_of_another_board_is_refused() -> None:
    other = compose(hardware="qemu_arm64_icount", facility="osaka").config
    made = profile(other, "other")
    with pytest.raises(ModuleRefusedError, match="its board is qemu_arm64_icount"):
        check(dict(made.payload.files), dict(made.payload.meta), own_config())  # type: ignore[arg-type]


def test_a_profile_of_another_schema_is_refused() -> None:
    made = profile(tighter_config(), "new")
    meta = {**made.payload.meta, "config_schema": "0" * 16}
    with pytest.raises(ModuleRefusedError, match="was made with schema 0000"):
        check(dict(made.payload.files), meta, own_config())  # type: ignore[arg-type]


def test_a_control_file_that_does_not_follow_from_the_profile_is_refused() -> None:
    made = profile(tighter_config(), "forged")
    files = {**made.payload.files, "control.json": control_bytes(own_config())}
    with pytest.raises(ModuleRefusedError, match="control file is not the one"):
        check(files, dict(made.payload.meta), own_config())  # type: ignore[arg-type]


@settings(max_examples=10)
@given(st.integers(0, 20_000), st.integers(1, 255))
def test_a_profile_with_any_byte_altered_is_refused(place: int, flip: int) -> None:
    made = profile(tighter_config(), "altered")
    raw = bytearray(profile_bytes(tighter_config()))
    raw[place % (len(raw) - 1)] ^= flip
    files = {**made.payload.files, "profile.json": bytes(raw)}
    with pytest.raises(ModuleRefusedError):
        check(files, dict(made.payload.meta), own_config())  # type: ignore[arg-type]


def test_a_refused_profile_changes_nothing(robot: Robot) -> None:
    call = profile_call(robot)
    (call.folder / "files/control.json").write_bytes(b"x")
    before = sorted(path.name for path in robot.paths.data.rglob("*"))
    with pytest.raises(ModuleRefusedError):
        answer(call, State.INSTALL)
    assert sorted(path.name for path in robot.paths.data.rglob("*")) == before
    assert robot.running() == own_config().config_hash


def test_a_model_is_probed_switched_and_handed_out(robot: Robot) -> None:
    call = model_call(robot)
    answer(call, State.INSTALL)
    robot.say("pass", token(robot))
    answer(call, State.COMMIT)
    robot.boot("another-boot")
    cards = json.loads(robot.paths.chosen_models.read_text())
    digest = files_digest(model_files(PERCEPTION, "level1"))
    assert cards == {"level1": str(robot.paths.models / digest / "level1.yaml")}
    assert folder_digest(robot.paths.models / digest) == digest
    assert ("systemctl", "--no-block", "restart", "bedplate-visiond.service") in robot.told


def test_a_model_whose_card_is_another_networks_is_refused(robot: Robot) -> None:
    files = model_files(PERCEPTION, "level1")
    text = files["level1.yaml"].replace(b"name: level1\n", b"name: level2\n", 1)
    files = {**files, "level1.yaml": text}
    meta = {"network": "level1", "digest": files_digest(files), "file": "level1.onnx"}
    with pytest.raises(ModuleRefusedError, match="describes 'level2'"):
        answer(call_of(robot, Model(), files, meta, None), State.INSTALL)


def test_a_model_that_is_not_the_cards_is_refused(robot: Robot) -> None:
    files = {**model_files(PERCEPTION, "level1"), "level1.onnx": b"no network"}
    meta = {"network": "level1", "digest": files_digest(files), "file": "level1.onnx"}
    with pytest.raises(ModuleRefusedError, match="the card says"):
        answer(call_of(robot, Model(), files, meta, None), State.INSTALL)
    assert not robot.paths.models.exists()


def test_a_model_that_no_network_of_the_profile_is_named_like_is_refused(robot: Robot) -> None:
    files = {name.replace("level1", "hands"): raw for name, raw in
             model_files(PERCEPTION, "level1").items()}  # fmt: skip
    meta = {"network": "hands", "digest": files_digest(files), "file": "hands.onnx"}
    with pytest.raises(ModuleRefusedError, match="no network 'hands'"):
        answer(call_of(robot, Model(), files, meta, None), State.INSTALL)


@pytest.mark.parametrize(
    "meta", [{}, {"network": "../x", "file": "a.onnx"}, {"network": "level1", "file": "../a.onnx"}]
)
def test_a_models_header_names_plain_files_only(robot: Robot, meta: dict[str, str]) -> None:
    with pytest.raises(ModuleRefusedError, match="its header names"):
        answer(call_of(robot, Model(), {}, meta, None), State.DOWNLOAD)


def stream(folder: Path, files: list[tuple[str, bytes]]) -> threading.Thread:
    """As the client does it: a name into `stream-next`, then the stream of that name."""
    (folder / "streams").mkdir(parents=True)
    os.mkfifo(folder / "stream-next")

    def feed() -> None:
        for name, content in files:
            plain = name.rpartition("/")[2]
            if name and name in (plain, f"streams/{plain}"):
                os.mkfifo(folder / "streams" / plain)
            (folder / "stream-next").write_text(f"{name}\n" if name else "")
            if not name:
                return
            try:
                (folder / "streams" / plain).write_bytes(content)
            except OSError:
                return

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    return thread


def test_streams_are_stored_as_they_come(tmp_path: Path) -> None:
    thread = stream(
        tmp_path, [("streams/a.json", b"x" * 70_000), ("streams/b.json", b"y"), ("", b"")]
    )
    download(tmp_path, {"a.json": 70_000, "b.json": 10})
    thread.join(10)
    assert (tmp_path / "files/a.json").stat().st_size == 70_000
    assert (tmp_path / "files/b.json").read_bytes() == b"y"


def test_a_stream_longer_than_allowed_is_refused(tmp_path: Path) -> None:
    stream(tmp_path, [("streams/a.json", b"x" * 70_000)])
    with pytest.raises(ModuleRefusedError, match="more than 69999 bytes"):
        download(tmp_path, {"a.json": 69_999})


def test_a_payload_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    stream(tmp_path, [("streams/a.json", b"x"), ("", b"")])
    with pytest.raises(ModuleRefusedError, match=r"lacks b\.json"):
        download(tmp_path, {"a.json": 10, "b.json": 10})


@pytest.mark.parametrize(
    "name", ["streams/../../etc/x", "/etc/passwd", "streams/../x", "other/x", "streams/.x", "x"]
)
def test_no_stream_leaves_its_folder(tmp_path: Path, name: str) -> None:
    stream(tmp_path, [(name, b"x")])
    with pytest.raises(ModuleRefusedError, match=r"is no plain name|must be one of"):
        download(tmp_path, {"x": 10})
    assert [path.name for path in (tmp_path / "files").iterdir()] == []


@pytest.mark.parametrize("kind", ["profile", "model"])
def test_a_call_that_checks_nothing_loads_nothing_of_weight(kind: str) -> None:
    """The client makes seven calls; where an import takes twenty times as long, they add up."""
    heavy = "{'pydantic', 'numpy', 'httpx', 'onnxruntime', 'psutil'} & set(sys.modules)"
    code = f"import sys, ota.modules.{kind}; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("state", "said"), [("NeedsArtifactReboot", "No"), ("SupportsRollback", "Yes")]
)
@pytest.mark.parametrize("kind", ["profile", "model"])
def test_what_is_only_asked_the_launcher_answers_itself(kind: str, state: str, said: str) -> None:
    launcher = ROOT / f"ota/mender_files/modules/bedplate-{kind}"
    done = subprocess.run([launcher, state, "/nowhere"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said


def test_what_nothing_names_any_more_is_swept(robot: Robot) -> None:
    call = profile_call(robot)
    answer(call, State.INSTALL)
    answer(call, State.ROLLBACK)
    answer(call, State.CLEANUP)
    assert list(robot.paths.profiles.iterdir()) == []
    assert read_active(robot.paths.active) is not None
