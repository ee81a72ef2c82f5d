"""The protocol holds in every world that can be reached; each planted fault is found."""

import random

import pytest

from ota.boot_env import decision, tool
from ota.boot_env.decision import Disk, boot
from ota.boot_env.model import (
    Broken,
    Explored,
    Flush,
    Law,
    Protocol,
    Slot,
    Start,
    boot_steps,
    explore,
    flushed,
    install_steps,
    set_steps,
)
from ota.boot_env.states import SLOT_A, SLOT_B, Bad, State, Write, agreed, decode, encode
from ota.power_cut.emulated import ESP_AT, Bench, bench, missing_programs

needs_grub = pytest.mark.skipif(
    bool(missing_programs()),
    reason=f"{', '.join(missing_programs())} missing; try  ./bootstrap.sh test",
)
SAMPLE = 60


@pytest.fixture(scope="module")
def explored() -> Explored:
    return explore(Protocol())


def test_protocol_holds_in_every_world(explored):
    """And there are worlds: torn copies, stale copies, lost copies and half-written slots."""
    print(f"{explored.worlds} worlds, {explored.events} events, {len(explored.boots)} boots")
    assert explored.worlds > 10_000
    copies = {copy for found, _ in explored.boots for copy in found}
    assert {Bad.TORN, Bad.GARBAGE} < copies
    assert any(agreed(*copies) is None for copies, _ in explored.boots)
    assert any(
        isinstance(one, State) and isinstance(two, State) and one != two
        for (one, two), _ in explored.boots
    )


def breaks(protocol: Protocol) -> Law:
    with pytest.raises(Broken) as caught:
        explore(protocol)
    assert len(caught.value.path) > 1
    return caught.value.law


def test_slot_announced_before_it_is_on_the_disk_is_found():
    def swapped(slot, content):
        ready, spoil, fill, flush, announce = install_steps(slot, content)
        return (ready, announce, spoil, fill, flush)

    assert breaks(Protocol(install=swapped)) in (Law.UNNAMED, Law.WHOLE)


def test_slot_not_flushed_before_it_is_announced_is_found():
    def dropped(slot, content):
        ready, spoil, fill, _, announce = install_steps(slot, content)
        return (ready, spoil, fill, announce)

    def hasty(copies, wanted):
        return set_steps(copies, wanted)[1:]  # nor does the tool flush

    assert breaks(Protocol(install=dropped, set=hasty)) in (Law.WHOLE, Law.KEPT)


def test_two_copies_in_one_flush_are_found():
    def hasty(copies, wanted):
        writes = [step for step in set_steps(copies, wanted) if isinstance(step, Write)]
        return (*writes, Flush.FLUSH)

    assert breaks(Protocol(set=hasty)) is Law.KEPT


def test_kernel_started_before_the_trial_is_counted_is_found():
    def swapped(copies, slots):
        steps = boot_steps(copies, slots)
        return (steps[-1], *steps[:-1])

    assert breaks(Protocol(boot=swapped)) is Law.ONCE


def test_trial_that_is_not_counted_is_found():
    def forgetful(copies, slots):
        steps = boot_steps(copies, slots)
        last = steps[-1]
        assert isinstance(last, Start)
        return (last,) if last.choice is decision.Choice.TRIAL else steps

    assert breaks(Protocol(boot=forgetful)) is Law.ONCE


def test_dropped_repair_is_found():
    """The known flaw of the usual protocol: a stale second copy is promoted later."""

    def plain_set(copies, wanted):
        return (Flush.FLUSH, *flushed((Write(1, wanted), Write(2, wanted))))

    assert breaks(Protocol(set=plain_set, repairs=False)) in (Law.UNNAMED, Law.WHOLE)


def test_ready_that_does_not_flush_is_found():
    def hasty(slot, content):
        return install_steps(slot, content)[1:]

    assert breaks(Protocol(install=hasty)) is Law.UNNAMED


def test_boot_loader_that_writes_both_copies_is_found():
    """It cannot flush, so one cut could take both."""

    def thorough(copies, slots):
        steps = boot_steps(copies, slots)
        writes = [step for step in steps if isinstance(step, Write)]
        return (*writes, *(one._replace(copy=2) for one in writes if one.copy == 1), steps[-1])

    assert breaks(Protocol(boot=thorough)) is Law.KEPT


def _sector(copy: object) -> bytes:
    """Bytes that decode to this."""
    if isinstance(copy, State):
        return encode(copy)
    torn = encode(State(2, canary=1))[:256] + encode(State(3, 1, 0, 0, 1))[256:]
    return torn if copy is Bad.TORN else b"\xff" * 512


def _replay(disk: Bench, explored_boots, count: int | None) -> None:
    cases = sorted(explored_boots, key=str)
    for copies, slots in random.Random(3).sample(cases, count or len(cases)):
        contents = {SLOT_A: slots[0].value, SLOT_B: slots[1].value}
        for number, content in contents.items():
            disk.fill_slot(number, content)
        first, second = (_sector(copy) for copy in copies)
        disk.put(first, second)
        expected = Disk(decode(first), decode(second), contents)
        wanted = boot(expected)
        assert disk.boot() == wanted, (copies, slots)
        left = [decode(sector) for sector in disk.take()]
        assert left == [expected.first, expected.second], (copies, slots)


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Bench:
    return bench(tmp_path_factory.mktemp("disk"))


@needs_grub
def test_grub_does_what_the_model_says_in_worlds_that_can_be(explored, disk):
    _replay(disk, explored.boots, SAMPLE)


@needs_grub
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_grub_does_what_the_model_says_in_every_world_that_can_be(explored, disk):
    _replay(disk, explored.boots, None)


@needs_grub
def test_tool_does_what_the_model_says_in_every_world_that_can_be(explored, disk, tmp_path):
    """The same copies: the same one counts, and both are made to say it."""
    (tmp_path / "cmdline").write_text("bedplate.slot=a bedplate.choice=restored\n")
    options = ["--esp", str(disk.disk), "--offset", str(ESP_AT)]
    options += ["--cmdline", str(tmp_path / "cmdline")]
    for copies in {found for found, _ in explored.boots}:
        disk.put(*(_sector(copy) for copy in copies))
        assert tool.main(["print", *options]) == 0
        now = agreed(*copies) or State(SLOT_A, canary=1)
        assert [decode(sector) for sector in disk.take()] == [now, now]


def test_model_knows_slots_that_were_made_wrong():
    assert {slot.value.loads for slot in Slot} == {True, False}
