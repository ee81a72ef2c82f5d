"""NVIDIA's firmware slots, against a double of the firmware: what goes wrong on boards, by name."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ota.boot_env.request import Refused, variables
from ota.boot_env.states import SLOT_A, SLOT_B, STATES, State
from ota.firmware_slots import (
    ATTRIBUTES,
    CHAIN_OF,
    NORMAL,
    STATUS,
    UNBOOTABLE,
    VENDOR,
    FirmwareError,
    Variable,
    Write,
    main,
    read_trial,
    state_of,
    unfit,
    writes_of,
)
from tests.ota.robot.firmware import BUDGET, RETRIES, SLOT_OF, Board, Cut, Robot


@pytest.fixture
def robot(tmp_path: Path) -> Robot:
    return Robot(tmp_path / "robot")


def test_an_update_is_tried_committed_and_stays(robot: Robot) -> None:
    robot.install()
    assert robot.shown()["upgrade_available"] == "1"
    robot.start()
    assert robot.running == SLOT_B
    assert robot.shown()["bootcount"] == "1"
    with pytest.raises(Refused, match="has not spoken"):
        robot.commit()
    robot.gate = ""
    robot.commit()
    assert robot.shown()["upgrade_available"] == "0"
    robot.start()
    assert robot.running == SLOT_B
    assert robot.board.read(Variable.NEXT) is None


@pytest.mark.parametrize("level", [0, None])
def test_redundancy_that_is_not_armed_is_said_before_a_byte_is_written(
    robot: Robot, level: int | None
) -> None:
    """On a board whose disk was written from outside the switch would be ignored in silence."""
    robot.board.write(Write(Variable.REDUNDANCY, level))
    before = robot.board.values()
    for act in (robot.install, robot.slots().prepare):
        with pytest.raises(Refused, match="would ignore every switch"):
            act()
    assert robot.board.values() == before
    assert robot.running == SLOT_A


def test_a_slot_marked_unbootable_is_cleared_by_a_whole_new_system_only(robot: Robot) -> None:
    robot.board.write(Write(STATUS[SLOT_B], UNBOOTABLE))
    robot.confirm()
    assert robot.board.read(STATUS[SLOT_B]) == UNBOOTABLE
    robot.install()
    assert robot.board.read(STATUS[SLOT_B]) == NORMAL
    robot.start()
    assert robot.running == SLOT_B


def test_a_half_written_slot_is_never_what_the_firmware_falls_back_into(robot: Robot) -> None:
    robot.slots().prepare()
    for _ in range(BUDGET + 2):  # nobody confirms: the firmware gives slot A up
        robot.start()
    assert robot.running is None
    assert robot.board.read(STATUS[SLOT_B]) == UNBOOTABLE


@pytest.mark.parametrize("current", [1, 7, None])
def test_a_map_that_does_not_fit_the_root_that_runs_writes_nothing(
    robot: Robot, current: int | None
) -> None:
    robot.board.write(Write(Variable.CURRENT, current))
    before = robot.board.values()
    for act in (robot.install, robot.confirm):
        with pytest.raises(Refused, match="over the running root"):
            act()
    assert robot.board.values() == before


def test_a_good_slot_is_not_condemned_while_each_start_is_confirmed(robot: Robot) -> None:
    for _ in range(10):
        robot.confirm()
        robot.start()
    assert robot.running == SLOT_A


def test_a_good_slot_that_nobody_confirms_is_condemned_which_is_why_a_unit_does(
    robot: Robot,
) -> None:
    for _ in range(BUDGET):
        robot.start()
    assert robot.running == SLOT_B
    assert robot.board.read(STATUS[SLOT_A]) == UNBOOTABLE


def test_a_confirmation_does_not_commit_a_trial(robot: Robot) -> None:
    """A verifier that runs before the gate would take the way back away."""
    robot.install()
    robot.start()
    left = robot.board.read(RETRIES[SLOT_B])
    robot.confirm()
    assert robot.board.read(RETRIES[SLOT_B]) == left
    assert robot.shown()["upgrade_available"] == "1"


def test_a_trial_boot_that_was_cut_is_not_tried_for_ever(robot: Robot) -> None:
    robot.install()
    robot.start()
    robot.start()  # the power went; the firmware has starts left and takes the same slot
    assert robot.running == SLOT_B
    assert robot.shown()["mender_boot_part"] == str(SLOT_A)
    robot.gate = ""
    robot.set(
        upgrade_available=0
    )  # too late to mean a commit: the client sees no update, and fails
    robot.start()
    assert robot.running == SLOT_A
    assert robot.shown()["upgrade_available"] == "0"


def test_a_slot_that_never_gets_up_is_left_by_the_firmwares_own_count(robot: Robot) -> None:
    robot.install()
    for _ in range(BUDGET + 1):
        robot.running = robot.board.power_on()  # and nothing of ours runs
    assert robot.running == SLOT_A
    robot.start()
    assert robot.shown() == variables(State(SLOT_A, canary=1))
    assert not robot.note.exists()


def test_an_update_that_is_given_up_before_its_restart_leaves_no_switch_behind(
    robot: Robot,
) -> None:
    robot.install()
    robot.set(upgrade_available=0, mender_boot_part=SLOT_A)
    assert robot.board.read(Variable.NEXT) is None  # it would cancel a firmware's own update
    robot.start()
    assert robot.running == SLOT_A


def test_a_rollback_on_the_trial_boot_goes_back_at_the_next_restart(robot: Robot) -> None:
    robot.install()
    robot.start()
    robot.set(upgrade_available=0, mender_boot_part=SLOT_A)
    robot.start()
    assert robot.running == SLOT_A
    assert robot.board.read(STATUS[SLOT_B]) == UNBOOTABLE


def test_there_is_no_way_back_into_a_condemned_slot(robot: Robot) -> None:
    robot.install()
    robot.start()
    robot.board.write(Write(STATUS[SLOT_A], UNBOOTABLE))
    with pytest.raises(Refused, match="no way back"):
        robot.set(upgrade_available=0, mender_boot_part=SLOT_A)
    assert robot.board.read(STATUS[SLOT_B]) == NORMAL


def test_somebody_elses_switch_that_waits_is_not_taken_over(robot: Robot) -> None:
    robot.board.write(Write(Variable.NEXT, 1))
    with pytest.raises(Refused, match="somebody else"):
        robot.slots().prepare()


def test_a_variable_that_the_firmware_does_not_take_is_an_error(robot: Robot) -> None:
    class Deaf(Board):
        def read(self, variable: Variable) -> int | None:
            return UNBOOTABLE if variable is Variable.STATUS_B else super().read(variable)

    deaf = Deaf.__new__(Deaf)
    deaf.__dict__.update(robot.board.__dict__)
    with pytest.raises(FirmwareError, match="was written and is not"):
        deaf.write(Write(Variable.STATUS_B, NORMAL))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"target": 9, "asked_in": "x", "tried_in": ""}'])
def test_a_damaged_note_is_no_trial(robot: Robot, text: str) -> None:
    robot.install()
    robot.note.write_text(text)
    assert read_trial(robot.note) is None
    robot.start()  # the firmware switched all the same, and counts
    assert robot.shown()["upgrade_available"] == "0"


@given(st.integers(0, 12), st.booleans())
@settings(deadline=None)
def test_wherever_the_power_goes_an_uncommitted_slot_is_left_and_a_whole_one_runs(
    tmp_path_factory: pytest.TempPathFactory, writes: int, commits: bool
) -> None:
    """Install, trial, commit or not, with a cut before any write of a variable."""
    robot = Robot(tmp_path_factory.mktemp("cut") / "robot")
    robot.confirm()
    robot.board.cut_after = writes
    try:
        robot.install()
        robot.start()
        robot.board.cut_after = max(0, writes - 3)
        if commits and robot.running == SLOT_B:
            robot.gate = ""
            robot.commit()
    except Cut:
        pass
    robot.start()
    for _ in range(2):  # at most two more restarts, and it stands
        if robot.shown()["mender_boot_part"] != str(robot.running):
            robot.start()
    assert robot.running is not None
    shown = robot.shown()
    assert (shown["upgrade_available"], shown["mender_boot_part"]) in {
        ("0", str(robot.running)),
        ("1", str(robot.running)),  # its one trial boot
    }
    if shown["upgrade_available"] == "1":
        robot.start()
        robot.start()
        assert robot.running == SLOT_A
    robot.confirm()
    robot.install()  # it can take the next one


@given(st.sampled_from(STATES), st.sampled_from(STATES), st.sampled_from([SLOT_A, SLOT_B]))
def test_the_slot_that_starts_next_is_never_one_that_was_just_condemned(
    now: State, wanted: State, running: int
) -> None:
    rows = writes_of(now, wanted, running)
    following = [row.value for row in rows if row.variable is Variable.NEXT]
    condemned = {row.variable for row in rows if row.value == UNBOOTABLE}
    if following and following[-1] is not None:
        assert STATUS[SLOT_OF[following[-1]]] not in condemned


@given(st.dictionaries(st.sampled_from(list(Variable)), st.integers(0, 300)), st.none())
def test_variables_that_say_anything_never_crash_the_judgement(values, nothing) -> None:
    assert isinstance(unfit(values, SLOT_A), str)
    assert unfit(values, nothing)


def test_a_note_of_this_boot_waits_for_its_restart() -> None:
    from ota.firmware_slots import Trial

    assert state_of(Trial(SLOT_B, "b1"), SLOT_A, "b1") == State(SLOT_B, 1, 0, 0, 1)
    assert state_of(Trial(SLOT_B, "b1"), SLOT_A, "b2") == State(SLOT_A, canary=1)


def words(robot: Robot, *said: str) -> int:
    home = robot.home
    (home / "cmdline").write_text(f"bedplate.slot={'ab'[CHAIN_OF[robot.running or 0]]}\n")
    (home / "boot_id").write_text(f"boot-{robot.boots}\n")
    options = ["--cmdline", str(home / "cmdline"), "--boot-id", str(home / "boot_id")]
    options += ["--gate", str(home / "gate.json"), "--writer", str(home / "writer")]
    return main([said[0], *options, *said[1:]], home / "efivars", robot.note)


def test_the_words_are_those_of_the_client(
    robot: Robot, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    assert words(robot, "print", "upgrade_available", "mender_boot_part") == 0
    assert capsys.readouterr().out == "upgrade_available=0\nmender_boot_part=2\n"
    assert words(robot, "ready") == 0
    lines = "upgrade_available=1\nmender_boot_part=3\nmender_boot_part_hex=3\nbootcount=0\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert words(robot, "set", "-s", "-") == 0
    robot.start()
    assert words(robot, "set", "upgrade_available", "0") == 1
    assert "has not spoken" in capsys.readouterr().err
    said = {"boot_id": f"boot-{robot.boots}", "slot": "b", "verdict": "pass", "reasons": []}
    (robot.home / "gate.json").write_text(json.dumps(said))
    assert words(robot, "set", "upgrade_available", "0") == 0
    assert words(robot, "confirmed") == 0
    capsys.readouterr()
    assert words(robot, "show") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["part"], shown["RootfsRedundancyLevel"]) == (SLOT_B, 1)


def test_a_kernel_without_efi_variables_says_what_to_do(
    robot: Robot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["print"], tmp_path / "none", robot.note) == 2
    assert "efi=runtime" in capsys.readouterr().err


def test_variables_have_the_bytes_that_efivarfs_wants(robot: Robot) -> None:
    file = robot.home / f"efivars/RootfsStatusSlotB-{VENDOR}"
    robot.board.write(Write(Variable.STATUS_B, UNBOOTABLE))
    assert file.read_bytes() == ATTRIBUTES + b"\xff\0\0\0"
    file.write_bytes(b"\7\0")
    assert robot.board.read(Variable.STATUS_B) is None
