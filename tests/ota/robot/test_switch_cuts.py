"""A switch cut off anywhere: the robot runs the old or the new, never neither, and goes on."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ota import migrations, switch
from ota.migrations import DataVersionError, Migration, migrate, read_version
from runtime.active import ActiveError, Selection, read_active, read_trial
from runtime.handout import Boot, hand_out
from tests.ota.robot.bench import Robot, make_robot, own_config, tighter_config
from tests.ota.robot.test_modules import profile_call

EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"})
WRITING = os.O_WRONLY | os.O_RDWR
OLD, NEW = own_config().config_hash, tighter_config().config_hash


class Cut(BaseException):
    """The power goes; nothing catches this."""


class Saw:
    """Ends the program before its n-th change to the disk, as a killed process or a cut would."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.count = 0
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left is None or event not in EVENTS:
            return
        if event == "open" and not int(arguments[2] or 0) & WRITING:  # type: ignore[call-overload]
            return
        self.count += 1
        if self.count > self.left:
            self.left = None
            raise Cut

    @contextmanager
    def after(self, changes: int) -> Iterator[None]:
        self.left, self.count = changes, 0
        try:
            yield
        finally:
            self.left = None


SAW = Saw()


def cut_everywhere(
    home: Path, work: Callable[[Robot], None], judge: Callable[[Robot], None]
) -> int:
    """Runs `work` with a cut before its first, second, … change; returns how many there were."""
    for changes in range(200):
        robot = make_robot(home / str(changes))
        prepared = profile_call(robot)
        assert prepared.folder.is_dir()
        try:
            with SAW.after(changes):
                work(robot)
        except Cut:
            judge(robot)
            continue
        judge(robot)
        return changes
    raise AssertionError("more than 200 changes to the disk: is it a loop?")


def next_boot(robot: Robot) -> str:
    """Two boots after the cut, with what the gate's service does in each; no notes, no neither."""
    found = []
    for boot_id in ("second-boot", "third-boot"):
        handed = hand_out(robot.library, robot.paths, Boot("a", boot_id))
        assert handed.notes == ()
        found.append(handed.config_hash)
        robot.boot_id = boot_id
        trial = read_trial(robot.paths.trial)
        if trial is not None and trial.boot_id != boot_id:
            switch.take_back(robot.paths, trial)
        switch.sweep(robot.paths)
    assert found[0] == found[1]
    assert found[0] in (OLD, NEW)
    return found[0]


def store_and_begin(robot: Robot) -> None:
    from ota.modules.profile import LIMITS, Profile
    from ota.modules.states import read_files

    call = profile_call_of(robot)
    files = read_files(call, dict(LIMITS))
    digest = switch.store_folder(robot.paths.profiles, NEW, files).name
    kind = Profile()
    before = switch.present(robot.around).selection
    switch.begin(robot.around, kind.name, kind.wanted(before, digest, {}))
    switch.apply(robot.around)


def profile_call_of(robot: Robot) -> Path:
    return robot.home / "tree"


def test_a_cut_anywhere_in_a_switch_leads_back_to_what_was(tmp_path: Path) -> None:
    def judge(robot: Robot) -> None:
        assert next_boot(robot) == OLD

    assert cut_everywhere(tmp_path, store_and_begin, judge) > 8


def test_a_cut_anywhere_in_a_commit_is_before_or_after_it(tmp_path: Path) -> None:
    seen: list[str] = []

    def work(robot: Robot) -> None:
        held, SAW.left = SAW.left, None
        store_and_begin(robot)
        SAW.left, SAW.count = held, 0
        trial = switch.trial_on(robot.around)
        assert trial is not None
        switch.commit(robot.around, trial)

    cut_everywhere(tmp_path, work, lambda robot: seen.append(next_boot(robot)))
    assert seen[0] == OLD
    assert seen[-1] == NEW
    assert seen == sorted(seen, key=[OLD, NEW].index), "once committed, never back"


def test_a_cut_anywhere_in_going_back_leads_to_what_was(tmp_path: Path) -> None:
    def work(robot: Robot) -> None:
        held, SAW.left = SAW.left, None
        store_and_begin(robot)
        SAW.left, SAW.count = held, 0
        trial = switch.trial_on(robot.around)
        assert trial is not None
        switch.take_back_and_apply(robot.around, trial)

    def judge(robot: Robot) -> None:
        assert next_boot(robot) == OLD

    assert cut_everywhere(tmp_path, work, judge) > 4


def test_a_killed_module_is_taken_back_in_the_same_boot(tmp_path: Path) -> None:
    """kill -9 in the middle, no reboot: the client then asks for the rollback."""

    def judge(robot: Robot) -> None:
        trial = switch.trial_on(robot.around)
        if trial is not None:
            switch.take_back_and_apply(robot.around, trial)
        assert robot.running() == OLD
        assert next_boot(robot) == OLD

    cut_everywhere(tmp_path, store_and_begin, judge)


