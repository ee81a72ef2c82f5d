"""The real GRUB, on a small disk, against the function that says what it must do."""

import itertools
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ota.boot_env.decision import Content, Disk, boot
from ota.boot_env.states import (
    SECTOR_BYTES,
    SLOT_A,
    SLOT_B,
    STATES,
    State,
    decode,
    encode,
)
from ota.power_cut.emulated import GRUB_CFG, Bench, bench, missing_programs

pytestmark = [
    pytest.mark.skipif(
        bool(missing_programs()),
        reason=f"{', '.join(missing_programs())} missing; try  ./bootstrap.sh test",
    ),
]
CONTENTS = [Content(loads, intact) for loads in (True, False) for intact in (True, False)]
SLOTS = list(itertools.product(CONTENTS, CONTENTS))
Situation = tuple[bytes, bytes, tuple[Content, Content]]
SAMPLE = 80  # of all combinations; the whole is marked slow


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Bench:
    return bench(tmp_path_factory.mktemp("disk"))


def sectors() -> list[bytes]:
    """Every value, and one of each kind of damage."""
    good = [encode(state) for state in STATES]
    old, new = encode(State(2, 0, 0, 1, 1)), encode(State(3, 1, 0, 0, 1))
    flipped = bytearray(old)
    flipped[400] ^= 1
    return [
        *good,
        old[:256] + new[256:],
        new[:256] + old[256:],
        bytes(flipped),
        bytes(SECTOR_BYTES),
        b"\xff" * SECTOR_BYTES,
        random.Random(1).randbytes(SECTOR_BYTES),
    ]


def compare(disk: Bench, first: bytes, second: bytes, contents: tuple[Content, Content]) -> None:
    for number, content in zip((SLOT_A, SLOT_B), contents, strict=True):
        disk.fill_slot(number, content)
    disk.put(first, second)
    expected = Disk(
        decode(first), decode(second), dict(zip((SLOT_A, SLOT_B), contents, strict=True))
    )
    wanted = boot(expected)
    got = disk.boot()
    left = tuple(decode(sector) for sector in disk.take())
    assert (got, left) == (wanted, (expected.first, expected.second)), (first, second, contents)


def combinations(slots: list[tuple[Content, Content]]) -> list[Situation]:
    found = sectors()
    return [(one, two, pair) for one in found for two in found for pair in slots]


def test_grub_decides_and_repairs_as_the_function_says(disk):
    for one, two, contents in random.Random(7).sample(combinations(SLOTS), SAMPLE):
        compare(disk, one, two, contents)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("slots", SLOTS, ids=str)
def test_grub_decides_and_repairs_as_the_function_says_on_every_combination(disk, slots):
    for one, two, contents in combinations([slots]):
        compare(disk, one, two, contents)


def test_grub_calls_the_same_sectors_bad(disk):
    """Torn anywhere, flipped anywhere, noise: the second copy tells which one GRUB believed."""
    chance = random.Random(11)
    good = Content(), Content()
    for _ in range(60):
        old, new = chance.sample(STATES, 2)
        kind = chance.randrange(3)
        if kind == 0:
            cut = chance.randrange(SECTOR_BYTES + 1)
            sector = encode(new)[:cut] + encode(old)[cut:]
        elif kind == 1:
            changed = bytearray(encode(old))
            changed[chance.randrange(SECTOR_BYTES)] ^= 1 << chance.randrange(8)
            sector = bytes(changed)
        else:
            head = encode(old)[: chance.randrange(SECTOR_BYTES)]
            sector = head + chance.randbytes(SECTOR_BYTES - len(head))
        compare(disk, sector, encode(new), good)


def test_a_script_that_tries_twice_is_found_out(tmp_path):
    """A planted fault: the trial boot is not accounted for."""
    broken = tmp_path / "grub.cfg"
    text = GRUB_CFG.read_text()
    planted = text.replace("if record ${1}1101; then", "if true; then")
    assert planted != text
    broken.write_text(planted)
    sector = encode(State(SLOT_B, 1, 0, 0, 1))
    with pytest.raises(AssertionError):
        compare(bench(tmp_path / "disk", broken), sector, sector, (Content(), Content()))


def test_copies_that_grub_cannot_write_end_the_trial(disk, tmp_path):
    """What cannot be accounted for is not tried: a slot that panics would be tried for ever."""
    made = replace(disk, folder=_read_only(disk, tmp_path))
    sector = encode(State(SLOT_B, 1, 0, 0, 1))
    disk.put(sector, sector)
    for number in (SLOT_A, SLOT_B):
        disk.fill_slot(number, Content())
    expected = Disk(
        decode(sector), decode(sector), {2: Content(), 3: Content()}, writable=(False, False)
    )
    assert made.boot() == boot(expected)
    assert disk.take() == (sector, sector)


def _read_only(disk: Bench, folder: Path) -> Path:
    """The same disk with a script in which no copy can be written."""
    copy = folder / "read-only"
    shutil.copytree(disk.folder, copy, ignore=shutil.ignore_patterns("disk.img", "esp.img"))
    (copy / "disk.img").symlink_to(disk.disk)
    script = copy / "boot/grub.cfg"
    text = script.read_text()
    script.write_text(text.replace("  save_env --file", "  true --file"))
    assert script.read_text() != text
    return copy
