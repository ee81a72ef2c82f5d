"""Slots made unable to start, on a small disk: GRUB goes back, or stops with a message.

Here there is no kernel, so it does so at once. A robot without a start script still has one, which
finds no root and panics; what follows is a case of `make power-cut`.
"""

import pytest

from ota.boot_env.decision import Choice
from ota.boot_env.states import SLOT_A, SLOT_B, State, encode
from ota.power_cut.emulated import SLOT_AT, Bench, bench, missing_programs
from ota.power_cut.wrong import Slots, both_bad, other_init, without_script

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=f"{missing_programs()} missing")


@pytest.fixture
def disk(tmp_path) -> Bench:
    """Slot B installed, and not yet tried."""
    made = bench(tmp_path)
    trial = encode(State(SLOT_B, 1, 0, 0, 1))
    made.put(trial, trial)
    return made


def test_trial_slot_without_its_start_script_is_left(disk):
    without_script(Slots(disk.disk, SLOT_AT), SLOT_B)
    started = disk.boot()
    assert (started.choice, started.slot) == (Choice.ROLLED_BACK, SLOT_A)


def test_two_slots_that_cannot_start_end_in_a_message(disk):
    both_bad(Slots(disk.disk, SLOT_AT))
    assert disk.boot().choice is Choice.HALT


def test_init_is_changed_in_the_start_script_and_nowhere_else(disk):
    slots = Slots(disk.disk, SLOT_AT)
    at = slots.trailer_at(SLOT_B)
    slots.put(at, b'set arguments="ro init=/usr/lib/bedplate/preinit quiet"\n')
    other_init(slots, "/usr/bin/cat")
    assert slots.read(at, 48).startswith(b'set arguments="ro init=/usr/bin/cat quiet"\n')
    slots.put(at, b'set arguments="ro quiet"'.ljust(3584, b"\n"))
    with pytest.raises(ValueError, match="0 times init="):
        other_init(slots, "/usr/bin/cat")