def test_a_cut_while_a_boot_takes_back_what_was_not_committed(tmp_path: Path) -> None:
    def work(robot: Robot) -> None:
        held, SAW.left = SAW.left, None
        store_and_begin(robot)
        trial = read_trial(robot.paths.trial)
        assert trial is not None
        SAW.left, SAW.count = held, 0
        switch.take_back(robot.paths, trial)

    def judge(robot: Robot) -> None:
        assert next_boot(robot) == OLD

    assert cut_everywhere(tmp_path, work, judge) > 2


def test_the_saw_finds_a_switch_that_names_the_new_before_it_notes_the_old(tmp_path: Path) -> None:
    """The planted fault: two writes in the wrong order."""
    seen: list[str] = []

    def work(robot: Robot) -> None:
        wanted = switch.Slot(switch.own_image(robot.around), Selection(NEW, {}))
        from ota.modules.profile import LIMITS
        from ota.modules.states import read_files

        files = read_files(profile_call_of(robot), dict(LIMITS))
        switch.store_folder(robot.paths.profiles, NEW, files)
        switch.point(robot.paths, "a", wanted)
        robot.paths.trial.write_bytes(b"too late")

    cut_everywhere(tmp_path, work, lambda robot: seen.append(boot_only(robot)))
    assert NEW in seen[:-1], "an uncommitted switch would have stayed"


def boot_only(robot: Robot) -> str:
    try:
        return hand_out(robot.library, robot.paths, Boot("a", "second-boot")).config_hash
    except ActiveError:
        return OLD


@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 64, b'{"version": 2, "slots": {}}'])
@pytest.mark.parametrize("name", ["active.json", "trial.json"])
def test_a_damaged_file_leads_to_what_the_slot_brought_and_is_told(
    tmp_path: Path, name: str, damage: bytes
) -> None:
    robot = make_robot(tmp_path)
    store_and_begin_on(robot)
    (robot.paths.data / name).write_bytes(damage)
    handed = hand_out(robot.library, robot.paths, Boot("a", robot.boot_id))
    assert handed.config_hash == OLD
    assert any(name in note for note in handed.notes)


def store_and_begin_on(robot: Robot) -> None:
    profile_call(robot)
    store_and_begin(robot)


def test_a_chosen_profile_that_was_altered_is_not_run(tmp_path: Path) -> None:
    robot = make_robot(tmp_path)
    store_and_begin_on(robot)
    file = robot.paths.profiles / NEW / "profile.json"
    file.write_bytes(file.read_bytes().replace(b"2.0", b"0.4", 1))
    handed = hand_out(robot.library, robot.paths, Boot("a", robot.boot_id))
    assert handed.config_hash == OLD
    assert any("stands in" in note for note in handed.notes)


def test_the_other_slots_choice_is_left_alone(tmp_path: Path) -> None:
    robot = make_robot(tmp_path)
    other = switch.Slot("e" * 64, Selection("f" * 64, {}))
    switch.point(robot.paths, "b", other)
    store_and_begin_on(robot)
    assert (read_active(robot.paths.active) or {})["b"] == other


def step(name: str) -> Callable[[Path], None]:
    """Comes to the same result twice, as a step must."""

    def apply(data: Path) -> None:
        for part in ("one", "two"):
            (data / f"{name}-{part}").write_text(part)

    return apply


STEPS = tuple(Migration(to, f"to {to}", step(f"v{to}")) for to in (2, 3))


def test_a_cut_anywhere_in_a_migration_is_made_up_for_by_the_next_boot(tmp_path: Path) -> None:
    def work(robot: Robot) -> None:
        migrate(robot.paths.data, lambda _: None, STEPS)

    def judge(robot: Robot) -> None:
        assert read_version(robot.paths.data) in (1, 2, 3)
        assert migrate(robot.paths.data, lambda _: None, STEPS) == 3
        found = {path.name for path in robot.paths.data.glob("v*")}
        assert found == {"v2-one", "v2-two", "v3-one", "v3-two"}

    assert cut_everywhere(tmp_path, work, judge) > 6


def test_data_of_an_unknown_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ota").mkdir()
    (tmp_path / migrations.FILE).write_text("?")
    with pytest.raises(DataVersionError, match="cannot be read"):
        migrate(tmp_path, lambda _: None, STEPS)
    assert list(tmp_path.glob("v*")) == []


def test_a_gap_between_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataVersionError, match="no step leads from version 1 to 3"):
        migrate(tmp_path, lambda _: None, STEPS[1:])


def test_a_slot_reads_its_own_version_of_the_data_and_the_one_before() -> None:
    assert migrations.readable_versions(STEPS) == (2, 3)
    assert migrations.readable_versions(()) == (1,)
