"""What the update client may have of the environment, and what it may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ota.boot_env.request import (
    Machine,
    Refused,
    asked,
    assignments,
    not_ready,
    restored,
    variables,
)
from ota.boot_env.states import SLOT_A, SLOT_B, STATES, State

INSTALL_B = {
    "upgrade_available": "1",
    "mender_boot_part": "3",
    "mender_boot_part_hex": "3",
    "bootcount": "0",
}
COMMIT = {"upgrade_available": "0"}
BACK_TO_A = {"mender_boot_part": "2", "mender_boot_part_hex": "2", "upgrade_available": "0"}
COMMITTED_A = State(SLOT_A, canary=1)
INSTALLED_B = State(SLOT_B, 1, 0, 0, 1)
TRIAL_B = State(SLOT_B, 1, 1, 0, 1)
A = Machine(SLOT_A, "committed", "the gate waits")
B = Machine(SLOT_B, "trial", "the gate waits")
B_PASSED = B._replace(gate="")

values = st.sampled_from(["0", "1", "2", "3", "", "4", "x", "2 "])
names = st.sampled_from([*INSTALL_B, "mender_saveenv_canary", "mender_uboot_separator", "other"])
requests = st.dictionaries(names, values, max_size=5)
machines = st.builds(
    Machine,
    st.sampled_from([SLOT_A, SLOT_B, None]),
    st.sampled_from(["committed", "trial", "rolled-back", ""]),
    st.sampled_from(["", "waiting"]),
)


def test_install_trial_commit():
    assert asked(COMMITTED_A, A, INSTALL_B) == INSTALLED_B
    assert asked(TRIAL_B, B_PASSED, COMMIT) == State(SLOT_B, canary=1)


def test_trial_slot_is_not_committed_without_the_gate():
    with pytest.raises(Refused, match=r"stays on trial: the gate waits"):
        asked(TRIAL_B, B, COMMIT)


def test_way_back_needs_no_gate():
    assert asked(TRIAL_B, B, BACK_TO_A) == COMMITTED_A
    assert asked(INSTALLED_B, A, BACK_TO_A) == COMMITTED_A


def test_commit_before_the_restart_is_refused():
    with pytest.raises(Refused, match="has not been started yet"):
        asked(INSTALLED_B, A._replace(gate=""), COMMIT)


def test_switch_without_a_trial_is_refused():
    with pytest.raises(Refused, match="without a trial"):
        asked(COMMITTED_A, B_PASSED, {"mender_boot_part": "3"})


def test_slot_to_go_back_to_is_not_put_on_trial():
    wanted = INSTALL_B | {"mender_boot_part": "2", "mender_boot_part_hex": "2"}
    for state, machine in ((TRIAL_B, B), (COMMITTED_A, A), (INSTALLED_B, A)):
        with pytest.raises(Refused):
            asked(state, machine, wanted)


def test_a_second_trial_boot_is_not_given():
    with pytest.raises(Refused):
        asked(TRIAL_B, B, {"bootcount": "0"})


def test_unknown_variable_is_refused_and_says_why():
    with pytest.raises(Refused, match="closed record"):
        asked(COMMITTED_A, A, {"kernel_arguments": "init=/bin/sh"})


@given(st.sampled_from(STATES), machines, requests)
def test_no_request_commits_a_slot_that_did_not_pass(state, machine, wanted):
    """Whatever is asked: a slot becomes the one to rely on only by its own passed trial boot."""
    try:
        got = asked(state, machine, wanted)
    except Refused:
        return
    assert got in STATES
    if got.committed != state.committed:
        assert state.upgrade
        assert state.tried
        assert machine.slot == got.committed
        assert machine.gate == ""
    if got.upgrade and got != state:
        assert machine.slot not in (None, got.part)
        assert got.part != state.committed


@given(st.sampled_from(STATES))
def test_what_is_printed_can_be_set_again_and_changes_nothing(state):
    """`print` piped into `set`, as people do."""
    text = "".join(f"{name}={value}\n" for name, value in variables(state).items())
    machine = Machine(state.committed, "committed", "")
    assert asked(state, machine, assignments(text)) == state


@pytest.mark.parametrize("separator", ["=", " "])
def test_both_separators_are_read(separator):
    assert assignments(f"upgrade_available{separator}0\n\n") == {"upgrade_available": "0"}


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    try:
        found = assignments(text)
    except Refused:
        return
    assert all(name for name in found)


def test_nothing_may_be_written_while_an_update_is_under_way():
    assert not_ready(COMMITTED_A, A) == ""
    assert not_ready(INSTALLED_B, A)
    assert not_ready(TRIAL_B, B)
    assert not_ready(COMMITTED_A, B)
    assert not_ready(COMMITTED_A, Machine(None, "", ""))


def test_lost_environment_is_put_together_from_what_the_loader_told_the_kernel():
    assert restored(B) == TRIAL_B
    assert restored(Machine(SLOT_B, "rolled-back", "")) == State(SLOT_B, canary=1)
    with pytest.raises(Refused):
        restored(Machine(SLOT_B, "", ""))
